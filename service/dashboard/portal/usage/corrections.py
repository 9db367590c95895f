"""Every correction of the licensee's events, by whomever it was made."""

from fastapi import Request
from sqlalchemy import select
from starlette.responses import Response

from core.usage.tables import UsageCorrection, UsageEvent
from service.dashboard.listing import Column, Filter, Listing
from service.dashboard.portal.usage.reports import event_address
from service.dashboard.portal.usage.router import router, usage_page
from service.dashboard.signed_in import PortalEyes, PortalViewer

CORRECTIONS = Listing(
    columns=(
        Column("made", "Made", lambda row: row.made_at, kind="moment",
               sort=(UsageCorrection.made_at, UsageCorrection.correction_id)),
        Column("event", "Event", lambda row: row.event_id, href=lambda row: event_address(row.event_id),
               note=lambda row: row.model),
        Column("occurred", "Occurred", lambda row: row.occurred_at, kind="moment", sort=UsageEvent.occurred_at,
               wide_only=True),
        Column("delta", "Images", lambda row: row.image_delta, kind="count", sort=UsageCorrection.image_delta,
               note=lambda row: f"now {row.image_count_after:,}"),
        Column("why", "Why", lambda row: row.reason, note=lambda row: row.reference or ""),
        Column("actor", "By", lambda row: row.actor, sort=UsageCorrection.actor, wide_only=True),
    ),
    search=(UsageCorrection.event_id, UsageCorrection.reason, UsageCorrection.reference, UsageEvent.model),
    search_label="Search by event, model or reason",
    filters=(Filter("kind", "Kind", (("withdraw", "Withdrawn"), ("amend", "Amended")), column=UsageCorrection.kind),),
    sort="-made", file="corrections", label="Corrections", empty="Nothing was corrected",
)  # fmt: skip
_ASKED = select(
    UsageCorrection.made_at, UsageCorrection.event_id, UsageCorrection.image_delta, UsageCorrection.image_count_after,
    UsageCorrection.reason, UsageCorrection.reference, UsageCorrection.actor, UsageEvent.model, UsageEvent.occurred_at,
).join(
    UsageEvent,
    (UsageEvent.licensee_id == UsageCorrection.licensee_id) & (UsageEvent.event_id == UsageCorrection.event_id),
)  # fmt: skip


@router.get("/corrections")
def portal_corrections(request: Request, _person: PortalViewer, eyes: PortalEyes) -> Response:
    listed = CORRECTIONS.read(request, eyes, _ASKED)
    return listed.csv() if listed.wants_csv else usage_page(request, "corrections.html", "Corrections", listed=listed)
