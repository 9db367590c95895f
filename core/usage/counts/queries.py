"""What callers ask of the counts."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Select, func, literal, select, tuple_
from sqlalchemy.orm import Session, aliased

from core.agreements.tables import Agreement, AgreementModel
from core.database import among
from core.registry.lineage import OWED_BY_DEFAULT
from core.registry.tables import Account, Model
from core.usage.counts.counting import Cell
from core.usage.tables import DailyCount

_COLUMNS: dict[str, Any] = {
    "model": Model.slug,
    "day": DailyCount.day,
    "plan": DailyCount.plan,
    "output": DailyCount.output,
    "role": DailyCount.role,
}
GROUPS = tuple(_COLUMNS)


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What was counted for a group; what it is not grouped by is None."""

    image_count: int
    event_count: int
    model: str | None = None
    day: date | None = None
    plan: str | None = None
    output: str | None = None
    role: str | None = None


def usage(
    session: Session,
    *,
    start: date | None = None,
    end: date | None = None,
    model: str | None = None,
    group_by: Collection[str] = ("model", "day"),
    waived: bool = False,
    after: Sequence[Any] | None = None,
    limit: int = 1000,
) -> list[UsageRow]:
    """Rolled-up counts of the licensees that the session may see, on days `[start, end)`, in the order of `GROUPS`.

    `waived`: also models for which the lineage of an adapter asks nothing, but an agreement might. `after` holds the
    values of the last row of the page before, of the columns that the rows are grouped by, in that order.
    """
    groups = {name: column for name, column in _COLUMNS.items() if name in group_by}
    asked = (
        select(*groups.values(), func.sum(DailyCount.image_count), func.sum(DailyCount.event_count))
        .join_from(DailyCount, Model, Model.id == DailyCount.model_id)
        .limit(limit)
    )
    if groups:
        asked = asked.group_by(*groups.values()).order_by(*groups.values())
    if start:
        asked = asked.where(DailyCount.day >= start)
    if end:
        asked = asked.where(DailyCount.day < end)
    if model is not None:
        asked = asked.where(Model.slug == model)
    if not waived:
        asked = asked.where(DailyCount.role.in_(OWED_BY_DEFAULT))
    if after:
        asked = asked.where(tuple_(*groups.values()) > tuple_(*map(literal, after)))
    return [
        UsageRow(int(images), int(events), **dict(zip(groups, values, strict=True)))
        for *values, images, events in session.execute(asked)
        if events is not None
    ]


def cells_of(
    session: Session, licensee_id: int, agreement_id: int, start: date | None = None, end: date | None = None
) -> list[Cell]:
    """The counts of the models that an agreement covers, on the days on which it covers them, within `[start, end)`.

    `licensee_id` is that of the agreement's account.
    """
    return cells_of_agreements(session, [agreement_id], start, end)[agreement_id]


def cells_of_agreements(
    session: Session, agreement_ids: Collection[int], start: date | None = None, end: date | None = None
) -> dict[int, list[Cell]]:
    """The same for many agreements at once, by id, each with the counts of its own licensee."""
    covers = (AgreementModel.model_id == DailyCount.model_id) & AgreementModel.days.contains(DailyCount.day)
    asked = (
        _cells(AgreementModel.agreement_id, start, end)
        .join(AgreementModel, covers)
        .join(Agreement, Agreement.id == AgreementModel.agreement_id)
        .join(Account, (Account.id == Agreement.account_id) & (Account.licensee_id == DailyCount.licensee_id))
        .where(among(AgreementModel.agreement_id, agreement_ids))
    )
    found: dict[int, list[Cell]] = {id_: [] for id_ in agreement_ids}
    for agreement_id, *cell in session.execute(asked):
        found[agreement_id].append(Cell(*cell))
    return found


def cells_of_models(
    session: Session, licensee_id: int, slugs: Collection[str], start: date | None = None, end: date | None = None
) -> list[Cell]:
    """The counts of these models, whether or not an agreement covers them: what shadow billing starts from."""
    asked = _cells(DailyCount.licensee_id, start, end)
    asked = asked.where(DailyCount.licensee_id == licensee_id, Model.slug.in_(slugs))
    return [Cell(*cell) for _, *cell in session.execute(asked)]


def _cells(of: Any, start: date | None, end: date | None) -> Select[Any]:
    """Daily counts as cells, after what they are `of`; what was withdrawn whole is no usage any more."""
    via = aliased(Model)
    columns = (Model.slug, DailyCount.day, via.slug, DailyCount.plan, DailyCount.role, DailyCount.output)
    asked = (
        select(of, *columns, DailyCount.image_count)  # a row of the table is a cell: its key is all of them
        .join_from(DailyCount, Model, Model.id == DailyCount.model_id)
        .join(via, via.id == DailyCount.via_model_id)
        .where(DailyCount.image_count > 0)
        .order_by(of, *columns)
    )
    if start:
        asked = asked.where(DailyCount.day >= start)
    return asked.where(DailyCount.day < end) if end else asked
