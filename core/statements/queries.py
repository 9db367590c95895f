"""What callers ask of statements. Run it through a licensee's eyes and it answers with that licensee's alone."""

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.errors import Conflict, NotFound
from core.period import Period
from core.registry.lineage import OWED_BY_DEFAULT
from core.registry.tables import Account, Licensee, Licensor, Model
from core.statements.gather import Scope, events_of_chunk
from core.statements.merkle import leaf_hash, path_to, root_of
from core.statements.statement import leaf, standing
from core.statements.tables import Certification, Dispute, Settlement, Statement, StatementChunk
from core.usage.tables import DailyCount

SETTLES = (Settlement.licensee_id == Dispute.licensee_id) & (Settlement.dispute_id == Dispute.dispute_id)


@dataclass(frozen=True, slots=True)
class Summary:
    """A statement as a list shows it; `standing`: open, disputed, settled, certified or replaced."""

    licensor: str
    licensee: str
    number: int
    period: str
    revision: int
    image_count: int
    event_count: int
    made_at: str
    hash: str
    standing: str
    open_disputes: int


def document_of(statement: Statement) -> dict[str, Any]:
    """The content as it was signed."""
    found: dict[str, Any] = json.loads(statement.content)
    return found


def envelope_of(statement: Statement) -> dict[str, Any]:
    """The statement's file: what `perimage verify-statement` reads."""
    return {
        "statement": document_of(statement),
        "signature": {
            "algorithm": "ed25519",
            "key_id": statement.key_id,
            "value": b64encode(statement.signature).decode(),
        },
    }


def statement_numbered(session: Session, licensor: str, licensee: str, number: int) -> Statement:
    """One statement of an account."""
    found = session.scalars(
        select(Statement)
        .join(Licensor, Licensor.id == Statement.licensor_id)
        .join(Licensee, Licensee.id == Statement.licensee_id)
        .where(Licensor.slug == licensor, Licensee.slug == licensee, Statement.number == number)
    ).one_or_none()
    if found is None:
        raise NotFound("statement_not_found", f"there is no statement {number} between {licensor} and {licensee}")
    return found


def latest_of_period(session: Session, licensee_id: int, licensor_id: int, period: Period) -> Statement | None:
    """The statement that stands for a period."""
    of_period = select(Statement).where(
        Statement.licensee_id == licensee_id,
        Statement.licensor_id == licensor_id,
        Statement.period_start == period.start,
        Statement.period_end == period.end,
    )
    return session.scalars(of_period.order_by(Statement.revision.desc()).limit(1)).one_or_none()


def stated_images(statement: Statement, model: str, day: date, plan: str | None) -> int:
    """The images that a statement gives for a model and day, of one plan or of all, in the roles that owe a fee."""
    return sum(
        row["image_count"]
        for row in document_of(statement)["counts"]
        if row["model"] == model
        and row["day"] == day.isoformat()
        and plan in (None, row["plan"])
        and row["role"] in OWED_BY_DEFAULT
    )


def daily_totals(session: Session, licensor: str, licensee: str, period: Period) -> dict[tuple[str, date], int]:
    """The images counted of an account by model and day, in the roles that owe a fee."""
    rows = session.execute(
        select(Model.slug, DailyCount.day, func.sum(DailyCount.image_count))
        .join(Model, Model.id == DailyCount.model_id)
        .join(Licensor, Licensor.id == Model.licensor_id)
        .join(Licensee, Licensee.id == DailyCount.licensee_id)
        .where(
            Licensor.slug == licensor,
            Licensee.slug == licensee,
            DailyCount.day >= period.start,
            DailyCount.day < period.end,
            DailyCount.role.in_(OWED_BY_DEFAULT),
        )
        .group_by(Model.slug, DailyCount.day)
    )
    return {(model, day): int(images) for model, day, images in rows}


def statements(
    session: Session, *, licensor: str | None = None, licensee: str | None = None, limit: int = 1000
) -> list[Summary]:
    """The newest statements first."""
    asked = (
        select(Statement, Licensor.slug, Licensee.slug)
        .join(Licensor, Licensor.id == Statement.licensor_id)
        .join(Licensee, Licensee.id == Statement.licensee_id)
        .order_by(Statement.made_at.desc(), Statement.licensor_id, Statement.number.desc())
        .limit(limit)
    )
    if licensor is not None:
        asked = asked.where(Licensor.slug == licensor)
    if licensee is not None:
        asked = asked.where(Licensee.slug == licensee)
    rows = session.execute(asked).all()
    return [
        _summary(session, statement, licensor_slug, licensee_slug) for statement, licensor_slug, licensee_slug in rows
    ]


def disputes_of(session: Session, statement: Statement) -> list[tuple[Dispute, Settlement | None]]:
    """What was disputed of a statement, and how it ended."""
    rows = session.execute(
        select(Dispute, Settlement)
        .outerjoin(Settlement, SETTLES)
        .where(
            Dispute.licensee_id == statement.licensee_id,
            Dispute.licensor_id == statement.licensor_id,
            Dispute.number == statement.number,
        )
        .order_by(Dispute.dispute_id)
    )
    return [(found, settlement) for found, settlement in rows]


def proof_of(session: Session, statement: Statement, event_id: str) -> dict[str, Any]:
    """That an event is in a statement: the event as counted, its place, and what leads from it to the root.

    Raises NotFound for an event that is not in it, and Conflict where the events beside it have changed since.
    """
    chunks = _chunks(session, statement)
    place = sum(chunk.first_event_id.encode() <= event_id.encode() for chunk in chunks) - 1
    if place < 0:
        raise _not_in(statement, event_id)
    chunk = chunks[place]
    following = chunks[place + 1].first_event_id if place + 1 < len(chunks) else None
    events = events_of_chunk(session, _scope_of(session, statement), chunk.first_event_id, following)
    index = next((n for n, event in enumerate(events) if event["event_id"] == event_id), None)
    if index is None:
        raise _not_in(statement, event_id)
    hashes = [leaf_hash(leaf(event)) for event in events]
    if root_of(hashes) != chunk.root:
        raise Conflict(
            "events_moved",
            f"events beside {event_id} count for other models since statement {statement.number} was made: ask for the "
            "proof under the newest statement of the period",
        )
    path = [*path_to(index, hashes), *path_to(place, [each.root for each in chunks])]
    before = sum(each.size for each in chunks[:place])
    return {"event": events[index], "index": before + index, "path": [each.hex() for each in path]}


def _scope_of(session: Session, statement: Statement) -> Scope:
    account = session.scalars(
        select(Account).filter_by(licensee_id=statement.licensee_id, licensor_id=statement.licensor_id)
    ).one()
    return Scope(account, Period(statement.period_start, statement.period_end), statement.xid)


def _chunks(session: Session, statement: Statement) -> Sequence[StatementChunk]:
    of = {"licensee_id": statement.licensee_id, "licensor_id": statement.licensor_id, "number": statement.number}
    return session.scalars(select(StatementChunk).filter_by(**of).order_by(StatementChunk.place)).all()


def _not_in(statement: Statement, event_id: str) -> NotFound:
    return NotFound("event_not_in_statement", f"statement {statement.number} does not count an event {event_id}")


def _summary(session: Session, statement: Statement, licensor: str, licensee: str) -> Summary:
    events = document_of(statement)["events"]
    period = Period(statement.period_start, statement.period_end)
    found = disputes_of(session, statement)
    latest = session.execute(
        select(func.max(Statement.revision)).where(
            Statement.licensee_id == statement.licensee_id,
            Statement.licensor_id == statement.licensor_id,
            Statement.period_start == statement.period_start,
            Statement.period_end == statement.period_end,
        )
    ).scalar_one()
    open_ones = sum(settlement is None for _, settlement in found)
    certified = session.get(Certification, (statement.licensee_id, statement.licensor_id, statement.number))
    return Summary(
        licensor=licensor,
        licensee=licensee,
        number=statement.number,
        period=period.name,
        revision=statement.revision,
        image_count=events["image_count"],
        event_count=events["event_count"],
        made_at=statement.made_at.isoformat(),
        hash=statement.hash,
        standing=standing(
            replaced=latest > statement.revision,
            certified=certified is not None,
            open_disputes=open_ones,
            settled_disputes=len(found) - open_ones,
        ),
        open_disputes=open_ones,
    )
