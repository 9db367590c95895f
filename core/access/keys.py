"""Finance keys: issued, revoked, listed, and looked up anew at every request, so that an end is seen at once."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.access.credentials import MACHINE, machine_of, new_finance_key, parse_finance_key, scopes_of
from core.access.tables import FinanceKey, FinanceUser
from core.access.users import user_named
from core.actors import Actor, role_of
from core.audit.record import record
from core.errors import InvalidInput, NotAllowed, NotFound
from core.registry.keys import same_secret
from core.registry.register import ids
from core.registry.tables import Licensor

MAX_LABEL = 200
UNAUTHENTICATED = "send a live finance key: Authorization: Bearer pfk_..."


@dataclass(frozen=True, slots=True)
class FinanceCaller:
    """Who a key is now: somebody who acts for one licensor, and what the key may be used for."""

    licensor_id: int
    licensor: str
    key_id: int
    actor: Actor
    scopes: frozenset[str]


def issue_user_key(
    session: Session, email: str, by: Actor, *, scopes: Iterable[str], label: str = "",
    expires_at: datetime | None = None,
) -> str:  # fmt: skip
    """Makes a key for a user and returns its text, which nobody can read again. Its role is the user's, always."""
    user = user_named(session, email)
    if by.name != user.email:
        by.demand("admin", "issue somebody's key")
    if not user.active:
        raise InvalidInput("user_inactive", f"{user.email} is deactivated: a key of theirs would be dead")
    key = FinanceKey(licensor_id=user.licensor_id, user_id=user.id)
    return _issue(session, key, by, scopes=scopes, label=label, expires_at=expires_at, whose=user.email)


def issue_machine_key(
    session: Session, licensor: str, by: Actor, *, machine: str, role: str, scopes: Iterable[str], label: str = "",
    expires_at: datetime | None = None,
) -> str:  # fmt: skip
    """Makes a key for a machine, such as an accounting system, and returns its text, which nobody can read again."""
    by.demand("admin", "issue a machine's key")
    if role_of(role) == "admin":
        raise InvalidInput("unknown_role", "a machine is viewer, clerk or approver: admins are people")
    licensor_id = ids(session, Licensor, {licensor})[licensor]
    key = FinanceKey(licensor_id=licensor_id, machine=machine_of(machine), role=role)
    return _issue(session, key, by, scopes=scopes, label=label, expires_at=expires_at, whose=f"{MACHINE}{machine}")


def revoke_finance_key(session: Session, public_id: str, by: Actor, licensor_id: int | None = None) -> FinanceKey:
    """Ends a key for good, if need be only one of this licensor's. Revoking twice keeps the first time."""
    by.demand("admin", "revoke a key")
    asked = select(FinanceKey).where(FinanceKey.public_id == public_id).with_for_update()
    if licensor_id is not None:
        asked = asked.where(FinanceKey.licensor_id == licensor_id)
    key = session.scalars(asked.execution_options(populate_existing=True)).one_or_none()
    if key is None:
        raise NotFound("unknown_key", f"there is no finance key with the public id {public_id}")
    if key.revoked_at is None:
        key.revoked_at = session.execute(select(func.now())).scalar_one()
        session.flush()
        record(session, key.licensor_id, by, "finance_key.revoked", f"finance key {key.public_id}")
    return key


def keys_of(session: Session, licensor_id: int) -> list[tuple[FinanceKey, str]]:
    """A licensor's keys, each with the name under which its acts are recorded, oldest first."""
    rows = session.execute(
        select(FinanceKey, FinanceUser.email)
        .outerjoin(FinanceUser, FinanceUser.id == FinanceKey.user_id)
        .where(FinanceKey.licensor_id == licensor_id)
        .order_by(FinanceKey.id)
    )
    return [(key, email or f"{MACHINE}{key.machine}") for key, email in rows]


def caller_of(session: Session, text: str) -> FinanceCaller:
    """Whoever this key is at this moment; refused in the same words whatever is wrong with it."""
    parsed = parse_finance_key(text)
    found = None
    if parsed:
        found = session.execute(
            select(FinanceKey, FinanceUser, Licensor.slug)
            .join(Licensor, Licensor.id == FinanceKey.licensor_id)
            .outerjoin(FinanceUser, FinanceUser.id == FinanceKey.user_id)
            .where(
                FinanceKey.public_id == parsed[0],
                FinanceKey.revoked_at.is_(None),
                func.coalesce(FinanceKey.expires_at > func.now(), True),
                func.coalesce(FinanceUser.active, FinanceKey.user_id.is_(None)),
            )
        ).one_or_none()
    if parsed is None or found is None or not same_secret(parsed[1], found[0].secret_hash):
        raise NotAllowed("unauthenticated", UNAUTHENTICATED)
    key, user, licensor = found
    name, role = (user.email, user.role) if user else (f"{MACHINE}{key.machine}", key.role)
    return FinanceCaller(key.licensor_id, licensor, key.id, Actor(name, role_of(role or "")), frozenset(key.scopes))


def _issue(
    session: Session, key: FinanceKey, by: Actor, *, scopes: Iterable[str], label: str, expires_at: datetime | None,
    whose: str,
) -> str:  # fmt: skip
    if len(label) > MAX_LABEL or not label.isprintable():
        raise InvalidInput("bad_label", f"a label is one line of at most {MAX_LABEL} printable characters")
    made = new_finance_key()
    key.public_id, key.secret_hash = made.public_id, made.secret_hash
    key.scopes, key.label, key.expires_at, key.issued_by = scopes_of(scopes), label, expires_at, by.name
    session.add(key)
    session.flush()
    detail = {"for": whose, "scopes": key.scopes, "expires_at": expires_at.isoformat() if expires_at else None}
    record(session, key.licensor_id, by, "finance_key.issued", f"finance key {key.public_id}", detail)
    return made.text
