"""Totals of the daily counts, which the database keeps in the statement that changes them; and proof that they agree.

Pages ask for months and for all licensees together, which would mean adding up millions of daily counts each time. The
totals are never written by anybody but the triggers on `daily_counts` (decision 0021).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Date, cast, func, select, text
from sqlalchemy.orm import Session

from core.database import among
from core.period import Period
from core.registry.lineage import OWED_BY_DEFAULT
from core.usage.tables import DailyCount, LicenseeMonth, ModelDay

_DIFFERENCES = text("""
SELECT 'licensee ' || licensee_id || ', licensor ' || licensor_id || ', ' || to_char(month, 'YYYY-MM') AS about,
       sum(images) FILTER (WHERE kept) AS kept, sum(images) FILTER (WHERE NOT kept) AS counted
FROM (
    SELECT licensee_id, licensor_id, month, role, image_count AS images, event_count AS events, true AS kept
    FROM licensee_months
    UNION ALL
    SELECT licensee_id, licensor_id, date_trunc('month', day)::date, role, sum(image_count), sum(event_count), false
    FROM daily_counts JOIN models ON models.id = model_id GROUP BY 1, 2, 3, 4
) both_ways
GROUP BY licensee_id, licensor_id, month, role
HAVING coalesce(sum(images) FILTER (WHERE kept), 0) <> coalesce(sum(images) FILTER (WHERE NOT kept), 0)
    OR coalesce(sum(events) FILTER (WHERE kept), 0) <> coalesce(sum(events) FILTER (WHERE NOT kept), 0)
UNION ALL
SELECT 'model ' || model_id || ' through ' || via_model_id || ', ' || day,
       sum(images) FILTER (WHERE kept), sum(images) FILTER (WHERE NOT kept)
FROM (
    SELECT licensor_id, day, model_id, via_model_id, role, image_count AS images, event_count AS events, true AS kept
    FROM model_days
    UNION ALL
    SELECT licensor_id, day, model_id, via_model_id, role, sum(image_count), sum(event_count), false
    FROM daily_counts JOIN models ON models.id = model_id GROUP BY 1, 2, 3, 4, 5
) both_ways
GROUP BY licensor_id, day, model_id, via_model_id, role
HAVING coalesce(sum(images) FILTER (WHERE kept), 0) <> coalesce(sum(images) FILTER (WHERE NOT kept), 0)
    OR coalesce(sum(events) FILTER (WHERE kept), 0) <> coalesce(sum(events) FILTER (WHERE NOT kept), 0)
ORDER BY 1
""")


@dataclass(frozen=True, slots=True)
class Difference:
    """A total that is not the sum of its daily counts."""

    about: str
    kept: int
    counted: int


def verify_totals(session: Session) -> tuple[int, list[Difference]]:
    """Adds every total up again from the daily counts: how many totals there are, and which differ.

    Run it in a REPEATABLE READ transaction, beside `verify_rollup`.
    """
    kept = select(select(func.count()).select_from(LicenseeMonth).scalar_subquery()
                  + select(func.count()).select_from(ModelDay).scalar_subquery())  # fmt: skip
    found = [Difference(row.about, int(row.kept or 0), int(row.counted or 0)) for row in session.execute(_DIFFERENCES)]
    return int(session.execute(kept).scalar_one()), found


@dataclass(frozen=True, slots=True)
class Total:
    """Images in the roles that owe a fee; what they are not grouped by is None."""

    image_count: int
    day: date | None = None
    model_id: int | None = None
    licensee_id: int | None = None
    via_model_id: int | None = None
    plan: str | None = None


def by_months(
    session: Session, licensor_id: int, months: Period, groups: Collection[str], of: Collection[int] | None = None
) -> list[Total]:
    """Images of a licensor's models by any of month (as `day`, its first) and licensee, of all licensees or a few. One
    statement.
    """
    columns = {"day": LicenseeMonth.month, "licensee_id": LicenseeMonth.licensee_id}
    within = [LicenseeMonth.month >= months.start.replace(day=1), LicenseeMonth.month < months.end]
    if of is not None:
        within.append(among(LicenseeMonth.licensee_id, of))
    return _totals(session, LicenseeMonth, columns, groups, LicenseeMonth.licensor_id == licensor_id, *within)


def by_days(session: Session, licensor_id: int, days: Period, groups: Collection[str]) -> list[Total]:
    """Images of a licensor's models by any of day, month (instead of the day, its first), model and the model they came
    through. One statement.
    """
    columns = {
        "day": ModelDay.day,
        "month": cast(func.date_trunc("month", ModelDay.day), Date).label("day"),
        "model_id": ModelDay.model_id,
        "via_model_id": ModelDay.via_model_id,
    }
    within = (ModelDay.day >= days.start, ModelDay.day < days.end)
    return _totals(session, ModelDay, columns, groups, ModelDay.licensor_id == licensor_id, *within)


def of_licensees(
    session: Session, model_ids: Collection[int], licensee_ids: Collection[int], days: Period, groups: Collection[str]
) -> list[Total]:
    """Images of a few licensees by any of day, month, licensee, model and plan, from the daily counts themselves: for a
    handful of licensees, not for all. One statement.
    """
    columns = {
        "day": DailyCount.day,
        "month": cast(func.date_trunc("month", DailyCount.day), Date).label("day"),
        "licensee_id": DailyCount.licensee_id,
        "model_id": DailyCount.model_id,
        "via_model_id": DailyCount.via_model_id,
        "plan": DailyCount.plan,
    }
    mine = (among(DailyCount.licensee_id, licensee_ids), among(DailyCount.model_id, model_ids))
    return _totals(session, DailyCount, columns, groups, *mine, DailyCount.day >= days.start, DailyCount.day < days.end)


def _totals(
    session: Session, table: Any, columns: Mapping[str, Any], groups: Collection[str], *which: ColumnElement[bool]
) -> list[Total]:
    by = {name: columns[name] for name in groups}
    asked = (
        select(func.sum(table.image_count), *by.values())
        .where(*which, table.role.in_(OWED_BY_DEFAULT))
        .group_by(*by.values())
        .having(func.sum(table.image_count) > 0)
    )
    names = ["day" if name == "month" else name for name in by]
    return [Total(int(images), **dict(zip(names, values, strict=True))) for images, *values in session.execute(asked)]
