"""Proof that the daily counts equal the raw events and their corrections: counted a second time, another way.

The roll-up counts in SQL, in steps, as events arrive. This counts all events at once, each net of its corrections, and
decides days and models in Python, so that a mistake of one is not repeated by the other.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import date

from sqlalchemy import func, or_, select, text
from sqlalchemy.orm import Session

from core.period import day_of
from core.registry.tables import Account
from core.usage.counts.resolve import Resolver, guesses_of
from core.usage.tables import DailyCount, Resolution

# A quarter of an hour is the finest step of any zone's offset, so no bucket straddles a midnight.
# The resolution of an event is its combination's last that begins by the event's transaction.
BUCKETS = text("""
SELECT e.licensee_id, e.model, e.adapters, e.plan, e.output,
       date_bin('15 minutes', e.occurred_at, 'epoch') AS starts_at,
       CASE WHEN cardinality(r.firsts) = 1 THEN r.firsts[1]
            ELSE (SELECT first FROM unnest(r.firsts) AS first WHERE first <= e.xid ORDER BY first DESC LIMIT 1)
       END::text::bigint AS first_xid,
       sum(e.image_count)::bigint AS image_count, sum(e.event_count)::bigint AS event_count
FROM (
    SELECT licensee_id, model, adapters, plan, output, occurred_at, xid, image_count, 1 AS event_count
    FROM usage_events WHERE xid < (SELECT xid FROM rollup_watermarks WHERE name = 'usage')
    UNION ALL
    SELECT licensee_id, model, adapters, plan, output, occurred_at, usage_events.xid, image_delta, 0
    FROM usage_corrections JOIN usage_events USING (licensee_id, event_id)
    WHERE usage_corrections.xid < (SELECT xid FROM rollup_watermarks WHERE name = 'usage')
) e
LEFT JOIN (
    SELECT licensee_id, model, adapters, array_agg(first_xid) AS firsts FROM resolutions GROUP BY 1, 2, 3
) r USING (licensee_id, model, adapters)
GROUP BY 1, 2, 3, 4, 5, 6, 7
""")
Key = tuple[int, int, date, int, str, str, str]  # licensee, model, day, the model it came through, plan, role, output
Counted = tuple[int, dict[int, str]]  # the model it came through, and the roles of those it is counted for


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A daily count that differs from the raw events, net of corrections, behind it."""

    licensee_id: int
    model_id: int
    day: date
    via_model_id: int
    plan: str
    role: str
    output: str
    counted: int
    raw: int


def verify_rollup(session: Session) -> tuple[int, list[Mismatch]]:
    """Every event below the watermark against every daily count: events checked, and what differs.

    Run it in a REPEATABLE READ transaction, so that a roll-up in between does not look like a difference.
    """
    raw: Counter[Key] = Counter()
    event_count = 0
    resolver = Resolver.load(session)
    waiting = or_(Resolution.pending, func.cardinality(Resolution.guessed_names) > 0)
    rows = {
        (row.licensee_id, row.model, row.adapters, row.first_xid): row
        for row in session.scalars(select(Resolution).where(waiting).execution_options(populate_existing=True))
    }
    zones = {(a.licensee_id, a.licensor_id): a.zone for a in session.scalars(select(Account))}
    counted_for: dict[tuple[int, str, tuple[str, ...], int], Counted] = {}
    for row in session.execute(BUCKETS, execution_options={"yield_per": 10_000}):
        event_count += row.event_count
        combination = (row.licensee_id, row.model, tuple(row.adapters), row.first_xid)
        if combination not in counted_for:
            counted_for[combination] = _counted_for(resolver, combination, rows.get(combination))
        via, roles = counted_for[combination]
        for model_id, role in roles.items():
            day = day_of(row.starts_at, zones[row.licensee_id, resolver.lineage.node(model_id).licensor_id])
            raw[row.licensee_id, model_id, day, via, row.plan, role, row.output] += row.image_count
    counted: Counter[Key] = Counter()
    for c in session.scalars(select(DailyCount).execution_options(populate_existing=True)):
        key = (c.licensee_id, c.model_id, c.day, c.via_model_id, c.plan, c.role, c.output)
        counted[key] = c.image_count
    return event_count, [
        Mismatch(*key, counted=counted[key], raw=raw[key])
        for key in sorted(raw.keys() | counted.keys())
        if raw[key] != counted[key]
    ]


def _counted_for(
    resolver: Resolver, combination: tuple[int, str, tuple[str, ...], int], row: Resolution | None
) -> Counted:
    """What a combination counts for: by the registry and the guesses that stand, or, while something is still to be
    learnt of it, what the roll-up had resolved.
    """
    if row and row.pending:
        return row.via_model_id or 0, dict(zip(row.model_ids, row.roles, strict=True))
    licensee_id, model, adapters, _ = combination
    outcome = resolver.resolve(licensee_id, model, adapters, guesses_of(row) if row else {})
    return outcome.via_model_id or 0, dict(outcome.roles)
