"""What every finance route shares: bodies read strictly, problems described, acts done once in effect.

An act runs in one transaction with the answer that is kept under its `Idempotency-Key`; the same request again gets
that answer and no second effect. A refusal has no effect, so it is not kept, and the request may be sent again.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, NoReturn

from fastapi import APIRouter, Depends, Header, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.access.credentials import Scope
from core.access.keys import FinanceCaller
from core.access.requests import Named, answered, keep
from core.canonical import canonical
from core.errors import Conflict, InvalidInput
from service.finance_caller import demanding
from service.limits import check_json, read_body
from service.problems import MEDIA_TYPE

log = logging.getLogger("perimage.finance")
MAX_BODY_BYTES = 1024 * 1024
PREFIX = "/v1/finance"
_AGAIN = {"40001", "40P01", "23505"}  # not serializable, a deadlock, a key that somebody took at the same moment
_TRIES = 3
_SAYS = {
    400: "The body is not JSON.",
    401: "No live finance key.",
    403: "`scope_missing`: the key may not be used for this, `needed` says what it takes; `role_too_low`: `needed` is "
    "the role that may; `second_person_needed`: somebody else has to do it.",
    404: "There is no such thing, or it is another licensor's.",
    409: "It contradicts what stands: the code says what, the sentence what to do instead. `idempotency_key_reused`: "
    "the key was used for another request.",
    413: "The body is too large.",
    415: "Not application/json, or compressed.",
    422: "Something in the request is wrong; the sentence says what to change.",
    429: "Too many requests with this key. Wait for Retry-After.",
    503: "Not now; repeat after Retry-After.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These refusals for the OpenAPI document."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _SAYS[status], "content": content} for status in statuses}


READS = problems(401, 403, 422, 429, 503)
READS_ONE = problems(401, 403, 404, 422, 429, 503)
ACTS = problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 503)


def strict_json(body: bytes) -> Any:
    """A JSON value in which no key stands twice and nothing is but finite numbers and whole text."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in found}) != len(found):
            raise InvalidInput("duplicate_key", "a key stands twice in one object: send each once")
        return dict(found)

    def no_number(text: str) -> NoReturn:
        raise InvalidInput("invalid_json", f"{text[:20]} is no number: send whole numbers, and amounts as text")

    try:
        found = json.loads(body.decode(), object_pairs_hook=pairs, parse_constant=no_number, parse_float=no_number)
        canonical(found)
    except (ValueError, RecursionError):  # also half a character, and a number of 5,000 digits
        raise InvalidInput("invalid_json", "the body is not JSON, or holds what no text can: send UTF-8") from None
    return found


class FinanceRoute(APIRoute):
    """Reads a body, strictly and within its bounds, before anybody looks at what it says."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def read_first(request: Request) -> Response:
            content = b""
            if request.method == "POST":
                content = await _body(request)
            request.state.fingerprint = hashlib.sha256(
                b"\0".join(
                    (request.method.encode(), request.scope["path"].encode(), request.url.query.encode(), content)
                )
            ).digest()
            return await handle(request)

        return read_first


async def _body(request: Request) -> bytes:
    """The body in its one form; none at all is good enough where nothing has to be said."""
    if "content-type" in request.headers:
        check_json(request.scope, MAX_BODY_BYTES)
    body = await read_body(request.receive, MAX_BODY_BYTES)
    if not body:
        request._body = body
        return body
    check_json(request.scope, MAX_BODY_BYTES)
    value = strict_json(body)
    request._body, request._json = body, value  # what Starlette would keep of it
    return canonical(value)


class Acting:
    """Somebody about to act. `once` does it, in one transaction with the answer."""

    def __init__(self, request: Request, caller: FinanceCaller, key: str | None) -> None:
        self.engine = request.app.state.finance_engine
        self.settings = request.app.state.settings
        self.caller = caller
        self._named = None
        if key is not None:
            self._named = Named(caller.licensor_id, caller.actor.name, key, request.state.fingerprint)

    def once(self, act: Callable[[Session], BaseModel], *, status: int = 200, snapshot: bool = False) -> Response:
        """Does `act` and commits it, or gives the answer of the time when it was done. `snapshot`: in a transaction
        that sees one state of the database throughout.
        """
        for left in reversed(range(_TRIES)):
            try:
                with Session(self.engine) as session:
                    if snapshot:
                        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
                    return self._done(session, act, status)
            except DBAPIError as error:
                if left and getattr(error.orig, "sqlstate", None) in _AGAIN:
                    continue
                if isinstance(error, IntegrityError):
                    log.info("refused by the database: %s", error.orig)
                    raise Conflict(
                        "contradicts_what_stands", "somebody changed this at the same moment: look, and ask again"
                    ) from None
                raise
        raise AssertionError  # the last try returns or raises

    def _done(self, session: Session, act: Callable[[Session], BaseModel], status: int) -> Response:
        if self._named and (before := answered(session, self._named)):
            return _json(before[0], before[1], replayed=True)
        body = act(session).model_dump_json()
        if self._named:
            keep(session, self._named, status, body)
        session.commit()
        return _json(status, body)


def _json(status: int, body: str, *, replayed: bool = False) -> Response:
    headers = {"Perimage-Replayed": "true"} if replayed else None
    return Response(body, status, headers=headers, media_type="application/json")


def acting(scope: Scope) -> Any:
    """A dependency: the caller about to act, if the key may be used for this."""

    def about_to_act(
        request: Request,
        caller: Annotated[FinanceCaller, Depends(demanding(scope))],
        idempotency_key: Annotated[
            str | None,
            Header(
                min_length=1,
                max_length=255,
                pattern=r"^[\x21-\x7e]+$",
                description="Names the request: sent again with the same body it has no second effect and gets the "
                "same answer, with the header `Perimage-Replayed: true`, for a week. Everything new takes a new one.",
                examples=["0b1f6c1e-8f5e-4a0e-9d0a-6d1f4d9d7c11"],
            ),
        ] = None,
    ) -> Acting:
        return Acting(request, caller, idempotency_key)

    return Depends(about_to_act)


def finance_router(tag: str) -> APIRouter:
    """A room of finance routes."""
    return APIRouter(
        prefix=PREFIX,
        tags=[f"finance: {tag}"],
        route_class=FinanceRoute,
        generate_unique_id_function=lambda route: f"finance_{route.name}",
    )
