"""Adds to the audit log of a licensor, and proves that the log is whole.

Whoever adds locks the end of the chain until the transaction ends, so writers take turns and the chain cannot fork; if
one slipped past the lock, the unique previous hash would refuse it. Record last in a verb, and lock a further row of
money or numbers only after `lock_log`: so two verbs at once wait for each other and never in a circle.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.actors import Actor, LicenseeActor
from core.audit.chain import GENESIS, Entry, broken_links
from core.audit.tables import AuditEntry, AuditHead
from core.canonical import hash_of
from core.errors import InvalidInput

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Act:
    """What is to be written down: the action, what it was done with, and whatever else is worth knowing."""

    action: str
    subject: str
    detail: Mapping[str, Any]


def lock_log(session: Session, licensor_id: int) -> None:
    """Takes the turn of adding to a licensor's log until the transaction ends."""
    _locked_head(session, licensor_id)


def lock_logs(session: Session, licensor_ids: Collection[int]) -> None:
    """The same for several licensors, always in the same order. Who adds to several logs takes all turns at once."""
    for licensor_id in sorted(licensor_ids):
        lock_log(session, licensor_id)


def record(  # noqa: PLR0917 - who did what with what, in the order in which one says it
    session: Session,
    licensor_id: int,
    actor: Actor | LicenseeActor,
    action: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Writes that `actor` did `action` with `subject`. `detail` holds JSON's types and no fractions: amounts as text or
    minor units.
    """
    return record_many(session, licensor_id, actor, [Act(action, subject, dict(detail or {}))])[0]


def record_many(
    session: Session, licensor_id: int, actor: Actor | LicenseeActor, acts: Sequence[Act]
) -> list[AuditEntry]:
    """Writes several acts of one actor, in their order and with as many statements as one."""
    for act in acts:
        _demand_plain(act.detail)
    sequence, previous, now = _locked_head(session, licensor_id)
    rows = []
    for act in acts:
        sequence += 1
        entry = Entry(
            sequence=sequence,
            actor=actor.name,
            role=actor.role_in_log,
            action=act.action,
            subject=act.subject,
            detail=act.detail,
            recorded_at=now.astimezone(UTC),
            previous_hash=previous,
            hash="",
        )
        previous = hash_of(entry.content(licensor_id))
        rows.append(_row(licensor_id, entry, previous))
    session.add_all(rows)
    session.flush()
    moved = update(AuditHead).where(AuditHead.licensor_id == licensor_id).values(sequence=sequence, hash=previous)
    session.execute(moved, execution_options={"synchronize_session": False})
    return rows


def entries(
    session: Session, licensor_id: int, *, subject: str | None = None, after: int = 0, limit: int = _PAGE
) -> list[AuditEntry]:
    """The log in order, a page of at most `limit` that begins after sequence `after`; only a subject's, if asked."""
    asked = (
        select(AuditEntry)
        .where(AuditEntry.licensor_id == licensor_id, AuditEntry.sequence > after)
        .order_by(AuditEntry.sequence)
        .limit(limit)
        .execution_options(populate_existing=True)
    )
    if subject is not None:
        if "\x00" in subject:  # which nothing is called, and the database would not take
            return []
        asked = asked.where(AuditEntry.subject == subject)
    return list(session.scalars(asked))


def verify_chain(session: Session, licensor_id: int) -> tuple[int, list[str]]:
    """How many entries the log has, and a sentence for each place at which it is not what was recorded."""
    head = session.execute(
        select(AuditHead.sequence, AuditHead.hash).where(AuditHead.licensor_id == licensor_id)
    ).one_or_none()
    asked = select(AuditEntry).where(AuditEntry.licensor_id == licensor_id).order_by(AuditEntry.sequence, AuditEntry.id)
    rows = session.scalars(asked, execution_options={"populate_existing": True, "yield_per": _PAGE})
    looked_at = 0

    def counted() -> Iterator[Entry]:
        nonlocal looked_at
        for row in rows:
            looked_at += 1
            yield _entry(row)

    wrong = broken_links(licensor_id, counted(), (head.sequence, head.hash) if head else None)
    return looked_at, wrong


def logged_licensors(session: Session) -> list[int]:
    """The licensors that have a log, or are said to have one."""
    known = select(AuditHead.licensor_id).union(select(AuditEntry.licensor_id))
    return sorted(session.scalars(known))


def _locked_head(session: Session, licensor_id: int) -> tuple[int, str, datetime]:
    """Where the chain ends, and what the clock says once it is our turn."""
    locked = (
        select(AuditHead.sequence, AuditHead.hash)
        .where(AuditHead.licensor_id == licensor_id)
        .with_for_update()
        .cte("locked")
        .prefix_with("MATERIALIZED")
    )
    asked = select(locked.c.sequence, locked.c.hash, func.clock_timestamp())
    head = session.execute(asked).one_or_none()
    if head is None:
        first = {"licensor_id": licensor_id, "sequence": 0, "hash": GENESIS}
        session.execute(insert(AuditHead).values(**first).on_conflict_do_nothing())
        head = session.execute(asked).one()
    sequence, hash_, now = head
    return sequence, hash_, now


def _row(licensor_id: int, entry: Entry, hash_: str) -> AuditEntry:
    return AuditEntry(
        licensor_id=licensor_id,
        sequence=entry.sequence,
        actor=entry.actor,
        role=entry.role,
        action=entry.action,
        subject=entry.subject,
        detail=dict(entry.detail),
        recorded_at=entry.recorded_at,
        previous_hash=entry.previous_hash,
        hash=hash_,
    )


def _entry(row: AuditEntry) -> Entry:
    return Entry(
        sequence=row.sequence,
        actor=row.actor,
        role=row.role,
        action=row.action,
        subject=row.subject,
        detail=row.detail,
        recorded_at=row.recorded_at,
        previous_hash=row.previous_hash,
        hash=row.hash,
    )


def _demand_plain(value: Any) -> None:
    """Refuses what would not come back from the database as it went in, so that a hash could not be checked."""
    if isinstance(value, dict):
        for key, inner in value.items():
            _demand_plain(key)
            _demand_plain(inner)
    elif isinstance(value, list):
        for inner in value:
            _demand_plain(inner)
    elif isinstance(value, str):
        if "\x00" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise InvalidInput("unprintable", "text must not hold NUL or half a character: leave it out")
    elif value is not None and not isinstance(value, int):
        raise InvalidInput(
            "not_plain", f"an audit detail is text, a whole number or nothing, not {type(value).__name__}"
        )
