"""What people were told: each notice once, whom about, and whether it arrived."""

from typing import Any

from fastapi import Request
from starlette.responses import Response

from core.notices.kinds import KINDS
from core.notices.shown import deliveries_asked, notices_asked, one_notice
from core.notices.tables import Delivery, Notice
from core.notices.wording import written
from core.registry.tables import Licensee
from service.dashboard.listing import Column, Filter, Listing
from service.dashboard.pages.settings.deliveries import state_of, subject
from service.dashboard.pages.settings.router import known_id, router, settings_page
from service.dashboard.signed_in import FinanceEyes, Viewer


def arrived(row: Any) -> str:
    """How many of the deliveries arrived, in words."""
    if not row.sent:
        return "told to nobody"
    lost = f", {row.given_up} given up" if row.given_up else ""
    return f"{row.arrived} of {row.sent} delivered{lost}"


NOTICES = Listing(
    columns=(
        Column("told", "When", lambda row: row.told_at, kind="moment", sort=Notice.id),
        Column("what", "What", lambda row: subject(row.kind, row.data), note=lambda row: row.kind,
               href=lambda row: f"/settings/notices/{row.id}"),
        Column("licensee", "About", lambda row: row.licensee_name, sort=Licensee.name, wide_only=True,
               href=lambda row: f"/licensees/{row.licensee}" if row.licensee else None),
        Column("arrived", "Delivery", arrived, wide_only=True),
    ),
    search=(Notice.kind, Notice.key, Licensee.name, Licensee.slug),
    search_label="Search by licensee, kind or number",
    filters=(Filter("kind", "Kind", tuple((name, name) for name in KINDS), column=Notice.kind),),
    sort="-told",
    file="notices",
    label="Notices",
    empty="Nobody had to be told of anything yet",
    counted=False,
)  # fmt: skip


@router.get("/notices")
def notices(request: Request, person: Viewer, eyes: FinanceEyes) -> Response:
    listed = NOTICES.read(request, eyes, notices_asked())
    if listed.wants_csv:
        return listed.csv()
    return settings_page(request, "notices.html", person, "Notices", listed=listed)


@router.get("/notices/{notice_id}")
def notice(request: Request, person: Viewer, eyes: FinanceEyes, notice_id: int) -> Response:
    """One notice as it was worded, and where it went."""
    row = one_notice(eyes, known_id(notice_id))
    sent = eyes.execute(deliveries_asked().where(Delivery.notice_id == row.id).order_by(Delivery.id)).all()
    return settings_page(
        request, "notice.html", person, "Notices", title=f"Notice {row.id}", row=row,
        said=(subject(row.kind, row.data), written(row.kind, row.data)[1]),
        sent=[(each, state_of(each)) for each in sent],
    )  # fmt: skip
