"""Agreements and their amendments in plain words, day by day as they hold, with what was promised and how it stands."""

from datetime import date, timedelta

from fastapi import Request
from sqlalchemy import func, select
from starlette.responses import Response

from core.accruals.queries import accruals_of
from core.agreements.contents import agreement_content
from core.agreements.status import status_on
from core.agreements.tables import Agreement
from core.period import Period, day_of
from core.registry.tables import Account, Licensor
from service.dashboard.door import page_router
from service.dashboard.figures import commitments_in
from service.dashboard.listing import Column, Listing
from service.dashboard.portal._accounts import today
from service.dashboard.rendering import page
from service.dashboard.signed_in import PortalEyes, PortalViewer

router = page_router("/portal/agreements")
ONE_DAY = timedelta(days=1)


def _status(row: object) -> str:
    agreement, zone, now = row.Agreement, row.zone, row.now  # type: ignore[attr-defined]
    return status_on(agreement.status, agreement.ends_on, day_of(now, zone))


ALL = Listing(
    columns=(
        Column("name", "Agreement", lambda row: row.Agreement.name, sort=(Agreement.name, Agreement.id),
               href=lambda row: f"/portal/agreements/{row.Agreement.slug}", note=lambda row: row.Agreement.slug),
        Column("licensor", "With", lambda row: row.name, sort=Licensor.name),
        Column("starts", "From", lambda row: row.Agreement.starts_on, kind="day", sort=Agreement.starts_on),
        Column("ends", "To", lambda row: (row.Agreement.ended_on or row.Agreement.ends_on) - ONE_DAY, kind="day",
               sort=Agreement.ends_on),
        Column("currency", "Currency", lambda row: row.currency, sort=Account.currency, wide_only=True),
        Column("status", "Status", _status, kind="badge"),
    ),
    search=(Agreement.name, Agreement.slug, Licensor.name),
    sort="-starts", file="agreements", label="Agreements", empty="No agreement yet",
)  # fmt: skip
_ASKED = (
    select(Agreement, Account.currency, Account.zone, Licensor.name, func.now().label("now"))
    .join(Account, Account.id == Agreement.account_id)
    .join(Licensor, Licensor.id == Account.licensor_id)
    .where(Agreement.status != "draft")
)


@router.get("")
def portal_agreements(request: Request, _person: PortalViewer, eyes: PortalEyes) -> Response:
    return ALL.read(request, eyes, _ASKED).answer("portal/agreements/all.html", title="Agreements")


@router.get("/{agreement}")
def portal_agreement(request: Request, _person: PortalViewer, eyes: PortalEyes, agreement: str) -> Response:
    """One agreement: its terms as they hold after every amendment, what it covers when, and what was done with it."""
    content = agreement_content(eyes, agreement.replace("\x00", ""), drafts=False)
    found = accruals_of(eyes, agreement=content["slug"], month=Period.month_of(today()))
    now, versions = today().isoformat(), content["versions"]
    licensor = eyes.scalars(select(Licensor.name).where(Licensor.slug == content["licensor"])).one()
    return page(
        request, "portal/agreements/one.html", title=content["name"], content=content, one=ONE_DAY, licensor=licensor,
        commitments=commitments_in(found), caps=[cap for each in found for cap in each.caps], day=date.fromisoformat,
        now=next((each["amendment"] for each in versions if each["starts_on"] <= now < each["ends_on"]), None),
    )  # fmt: skip
