"""Days and months of an account's calendar, and the instants at which they begin and end.

A period is half-open, `[start, end)`, in whole days of the account's zone. Its bounds as UTC instants are computed
once, here, and stored; nothing else turns a day into an instant.

The zones are those of the `tzdata` package in our lock, not of the machine: service and workers on different hosts must
mean the same days. The database brings a table of its own, which may be older or newer where a government has just
changed its clocks; `core/agreements/calendars.py` compares the two.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, reset_tzpath

from core.errors import InvalidInput

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])", re.ASCII)
_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)
# The database reads these as abbreviations for one offset all year round, where the IANA zones have summer time or have
# become links to places.
_ABBREVIATIONS = frozenset({"CET", "EET", "MET", "WET", "EST", "HST", "MST"})
reset_tzpath(to=())


def zone_of(name: str) -> ZoneInfo:
    """The time zone called `name`, from the IANA database: "Europe/Berlin"."""
    if name in _ABBREVIATIONS:
        raise InvalidInput("unknown_zone", f"{name!r} is an abbreviation, not a time zone: use the name of a place")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput("unknown_zone", f"{name!r} is not a time zone: use a name such as Europe/Berlin") from None


def day_start(day: date, zone: str) -> datetime:
    """The first instant of `day` in `zone`, in UTC.

    Where midnight is skipped the day begins when the gap ends; a day that is skipped as a whole has no instant, and
    begins when the next one does. Where midnight comes twice the day begins with the first, unless the clock then shows
    the day before once more: with the second.
    """
    midnight = datetime.combine(day, time.min, zone_of(zone))
    first, second = midnight.astimezone(UTC), midnight.replace(fold=1).astimezone(UTC)
    if first == second:
        return first
    if first > second:  # midnight lies in a gap: its two readings are by the offsets after and before it
        return _offset_changes(second, first, midnight.tzinfo)
    return second if (second - _TICK).astimezone(midnight.tzinfo).date() < day else first


def _offset_changes(early: datetime, late: datetime, zone: tzinfo | None) -> datetime:
    """The first instant after `early` that has the offset of `late`: clocks change at whole seconds."""
    offset = late.astimezone(zone).utcoffset()
    seconds_in_vain, seconds_enough = 0, int((late - early).total_seconds())
    while seconds_enough - seconds_in_vain > 1:
        middle = (seconds_in_vain + seconds_enough) // 2
        if (early + timedelta(seconds=middle)).astimezone(zone).utcoffset() == offset:
            seconds_enough = middle
        else:
            seconds_in_vain = middle
    return early + timedelta(seconds=seconds_enough)


def day_of(instant: datetime, zone: str) -> date:
    """The day of the zone's calendar to which an instant belongs."""
    return instant.astimezone(zone_of(zone)).date()


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """Whole days `[start, end)`."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise InvalidInput("empty_period", f"a period must end after it starts: {self.start} to {self.end}")

    @classmethod
    def month(cls, name: str) -> "Period":
        """The calendar month called "2026-10"."""
        found = _MONTH.fullmatch(name)
        if not found or found[1] == "0000" or name == "9999-12":  # whose end no date can say
            raise InvalidInput("not_a_month", f"a month is written YYYY-MM, such as 2026-10, not {name!r}")
        return cls.month_of(date(int(found[1]), int(found[2]), 1))

    @classmethod
    def month_of(cls, day: date) -> "Period":
        """The calendar month in which `day` lies."""
        start = day.replace(day=1)
        return cls(start, (start + timedelta(days=32)).replace(day=1))

    def months_before(self, number: int = 1) -> "Period":
        """The calendar month so many before the one in which this begins; after it for a number below zero."""
        year, index = divmod(self.start.year * 12 + self.start.month - 1 - number, 12)
        return Period.month(f"{year:04d}-{index + 1:02d}")

    @property
    def days(self) -> int:
        return (self.end - self.start).days

    @property
    def name(self) -> str:
        """ "2026-10" for a calendar month; "2026-10-15..2026-11-01" for anything else, the end exclusive."""
        if self == Period.month_of(self.start):
            return f"{self.start:%Y-%m}"
        return f"{self.start}..{self.end}"

    def __contains__(self, day: date) -> bool:
        return self.start <= day < self.end

    def each_day(self) -> Iterator[date]:
        for n in range(self.days):
            yield self.start + n * _DAY

    def months(self) -> Iterator["Period"]:
        """The calendar months that touch this period, whole."""
        month = Period.month_of(self.start)
        while month.start < self.end:
            yield month
            month = Period.month_of(month.end)

    def overlap(self, other: "Period") -> "Period | None":
        """The days in both, or None."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Period(start, end) if start < end else None

    def bounds(self, zone: str) -> tuple[datetime, datetime]:
        """The UTC instants `[first, end)` of the period in a zone."""
        return day_start(self.start, zone), day_start(self.end, zone)
