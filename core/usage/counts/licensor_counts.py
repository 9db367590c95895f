"""Daily counts as a licensor sees them: of its own models, by licensee."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, aliased

from core.period import Period
from core.registry.lineage import OWED_BY_DEFAULT
from core.registry.tables import Licensee, Model
from core.usage.tables import DailyCount

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """The images of a model and plan, in the roles that owe a fee."""

    model: str
    plan: str
    image_count: int
    event_count: int


def usage_by_plan(session: Session, licensor_id: int, licensee_id: int, period: Period) -> list[ModelUsage]:
    """What a licensee made with each of the licensor's models in a period, by the end user's plan."""
    rows = session.execute(
        select(Model.slug, DailyCount.plan, func.sum(DailyCount.image_count), func.sum(DailyCount.event_count))
        .join_from(DailyCount, Model, Model.id == DailyCount.model_id)
        .where(
            Model.licensor_id == licensor_id,
            DailyCount.licensee_id == licensee_id,
            DailyCount.day >= period.start,
            DailyCount.day < period.end,
            DailyCount.role.in_(OWED_BY_DEFAULT),
        )
        .group_by(Model.slug, DailyCount.plan)
        .order_by(Model.slug, DailyCount.plan)
    )
    return [ModelUsage(model, plan, int(images), int(events)) for model, plan, images, events in rows]


DAILY_HEADER = ("licensee", "day", "model", "via_model", "plan", "role", "output", "image_count", "event_count")


def daily_rows(
    session: Session, licensor_id: int, *, period: Period | None = None, licensee: str | None = None
) -> Iterator[tuple[object, ...]]:
    """Every daily count of the licensor's models under `DAILY_HEADER`, a page of the database at a time."""
    asked = _daily(licensor_id)
    if period is not None:
        asked = asked.where(DailyCount.day >= period.start, DailyCount.day < period.end)
    if licensee is not None:
        asked = asked.where(Licensee.slug == licensee)
    for row in session.execute(asked, execution_options={"yield_per": _PAGE}):
        yield tuple(row)


def _daily(licensor_id: int) -> Select[str, date, str, str, str, str, str, int, int]:
    via = aliased(Model)
    counted = (DailyCount.plan, DailyCount.role, DailyCount.output, DailyCount.image_count, DailyCount.event_count)
    return (
        select(Licensee.slug, DailyCount.day, Model.slug, func.coalesce(via.slug, ""), *counted)
        .join_from(DailyCount, Model, Model.id == DailyCount.model_id)
        .join(Licensee, Licensee.id == DailyCount.licensee_id)
        .outerjoin(via, via.id == DailyCount.via_model_id)  # another licensor's model has no name for these eyes
        .where(Model.licensor_id == licensor_id)
        .order_by(Licensee.slug, DailyCount.day, Model.slug, DailyCount.via_model_id, *counted[:3])
    )
