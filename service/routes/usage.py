"""Usage: reports come in, counts go out.

Reports are the one thing that arrives in large numbers, so their route is a bare ASGI application: no request object,
no model per event, no thread. It reads the body, decodes it, queues it, and answers when it is committed.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date
from typing import Annotated, Any, Literal, NoReturn

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.routing import Route

from core.database import licensee_eyes
from core.errors import InvalidInput, NotAllowed
from core.usage.counts.queries import GROUPS, usage
from core.usage.counts.review import review
from core.usage.intake.receipt import CAPPED, Receipt, answer, images_kept_out
from core.usage.intake.report import Report, read_report
from service import taking
from service.caller import RequestCaller, credentials_of
from service.limits import check_json, read_body
from service.session import RequestSession

_to_json = msgspec.json.Encoder().encode
router = APIRouter(tags=["usage"])


class UsageReports:
    """POST /v1/usage-reports."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        state = scope["app"].state
        caller = await taking.admit(state, credentials_of(scope["headers"]))
        check_json(scope, state.settings.max_body_bytes)
        body = await read_body(receive, state.settings.max_body_bytes)
        report = read_report(body, taking.window(state, caller, state.catalogue.now()))
        held = await taking.holds(state, caller, report)
        receipt = await taking.commit(state, caller, report, body, held)
        if images := images_kept_out(report, receipt):
            _refuse(report, receipt, images)
        content = _to_json(answer(report, receipt))
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        if receipt.replayed:
            headers.append((b"perimage-replayed", b"true"))
        headers += state.signing.headers(content)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})


REPORTS_ROUTE = Route(
    "/v1/usage-reports", UsageReports(), methods=["POST"], name="report_usage", include_in_schema=False
)


def _refuse(report: Report, receipt: Receipt, images: int) -> NoReturn:
    """Says no to a report that a reached cap turned away whole. It is committed like any other, as evidence."""
    reasons = sorted({str(run.message) for run in receipt.verdict.runs})
    raise NotAllowed(
        CAPPED,
        "; ".join(reasons),
        report_id=report.report_id,
        received_at=receipt.received_at.astimezone(UTC),
        image_count=images,
        event_count=len(report.ids),
    )


class UsageCount(BaseModel):
    """Images counted, for one group."""

    model: str | None = Field(default=None, description="slug of the fee-bearing model")
    day: date | None = Field(default=None, description="day of the account's zone")
    plan: str | None = Field(default=None, description="plan of the platform's users, empty where none was reported")
    output: str | None = Field(default=None, description="what was made; the agreement says what of it is billed")
    role: str | None = Field(
        default=None, description="`named`: owed by the model that was named; `adapter_...`: only through an adapter"
    )
    image_count: int
    event_count: int


class UsagePage(BaseModel):
    """Counts in the order of what they are grouped by. What they are not grouped by is absent."""

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
    group_by: Annotated[
        str,
        Query(
            pattern=f"^(none|({'|'.join(GROUPS)})(,({'|'.join(GROUPS)})){{0,4}})$",
            description="any of model, day, plan, output and role, with commas between; or none",
        ),
    ] = "model,day",
    waived: Annotated[
        bool, Query(description="also models that an adapter's lineage asks nothing for, but an agreement might")
    ] = False,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    after: Annotated[str | None, Query(max_length=1000, description="`next` of the page before")] = None,
) -> UsagePage:
    """The caller's rolled-up images by fee-bearing model and day: an image is counted once for each model it owes.

    Counts follow the reports within seconds. Events that are held are not in them until they are resolved; see
    `/v1/usage/held`. Everything reported is here, previews and rejected images too: what of it is billed is for the
    agreement to say, and stands on the invoice.
    """
    groups = [group for group in GROUPS if group in group_by.split(",")]
    with licensee_eyes(session, caller.licensee_id):
        rows = usage(
            session,
            start=start,
            end=end,
            model=model,
            group_by=groups,
            waived=waived,
            after=_read_mark(after, groups) if after else None,
            limit=limit,
        )
    more = len(rows) == limit and bool(groups)
    return UsagePage(
        usage=[UsageCount(**asdict(row)) for row in rows],
        next=_to_json([getattr(rows[-1], group) for group in groups]).decode() if more else None,
    )


def _read_mark(text: str, groups: Sequence[str]) -> list[Any]:
    """The place in the list where a page begins: the last row's value of everything it is grouped by."""
    try:
        values = msgspec.json.decode(text, type=list[str])
        if len(values) == len(groups) and not any("\x00" in value for value in values):
            return [
                date.fromisoformat(value) if group == "day" else value
                for group, value in zip(groups, values, strict=True)
            ]
    except (msgspec.MsgspecError, ValueError):
        pass
    raise InvalidInput("invalid_after", "after must be the next of the page before, with the same group_by")


class HeldName(BaseModel):
    """A name that usage waits for: all of an event if it is its model, else what the adapter would add."""

    name: str
    reason: Literal["unknown_name", "malformed_air", "unknown_ecosystem", "ambiguous_ecosystem", "no_account"]
    how_to_fix: str
    image_count: int
    event_count: int
    counted_for: list[str] = Field(description="the models for which those images are counted already")


class UnreviewedAir(BaseModel):
    """An AIR that was not registered and was counted for the base model of its ecosystem."""

    name: str
    counted_for: str
    registered_as: str | None = Field(description="what it is registered as by now; what was counted before stays")
    how_to_fix: str
    image_count: int
    event_count: int


class HeldUsage(BaseModel):
    """Everything of the caller's that waits for somebody, the most images first."""

    held: list[HeldName]
    unreviewed: list[UnreviewedAir]
    complete: bool = Field(description="false when there is more than is listed")


@router.get("/v1/usage/held", summary="What waits for a name")
def get_held_usage(session: RequestSession, caller: RequestCaller) -> HeldUsage:
    """The names in the caller's usage that nobody knows, why, and what to do; and AIRs that were counted by a guess.

    Nothing of it is lost: it is counted as soon as the name is registered or the account opened.
    """
    with licensee_eyes(session, caller.licensee_id):
        found = review(session)
    return HeldUsage(
        held=[HeldName(**_without_licensee(asdict(each))) for each in found.held],
        unreviewed=[UnreviewedAir(**_without_licensee(asdict(each))) for each in found.unreviewed],
        complete=found.complete,
    )


def _without_licensee(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "licensee"}
