"""The list of licensees: what each made this month, what that is worth, and what it owes."""

from datetime import date
from typing import Any

from fastapi import Request
from starlette.responses import Response

from core.accruals.licensee_list import (
    ACCRUED,
    FORECAST,
    IMAGES,
    LAST_COUNTED_ON,
    LICENSEES,
    OPEN,
    OVERDUE,
    SHORTFALL,
    SILENT_SINCE,
)
from core.registry.tables import Account, Licensee
from service.dashboard import written
from service.dashboard.listing import Column, Filter, Listing
from service.dashboard.pages.licensees.router import router
from service.dashboard.signed_in import FinanceEyes, Viewer

_STATES = {"overdue": OVERDUE > 0, "owing": OPEN > 0, "silent": SILENT_SINCE.is_not(None), "risk": SHORTFALL > 0}
STATES = (
    ("overdue", "Overdue"),
    ("owing", "With open invoices"),
    ("silent", "Stopped reporting"),
    ("risk", "Commitment at risk"),
)


def _heard(row: Any) -> str:
    if row.silent_since is not None:
        return f"silent since {written.day_text(row.silent_since)}"
    return ""


def _last(row: Any) -> date | None:
    found: date | None = row.last_counted_on
    return found


ALL = Listing(
    columns=(
        Column("name", "Licensee", lambda row: row.name, sort=(Licensee.name, Licensee.id),
               href=lambda row: f"/licensees/{row.slug}",
               note=lambda row: f"{row.agreements} {'agreement' if row.agreements == 1 else 'agreements'}"),
        Column("images", "Images this month", lambda row: row.images, kind="count", sort=IMAGES),
        Column("accrued", "Accrued", lambda row: (row.accrued_minor, row.currency), kind="money",
               sort=(Account.currency, ACCRUED)),
        Column("forecast", "Expected", lambda row: (row.forecast_minor, row.currency), kind="money",
               sort=(Account.currency, FORECAST), wide_only=True),
        Column("open", "Open", lambda row: (row.open_minor, row.currency), kind="money",
               sort=(Account.currency, OPEN)),
        Column("overdue", "Overdue", lambda row: (row.overdue_minor, row.currency) if row.overdue_minor else None,
               kind="money", sort=(Account.currency, OVERDUE), wide_only=True),
        Column("heard", "Last usage", _last, kind="day", sort=LAST_COUNTED_ON, note=_heard),
    ),
    search=(Licensee.name, Licensee.slug),
    search_label="Search licensees",
    filters=(
        Filter("state", "Who", STATES, where=lambda state: _STATES[state]),
    ),
    sort="name", file="licensees", label="Licensees", empty="No licensees yet",
)  # fmt: skip


@router.get("")
def licensees(request: Request, _person: Viewer, eyes: FinanceEyes) -> Response:
    return ALL.read(request, eyes, LICENSEES).answer("licensees/everybody.html", title="Licensees")
