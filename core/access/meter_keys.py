"""Meter keys on the word of a licensor's person: issued and revoked for a licensee that has an account with it."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.actors import Actor
from core.audit.record import record
from core.errors import NotFound
from core.registry.register import issue_key, revoke_key
from core.registry.tables import Account, Licensee, MeterKey


def issue_for(
    session: Session, licensor_id: int, licensee: str, by: Actor, label: str, *, expires_at: datetime | None = None
) -> str:
    """A new meter key of a licensee: its text, which nobody can read again."""
    by.demand("admin", "issue a meter key")
    _demand_account(session, licensor_id, licensee)
    text = issue_key(session, licensee, label, expires_at=expires_at)
    public_id = text.split("_")[1]
    detail = {"licensee": licensee, "label": label}
    record(session, licensor_id, by, "meter_key.issued", f"meter key {public_id}", detail)
    return text


def revoke_for(session: Session, licensor_id: int, licensee: str, by: Actor, *, public_id: str, reason: str) -> None:
    """Ends a licensee's meter key."""
    by.demand("admin", "revoke a meter key")
    _demand_account(session, licensor_id, licensee)
    asked = select(MeterKey.id).join(Licensee, Licensee.id == MeterKey.licensee_id)
    if session.scalars(asked.where(Licensee.slug == licensee, MeterKey.public_id == public_id)).one_or_none() is None:
        raise NotFound("unknown_key", f"{licensee} has no meter key with the public id {public_id}")
    revoke_key(session, public_id)
    detail = {"licensee": licensee, "reason": reason}
    record(session, licensor_id, by, "meter_key.revoked", f"meter key {public_id}", detail)


def _demand_account(session: Session, licensor_id: int, licensee: str) -> None:
    asked = select(Account.id).join(Licensee, Licensee.id == Account.licensee_id)
    if (
        session.scalars(asked.where(Account.licensor_id == licensor_id, Licensee.slug == licensee)).one_or_none()
        is None
    ):
        raise NotFound("unknown_licensee", f"there is no account with a licensee called {licensee}")
