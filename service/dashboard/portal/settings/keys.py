"""Meter keys: issued (and shown once), replaced without a pause, revoked. And how to begin with one."""

from datetime import UTC, datetime, time, timedelta

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.access.own_keys import OwnKey, find_own_key, issue_own_key, own_keys, revoke_own_key
from service.dashboard.acting import act
from service.dashboard.form import Filled, Form
from service.dashboard.listing import Column, Filter, Listing
from service.dashboard.portal._accounts import moment_now, today
from service.dashboard.portal.settings.router import router, settings_page
from service.dashboard.rendering import after
from service.dashboard.signed_in import LicenseePerson, PortalEyes, PortalManager, PortalViewer

MOST_NOTE = 200


def _state(key: OwnKey) -> str:
    return key.state(moment_now())


KEYS = Listing(
    columns=(
        Column("label", "Used by", lambda key: key.label or "no label", sort=True, note=lambda key: key.public_id),
        Column("state", "State", _state, kind="badge", sort=True),
        Column("created", "Issued", lambda key: key.created_at, kind="moment", sort=True, wide_only=True),
        Column("expires", "Ends", lambda key: key.revoked_at or key.expires_at, kind="moment", sort=True,
               note=lambda key: f"old usage from {key.backfill_from}" if key.backfill_from else ""),
        Column("act", "", lambda _key: "", kind="custom", export=False),
    ),
    filters=(Filter("state", "State", (("live", "Live"), ("expired", "Expired"), ("revoked", "Revoked")),
                    keep=lambda key, word: _state(key) == word),),
    sort="-created", file="meter-keys", label="Meter keys", empty="No key yet", search_label="Search keys",
)  # fmt: skip


@router.get("")
def portal_keys(request: Request, person: PortalViewer, eyes: PortalEyes) -> Response:
    return _shown(request, person, eyes, None)


@router.post("/keys")
def issue_portal_key(request: Request, person: PortalManager, eyes: PortalEyes, form: Filled) -> Response:
    """Makes a key, and shows it this once."""
    text = ""
    with form:
        label, last = form.text("label", most=MOST_NOTE), form.day("expires", required=False)
        if last is not None and "expires" not in form.errors and last < today():
            form.refuse("expires", "this day is over: choose a later one, or none")
        form.demand()
        ends = datetime.combine(last + timedelta(days=1), time.min, UTC) if last else None
        text = act(
            request,
            lambda session: issue_own_key(session, person.licensee_id, person.actor, label, expires_at=ends),
        )
    return _shown(request, person, eyes, form if form.wrong else None, new=text)


@router.post("/keys/{meter_key}/revoke")
def revoke_portal_key(
    request: Request, person: PortalManager, eyes: PortalEyes, meter_key: str, form: Filled
) -> Response:
    found = find_own_key(eyes, person.licensee_id, meter_key)
    with form:
        reason = form.text("reason", most=MOST_NOTE)
        form.demand()
        act(
            request,
            lambda session: revoke_own_key(session, person.licensee_id, person.actor, found.public_id, reason),
        )
    if form.wrong:
        return _shown(request, person, eyes, form)
    said = f"{found.label or found.public_id} is revoked; it is refused within seconds."
    return after(request, "/portal/settings", said)


def _shown(request: Request, person: LicenseePerson, eyes: Session, form: Form | None, *, new: str = "") -> Response:
    keys = own_keys(eyes, person.licensee_id)
    listed = KEYS.of(request, keys)
    if listed.wants_csv:
        return listed.csv()
    live = sum(_state(key) == "live" for key in keys)
    return settings_page(
        request, "keys.html", "Meter keys", status=form.status if form else 200, form=form, listed=listed, new=new,
        live=live, state=_state, tomorrow=today() + timedelta(days=1),
    )  # fmt: skip
