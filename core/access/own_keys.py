"""A licensee's own meter keys, issued and revoked by its managers. It stands in the log of each of its licensors."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.actors import LicenseeActor
from core.audit.record import lock_logs, record
from core.errors import InvalidInput, NotAllowed, NotFound
from core.registry.register import issue_key, revoke_key
from core.registry.tables import Account, Licensee, MeterKey


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A key as it may be shown. `backfill_from`: it may report usage as old as that."""

    public_id: str
    label: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    backfill_from: date | None

    def state(self, now: datetime) -> str:
        """`live`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "live"


def own_keys(session: Session, licensee_id: int) -> list[OwnKey]:
    """A licensee's keys, the newest first. One statement; without what only we may read, so for its eyes, too."""
    asked = (
        select(MeterKey.public_id, MeterKey.label, MeterKey.created_at, MeterKey.expires_at, MeterKey.revoked_at,
               MeterKey.backfill_from)
        .where(MeterKey.licensee_id == licensee_id)
        .order_by(MeterKey.id.desc())
    )  # fmt: skip
    return [OwnKey(*row) for row in session.execute(asked)]


def issue_own_key(
    session: Session, licensee_id: int, by: LicenseeActor, label: str, *, expires_at: datetime | None = None
) -> str:
    """A new key of one's own: its text, which nobody can read again. Old usage takes a key of the licensor's."""
    by.demand_manager("issue a meter key")
    if not label.strip():
        raise InvalidInput("bad_note", "say where the key is used, so that it can be told from others", field="label")
    text = issue_key(session, session.get_one(Licensee, licensee_id).slug, label.strip(), expires_at=expires_at)
    detail = {"label": label.strip(), "expires_at": expires_at.isoformat() if expires_at else None}
    _record(session, licensee_id, by, "meter_key.issued", text.split("_")[1], detail)
    return text


def revoke_own_key(session: Session, licensee_id: int, by: LicenseeActor, public_id: str, reason: str) -> None:
    """Ends a key of one's own within seconds, for good."""
    by.demand_manager("revoke a meter key")
    find_own_key(session, licensee_id, public_id)
    revoke_key(session, public_id)
    _record(session, licensee_id, by, "meter_key.revoked", public_id, {"reason": reason})


def find_own_key(session: Session, licensee_id: int, public_id: str) -> OwnKey:
    """One key of a licensee. Raises NotFound."""
    found = next((each for each in own_keys(session, licensee_id) if each.public_id == public_id), None)
    if found is None:
        raise NotFound("unknown_key", f"there is no meter key with the public id {public_id}")
    return found


def live_key(session: Session, licensee_id: int, by: LicenseeActor, public_id: str) -> MeterKey:
    """The key in whose name somebody reports by hand. Note afterwards with `note_by_hand` who it was."""
    by.demand_manager("report usage by hand")
    key = session.scalars(select(MeterKey).filter_by(licensee_id=licensee_id, public_id=public_id)).one_or_none()
    if key is None:
        raise InvalidInput("unknown_key", "choose one of your meter keys", field="key")
    now: datetime = session.execute(select(func.now())).scalar_one()
    if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now):
        raise NotAllowed("key_ended", "this key was revoked or is expired: choose another one", field="key")
    return key


def note_by_hand(session: Session, by: LicenseeActor, key: MeterKey, action: str, what: str) -> None:
    """Writes down who reported by hand in the name of a key."""
    _record(session, key.licensee_id, by, action, key.public_id, {"what": what})


def _record(  # noqa: PLR0917 - as record() takes them
    session: Session, licensee_id: int, by: LicenseeActor, action: str, public_id: str, detail: dict[str, str | None]
) -> None:
    licensors = session.scalars(select(Account.licensor_id).where(Account.licensee_id == licensee_id)).all()
    lock_logs(session, licensors)
    for each in sorted(licensors):
        record(session, each, by, action, f"meter key {public_id}", detail)
