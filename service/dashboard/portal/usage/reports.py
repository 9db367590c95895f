"""What was sent: reports with what became of them, one whole, and events that were turned away, with the remedy."""

from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response

from core.usage.own.events import fates
from core.usage.own.reports import HAS_HELD, HAS_PROBLEMS, OWN_REPORTS, refused_events, report
from core.usage.tables import UsageReport
from service.dashboard.listing import Column, Filter, Listing
from service.dashboard.portal.usage.router import router, usage_page
from service.dashboard.signed_in import PortalEyes, PortalViewer

MOST_REFUSED = 1000
_ONLY = {"problems": HAS_PROBLEMS, "held": HAS_HELD}


def report_address(report_id: str) -> str:
    return f"/portal/usage/reports/{quote(report_id, safe='')}"


def event_address(event_id: str | None) -> str | None:
    return f"/portal/usage/events/{quote(event_id, safe='')}" if event_id else None


REPORTS = Listing(
    columns=(
        Column("received", "Received", lambda row: row.received_at, kind="moment", sort=UsageReport.received_at),
        Column("report", "Report", lambda row: row.report_id, href=lambda row: report_address(row.report_id)),
        Column("source", "Source", lambda row: row.source, sort=UsageReport.source, wide_only=True,
               note=lambda row: f"number {row.sequence}" if row.sequence is not None else ""),
        Column("key", "Key", lambda row: row.label or row.public_id, wide_only=True),
        Column("images", "Images", lambda row: row.image_count, kind="count", sort=UsageReport.image_count),
        Column("accepted", "Accepted", lambda row: row.accepted, kind="count", wide_only=True),
        Column("held", "Held", lambda row: row.held or None, kind="count", sort=UsageReport.held, wide_only=True),
        Column("duplicate", "Known", lambda row: row.duplicate or None, kind="count", wide_only=True),
        Column("away", "Turned away", lambda row: row.rejected + row.conflict or None, kind="count",
               sort=UsageReport.rejected + UsageReport.conflict),
    ),
    search=(UsageReport.report_id, UsageReport.source),
    search_label="Search by report or source",
    filters=(Filter("only", "Only", (("problems", "With events turned away"), ("held", "With events held")),
                    where=lambda word: _ONLY[word]),),
    sort="-received", file="reports", label="Reports", empty="No report yet", counted=False,
)  # fmt: skip
REFUSED = Listing(
    columns=(
        Column("received", "Received", lambda row: row.received_at, kind="moment", sort=True),
        Column("event", "Event", lambda row: row.event.event_id or f"number {row.event.place + 1} of its report",
               sort=True),
        Column("report", "Report", lambda row: row.report_id, href=lambda row: report_address(row.report_id),
               sort=True, wide_only=True),
        Column("why", "Why", lambda row: row.event.message, note=lambda row: row.event.how_to_fix),
        Column("status", "Status", lambda row: row.event.status, kind="badge", sort=True, wide_only=True),
    ),
    filters=(Filter("status", "Status", (("rejected", "Rejected"), ("conflict", "Conflict")),
                    keep=lambda row, word: row.event.status == word),),
    sort="-received", file="turned-away", label="Events that were turned away", empty="Nothing was turned away",
)  # fmt: skip
EVENTS = Listing(
    columns=(
        Column("event", "Event", lambda row: row[0].event_id, sort=True,
               href=lambda row: event_address(row[0].event_id)),
        Column("model", "Model", lambda row: row[0].model, sort=True,
               note=lambda row: ("with " + ", ".join(row[0].adapters)) if row[0].adapters else ""),
        Column("images", "Images", lambda row: row[0].image_count, kind="count", sort=True),
        Column("occurred", "Occurred", lambda row: row[0].occurred_at, kind="moment", sort=True, wide_only=True),
        Column("plan", "Plan", lambda row: row[0].plan or None, sort=True, wide_only=True),
        Column("standing", "Now", lambda row: row[1].standing, kind="badge", sort=True,
               note=lambda row: ", ".join(each.model for each in row[1].counted_for)),
    ),
    sort="event", file="events", label="Events of this report", empty="None of its events was stored",
)  # fmt: skip


@router.get("/reports")
def portal_reports(request: Request, _person: PortalViewer, eyes: PortalEyes) -> Response:
    listed = REPORTS.read(request, eyes, OWN_REPORTS)
    return listed.csv() if listed.wants_csv else usage_page(request, "reports.html", "Reports", listed=listed)


@router.get("/reports/{report_id:path}")
def portal_report(request: Request, _person: PortalViewer, eyes: PortalEyes, report_id: str) -> Response:
    """One report: what it was answered, and how each of its events stands now."""
    found = report(eyes, report_id.replace("\x00", ""))
    events = found.events or []
    listed = EVENTS.of(request, list(zip(events, fates(eyes, events), strict=True)))
    if listed.wants_csv:
        return listed.csv()
    return usage_page(request, "report.html", "Reports", title="Report", found=found, listed=listed)


@router.get("/rejected")
def portal_rejected(request: Request, _person: PortalViewer, eyes: PortalEyes) -> Response:
    rows = refused_events(eyes, limit=MOST_REFUSED)
    listed = REFUSED.of(request, rows)
    if listed.wants_csv:
        return listed.csv()
    return usage_page(request, "rejected.html", "Turned away", listed=listed, more=len(rows) == MOST_REFUSED)
