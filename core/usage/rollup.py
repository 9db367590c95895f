"""From events to daily counts, each event once.

The cursor goes by transaction visibility: every event carries the id of the transaction that wrote it, and a roll-up
takes those from its watermark up to the oldest transaction still running. A cursor over a sequence would miss events
whose transaction committed after a later one. Counts and watermark move in one transaction, so a roll-up that dies has
done nothing, and two at once take turns on the watermark's row.

What cannot be resolved yet (an unknown name, a licensor with whom the licensee has no account) is remembered in
`resolutions` and counted by the first roll-up after the registry knows better.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select, text, tuple_, update
from sqlalchemy.orm import Session

from core.errors import Unavailable
from core.kill_points import kill_point
from core.registry.lineage import Lineage
from core.registry.queries import lineage as load_lineage
from core.registry.tables import Account
from core.usage.tables import DailyCount, Resolution, RollupWatermark

STEP = 500_000  # events; keeps one roll-up well under the statement time-out

_COUNT = """
INSERT INTO daily_counts (licensee_id, model_id, day, via_model_id, plan, image_count, event_count)
SELECT e.licensee_id, owing.model_id, (e.occurred_at AT TIME ZONE a.zone)::date, r.via_model_id, e.plan,
       sum(e.image_count), count(*)
FROM usage_events e
JOIN resolutions r ON r.licensee_id = e.licensee_id AND r.model = e.model AND r.adapters = e.adapters
CROSS JOIN LATERAL unnest({models}) AS owing (model_id)
JOIN models m ON m.id = owing.model_id
JOIN accounts a ON a.licensee_id = e.licensee_id AND a.licensor_id = m.licensor_id
WHERE e.xid >= CAST(:since AS xid8) AND e.xid < CAST(:until AS xid8) {only}
GROUP BY 1, 2, 3, 4, 5
ON CONFLICT (licensee_id, model_id, day, via_model_id, plan) DO UPDATE
SET image_count = daily_counts.image_count + excluded.image_count,
    event_count = daily_counts.event_count + excluded.event_count
"""
COUNT_NEW = text(_COUNT.format(models="r.model_ids", only=""))
COUNT_RESOLVED = text(
    _COUNT.format(
        models="CAST(:added AS bigint[])",
        only="AND e.licensee_id = :licensee_id AND e.model = :model AND e.adapters = CAST(:adapters AS text[])",
    )
)
# Where a step ends when more than a step's events wait: at the transaction that wrote the first one beyond.
STEP_END = text("""
SELECT GREATEST(xid::text::bigint, CAST(:since AS text)::bigint + 1) FROM usage_events
WHERE xid >= CAST(:since AS xid8) ORDER BY xid OFFSET :step LIMIT 1
""")
SNAPSHOT = text("""
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint
""")
NEW_COMBINATIONS = text("""
SELECT e.licensee_id, e.model, e.adapters, min(e.xid::text::bigint) AS first_xid, count(*) AS event_count
FROM usage_events e WHERE e.xid >= CAST(:since AS xid8) AND e.xid < CAST(:until AS xid8)
GROUP BY 1, 2, 3
""")


@dataclass(frozen=True, slots=True)
class RolledUp:
    """What one roll-up did: events taken, combinations resolved late, and whether more events wait already."""

    event_count: int
    resolved_late: int
    more: bool


class Resolver:
    """Names to counted models for one licensee, as the registry stands now."""

    def __init__(self, lineage: Lineage, accounts: set[tuple[int, int]]) -> None:
        self.lineage = lineage
        self.accounts = accounts

    @classmethod
    def load(cls, session: Session) -> "Resolver":
        pairs = session.execute(select(Account.licensee_id, Account.licensor_id))
        return cls(load_lineage(session), {(licensee_id, licensor_id) for licensee_id, licensor_id in pairs})

    def resolve(self, licensee_id: int, model: str, adapters: Sequence[str]) -> tuple[int | None, set[int], list[str]]:
        """The model that was named, the models to count, and the names that must wait.

        While the named model itself is unknown nothing is counted: we could not say through which model it came.
        """
        found = self.lineage.resolve(model, adapters)
        waiting = list(found.unknown)
        counted = set()
        for model_id in found.model_ids if found.via_model_id is not None else ():
            node = self.lineage.node(model_id)
            if (licensee_id, node.licensor_id) in self.accounts:
                counted.add(model_id)
            else:
                waiting.append(node.slug)
        return found.via_model_id, counted, sorted(set(waiting))


def roll_up(session: Session, step: int = STEP) -> RolledUp:
    """Counts up to `step` waiting events, and held ones that can be resolved by now."""
    watermark = _lock_watermark(session)
    since = watermark.xid
    oldest_running, newest = session.execute(SNAPSHOT).one()
    if since > newest:
        raise Unavailable(
            "restored_elsewhere",
            f"the roll-up has counted up to transaction {since}, which this server has not reached ({newest}): the "
            "database was restored from a logical dump. Do not bill before the counts are rebuilt on this server.",
        )
    resolver = Resolver.load(session)
    resolved_late = _resolve_held(session, resolver, since)
    step_end = session.scalar(STEP_END, {"since": str(since), "step": step})
    until = max(since, min(oldest_running, step_end or oldest_running))
    event_count = _remember_combinations(session, resolver, since, until)
    if event_count:
        session.execute(COUNT_NEW, {"since": str(since), "until": str(until)})
    kill_point("mid_rollup")
    watermark.xid, watermark.moved_at = until, func.now()
    session.flush()
    return RolledUp(event_count, resolved_late, more=until < oldest_running)


def rebuild(session: Session) -> RolledUp:
    """Throws the counts away and makes them again from the raw events, in the caller's transaction."""
    _lock_watermark(session).xid = 0
    session.execute(delete(DailyCount))
    session.execute(delete(Resolution))
    session.flush()
    return roll_up(session, step=2**62)


def _lock_watermark(session: Session) -> RollupWatermark:
    row = select(RollupWatermark).where(RollupWatermark.name == "usage")
    return session.scalars(row.with_for_update().execution_options(populate_existing=True)).one()


def _remember_combinations(session: Session, resolver: Resolver, since: int, until: int) -> int:
    """Resolves each combination of model and adapters that was not seen before; the number of events in the range."""
    rows = session.execute(NEW_COMBINATIONS, {"since": str(since), "until": str(until)}).all()
    key = tuple_(Resolution.licensee_id, Resolution.model, Resolution.adapters)
    licensees = {row.licensee_id for row in rows}
    known = {
        (licensee_id, model, tuple(adapters))
        for licensee_id, model, adapters in session.execute(
            select(*key.clauses).where(Resolution.licensee_id.in_(licensees))
        )
    }
    fresh = []
    for row in rows:
        if (row.licensee_id, row.model, tuple(row.adapters)) in known:
            continue
        via, counted, waiting = resolver.resolve(row.licensee_id, row.model, row.adapters)
        fresh.append(
            {
                "licensee_id": row.licensee_id,
                "model": row.model,
                "adapters": row.adapters,
                "model_ids": sorted(counted),
                "via_model_id": via,
                "held_names": waiting,
                "first_xid": row.first_xid,
            }
        )
    if fresh:
        session.execute(insert(Resolution), fresh)
    return sum(row.event_count for row in rows)


def _resolve_held(session: Session, resolver: Resolver, until: int) -> int:
    """Counts what the registry has learned to resolve since it was held; the number of combinations that moved on."""
    moved = 0
    for held in session.scalars(select(Resolution).where(func.cardinality(Resolution.held_names) > 0)):
        via, counted, waiting = resolver.resolve(held.licensee_id, held.model, held.adapters)
        added = sorted(counted - set(held.model_ids))
        if not added and waiting == held.held_names:
            continue
        session.execute(
            update(Resolution)
            .filter_by(licensee_id=held.licensee_id, model=held.model, adapters=held.adapters)
            .values(model_ids=sorted(counted | set(held.model_ids)), via_model_id=via, held_names=waiting)
        )
        whose = {"licensee_id": held.licensee_id, "model": held.model, "adapters": list(held.adapters)}
        session.execute(COUNT_RESOLVED, {"since": str(held.first_xid), "until": str(until), "added": added, **whose})
        moved += 1
    return moved
