"""Usage: reports come in, counts go out.

Reports are the one thing that arrives in large numbers, so their route is a bare ASGI application: no request object,
no model per event, no thread. It reads the body, decodes it, queues it, and answers when it is committed.
"""

from datetime import date
from hashlib import sha256
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.routing import Route

from core.database import licensee_eyes
from core.errors import InvalidInput
from core.kill_points import kill_point
from core.usage.queries import usage
from core.usage.receipt import answer
from core.usage.report import Window, read_report
from service.caller import RequestCaller, credentials_of
from service.limits import check_json, read_body
from service.session import RequestSession

_to_json = msgspec.json.Encoder().encode
router = APIRouter(tags=["usage"])


class UsageReports:
    """POST /v1/usage-reports."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        state = scope["app"].state
        settings = state.settings
        caller = await state.callers.find(credentials_of(scope["headers"]))
        state.rate_limit.take(caller.key_id)
        check_json(scope, settings.max_body_bytes)
        body = await read_body(receive, settings.max_body_bytes)
        now = state.catalogue.now()
        window = Window.at(now, settings.past_days, settings.future_minutes, caller.backfill_from)
        report = read_report(body, window)
        holds = await state.catalogue.holds(caller.licensee_id, report)
        kill_point("after_parse")
        digest = sha256(body).digest()
        receipt = await state.intake_queue.submit(caller.licensee_id, caller.key_id, report, digest, holds)
        content = _to_json(answer(report, receipt))
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        if receipt.replayed:
            headers.append((b"perimage-replayed", b"true"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})


REPORTS_ROUTE = Route(
    "/v1/usage-reports", UsageReports(), methods=["POST"], name="report_usage", include_in_schema=False
)


class UsageCount(BaseModel):
    """Images counted, for one group."""

    model: str | None = Field(default=None, description="slug of the fee-bearing model; absent when not grouped by it")
    day: date | None = Field(default=None, description="day of the account's zone; absent when not grouped by it")
    image_count: int
    event_count: int


class UsagePage(BaseModel):
    """Counts ordered by model and day."""

    usage: list[UsageCount]
    next: str | None = Field(
        default=None, description="give it as `after` to get what follows; absent on the last page"
    )


@router.get("/v1/usage", summary="What has been counted", response_model_exclude_none=True)
def get_usage(
    session: RequestSession,
    caller: RequestCaller,
    *,
    start: Annotated[date | None, Query(alias="from", description="first day")] = None,
    end: Annotated[date | None, Query(alias="to", description="the day after the last")] = None,
    model: Annotated[str | None, Query(max_length=255, description="only this model, by its slug")] = None,
    group_by: Annotated[str, Query(pattern="^(model|day|model,day|none)$")] = "model,day",
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    after: Annotated[str | None, Query(max_length=300, description="`next` of the page before")] = None,
) -> UsagePage:
    """The caller's rolled-up images by fee-bearing model and day: an image is counted once for each model it owes.

    Counts follow the reports within seconds. Events that are held are not in them until they are resolved.
    """
    by_model, by_day = "model" in group_by, "day" in group_by
    with licensee_eyes(session, caller.licensee_id):
        rows = usage(
            session,
            start=start,
            end=end,
            model=model,
            by_model=by_model,
            by_day=by_day,
            after=_read_mark(after) if after else None,
            limit=limit,
        )
    counts = [
        UsageCount(model=row.model, day=row.day, image_count=row.image_count, event_count=row.event_count)
        for row in rows
    ]
    more = len(rows) == limit and (by_model or by_day)
    return UsagePage(usage=counts, next=f"{rows[-1].day or date.min} {rows[-1].model or ''}" if more else None)


def _read_mark(text: str) -> tuple[str, date]:
    """The place in the list where a page begins: a day and a slug."""
    day, separator, slug = text.partition(" ")
    try:
        if separator and "\x00" not in slug:
            return slug, date.fromisoformat(day)
    except ValueError:
        pass
    raise InvalidInput("invalid_after", "after must be the next of the page before, as it was given")
