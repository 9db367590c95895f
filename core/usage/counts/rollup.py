"""From events and their corrections to daily counts, each once.

The cursor goes by transaction visibility: every event and every correction carries the id of the transaction that wrote
it, and a roll-up takes those from its watermark up to the oldest transaction still running. A cursor over a sequence
would miss those whose transaction committed after a later one. Counts and watermark move in one transaction, so a
roll-up that dies has done nothing, and two at once take turns on the watermark's row.

What cannot be resolved yet (an unknown name, a licensor with whom the licensee has no account) is remembered in
`resolutions` and counted by the first roll-up after the registry knows better.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, exists, func, insert, or_, select, text, update
from sqlalchemy.orm import Session, aliased

from core.errors import Unavailable
from core.kill_points import kill_point
from core.usage.counts.recount import COUNT_CORRECTIONS, COUNT_NEW, move
from core.usage.counts.resolve import Resolver, guesses_of, stored
from core.usage.tables import DailyCount, Resolution, RollupWatermark

STEP = 500_000  # events; keeps one roll-up well under the statement time-out
CORRECTION_STEP = 50_000  # corrections, each of which looks its event up

# Where a step ends when more than a step's rows wait: at the transaction that wrote the first one beyond.
STEP_ENDS = [
    text(f"""
SELECT GREATEST(xid::text::bigint, CAST(:since AS text)::bigint + 1) FROM {table}
WHERE xid >= CAST(:since AS xid8) ORDER BY xid OFFSET :step LIMIT 1
""")  # noqa: S608
    for table in ("usage_events", "usage_corrections")
]
SNAPSHOT = text("""
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint
""")
# What a step's events come to: net of their corrections of the same step.
NEW_COMBINATIONS = text("""
SELECT licensee_id, model, adapters, min(xid) AS first_xid, sum(event_count)::bigint AS event_count,
       sum(image_count)::bigint AS image_count
FROM (
    SELECT licensee_id, model, adapters, min(xid::text::bigint) AS xid, count(*) AS event_count,
           sum(image_count) AS image_count
    FROM usage_events WHERE xid >= CAST(:since AS xid8) AND xid < CAST(:until AS xid8)
    GROUP BY 1, 2, 3
    UNION ALL
    SELECT e.licensee_id, e.model, e.adapters, min(e.xid::text::bigint), 0, sum(c.image_delta)
    FROM usage_corrections c JOIN usage_events e ON e.licensee_id = c.licensee_id AND e.event_id = c.event_id
    WHERE c.xid >= CAST(:since AS xid8) AND c.xid < CAST(:until AS xid8) AND e.xid >= CAST(:since AS xid8)
    GROUP BY 1, 2, 3
) facts
GROUP BY 1, 2, 3
""")
NEW_CORRECTIONS = text("""
SELECT count(*) FROM usage_corrections WHERE xid >= CAST(:since AS xid8) AND xid < CAST(:until AS xid8)
""")
ADD_TO_REVIEW = text("""
UPDATE resolutions SET image_count = image_count + :image_count, event_count = event_count + :event_count
WHERE licensee_id = :licensee_id AND model = :model AND adapters = CAST(:adapters AS text[]) AND until_xid IS NULL
""")
# Corrections of events that an earlier step has added up.
CORRECT_REVIEW = text("""
UPDATE resolutions r SET image_count = r.image_count + corrected.image_delta
FROM (
    WITH facts AS MATERIALIZED (
        SELECT e.licensee_id, e.model, e.adapters, e.xid, c.image_delta
        FROM usage_corrections c JOIN usage_events e ON e.licensee_id = c.licensee_id AND e.event_id = c.event_id
        WHERE c.xid >= CAST(:since AS xid8) AND c.xid < CAST(:until AS xid8) AND e.xid < CAST(:since AS xid8)
    )
    SELECT e.licensee_id, e.model, e.adapters, r.first_xid, sum(e.image_delta) AS image_delta
    FROM facts e
    JOIN resolutions r ON r.licensee_id = e.licensee_id AND r.model = e.model AND r.adapters = e.adapters
                      AND e.xid >= r.first_xid AND (r.until_xid IS NULL OR e.xid < r.until_xid)
    WHERE cardinality(r.held_names) > 0 OR cardinality(r.guessed_names) > 0
    GROUP BY 1, 2, 3, 4
) corrected
WHERE r.licensee_id = corrected.licensee_id AND r.model = corrected.model AND r.adapters = corrected.adapters
  AND r.first_xid = corrected.first_xid
""")


@dataclass(frozen=True, slots=True)
class RolledUp:
    """What one roll-up did: events and corrections taken, combinations resolved late, and whether more events wait."""

    event_count: int
    resolved_late: int
    more: bool
    correction_count: int = 0


def roll_up(session: Session, step: int = STEP) -> RolledUp:
    """Counts up to `step` waiting events, their corrections, and held events that can be resolved by now."""
    watermark = lock_watermark(session)
    since = watermark.xid
    oldest_running, newest = session.execute(SNAPSHOT).one()
    if since > newest:
        raise Unavailable(
            "restored_elsewhere",
            f"the roll-up has counted up to transaction {since}, which this server has not reached ({newest}): the "
            "database was restored from a logical dump. Do not bill before the counts are rebuilt on this server.",
        )
    resolver = Resolver.load(session)
    resolved_late = _resolve_pending(session, resolver, since)
    ends = [
        session.scalar(asked, {"since": str(since), "step": at_most})
        for asked, at_most in zip(STEP_ENDS, (step, min(step, CORRECTION_STEP)), strict=True)
    ]
    until = max(since, min([oldest_running, *(end for end in ends if end)]))
    event_count = _count(session, resolver, since, until)
    correction_count = _count_corrections(session, since, until)
    kill_point("mid_rollup")
    watermark.xid, watermark.moved_at = until, func.now()
    session.flush()
    return RolledUp(event_count, resolved_late, more=until < oldest_running, correction_count=correction_count)


def rebuild(session: Session) -> RolledUp:
    """Throws the counts away and makes them again from the raw facts, in the caller's transaction.

    What an AIR was guessed to be is no count but a decision: it stays, with the events for which it was made.
    """
    watermark = lock_watermark(session)
    _, newest = session.execute(SNAPSHOT).one()
    counted_until = 0 if watermark.xid > newest else watermark.xid  # 0: restored elsewhere, where nothing is counted
    session.execute(delete(DailyCount))
    guess = aliased(Resolution)
    decided = exists().where(
        guess.licensee_id == Resolution.licensee_id,
        guess.model == Resolution.model,
        guess.adapters == Resolution.adapters,
        or_(func.cardinality(guess.guessed_names) > 0, guess.until_xid.is_not(None)),
    )
    session.execute(delete(Resolution).where(~decided), execution_options={"synchronize_session": "fetch"})
    if not counted_until:
        session.execute(update(Resolution).values(image_count=0, event_count=0))
    session.expire_all()
    if counted_until:
        _count(session, Resolver.load(session), 0, counted_until, again=True)
        _count_corrections(session, 0, counted_until)
    lock_watermark(session).xid = counted_until
    session.flush()
    return roll_up(session, step=2**62)


def lock_watermark(session: Session) -> RollupWatermark:
    """The watermark, kept from others until the transaction ends: whoever changes counts takes turns on it."""
    row = select(RollupWatermark).where(RollupWatermark.name == "usage")
    return session.scalars(row.with_for_update().execution_options(populate_existing=True)).one()


def _count(session: Session, resolver: Resolver, since: int, until: int, *, again: bool = False) -> int:
    """Counts the events of transactions `[since, until)`; the number of them. `again`: all were counted before."""
    rows = session.execute(NEW_COMBINATIONS, {"since": str(since), "until": str(until)}).all()
    if not rows:
        return 0
    if not again:
        _end_guesses(session, resolver, rows, since)
    _remember_combinations(session, resolver, rows, totalling=not again)
    session.execute(COUNT_NEW, {"since": str(since), "until": str(until)})
    return sum(row.event_count for row in rows)


def _count_corrections(session: Session, since: int, until: int) -> int:
    """Counts the corrections of transactions `[since, until)`, whose events are counted by now; the number of them."""
    step = {"since": str(since), "until": str(until)}
    count: int = session.execute(NEW_CORRECTIONS, step).scalar_one()
    if count:
        session.execute(COUNT_CORRECTIONS, step)
        session.execute(CORRECT_REVIEW, step)
    return count


def _end_guesses(session: Session, resolver: Resolver, rows: Sequence[Any], since: int) -> None:
    """Ends resolutions by a guess whose name has been registered since: from here on the registry says what it is.

    What was counted by the guess stays as it is until somebody re-resolves it (`core/usage/counts/review.py`).
    """
    seen = {(row.licensee_id, row.model, tuple(row.adapters)) for row in rows}
    open_guesses = select(Resolution).where(
        Resolution.licensee_id.in_({row.licensee_id for row in rows}),
        Resolution.until_xid.is_(None),
        func.cardinality(Resolution.guessed_names) > 0,
    )
    for row in session.scalars(open_guesses.execution_options(populate_existing=True)).all():
        guesses = guesses_of(row)
        kept = {name: base for name, base in guesses.items() if resolver.lineage.named(name) is None}
        if len(kept) == len(guesses) or (row.licensee_id, row.model, row.adapters) not in seen:
            continue
        outcome = resolver.resolve(row.licensee_id, row.model, row.adapters, kept)
        before = stored(row)
        settled = not (row.pending or outcome.pending)  # what waits for something else may differ once that has come
        if settled and (outcome.via_model_id, outcome.roles) == (before.via_model_id, before.roles):
            continue
        row.until_xid = since
        session.flush()
        successor = {"licensee_id": row.licensee_id, "model": row.model, "adapters": row.adapters, "first_xid": since}
        session.execute(insert(Resolution), [{**successor, **outcome.columns()}])


def _remember_combinations(session: Session, resolver: Resolver, rows: Sequence[Any], *, totalling: bool) -> None:
    """Resolves each combination of model and adapters that was not seen before, and adds up what waits for review."""
    reviewed = or_(func.cardinality(Resolution.held_names) > 0, func.cardinality(Resolution.guessed_names) > 0)
    known = {
        (licensee_id, model, tuple(adapters)): to_review
        for licensee_id, model, adapters, to_review in session.execute(
            select(Resolution.licensee_id, Resolution.model, Resolution.adapters, reviewed).where(
                Resolution.licensee_id.in_({row.licensee_id for row in rows}), Resolution.until_xid.is_(None)
            )
        )
    }
    fresh, more = [], []
    for row in rows:
        combination = row.licensee_id, row.model, tuple(row.adapters)
        names = dict(zip(("licensee_id", "model", "adapters"), combination, strict=True))
        to_review = known.get(combination)
        totals = {"image_count": row.image_count, "event_count": row.event_count}
        if to_review and totalling:
            more.append({**names, "adapters": list(row.adapters), **totals})
        elif to_review is None:
            outcome = resolver.resolve(*combination)
            counted = totals if outcome.held_names or outcome.guessed else {"image_count": 0, "event_count": 0}
            fresh.append({**names, "first_xid": row.first_xid, **outcome.columns(), **counted})
    if fresh:
        session.execute(insert(Resolution), fresh)
    if more:
        session.execute(ADD_TO_REVIEW, more)


def _resolve_pending(session: Session, resolver: Resolver, watermark: int) -> int:
    """Counts what the registry has learned to resolve since it was held; the number of combinations that moved on."""
    moved = 0
    pending = select(Resolution).where(Resolution.pending).execution_options(populate_existing=True)
    for row in session.scalars(pending).all():
        outcome = resolver.resolve(row.licensee_id, row.model, row.adapters, guesses_of(row))
        if outcome != stored(row):
            move(session, row, outcome, watermark)
            moved += 1
    return moved
