"""Commitments: the periods they run over, what is promised for each, and how far it has come.

A `month` is a calendar month; a `quarter` or `year` is counted from the day on which the commitment starts. What the
end of the term cuts short is promised in proportion to its days. An early termination does the same, or leaves the
running period due in full, as the terms say; periods that had not begun by then are not owed.
"""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from core.agreements.terms import Commitment, Terms
from core.money import Money, round_half_up
from core.period import Period

_MONTHS = {"quarter": 3, "year": 12}


@dataclass(frozen=True, slots=True)
class Promise:
    """One commitment over one of its periods. `target` is in images, or in minor units of the invoice currency."""

    commitment: Commitment
    days: Period
    target: int
    amendment: int


@dataclass(frozen=True, slots=True)
class CommitmentProgress:
    """How far a running commitment has come.

    Quantities are in `unit`: "images", or the invoice currency. `forecast` carries the pace so far on in a straight
    line, by days, to the end of the period; `expected_shortfall` is what would then be missing.
    """

    name: str
    kind: str
    unit: str
    period: Period
    target: Decimal
    counted: Decimal
    remaining: Decimal
    fraction_done: Fraction
    forecast: Decimal
    expected_shortfall: Decimal


def promises(terms: Terms, amendment: int, term: Period, ended_on: date | None) -> Iterator[Promise]:
    """Every period of every commitment in some terms, as if they were in force throughout."""
    for commitment in terms.commitments:
        window = _window(commitment, term)
        if window is None:
            continue
        for whole in _periods(commitment.period, window):
            agreed = whole.overlap(window)
            if agreed is None or (ended_on is not None and agreed.start >= ended_on):
                continue
            ran = agreed if ended_on is None or ended_on >= agreed.end else Period(agreed.start, ended_on)
            share = Fraction(agreed.days if terms.early_termination == "full" else ran.days, whole.days)
            yield Promise(commitment, ran, _target(commitment, share, terms.currency), amendment)


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
            end = _months_later(window.start, n)
            yield Period(start, end)
            start = end


def _months_later(day: date, months: int) -> date:
    """The same day of a later month, or that month's last day: one month after 31 January is 28 February."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def progress_of(promise: Promise, counted: int, as_of: date, currency: str) -> CommitmentProgress:
    """The progress of a promise of which `counted` (images or minor units) has come in on days before `as_of`."""
    images = promise.commitment.kind == "images"
    elapsed = (min(as_of, promise.days.end) - promise.days.start).days
    forecast = round_half_up(Fraction(counted * promise.days.days, elapsed))

    def shown(quantity: int) -> Decimal:
        return Decimal(quantity) if images else Money(currency, quantity).amount

    return CommitmentProgress(
        name=promise.commitment.name,
        kind=promise.commitment.kind,
        unit="images" if images else currency,
        period=promise.days,
        target=shown(promise.target),
        counted=shown(counted),
        remaining=shown(max(0, promise.target - counted)),
        fraction_done=Fraction(counted, promise.target) if promise.target else Fraction(1),
        forecast=shown(forecast),
        expected_shortfall=shown(max(0, promise.target - forecast)),
    )
