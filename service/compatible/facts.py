"""Facts that a door has read, as a report like any other; and the ids by which they are known for ever.

A door's client sends no report id, so each request is a report of its own; what is repeated is known by its events. An
id is made from what names the fact in the client's own protocol, so that the same fact sent again is the same event. It
begins with the name of what it was made from, and different facts of one door never get the same id.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import quote
from uuid import uuid4

from core.usage.intake.report import MAX_NAME, Event, Report, micros


class Fact(NamedTuple):
    """An event, and whether its sender said when it happened."""

    event: Event
    timed: bool


def known_by(kind: str, *parts: str) -> str:
    """The event id of what these parts name together.

    One part is kept as it is; of several each is percent-encoded, colons too, so that nothing moves from one to
    another. What would be too long is represented by its digest, under a kind of its own.
    """
    name = parts[0] if len(parts) == 1 else ":".join(quote(part, safe="") for part in parts)
    if len(kind) + 1 + len(name) <= MAX_NAME:
        return f"{kind}:{name}"
    return f"{kind}-sha256:{sha256(name.encode()).hexdigest()}"


def report_of(door: str, facts: Sequence[Fact]) -> Report:
    """The report that one request of a door is."""
    events = [fact.event for fact in facts]
    ids = [event.event_id for event in events]
    return Report(
        f"{door}:{uuid4()}",
        None,
        None,
        ids,
        events,
        [micros(event.occurred_at) for event in events],
        range(len(events)),
        distinct=len(set(ids)) == len(ids),
        untimed=frozenset(place for place, fact in enumerate(facts) if not fact.timed),
    )


def seconds(instant: datetime) -> int:
    """Whole Unix seconds."""
    return int(instant.astimezone(UTC).timestamp())
