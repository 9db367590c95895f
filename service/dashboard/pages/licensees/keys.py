"""A licensee's meter keys, and how it is billed and reached."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.access.meter_keys import issue_for, revoke_for
from core.access.tables import LicenseeUser
from core.registry.queries import meter_keys
from core.registry.tables import MeterKey
from service.dashboard.acting import act
from service.dashboard.form import Filled, Form
from service.dashboard.pages.licensees.router import Whose, licensee_of, licensee_page, router
from service.dashboard.rendering import after
from service.dashboard.signed_in import Admin, FinanceEyes, FinancePerson, Viewer

LASTS = {"": "for good", "30": "30 days", "90": "90 days", "365": "a year"}


@router.get("/{licensee}/keys")
def keys(request: Request, person: Viewer, eyes: FinanceEyes, licensee: str) -> Response:
    return _shown(request, licensee_of(eyes, person, licensee), None)


@router.post("/{licensee}/keys")
def issue_meter_key(request: Request, person: Admin, eyes: FinanceEyes, licensee: str, form: Filled) -> Response:
    """A new key. Its text is on the page that answers, and nowhere else ever again."""
    whose = licensee_of(eyes, person, licensee)
    with form:
        label = form.text("label", most=200)
        lasts = form.choice("lasts", tuple(LASTS))
        form.demand()
        ends = datetime.now(UTC) + timedelta(days=int(lasts)) if lasts else None
        made = act(request, lambda session: _issued(session, person, whose, label, ends))
    if form.wrong:
        return _shown(request, whose, form)
    return _shown(request, whose, None, made)


@router.post("/{licensee}/keys/{public_id}/revoke")
def revoke_meter_key(  # noqa: PLR0917 - what the address names, and the form
    request: Request, person: Admin, eyes: FinanceEyes, licensee: str, public_id: str, form: Filled
) -> Response:
    """Ends a key; reports with it are refused within seconds."""
    whose = licensee_of(eyes, person, licensee)
    with form:
        reason = form.text("reason", most=1000)
        form.demand()
        said = {"public_id": public_id, "reason": reason}
        act(request, lambda session: revoke_for(session, person.licensor_id, whose.slug, person.actor, **said))
    if form.wrong:
        return _shown(request, whose, form)
    return after(request, f"/licensees/{whose.slug}/keys", f"The key {public_id} is dead.")


@router.get("/{licensee}/contact")
def contact(request: Request, person: Viewer, eyes: FinanceEyes, licensee: str) -> Response:
    whose = licensee_of(eyes, person, licensee)

    def people(session: Session) -> Sequence[LicenseeUser]:
        return session.scalars(select(LicenseeUser).filter_by(licensee_id=whose.id).order_by(LicenseeUser.id)).all()

    return licensee_page(request, "contact.html", whose, "Contact", people=act(request, people))


def _issued(session: Session, person: FinancePerson, whose: Whose, label: str, ends: datetime | None) -> str:
    return issue_for(session, person.licensor_id, whose.slug, person.actor, label, expires_at=ends)


def _shown(request: Request, whose: Whose, form: Form | None, made: str = "") -> Response:
    rows: list[MeterKey] = [key for key, _ in act(request, lambda session: meter_keys(session, whose.slug))]
    now = datetime.now(UTC)
    return licensee_page(
        request, "keys.html", whose, "Keys", status=form.status if form else 200, form=form, made=made, lasts=LASTS,
        keys=[(key, _state(key, now)) for key in reversed(rows)],
    )  # fmt: skip


def _state(key: MeterKey, now: datetime) -> str:
    if key.revoked_at:
        return "revoked"
    return "expired" if key.expires_at and key.expires_at <= now else "live"
