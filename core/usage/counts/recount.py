"""The statements that turn events and their corrections into daily counts, and move counts when a combination of names
means something else.

All of them run under the lock of the roll-up's watermark, and count what transactions below it wrote.

A correction counts for whatever its event counts for, so it is resolved by the event's transaction, not by its own. It
is never older than its event: whoever writes one has read the event before beginning to write, so the event was
committed before the correction's transaction had its id (a trigger demands it). Hence a correction below the watermark
always finds its event counted, and at every watermark an event counts what a first part of its chain of corrections
leaves, which is never less than nothing.
"""

from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.usage.counts.resolve import Outcome, stored
from core.usage.tables import Resolution

_KEY = "licensee_id, model_id, day, via_model_id, plan, role, output"
_GROUPS = """
SELECT e.licensee_id, owing.model_id, (e.occurred_at AT TIME ZONE a.zone)::date AS day, {via} AS via_model_id, e.plan,
       owing.role, e.output, sum({images}) AS image_count, {events} AS event_count
FROM {facts}
CROSS JOIN LATERAL unnest({models}, {roles}) AS owing (model_id, role)
JOIN models m ON m.id = owing.model_id
JOIN accounts a ON a.licensee_id = e.licensee_id AND a.licensor_id = m.licensor_id
WHERE {which}
GROUP BY 1, 2, 3, 4, 5, 6, 7
"""
_ADD = f"""
INSERT INTO daily_counts ({_KEY}, image_count, event_count)
{{groups}}
ON CONFLICT ({_KEY}) DO UPDATE
SET image_count = daily_counts.image_count + excluded.image_count,
    event_count = daily_counts.event_count + excluded.event_count
"""
_RESOLVED = {"via": "r.via_model_id", "models": "r.model_ids", "roles": "r.roles"}
RESOLUTION = """
JOIN resolutions r ON r.licensee_id = e.licensee_id AND r.model = e.model AND r.adapters = e.adapters
                  AND e.xid >= r.first_xid AND (r.until_xid IS NULL OR e.xid < r.until_xid)"""
_CORRECTED = "usage_corrections c JOIN usage_events e ON e.licensee_id = c.licensee_id AND e.event_id = c.event_id"
_ONE = """e.xid >= CAST(:since AS xid8) AND e.xid < CAST(:until AS xid8)
    AND e.licensee_id = :licensee_id AND e.model = :model AND e.adapters = CAST(:adapters AS text[])"""
_OF_NEW = _GROUPS.format(
    **_RESOLVED,
    images="e.image_count",
    events="count(*)",
    facts="usage_events e" + RESOLUTION,
    which="e.xid >= CAST(:since AS xid8) AND e.xid < CAST(:until AS xid8)",
)
# Corrections and their events are put together first: a planner without statistics would rather begin with every
# resolution for every correction.
_OF_CORRECTIONS = _GROUPS.format(
    **_RESOLVED,
    images="e.image_delta",
    events="0",
    facts=f"""(
    WITH corrected AS MATERIALIZED (
        SELECT e.*, c.image_delta FROM {_CORRECTED}
        WHERE c.xid >= CAST(:since AS xid8) AND c.xid < CAST(:until AS xid8)
    )
    SELECT * FROM corrected
) e"""  # noqa: S608
    + RESOLUTION,
    which="true",
)
_OF_ONE = _GROUPS.format(
    via="CAST(:via AS bigint)",
    models="CAST(:models AS bigint[])",
    roles="CAST(:roles AS text[])",
    images="e.image_count",
    events="sum(e.event_count)",
    facts=f"""(
    SELECT e.licensee_id, e.occurred_at, e.plan, e.output, e.image_count, 1 AS event_count
    FROM usage_events e WHERE {_ONE}
    UNION ALL
    SELECT e.licensee_id, e.occurred_at, e.plan, e.output, c.image_delta, 0
    FROM {_CORRECTED} WHERE {_ONE} AND c.xid < CAST(:watermark AS xid8)
) e""",  # noqa: S608
    which="true",
)
COUNT_NEW = text(_ADD.format(groups=_OF_NEW))
# The events of these corrections are counted by now, so every row is there; none is made, and none falls below zero.
COUNT_CORRECTIONS = text(f"""
UPDATE daily_counts d SET image_count = d.image_count + corrected.image_count
FROM ({_OF_CORRECTIONS}) corrected
WHERE (d.licensee_id, d.model_id, d.day, d.via_model_id, d.plan, d.role, d.output) = (
    corrected.licensee_id, corrected.model_id, corrected.day, corrected.via_model_id, corrected.plan, corrected.role,
    corrected.output)
""")  # noqa: S608
_ADD_ONE = text(_ADD.format(groups=_OF_ONE))
_TAKE_ONE = text(f"""
UPDATE daily_counts d
SET image_count = d.image_count - taken.image_count, event_count = d.event_count - taken.event_count
FROM ({_OF_ONE}) taken
WHERE (d.licensee_id, d.model_id, d.day, d.via_model_id, d.plan, d.role, d.output)
    = (taken.licensee_id, taken.model_id, taken.day, taken.via_model_id, taken.plan, taken.role, taken.output)
""")  # noqa: S608
_DROP_EMPTY = text("DELETE FROM daily_counts WHERE licensee_id = :licensee_id AND event_count = 0")


def move(session: Session, row: Resolution, outcome: Outcome, watermark: int) -> None:
    """Counts a combination's events for what it comes down to now, and no more for what it came down to; keeps it.

    Only what differs is touched, so an image that is counted for a model already is not counted for it again. What
    moves is what the events count by now: net of the corrections below the watermark, and of no others.
    """
    before = stored(row)
    old, new = dict(before.roles), dict(outcome.roles)
    if before.via_model_id == outcome.via_model_id:
        same = {model_id for model_id, role in old.items() if new.get(model_id) == role}
        old = {model_id: role for model_id, role in old.items() if model_id not in same}
        new = {model_id: role for model_id, role in new.items() if model_id not in same}
    until = watermark if row.until_xid is None else min(row.until_xid, watermark)
    events = {"since": str(row.first_xid), "until": str(until), "licensee_id": row.licensee_id, "model": row.model}
    events["adapters"], events["watermark"] = list(row.adapters), str(watermark)
    if old:
        session.execute(_TAKE_ONE, {**events, **_counted(before.via_model_id, old)})
        session.execute(_DROP_EMPTY, {"licensee_id": row.licensee_id})
    if new:
        session.execute(_ADD_ONE, {**events, **_counted(outcome.via_model_id, new)})
    for column, value in outcome.columns().items():
        setattr(row, column, value)
    session.flush()


def _counted(via: int | None, roles: dict[int, str]) -> dict[str, Any]:
    return {"via": via, "models": list(roles), "roles": list(roles.values())}
