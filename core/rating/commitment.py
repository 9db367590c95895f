"""Commitments: the periods they run over and what is promised for each.

A `month` is a calendar month; a `quarter` or `year` is counted from the day on which the commitment starts. What the
end of the term cuts short is promised in proportion to its days. An early termination does the same, or leaves the
running period due in full, as the terms say; periods that had not begun by then are not owed.
"""

from calendar import monthrange
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from core.agreements.terms import Commitment, Terms
from core.money import Money, round_half_up
from core.period import Period

_MONTHS = {"month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True, slots=True)
class Promise:
    """One commitment over one of its periods, in images or in minor units of the invoice currency.

    `agreed` are the days it was made for and `agreed_target` what was promised for them; `days` and `target` are what
    an early termination leaves of both. `place` is its place among the commitments that are drawn down.
    """

    commitment: Commitment
    days: Period
    target: int
    amendment: int
    agreed: Period
    agreed_target: int
    place: tuple[int, int]

    @property
    def ended_early(self) -> bool:
        return self.days.end < self.agreed.end

    def goes_on_as(self, later: "Promise") -> bool:
        """Whether `later` is the next period of the same promise: only then can anything roll over to it."""
        one, other = self.commitment, later.commitment
        return (one.kind, one.prepaid, self.days.end) == (other.kind, other.prepaid, later.days.start)


def promises(terms: Terms, amendment: int, term: Period, ended_on: date | None) -> Iterator[Promise]:
    """Every period of every commitment in some terms, as if they were in force throughout."""
    last = len(terms.commitments)
    for position, commitment in enumerate(terms.commitments):
        window = _window(commitment, term)
        if window is None:
            continue
        whole_target = _target(commitment, Fraction(1), terms.currency)
        place = commitment.order or last + 10**9, position  # those without an order come after those with one
        for whole in _periods(commitment.period, window):
            agreed = whole.overlap(window)
            if agreed is None or (ended_on is not None and agreed.start >= ended_on):
                continue
            ran = agreed if ended_on is None or ended_on >= agreed.end else Period(agreed.start, ended_on)
            agreed_target = whole_target
            if agreed != whole:
                agreed_target = _target(commitment, Fraction(agreed.days, whole.days), terms.currency)
            target = agreed_target
            if ran != agreed and terms.early_termination == "prorated":
                target = _target(commitment, Fraction(ran.days, whole.days), terms.currency)
            yield Promise(commitment, ran, target, amendment, agreed, agreed_target, place)


def chains(found: Iterable[Promise]) -> list[list[Promise]]:
    """The promises of each commitment in the order of their days; commitments by the place of their last period."""
    by_name: dict[str, list[Promise]] = {}
    for promise in found:
        by_name.setdefault(promise.commitment.name, []).append(promise)
    return sorted(by_name.values(), key=lambda chain: (chain[-1].place, chain[-1].commitment.name))


def instalment_days(promise: Promise) -> tuple[Period, ...]:
    """The agreed days of a prepaid promise, cut at the days on which its parts fall due."""
    every = promise.commitment.instalments
    if every is None:
        return (promise.agreed,)
    first, end, parts = promise.agreed.start, promise.agreed.end, []
    start, n = first, 0
    while start < end:
        n += _MONTHS[every]
        until = min(months_later(first, n), end)
        parts.append(Period(start, until))
        start = until
    return tuple(parts)


def months_later(day: date, months: int) -> date:
    """The same day of a later month, or that month's last day: one month after 31 January is 28 February."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _window(commitment: Commitment, term: Period) -> Period | None:
    """The part of the term over which a commitment runs; None when its own dates leave nothing of it."""
    start = max(term.start, commitment.starts_on or term.start)
    end = min(term.end, commitment.ends_on or term.end)
    return Period(start, end) if start < end else None


def _target(commitment: Commitment, share: Fraction, currency: str) -> int:
    exact = Fraction(commitment.quantity) * share
    return round_half_up(exact) if commitment.kind == "images" else Money.rounded(exact, currency).minor


def _periods(period: str, window: Period) -> Iterator[Period]:
    """The whole periods that touch the window; the first and last may reach beyond it."""
    if period == "term":
        yield window
    elif period == "month":
        yield from window.months()
    else:
        start, n = window.start, 0
        while start < window.end:
            n += _MONTHS[period]
            end = months_later(window.start, n)
            yield Period(start, end)
            start = end
