"""What callers ask of the corrections. Run it through a licensee's eyes and it answers with that licensee's alone."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import literal, select, text, tuple_
from sqlalchemy.orm import Session

from core.period import Period
from core.usage.corrections.correct import among, as_made
from core.usage.corrections.correction import Correction
from core.usage.counts.recount import RESOLUTION
from core.usage.tables import UsageCorrection, UsageEvent

Place = tuple[datetime, str]  # in the list: made_at, correction_id


@dataclass(frozen=True, slots=True)
class ListedCorrection:
    """A correction beside what its event said."""

    correction: Correction
    model: str
    output: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class CountedCorrection:
    """A correction for a model that its event is counted for, on the day of the account's zone."""

    correction: Correction
    model: str
    day: date
    role: str
    output: str


# The day of an event is one of each account that it is counted in; of an event that is not counted yet, one of UTC.
_IN_MONTH = text("""
COALESCE((
    SELECT bool_or((usage_events.occurred_at AT TIME ZONE a.zone)::date >= CAST(:first AS date)
                   AND (usage_events.occurred_at AT TIME ZONE a.zone)::date < CAST(:last AS date))
    FROM resolutions r CROSS JOIN LATERAL unnest(r.model_ids) AS counted (model_id)
    JOIN models m ON m.id = counted.model_id
    JOIN accounts a ON a.licensee_id = r.licensee_id AND a.licensor_id = m.licensor_id
    WHERE r.licensee_id = usage_events.licensee_id AND r.model = usage_events.model
      AND r.adapters = usage_events.adapters AND usage_events.xid >= r.first_xid
      AND (r.until_xid IS NULL OR usage_events.xid < r.until_xid)
), usage_events.occurred_at >= CAST(:first AS date) AND usage_events.occurred_at < CAST(:last AS date))
""")
# Corrections and their events first, and by a range of times that is wide enough for every zone.
_COUNTED = text(f"""
WITH facts AS MATERIALIZED (
    SELECT c.correction_id, c.made_at, c.number, e.*
    FROM usage_corrections c JOIN usage_events e ON e.licensee_id = c.licensee_id AND e.event_id = c.event_id
    WHERE c.licensee_id = :licensee_id AND e.occurred_at >= CAST(:first AS date) - 1
      AND e.occurred_at < CAST(:last AS date) + 1
)
SELECT e.correction_id, m.slug, (e.occurred_at AT TIME ZONE a.zone)::date AS day, counted.role, e.output
FROM facts e {RESOLUTION}
CROSS JOIN LATERAL unnest(r.model_ids, r.roles) AS counted (model_id, role)
JOIN models m ON m.id = counted.model_id AND m.slug = ANY(CAST(:models AS text[]))
JOIN accounts a ON a.licensee_id = e.licensee_id AND a.licensor_id = m.licensor_id
WHERE (e.occurred_at AT TIME ZONE a.zone)::date >= CAST(:first AS date)
  AND (e.occurred_at AT TIME ZONE a.zone)::date < CAST(:last AS date)
ORDER BY e.made_at, e.event_id, e.number, m.slug
LIMIT :most
""")  # noqa: S608 - our own words


def corrections(
    session: Session,
    *,
    event_id: str | None = None,
    period: Period | None = None,
    after: Place | None = None,
    limit: int = 100,
) -> list[ListedCorrection]:
    """Corrections in the order in which they were made: of one event, or of usage in a month, or all."""
    asked = (
        select(UsageCorrection, UsageEvent)
        .join(
            UsageEvent,
            (UsageEvent.licensee_id == UsageCorrection.licensee_id) & (UsageEvent.event_id == UsageCorrection.event_id),
        )
        .order_by(UsageCorrection.made_at, UsageCorrection.correction_id)
        .limit(limit)
    )
    if event_id is not None:
        asked = asked.where(UsageCorrection.event_id == event_id)
    if period is not None:
        asked = asked.where(_IN_MONTH.bindparams(first=period.start, last=period.end))
    if after is not None:
        asked = asked.where(
            tuple_(UsageCorrection.made_at, UsageCorrection.correction_id) > tuple_(*map(literal, after))
        )
    return [
        ListedCorrection(as_made(row), event.model, event.output, event.occurred_at)
        for row, event in session.execute(asked)
    ]


def counted_corrections(
    session: Session, licensee_id: int, models: Collection[str], days: Period, most: int
) -> list[CountedCorrection]:
    """The first `most` corrections of what is counted for these models on these days, in the order they were made."""
    rows = session.execute(
        _COUNTED,
        {"licensee_id": licensee_id, "models": sorted(models), "first": days.start, "last": days.end, "most": most},
    ).all()
    wanted = {row.correction_id for row in rows}
    asked = select(UsageCorrection).where(
        UsageCorrection.licensee_id == licensee_id, UsageCorrection.correction_id == among(wanted)
    )
    made = {row.correction_id: as_made(row) for row in session.scalars(asked)}
    return [CountedCorrection(made[row.correction_id], row.slug, row.day, row.role, row.output) for row in rows]
