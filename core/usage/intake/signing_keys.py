"""Which public keys receipts were signed with: a receipt must be verifiable long after its key was replaced."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from core.usage.tables import SigningKey


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """A public key, since when it has been in use, and when another one took over; None while it is in use."""

    key_id: str
    public_key: bytes
    created_at: datetime
    retired_at: datetime | None


def take_up(session: Session, key_id: str, public_key: bytes) -> bool:
    """Writes down that receipts are signed with this key from now on; False when that is known already."""
    newest = session.scalar(select(SigningKey.key_id).order_by(SigningKey.id.desc()).limit(1))
    if newest == key_id:
        return False
    session.execute(insert(SigningKey).values(key_id=key_id, public_key=public_key))
    return True


def published_keys(session: Session) -> list[PublishedKey]:
    """Every key that was ever in use, in the order in which they were first taken up."""
    return keys_of(session.scalars(select(SigningKey).order_by(SigningKey.id)))


def keys_of(rows: Iterable[SigningKey]) -> list[PublishedKey]:
    """The keys of these rows, oldest first: each from its first row until the row after its last one."""
    keys: dict[str, PublishedKey] = {}
    in_use: str | None = None
    for row in rows:
        if in_use is not None and in_use != row.key_id:
            before = keys[in_use]
            keys[in_use] = PublishedKey(before.key_id, before.public_key, before.created_at, row.taken_up_at)
        known = keys.get(row.key_id)
        created_at = known.created_at if known else row.taken_up_at
        keys[row.key_id] = PublishedKey(row.key_id, row.public_key, created_at, None)
        in_use = row.key_id
    return list(keys.values())
