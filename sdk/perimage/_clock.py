"""The two clocks: what time it is, and how much of it has passed.

The first is stepped by people and by NTP and is used for nothing but saying when an image was made. Every wait and
every age goes by the second, which only runs forward.
"""

import time
from os import urandom


class Clock:
    """The machine's clocks. A test has one of its own."""

    wall = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


def instant(micros: int) -> str:
    """An RFC 3339 time from microseconds since 1970."""
    seconds, rest = divmod(micros, 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:06d}Z"


def new_id(wall: float) -> str:
    """An id of 32 hexadecimal digits that nobody else makes: UUID version 7, so that later ones sort after earlier."""
    made = (int(wall * 1000) & (1 << 48) - 1) << 80 | int.from_bytes(urandom(10), "big")
    made = made & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62
    return f"{made:032x}"
