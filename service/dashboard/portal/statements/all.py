"""The list of statements: what each month was said to come to, and whether the licensee has given its word."""

from fastapi import Request
from starlette.responses import Response

from core.registry.tables import Licensor
from core.statements.own import OWN_STATEMENTS, STANDING, STANDINGS
from core.statements.tables import Statement
from service.dashboard.listing import Column, Filter, Listing
from service.dashboard.portal.statements.router import router
from service.dashboard.signed_in import PortalEyes, PortalViewer

ALL = Listing(
    columns=(
        Column("month", "Month", lambda row: row.period_start, kind="month",
               sort=(Statement.period_start, Statement.number),
               href=lambda row: f"/portal/statements/{row.licensor}/{row.number}",
               note=lambda row: f"number {row.number}" + (f", revision {row.revision}" if row.revision > 1 else "")),
        Column("licensor", "By", lambda row: row.licensor_name, sort=Licensor.name, wide_only=True),
        Column("images", "Images, each once", lambda row: row.images, kind="count"),
        Column("made", "Made", lambda row: row.made_at, kind="moment", sort=Statement.made_at, wide_only=True),
        Column("standing", "Stands", lambda row: row.standing, kind="badge", sort=STANDING,
               note=lambda row: f"{row.open_disputes} open" if row.open_disputes else ""),
        Column("hash", "SHA-256", lambda row: row.hash, wide_only=True),
    ),
    search=(Licensor.name, Statement.hash),
    search_label="Search by licensor or hash",
    filters=(Filter("standing", "Stands", tuple((word, word.capitalize()) for word in STANDINGS), column=STANDING),),
    sort="-month", file="statements", label="Statements", empty="No statement yet",
)  # fmt: skip


@router.get("")
def portal_statements(request: Request, _person: PortalViewer, eyes: PortalEyes) -> Response:
    return ALL.read(request, eyes, OWN_STATEMENTS).answer("portal/statements/all.html", title="Statements")
