"""Ids for events whose sender gave them none.

Such an event cannot be told from a repeat of itself, so each is counted, under an id of its own: a UUID of version 7,
which begins with the time. Events received in a span of time are therefore neighbours in the key of the events, and
those that look like repeats of each other are found without an index of their own (`possible_duplicates.py`).
"""

import secrets
from datetime import UTC, datetime, timedelta
from uuid import UUID

UNKEYED = "unkeyed:"
_UNIX = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_LATEST = 2**48 - 1  # milliseconds that a UUID of version 7 can hold


def unkeyed_id(now: datetime) -> str:
    """A fresh id for an event received now."""
    return UNKEYED + str(_uuid7(now, secrets.randbits(74)))


def unkeyed_bounds(start: datetime, end: datetime) -> tuple[str, str]:
    """Ids `[first, last)` between which those of events received in `[start, end)` lie."""
    return UNKEYED + str(_uuid7(start, 0)), UNKEYED + str(_uuid7(end, 0))


def _uuid7(instant: datetime, chance: int) -> UUID:
    """RFC 9562, section 5.7: 48 bits of milliseconds, the version, 12 bits, the variant, 62 bits."""
    milliseconds = min(max((instant - _UNIX) // _MILLISECOND, 0), _LATEST)
    high, low = chance >> 62, chance & (2**62 - 1)
    return UUID(int=milliseconds << 80 | 7 << 76 | high << 64 | 2 << 62 | low)
