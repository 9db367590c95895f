"""The demo's calendar: which months it is about, seen from the day on which its world is made.

The counts of the input file are those of the last full month, wherever on the calendar that is. Before it lie some
months that are billed and mostly paid; after it the running month, reported up to yesterday.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from core.period import Period

MONTHS = 6  # before the last one
EVERYWHERE_OVER = 2  # days into a month until the one before is over in every zone of the demo
WRITTEN_FOR = Period.month("2026-11")  # the running month of config/demo/catalogue.yaml, from which its days are moved


@dataclass(frozen=True, slots=True)
class Plan:
    """The months of a demo: `history` oldest first, then `last`, which is billed today, then `this`."""

    today: date
    this: Period
    last: Period
    history: tuple[Period, ...]

    @classmethod
    def on(cls, today: date, months: int = MONTHS) -> "Plan":
        """The plan of a world that is made on this day. In a month's first days the one before is still running."""
        this = Period.month_of(today)
        if today.day <= EVERYWHERE_OVER:
            this = before(this)
        last = before(this)
        history = [before(last)]
        while len(history) < months:
            history.insert(0, before(history[0]))
        return cls(today, this, last, tuple(history))

    def earlier(self, back: int) -> Period:
        """A month of the past, counted back from the last one: 1 is the month before it."""
        return self.history[max(0, len(self.history) - back)]

    def months_back(self, month: Period) -> int:
        """How many months a month lies before the last one; -1 is the running month."""
        return 12 * (self.last.start.year - month.start.year) + self.last.start.month - month.start.month

    @property
    def moved_by(self) -> int:
        """By how many months the days of the catalogue's file are moved."""
        return self.months_back(WRITTEN_FOR) + 1

    @property
    def done_days(self) -> list[date]:
        """The days of the running month that are over."""
        return [day for day in self.this.each_day() if day < self.today]


def before(month: Period) -> Period:
    """The month before."""
    return Period.month_of(month.start - timedelta(days=1))


def moment(day: date, hour: int = 9, minute: int = 0) -> datetime:
    """A moment of a day, UTC."""
    return datetime.combine(day, time(hour, minute), UTC)


def moved(day: date, months: int) -> date:
    """The same day so many months later; days of the catalogue's file are firsts of months or early in one."""
    at = 12 * day.year + day.month - 1 + months
    return day.replace(year=at // 12, month=at % 12 + 1)
