"""Correcting usage events: judged by what stands, written as facts of their own, answered one by one.

Corrections of one licensee take turns, so that each is judged by what the one before it left. The turn is an advisory
lock, which writes nothing: the transaction gets its id with its first row, after every event and correction that it
goes by was read as committed. That makes it younger than all of them, which the roll-up relies on (`recount.py`). So
call `correct` before anything else is written in the transaction. Should anybody write past it, the database's own
chain (`keep_correction_chain`, and one number an event) refuses what does not follow.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Text, any_, cast, exists, func, insert, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session, aliased

from core.errors import InvalidInput
from core.registry.tables import MeterKey
from core.usage.corrections.correction import Answer, Correction, Misread, Order, Standing, accepted, judge
from core.usage.intake.report import is_clean
from core.usage.tables import UsageCorrection, UsageEvent

MAX_ACTOR = 300
TAKE_TURN = text("SELECT pg_advisory_xact_lock(hashtextextended('usage_corrections', :licensee_id))")


def correct(session: Session, licensee_id: int, orders: Sequence[Order | Misread], actor: str) -> list[Answer]:
    """Takes or refuses corrections of a licensee's events, in their order; what is taken counts from the next roll-up.

    A correction that was sent before is answered as a duplicate, with what was made of it then.
    """
    if not actor.strip() or len(actor) > MAX_ACTOR or not is_clean(actor):
        raise InvalidInput("invalid_actor", f"say who makes the correction, in one line of at most {MAX_ACTOR} letters")
    session.execute(TAKE_TURN, {"licensee_id": licensee_id})
    answers = judged(session, licensee_id, orders, actor)
    if made := accepted(answers):
        session.execute(insert(UsageCorrection), [_row(licensee_id, correction) for correction in made])
    return answers


def judged(session: Session, licensee_id: int, orders: Sequence[Order | Misread], actor: str) -> list[Answer]:
    """What `correct` would answer now. Nothing is written, nobody waits."""
    known = [order for order in orders if isinstance(order, Order)]
    now: datetime = session.execute(select(func.now())).scalar_one()
    return judge(
        orders,
        made=_made(session, licensee_id, {order.correction_id for order in known}),
        standing=standing(session, licensee_id, {order.event_id for order in known}),
        actor=actor,
        now=now,
    )


def standing(session: Session, licensee_id: int, event_ids: Collection[str]) -> dict[str, Standing]:
    """What events count now, after all their corrections. Events that are not the licensee's are left out."""
    events = select(UsageEvent.event_id, UsageEvent.image_count).where(
        UsageEvent.licensee_id == licensee_id, UsageEvent.event_id == among(event_ids)
    )
    found = {event_id: Standing(image_count) for event_id, image_count in session.execute(events)}
    later = aliased(UsageCorrection)
    followed = exists().where(
        later.licensee_id == UsageCorrection.licensee_id,
        later.event_id == UsageCorrection.event_id,
        later.number == UsageCorrection.number + 1,
    )
    last = select(UsageCorrection.event_id, UsageCorrection.image_count_after, UsageCorrection.number).where(
        UsageCorrection.licensee_id == licensee_id, UsageCorrection.event_id == among(event_ids), ~followed
    )
    return found | {event_id: Standing(count, number) for event_id, count, number in session.execute(last)}


def actor_of_key(session: Session, key_id: int) -> str:
    """A meter key as the author of a correction: its public id, which is no secret, and what it is called."""
    key = session.get_one(MeterKey, key_id)
    return f"key {key.public_id} ({key.label})" if key.label else f"key {key.public_id}"


def among(texts: Iterable[str]) -> Any:
    """Any of these texts, as one parameter however many there are."""
    return any_(cast(sorted(texts), ARRAY(Text(collation="C"))))


def as_made(row: UsageCorrection) -> Correction:
    """A stored correction as the rule knows it."""
    return Correction(
        correction_id=row.correction_id,
        event_id=row.event_id,
        number=row.number,
        kind=row.kind,
        image_count_before=row.image_count_before,
        image_count_after=row.image_count_after,
        reason=row.reason,
        reference=row.reference,
        actor=row.actor,
        made_at=row.made_at,
    )


def _made(session: Session, licensee_id: int, correction_ids: Collection[str]) -> dict[str, Correction]:
    asked = select(UsageCorrection).where(
        UsageCorrection.licensee_id == licensee_id, UsageCorrection.correction_id == among(correction_ids)
    )
    return {row.correction_id: as_made(row) for row in session.scalars(asked)}


def _row(licensee_id: int, made: Correction) -> dict[str, Any]:
    """The columns that are ours to fill; when it was made, and in which transaction, is for the database to say."""
    return {
        "licensee_id": licensee_id,
        "correction_id": made.correction_id,
        "event_id": made.event_id,
        "number": made.number,
        "kind": made.kind,
        "image_delta": made.image_delta,
        "image_count_before": made.image_count_before,
        "image_count_after": made.image_count_after,
        "reason": made.reason,
        "reference": made.reference,
        "actor": made.actor,
    }
