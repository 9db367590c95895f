"""What callers ask of the usage."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import func, literal, select, tuple_
from sqlalchemy.orm import Session

from core.registry.tables import Model
from core.usage.tables import DailyCount


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Images counted for a fee-bearing model (all of them: None) on a day (on all of them: None)."""

    model: str | None
    day: date | None
    image_count: int
    event_count: int


def usage(
    session: Session,
    *,
    start: date | None = None,
    end: date | None = None,
    model: str | None = None,
    by_model: bool = True,
    by_day: bool = True,
    after: tuple[str, date] | None = None,
    limit: int = 1000,
) -> list[UsageRow]:
    """Rolled-up counts of the licensees that the session may see, on days `[start, end)`, ordered by model, then day.

    `after` is the last row of the page before; without one of the groupings its part is "" or the first of all days.
    """
    named = Model.slug if by_model else literal("")
    day = DailyCount.day if by_day else literal(date.min)
    asked = (
        select(named, day, func.sum(DailyCount.image_count), func.sum(DailyCount.event_count))
        .join(Model, Model.id == DailyCount.model_id)
        .limit(limit)
    )
    groups = [column for column, grouped in ((Model.slug, by_model), (DailyCount.day, by_day)) if grouped]
    if groups:
        asked = asked.group_by(*groups).order_by(*groups)
    if start:
        asked = asked.where(DailyCount.day >= start)
    if end:
        asked = asked.where(DailyCount.day < end)
    if model is not None:
        asked = asked.where(Model.slug == model)
    if after:
        asked = asked.where(tuple_(named, day) > tuple_(literal(after[0]), literal(after[1])))
    return [
        UsageRow(slug if by_model else None, on if by_day else None, int(images), int(events))
        for slug, on, images, events in session.execute(asked)
        if events is not None
    ]
