"""Proof that the daily counts equal the raw events: counted a second time, another way.

The roll-up counts in SQL, in steps, as events arrive. This counts all events at once and decides days and models in
Python, so that a mistake of one is not repeated by the other.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import date

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from core.period import day_of
from core.registry.tables import Account
from core.usage.rollup import Resolver
from core.usage.tables import DailyCount, Resolution

# A quarter of an hour is the finest step of any zone's offset, so no bucket straddles a midnight.
BUCKETS = text("""
SELECT licensee_id, model, adapters, plan, date_bin('15 minutes', occurred_at, 'epoch') AS starts_at,
       sum(image_count)::bigint AS image_count, count(*) AS event_count
FROM usage_events WHERE xid < (SELECT xid FROM rollup_watermarks WHERE name = 'usage')
GROUP BY 1, 2, 3, 4, 5
""")
Key = tuple[int, int, date, int, str]  # licensee, model, day, the model it came through, plan


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A daily count that differs from the raw events behind it."""

    licensee_id: int
    model_id: int
    day: date
    via_model_id: int
    plan: str
    counted: int
    raw: int


def verify_rollup(session: Session) -> tuple[int, list[Mismatch]]:
    """Every event below the watermark against every daily count: events checked, and what differs.

    Run it in a REPEATABLE READ transaction, so that a roll-up in between does not look like a difference.
    """
    raw: Counter[Key] = Counter()
    event_count = 0
    resolver = Resolver.load(session)
    held = {(row.licensee_id, row.model, row.adapters) for row in session.scalars(select(Resolution)) if row.held_names}
    zones = {(a.licensee_id, a.licensor_id): a.zone for a in session.scalars(select(Account))}
    counted_for: dict[tuple[int, str, tuple[str, ...]], tuple[int | None, set[int]]] = {}
    for row in session.execute(BUCKETS, execution_options={"yield_per": 10_000}):
        event_count += row.event_count
        combination = (row.licensee_id, row.model, tuple(row.adapters))
        if combination not in counted_for:
            counted_for[combination] = _counted_for(session, resolver, combination, combination in held)
        via, model_ids = counted_for[combination]
        for model_id in model_ids:
            zone = zones[row.licensee_id, resolver.lineage.node(model_id).licensor_id]
            raw[row.licensee_id, model_id, day_of(row.starts_at, zone), via or 0, row.plan] += row.image_count
    counted: Counter[Key] = Counter()
    for count in session.scalars(select(DailyCount)):
        counted[count.licensee_id, count.model_id, count.day, count.via_model_id, count.plan] = count.image_count
    return event_count, [
        Mismatch(*key, counted=counted[key], raw=raw[key])
        for key in sorted(raw.keys() | counted.keys())
        if raw[key] != counted[key]
    ]


def _counted_for(
    session: Session, resolver: Resolver, combination: tuple[int, str, tuple[str, ...]], held: bool
) -> tuple[int | None, set[int]]:
    """What a combination counts for: by the registry, or, while it is held, what the roll-up had resolved of it."""
    licensee_id, model, adapters = combination
    if not held:
        via, model_ids, _ = resolver.resolve(licensee_id, model, adapters)
        return via, model_ids
    row = session.get_one(Resolution, (licensee_id, model, adapters))
    return row.via_model_id, set(row.model_ids)
