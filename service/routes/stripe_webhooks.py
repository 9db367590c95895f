"""Webhooks of Stripe: verified on the bytes as they came, taken once, answered after the commit.

Not part of the API that callers use: who may come in here is decided by the signature, over the raw body.
"""

from fastapi import APIRouter, Request
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from core.errors import Unavailable
from core.kill_points import kill_point
from core.payments.events import parse_event, take
from core.payments.stripe import verify_webhook
from service.limits import read_body
from service.problems import problem

router = APIRouter()
MAX_BYTES = 1024 * 1024


@router.post("/v1/stripe/webhooks", include_in_schema=False)
async def take_webhook(request: Request) -> Response:
    """Takes an event. An answer of 2xx means that it and its effect are committed; Stripe repeats everything else."""
    body = await read_body(request.receive, MAX_BYTES)
    return await run_in_threadpool(_take, request, body, request.headers.get("stripe-signature", ""))


def _take(request: Request, body: bytes, signature: str) -> Response:
    secret = request.app.state.settings.stripe_webhook_secret
    if not secret:
        raise Unavailable("webhooks_not_set_up", "set PERIMAGE_STRIPE_WEBHOOK_SECRET to the secret of this endpoint")
    if not verify_webhook(body, signature, secret):
        return problem(
            400,
            "bad_signature",
            "the signature does not fit: send the body as it is, within five minutes, signed by Stripe",
        )
    kill_point("after_verify")
    event = parse_event(body)
    with Session(request.app.state.engine) as session:
        taken = take(session, event)
        session.commit()
    kill_point("after_commit_before_reply")
    return JSONResponse({"event": event.id, "taken": taken})
