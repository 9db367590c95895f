"""How an agreement stands in a month: its fees by subject and by day, its commitments and its caps, now and at the end.

Pure: a contract, counts and expected counts in, values out. Everything is rated by the code that bills.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from core.accruals.forecast import Expected
from core.money import Money
from core.period import Period
from core.rating.contract import Contract, Counts, Tally
from core.rating.fees import month_lines
from core.rating.line import COUNTED, FEES, LineKey, RatedLine
from core.rating.progress import CommitmentProgress, commitment_progress
from core.rating.rate import caps, progress
from core.rating.shortfall import shortfall_lines

_DAY = timedelta(days=1)
RUNNING = (*FEES, "drawdown", "adjustment")  # what is owed from day to day; all else only when its period is over


@dataclass(frozen=True, slots=True)
class Point:
    """What a commitment had come to when a day began; `expected`: it is not over yet."""

    day: date
    quantity: Decimal
    expected: bool


@dataclass(frozen=True, slots=True)
class CommitmentPosition:
    """A running commitment: what was promised (`target`, with what rolled over), what came, what is to be expected.

    Quantities are in `unit`, images or the invoice currency. Of a block that was paid in advance the target is what its
    balances held; nothing is ever missing of it, but something may be left unused. `shortfall` is what an invoice would
    ask for what is expected to be missing.
    """

    name: str
    kind: str
    unit: str
    billing: str
    period: Period
    target: Decimal
    counted: Decimal
    remaining: Decimal
    carried: Decimal
    forecast: Decimal
    expected_shortfall: Decimal
    expected_unused: Decimal
    shortfall: Money
    exhausted_on: date | None
    burn_down: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class CapPosition:
    """A monthly cap of a subject: how many images it allows, how many came, how many are expected."""

    subject: str
    kind: str
    images: int
    counted: int
    expected: int


@dataclass(frozen=True, slots=True)
class Share:
    """The fees of one subject in a month: images and minor units before tax."""

    subject: str
    images: int
    minor: int


def due_by(key: LineKey, day: date) -> bool:
    """Whether what is owed so far has this key: the fees of the running month, and whatever is due on or before a day.

    A shortfall, a refund or an advance of a period that is not over is nobody's claim yet.
    """
    return key.kind in RUNNING or key.due_on <= day


def own_lines(contract: Contract, counts: Counts, month: Period) -> list[RatedLine]:
    """The fee lines of the service period that lies in a month; none outside the term."""
    tally = contract.tally(counts, month.end)
    return [
        line
        for service, cells in contract.months
        if service.overlap(month)
        for line in month_lines(contract, service, cells, tally)
    ]


def by_subject(lines: Iterable[RatedLine]) -> tuple[Share, ...]:
    """Images and fees of each model, or group that is billed as one, the largest first."""
    images: defaultdict[str, int] = defaultdict(int)
    minor: defaultdict[str, int] = defaultdict(int)
    for line in lines:
        images[line.key.subject] += line.image_count if line.key.kind in COUNTED else 0
        minor[line.key.subject] += line.money.minor
    return tuple(
        Share(name, images[name], minor[name]) for name in sorted(minor, key=lambda name: (-minor[name], name))
    )


def by_day(lines: Iterable[RatedLine], counts: Counts, month: Period, until: date) -> tuple[list[int], list[int]]:
    """Images and fees in minor units of each day of a month; the days add up to the lines.

    A line's amount is shared over its days by their images, a monthly fee evenly; a day's share is what the whole part
    of the running sum grows by. Days from `until` on get nothing: nobody has reported them.
    """
    images, fees = [0] * month.days, [0] * month.days
    per_model: defaultdict[str, list[int]] = defaultdict(lambda: [0] * month.days)
    for (model, day), count in counts.items():
        if day in month:
            per_model[model][(day - month.start).days] += count
    for line in lines:
        first = (line.days.start - month.start).days
        last = (min(line.days.end, max(until, line.days.start + _DAY)) - month.start).days
        weights = [1] * (last - first)
        if line.image_count and line.key.kind in COUNTED:
            rows = [per_model[model] for model in line.models if model in per_model]
            made = [sum(row[n] for row in rows) for n in range(first, last)]
            weights = made if sum(made) else weights
        whole, run, placed = sum(weights), 0, 0
        for n, weight in enumerate(weights, start=first):
            run += weight
            reached = line.money.minor * run // whole
            fees[n] += reached - placed
            placed = reached
    for counted in per_model.values():
        images = [sum(pair) for pair in zip(images, counted, strict=True)]
    return images, fees


def cap_positions(contract: Contract, counts: Counts, ahead: Counts, month: Period) -> tuple[CapPosition, ...]:
    """The caps of a month."""
    to_come = {(use.subject, use.service): use.counted for use in caps(contract, ahead, month.end)}
    return tuple(
        CapPosition(
            use.subject, use.kind, use.images, use.counted, to_come.get((use.subject, use.service), use.counted)
        )
        for use in caps(contract, counts, month.end)
        if use.service.overlap(month)
    )


def horizon(contract: Contract, month: Period, day: date) -> date:
    """Up to which day counts must be expected: the month's end, and the end of every commitment that runs on a day."""
    running = [promise.days.end for promise in contract.promises if day in promise.days]
    return max([month.end, *running])


def commitment_positions(
    contract: Contract, counts: Counts, ahead: Expected, day: date
) -> tuple[CommitmentPosition, ...]:
    """Every commitment that runs on `day`, with what came in up to its end, and where the run rate leads."""
    if not any(day in promise.days for promise in contract.promises):
        return ()
    course = _Course(contract, ahead.counts, max(p.days.end for p in contract.promises if day in p.days))
    states = progress(contract, counts, day + _DAY)
    return tuple(_position(contract, state, course, day) for state in states)


class _Course:
    """The course of a contract under expected counts, asked at the days between which nothing changes."""

    def __init__(self, contract: Contract, counts: Counts, until: date) -> None:
        self._contract, self._tally = contract, contract.tally(counts, until)
        self._months = [
            (service, list(month_lines(contract, service, cells, self._tally)))
            for service, cells in contract.months
            if service.start < until
        ]

    def at(self, day: date) -> Iterator[CommitmentProgress]:
        """Every promise that runs on the day before `day`, which is the first of a month or after a promise."""
        yield from commitment_progress(self._contract, self._clipped(day), self.lines(day), day)

    def lines(self, day: date) -> list[RatedLine]:
        return [line for service, lines in self._months if service.start < day for line in lines]

    def shortfall(self, name: str, days: Period) -> Money:
        """What an invoice would ask for what is missing of a promise when it is over."""
        owed = shortfall_lines(self._contract, self._clipped(days.end), self.lines(days.end), days.end)
        minor = sum(line.money.minor for line in owed if (line.key.subject, line.key.service) == (name, days))
        return Money(self._contract.currency, minor)

    def _clipped(self, day: date) -> Tally:
        size = sum(cell.days.start < day for cell in self._contract.cells)
        blank = [0] * (len(self._contract.cells) - size)
        return {model: [*row[:size], *blank] for model, row in self._tally.items()}


def _position(contract: Contract, now: CommitmentProgress, course: _Course, day: date) -> CommitmentPosition:
    def state_at(until: date) -> CommitmentProgress:
        return next(s for s in course.at(until) if (s.name, s.period) == (now.name, now.period))

    at_end = state_at(now.period.end)
    return CommitmentPosition(
        name=now.name,
        kind=now.kind,
        unit=now.unit,
        billing=now.billing,
        period=now.period,
        target=now.target,
        counted=now.counted,
        remaining=now.remaining,
        carried=now.carried,
        forecast=at_end.counted,
        expected_shortfall=at_end.expected_shortfall,
        expected_unused=at_end.remaining if now.billing != "shortfall" else Decimal(0),
        shortfall=course.shortfall(now.name, now.period),
        exhausted_on=now.exhausted_on,
        burn_down=_burn_down(now, at_end, state_at, day),
    )


def _burn_down(
    now: CommitmentProgress, at_end: CommitmentProgress, state_at: Callable[[date], CommitmentProgress], day: date
) -> tuple[Point, ...]:
    """What had come in when each month began, when tomorrow begins, and when the period is over."""
    tomorrow = day + _DAY
    months = [month.start for month in now.period.months() if now.period.start < month.start < now.period.end]
    points = {now.period.start: now.counted * 0} | {first: state_at(first).counted for first in months}
    points |= {now.period.end: at_end.counted, tomorrow: now.counted}
    return tuple(Point(first, points[first], expected=first > tomorrow) for first in sorted(points))
