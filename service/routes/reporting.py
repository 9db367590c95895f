"""Whether everything was reported: the calendar of each agreement, the word that there was nothing, gaps in numbers."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from msgspec import Meta
from msgspec.json import schema_components
from pydantic import BaseModel, Field

from core.database import licensee_eyes
from core.period import Period
from core.usage.intake.report import MAX_NAME, MAX_SEQUENCE
from core.usage.reporting.days import agreement_days, expecting, missing_days, unnamed_usage
from core.usage.reporting.gaps import Gap, Neighbour, gaps
from core.usage.reporting.zero_reports import ZeroBody, read_zero_report, report_zero, zero_reports
from core.usage.tables import ZeroReport
from service.caller import RequestCaller
from service.limits import check_json, read_body
from service.pages import NEXT, After, Limit, next_mark, read_mark
from service.problems import MEDIA_TYPE
from service.session import RequestSession

router = APIRouter(tags=["usage"])
MOST_BYTES = 16 * 1024
ONE_DAY = timedelta(days=1)
EXAMPLE = {"zero_report_id": "2026-11-21", "from": "2026-11-21", "to": "2026-11-22", "reason": "moving house"}


class Day(BaseModel):
    """A day of the account's zone. Counts are of the agreement's models, each image once for each of them."""

    day: date
    state: Literal["reported", "zero", "open", "missing"]
    event_count: int
    image_count: int


class UnnamedUsage(BaseModel):
    """Usage, of whatever day, that waits for the name of its model and so belongs to no agreement yet."""

    event_count: int
    image_count: int


class Calendar(BaseModel):
    """Days on which the agreement expects reports."""

    agreement: str
    zone: str
    starts_on: date
    ends_on: date
    days: list[Day]
    unnamed: UnnamedUsage
    next: str | None = Field(description=NEXT)


class MissingRun(BaseModel):
    """Days `[from, to)`."""

    start: date = Field(serialization_alias="from")
    end: date = Field(serialization_alias="to")


class Missing(BaseModel):
    """The days of one agreement, up to yesterday in its zone, on which nothing was heard."""

    agreement: str
    zone: str
    missing_days: int
    runs: list[MissingRun]


class MissingPage(BaseModel):
    """Agreements by slug, those without missing days too."""

    agreements: list[Missing]
    next: str | None = Field(description=NEXT)


class OwnZeroReport(BaseModel):
    """The word that there were no images on days `[from, to)`, with a model or at all."""

    zero_report_id: str
    start: date = Field(serialization_alias="from")
    end: date = Field(serialization_alias="to")
    model: str | None
    reason: str | None
    received_at: datetime


class ZeroPage(BaseModel):
    """Zero reports by id."""

    zero_reports: list[OwnZeroReport]
    next: str | None = Field(description=NEXT)


class NamedReport(BaseModel):
    """A report beside a gap, or one that used a number again."""

    report_id: str
    received_at: datetime


class SequenceGap(BaseModel):
    """Missing numbers of a source, or a number that several reports used: then gaps around it cannot be trusted."""

    source: str | None
    kind: Literal["missing", "reused"]
    first: int
    last: int
    missing_count: int
    since: datetime = Field(description="when a higher number had come; of a reused one, when it came a second time")
    before: NamedReport | None
    after: NamedReport | None
    reports: list[NamedReport] = Field(description="the first ten that used the number")


class GapPage(BaseModel):
    """Gaps and reused numbers by source and number."""

    gaps: list[SequenceGap]
    next: str | None = Field(description=NEXT)


@router.get("/v1/reporting-calendar", summary="Which days were reported")
def get_calendar(
    session: RequestSession,
    caller: RequestCaller,
    *,
    agreement: Annotated[str, Query(max_length=100, pattern=r"^[a-z0-9-]+$", examples=["anima-flat"])],
    start: Annotated[date | None, Query(alias="from", description="first day")] = None,
    end: Annotated[date | None, Query(alias="to", description="the day after the last")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="days")] = 100,
    after: After = None,
) -> Calendar:
    """Each day of an agreement's term on which it covers a model, in the account's zone.

    `reported`: an event occurred on it for a model that the agreement covers; `zero`: a zero report says that there was
    nothing; `open`: today or later; `missing`: nothing was heard. Counts follow the reports within seconds."""
    place = read_mark(after, tuple[date])
    with licensee_eyes(session, caller.licensee_id):
        of = expecting(session, agreement)
        unnamed = unnamed_usage(session, caller.licensee_id)
        asked = of.term if start is None and end is None else Period(start or of.term.start, end or of.term.end)
        days = of.term.overlap(asked)
        if days and place:
            days = Period(place[0] + ONE_DAY, days.end) if days.start <= place[0] < days.end - ONE_DAY else None
        page = Period(days.start, days.start + ONE_DAY * min(limit, days.days)) if days else None
        found = agreement_days(session, of, page) if page else []
    return Calendar(
        agreement=of.agreement,
        zone=of.zone,
        starts_on=of.term.start,
        ends_on=of.term.end,
        days=[Day.model_validate(each, from_attributes=True) for each in found],
        unnamed=UnnamedUsage.model_validate(unnamed, from_attributes=True),
        next=next_mark([page.end - ONE_DAY], 1, lambda last: (last,))
        if page and days and page.end < days.end
        else None,
    )


@router.get("/v1/reporting-calendar/missing", summary="Days on which nothing was heard")
def get_missing(session: RequestSession, caller: RequestCaller, limit: Limit = 100, after: After = None) -> MissingPage:
    """For every agreement of the caller, the days up to yesterday that were neither reported nor said to be zero."""
    place = read_mark(after, tuple[str])
    with licensee_eyes(session, caller.licensee_id):
        found = missing_days(session, after=place[0] if place else "", limit=limit)
    return MissingPage(
        agreements=[
            Missing(
                agreement=each.of.agreement,
                zone=each.of.zone,
                missing_days=each.day_count,
                runs=[MissingRun(start=run.start, end=run.end) for run in each.runs],
            )
            for each in found
        ],
        next=next_mark(found, limit, lambda last: (last.of.agreement,)),
    )


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


async def _zero_body(request: Request, _caller: RequestCaller) -> ZeroBody:
    """The body of an authenticated request, read strictly."""
    check_json(request.scope, MOST_BYTES)  # type: ignore[arg-type]
    return read_zero_report(await read_body(request.receive, MOST_BYTES))


@router.post(
    "/v1/zero-reports",
    summary="Say that there was nothing",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": schema_components([ZeroBody])[1]["ZeroBody"], "example": EXAMPLE}
            },
        }
    },
    responses={
        400: _problem("The body is not JSON."),
        401: _problem("No live meter key."),
        409: _problem("`zero_report_id_reused`: the id was used for another zero report."),
        413: _problem("The body is too large."),
        415: _problem("Not application/json, or compressed."),
        422: _problem("The zero report is wrong, or speaks of the future or of a model that no agreement covers."),
    },
)
def post_zero_report(
    response: Response,
    session: RequestSession,
    caller: RequestCaller,
    said: Annotated[ZeroBody, Depends(_zero_body)],
) -> OwnZeroReport:
    """There were no images on days `[from, to)` of each account's zone: with `model`, or at all when it is left out.

    The sender makes `zero_report_id` and keeps it: the same zero report again is answered as the first time, with the
    header `Perimage-Replayed: true`. Usage that was or will be reported for these days counts all the same."""
    kept, before = report_zero(session, caller.licensee_id, caller.key_id, said)
    answer = _own_zero(kept)
    session.commit()
    if before:
        response.headers["Perimage-Replayed"] = "true"
    return answer


@router.get("/v1/zero-reports", summary="The caller's zero reports")
def list_zero_reports(
    session: RequestSession, caller: RequestCaller, limit: Limit = 100, after: After = None
) -> ZeroPage:
    place = read_mark(after, tuple[str])
    with licensee_eyes(session, caller.licensee_id):
        found = [_own_zero(row) for row in zero_reports(session, after=place[0] if place else "", limit=limit)]
    return ZeroPage(zero_reports=found, next=next_mark(found, limit, lambda last: (last.zero_report_id,)))


@router.get("/v1/usage/gaps", summary="Reports that never arrived")
def list_gaps(
    session: RequestSession,
    caller: RequestCaller,
    *,
    source: Annotated[str | None, Query(max_length=MAX_NAME, description="only of this source")] = None,
    open_seconds: Annotated[int, Query(ge=0, le=10**9, description="only gaps that have been open for so long")] = 0,
    limit: Limit = 100,
    after: After = None,
) -> GapPage:
    """Numbers that are missing between the sequence numbers of a source. A report that comes late closes its gap.

    Reports that are sent side by side may overtake each other: ask with `open_seconds` before you search for one. What
    was lost before a source's first report or after its last one cannot be seen from numbers."""
    place = read_mark(after, tuple[str, Annotated[int, Meta(ge=0, le=MAX_SEQUENCE)], Literal["missing", "reused"]])
    with licensee_eyes(session, caller.licensee_id):
        found = gaps(session, source=source, open_seconds=open_seconds, after=place, limit=limit)
    return GapPage(
        gaps=[_gap(each) for each in found],
        next=next_mark(found, limit, lambda last: (last.source or "", last.first, last.kind)),
    )


def _own_zero(row: ZeroReport) -> OwnZeroReport:
    return OwnZeroReport(
        zero_report_id=row.zero_report_id,
        start=row.starts_on,
        end=row.ends_on,
        model=row.model,
        reason=row.reason,
        received_at=row.received_at,
    )


def _gap(gap: Gap) -> SequenceGap:
    return SequenceGap(
        source=gap.source,
        kind=gap.kind,
        first=gap.first,
        last=gap.last,
        missing_count=gap.missing_count,
        since=gap.since,
        before=_named(gap.before),
        after=_named(gap.after),
        reports=[NamedReport(report_id=each.report_id, received_at=each.received_at) for each in gap.reports],
    )


def _named(found: Neighbour | None) -> NamedReport | None:
    return NamedReport(report_id=found.report_id, received_at=found.received_at) if found else None
