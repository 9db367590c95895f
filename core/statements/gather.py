"""What a statement is made of, read from the raw events: their counts by model and day, and the tree over them.

The roll-up counts as events arrive. A statement counts them all again, and is not made while the two disagree. Call
these in a REPEATABLE READ transaction: every question must be answered of one and the same moment.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import TextClause, func, select, text
from sqlalchemy.orm import Session

from core.errors import Conflict
from core.period import Period
from core.registry.tables import Account, Model
from core.statements.merkle import CHUNK, leaf_hash, root_of
from core.statements.statement import Counted, Tree, event_document, leaf
from core.usage.counts.recount import RESOLUTION
from core.usage.tables import DailyCount, RollupWatermark

_PATIENCE = text("SET LOCAL statement_timeout = '30min'")  # a month of a large platform is read whole
# Events of the account: those counted for any of the licensor's models, each net of the corrections it has had.
_EVENTS = f"""
FROM usage_events e {RESOLUTION}
LEFT JOIN (
    SELECT event_id, sum(image_delta)::bigint AS image_delta FROM usage_corrections
    WHERE licensee_id = :licensee_id AND xid < CAST(:xid AS xid8) GROUP BY 1
) c USING (event_id)
{{more}}
WHERE e.licensee_id = :licensee_id AND e.occurred_at >= :starts_at AND e.occurred_at < :ends_at
  AND e.xid < CAST(:xid AS xid8)
"""  # noqa: S608 - our own words
_COUNTS = text(f"""
SELECT m.slug AS model, (e.occurred_at AT TIME ZONE :zone)::date AS day, e.plan, e.output, owing.role,
       sum(e.image_count + COALESCE(c.image_delta, 0))::bigint AS image_count, count(*) AS event_count,
       COALESCE(sum(e.image_count + COALESCE(c.image_delta, 0)) FILTER (WHERE e.received_at >= :ends_at), 0)::bigint
           AS late,
       COALESCE(sum(c.image_delta), 0)::bigint AS corrected
{
    _EVENTS.format(
        more="CROSS JOIN LATERAL unnest(r.model_ids, r.roles) AS owing (model_id, role) "
        "JOIN models m ON m.id = owing.model_id AND m.licensor_id = :licensor_id"
    )
}
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
""")
_LEAVES = f"""
SELECT e.event_id, e.model, (e.image_count + COALESCE(c.image_delta, 0))::bigint AS image_count, e.occurred_at,
       e.adapters, e.plan, e.output
{_EVENTS.format(more="")}
  AND r.model_ids && ARRAY(SELECT id FROM models WHERE licensor_id = :licensor_id)
"""  # noqa: S608
_ALL_LEAVES = text(_LEAVES + "ORDER BY e.event_id")
_SOME_LEAVES = text(
    _LEAVES + "AND e.event_id >= CAST(:first AS text) AND (CAST(:until AS text) IS NULL OR e.event_id < :until) "
    "ORDER BY e.event_id"
)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which events a statement is about: those of an account and period that transactions before `xid` wrote."""

    account: Account
    period: Period
    xid: int

    def asked(self) -> dict[str, Any]:
        starts_at, ends_at = self.period.bounds(self.account.zone)
        return {
            "licensee_id": self.account.licensee_id,
            "licensor_id": self.account.licensor_id,
            "zone": self.account.zone,
            "starts_at": starts_at,
            "ends_at": ends_at,
            "xid": str(self.xid),
        }


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of a statement's events in the order of their ids: the first of them, how many, and the root over them."""

    first_event_id: str
    size: int
    root: bytes


def scope_of(session: Session, account: Account, period: Period) -> Scope:
    """Everything of the period that is rolled up by now."""
    xid = select(RollupWatermark.xid).where(RollupWatermark.name == "usage")
    return Scope(account, period, session.execute(xid).scalar_one())


def counts_of(session: Session, scope: Scope) -> list[Counted]:
    """The counts of the period from its events. Raises Conflict where the daily counts say otherwise."""
    session.execute(_PATIENCE)
    counts = [Counted(**row._mapping) for row in session.execute(_COUNTS, scope.asked())]
    raw = {(row.model, row.day, row.plan, row.output, row.role): row.image_count for row in counts}
    rolled_up = _rolled_up(session, scope)
    if wrong := [key for key in sorted(raw.keys() | rolled_up.keys()) if raw.get(key, 0) != rolled_up.get(key, 0)]:
        model, day, *_ = wrong[0]
        raise Conflict(
            "counts_differ",
            f"the daily counts differ from the events in {len(wrong):,} places, the first {model} on {day}: nothing is "
            "attested before `perimage verify` finds no difference",
        )
    return counts


def tree_of(session: Session, scope: Scope) -> tuple[Tree, list[Chunk]]:
    """The tree over the period's events in the bytewise order of their ids, and the runs it is made of."""
    made: list[Chunk] = []
    hashes: list[bytes] = []
    first, images = "", 0
    for event in _documents(session, _ALL_LEAVES, scope.asked()):
        if len(hashes) == CHUNK:
            made.append(Chunk(first, CHUNK, root_of(hashes)))
            hashes = []
        if not hashes:
            first = event["event_id"]
        hashes.append(leaf_hash(leaf(event)))
        images += event["image_count"]
    if hashes:
        made.append(Chunk(first, len(hashes), root_of(hashes)))
    tree = Tree(sum(chunk.size for chunk in made), images, root_of([chunk.root for chunk in made]))
    return tree, made


def events_of_chunk(
    session: Session, scope: Scope, first_event_id: str, next_event_id: str | None
) -> list[dict[str, Any]]:
    """The events of one run as they are now; `next_event_id` is the first of the run after it."""
    asked = {**scope.asked(), "first": first_event_id, "until": next_event_id}
    return list(_documents(session, _SOME_LEAVES, asked))


def _documents(session: Session, statement: TextClause, asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for row in session.execute(statement, asked, execution_options={"yield_per": 10_000}):
        yield event_document(**row._mapping)


def _rolled_up(session: Session, scope: Scope) -> dict[tuple[str, date, str, str, str], int]:
    parts = Model.slug, DailyCount.day, DailyCount.plan, DailyCount.output, DailyCount.role
    rows = session.execute(
        select(*parts, func.sum(DailyCount.image_count))
        .join(Model, Model.id == DailyCount.model_id)
        .where(
            DailyCount.licensee_id == scope.account.licensee_id,
            Model.licensor_id == scope.account.licensor_id,
            DailyCount.day >= scope.period.start,
            DailyCount.day < scope.period.end,
        )
        .group_by(*parts)
    )
    return {(model, day, plan, output, role): int(images) for model, day, plan, output, role, images in rows}
