"""A licensee's own reports: what it sent, from where, what became of it, and how to mend the rest."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from msgspec import Meta, to_builtins
from pydantic import AwareDatetime, BaseModel, Field

from core.database import licensee_eyes
from core.errors import InvalidInput
from core.usage.intake.report import MAX_NAME
from core.usage.own.events import fates
from core.usage.own.reports import OwnReport, refused_events, report, reports, sources
from service.caller import RequestCaller
from service.pages import NEXT, After, Limit, next_mark, read_mark
from service.routes.events import Id, OwnEvent, own_event
from service.session import RequestSession

router = APIRouter(tags=["usage"])
Received = Annotated[datetime, Meta(tz=True)]
From = Annotated[AwareDatetime | None, Query(alias="from", description="received at or after this time")]
To = Annotated[AwareDatetime | None, Query(alias="to", description="received before this time")]
EVENTS_UNKNOWN = "this report is from before events were kept together with their report: look for them by their ids"
MOST_DAYS = 400
USUAL_DAYS = 31
TOMORROW = timedelta(days=1)


class ReportCounts(BaseModel):
    """Events by what became of them when the report came in."""

    accepted: int
    duplicate: int
    held: int
    conflict: int
    rejected: int


class OwnReportSummary(BaseModel):
    """One report. `image_count` is of the images that were accepted or held with it."""

    report_id: str
    received_at: datetime
    source: str | None
    sequence: int | None
    key_id: str = Field(description="public id of the meter key that sent it")
    key: str = Field(description="label of that key")
    counts: ReportCounts
    image_count: int


class ReportPage(BaseModel):
    """Reports, newest first."""

    reports: list[OwnReportSummary]
    next: str | None = Field(description=NEXT)


class EventProblem(BaseModel):
    """An event that was refused, or stood against what was said before under its id. It is not counted."""

    place: int = Field(description="in the report, from 0 on")
    event_id: str | None = Field(description="null where it could not be read, or is from before ids were kept")
    status: str = Field(examples=["rejected"])
    code: str = Field(examples=["invalid_image_count"])
    message: str
    how_to_fix: str


class HeldEvents(BaseModel):
    """Neighbouring events that were held when the report came in. They are kept: each event says how it stands now."""

    place: int
    event_count: int
    code: str = Field(examples=["unknown_model"])
    message: str
    how_to_fix: str


class OwnReportDetail(OwnReportSummary):
    """One report with every event that is stored with it, and what became of the others."""

    body_sha256: str = Field(description="of the report's body as it was sent")
    events: list[OwnEvent] | None = Field(description="null for an old report; then `events_note` says why")
    events_note: str | None
    problems: list[EventProblem]
    held: list[HeldEvents]


class RefusedEvent(EventProblem):
    """An event that was turned away, and its report."""

    report_id: str
    received_at: datetime
    source: str | None


class RefusedPage(BaseModel):
    """Events that were turned away, those of the newest report first."""

    rejected: list[RefusedEvent]
    next: str | None = Field(description=NEXT)


class SourceSums(BaseModel):
    """What came from one source; null is for reports that name none."""

    source: str | None
    report_count: int
    event_count: int = Field(description="events that were stored: accepted and held")
    counts: ReportCounts
    image_count: int
    first_sequence: int | None
    last_sequence: int | None
    last_seen: datetime


class SourcePage(BaseModel):
    """Sources by name."""

    sources: list[SourceSums]
    next: str | None = Field(description=NEXT)


@router.get("/v1/reports", summary="The caller's reports")
def list_reports(
    session: RequestSession,
    caller: RequestCaller,
    *,
    source: Annotated[str | None, Query(max_length=MAX_NAME, description="only from this source")] = None,
    start: From = None,
    end: To = None,
    only: Annotated[
        Literal["problems"] | None, Query(description="`problems`: with rejected events or conflicts")
    ] = None,
    limit: Limit = 100,
    after: After = None,
) -> ReportPage:
    """Newest first. A report that is not here was never acknowledged: send it again, byte for byte."""
    place = read_mark(after, tuple[Received, str])
    with licensee_eyes(session, caller.licensee_id):
        found = reports(session, source=source, start=start, end=end, problems=bool(only), after=place, limit=limit)
    return ReportPage(
        reports=[OwnReportSummary(**_summary(each)) for each in found],
        next=next_mark(found, limit, lambda last: (last.received_at, last.report_id)),
    )


@router.get("/v1/reports/{report_id:path}", summary="One report with its events")
def get_report(session: RequestSession, caller: RequestCaller, report_id: Id) -> OwnReportDetail:
    """What became of each of its events. Those that were refused or in conflict are under `problems`, with what to do.

    `counts` and `held` are of the moment when it came in; `standing` of an event is of now. Write the id as it is, or
    percent-encoded; it may contain slashes."""
    with licensee_eyes(session, caller.licensee_id):
        found = report(session, report_id)
        events = None
        if found.events is not None:
            standings = zip(found.events, fates(session, found.events), strict=True)
            events = [OwnEvent(**own_event(row, fate)) for row, fate in standings]
    return OwnReportDetail(
        **_summary(found.report),
        body_sha256=found.body_sha256,
        events=events,
        events_note=EVENTS_UNKNOWN if events is None else None,
        problems=[EventProblem(**asdict(each)) for each in found.turned_away],
        held=[HeldEvents(**asdict(each)) for each in found.held],
    )


@router.get("/v1/usage/rejected", summary="Events that were turned away")
def list_rejected(
    session: RequestSession, caller: RequestCaller, limit: Limit = 100, after: After = None
) -> RefusedPage:
    """Events that were rejected or in conflict, with what to do about each, those of the newest report first.

    None of them is counted. They stay listed after they were mended: what was refused once was refused."""
    place = read_mark(after, tuple[Received, str, Annotated[int, Meta(ge=0, lt=2**31)]])
    with licensee_eyes(session, caller.licensee_id):
        found = refused_events(session, after=place, limit=limit)
    return RefusedPage(
        rejected=[
            RefusedEvent(
                report_id=each.report_id, received_at=each.received_at, source=each.source, **asdict(each.event)
            )
            for each in found
        ],
        next=next_mark(found, limit, lambda last: (last.received_at, last.report_id, last.event.place)),
    )


@router.get("/v1/usage/sources", summary="What came from where")
def list_sources(
    session: RequestSession,
    caller: RequestCaller,
    *,
    start: From = None,
    end: To = None,
    limit: Limit = 100,
    after: After = None,
) -> SourcePage:
    """Reports, events, images and sequence numbers by source: of the last 31 days, or of up to 400 if `from` and `to`
    say so. Images by model and day, each once, are under `/v1/usage`."""
    start, end = _range(start, end)
    place = read_mark(after, tuple[str])
    with licensee_eyes(session, caller.licensee_id):
        found = sources(session, start, end, after=place[0] if place else None, limit=limit)
    return SourcePage(
        sources=[
            SourceSums(**{**asdict(each), "counts": to_builtins(each.counts)}, event_count=each.event_count)
            for each in found
        ],
        next=next_mark(found, limit, lambda last: (last.source or "",)),
    )


def _summary(found: OwnReport) -> dict[str, Any]:
    return {**asdict(found), "counts": to_builtins(found.counts)}


def _range(start: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
    """The times asked for, or the last days; refused when too long, since every report of them is read."""
    try:
        end = end or (start + timedelta(days=MOST_DAYS) if start else datetime.now(UTC) + TOMORROW)
        start = start or end - timedelta(days=USUAL_DAYS)
    except OverflowError:
        raise InvalidInput("invalid_range", "from and to must be times of this age") from None
    if not timedelta() < end - start <= timedelta(days=MOST_DAYS):
        raise InvalidInput("invalid_range", f"to must be later than from, by at most {MOST_DAYS} days")
    return start, end
