"""Events without an id of their own that look like repeats of each other.

A client that sends no id and repeats a request whose answer it lost is counted twice, and nobody can tell that from two
images made one after the other. Both are counted, because a platform may well make equal images in the same second; and
the licensee, who alone can know, is shown them and may withdraw what was a repeat. Nothing is kept for this: it is
worked out from the events when somebody asks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.usage.own.unkeyed import unkeyed_bounds

APART = timedelta(seconds=5)
# The id of an event is made before it is written, and it may wait to be written for a while.
_WAIT = timedelta(minutes=10)

# Who said an earlier time meant it: such events are equal only if they say the same. Where no time was said it is that
# of receipt, give or take the wait.
ASKED = text("""
WITH unkeyed AS (
    SELECT event_id, model, adapters, plan, output, image_count, received_at,
           CASE WHEN received_at - occurred_at > interval '1 minute' THEN occurred_at END AS said_at
    FROM usage_events AS event
    WHERE licensee_id = :licensee_id AND event_id >= :first AND event_id < :last
      AND received_at >= :start - :apart AND received_at < :end
      AND NOT EXISTS (SELECT FROM usage_corrections AS correction
                      WHERE correction.licensee_id = event.licensee_id AND correction.event_id = event.event_id
                        AND correction.kind = 'withdraw')
), spaced AS (
    SELECT *, received_at - lag(received_at) OVER equal <= :apart AS follows
    FROM unkeyed
    WINDOW equal AS (PARTITION BY model, adapters, plan, output, image_count, said_at ORDER BY received_at, event_id)
), runs AS (
    SELECT *, count(*) FILTER (WHERE follows IS NOT TRUE) OVER equal AS run
    FROM spaced
    WINDOW equal AS (PARTITION BY model, adapters, plan, output, image_count, said_at ORDER BY received_at, event_id)
)
SELECT model, adapters, image_count, count(*), min(received_at), max(received_at),
       (array_agg(event_id ORDER BY received_at, event_id))[1:100]
FROM runs
GROUP BY model, adapters, plan, output, image_count, said_at, run
HAVING count(*) > 1 AND max(received_at) >= :start
ORDER BY max(received_at) DESC, min(event_id)
LIMIT :most
""")


@dataclass(frozen=True, slots=True)
class PossibleDuplicate:
    """Equal events, each received at most five seconds after the one before. All of them are counted.

    `image_count` is that of each. `event_ids` are the first hundred, in the order in which they were received.
    """

    model: str
    adapters: Sequence[str]
    image_count: int
    event_count: int
    first_received_at: datetime
    last_received_at: datetime
    event_ids: Sequence[str]


def possible_duplicates(
    session: Session, licensee_id: int, start: datetime, end: datetime, most: int = 100
) -> list[PossibleDuplicate]:
    """Those of a licensee that were received in `[start, end)` and not withdrawn, the newest first."""
    first, last = unkeyed_bounds(start - _WAIT, end + _WAIT)
    asked = {"licensee_id": licensee_id, "first": first, "last": last, "start": start, "end": end}
    return [PossibleDuplicate(*row) for row in session.execute(ASKED, {**asked, "apart": APART, "most": most})]
