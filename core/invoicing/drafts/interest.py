"""Late-payment interest: simple, a yearly percentage on what was open, by the day, actual/365.

A night counts for the day on which it begins: paid on the due day there is none, paid on the next there is one night of
it. What is taken off an invoice on a day, by a payment, a credit note or a write-off, bears none from that night on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

from core.money import plain
from core.period import Period

DAYS_A_YEAR = 365


@dataclass(frozen=True, slots=True)
class OpenRun:
    """Nights `[start, end)` in which the same amount was open, in minor units."""

    days: Period
    open_minor: int


def open_runs(amount_minor: int, due_on: date, reductions: Mapping[date, int], within: Period) -> tuple[OpenRun, ...]:
    """The nights of `within`, from the due day on, in which something was open, and how much.

    `reductions` are amounts by the day on which they were taken off; one below zero is a payment that came back. What
    was open is never below zero and never above what was asked for.
    """
    start = max(due_on, within.start)
    if start >= within.end:
        return ()
    cuts = sorted({start, within.end, *(day for day in reductions if start < day < within.end)})
    runs = []
    for first, last in pairwise(cuts):
        taken = sum(minor for day, minor in reductions.items() if day <= first)
        left = min(amount_minor, max(0, amount_minor - taken))
        if left:
            runs.append(OpenRun(Period(first, last), left))
    return tuple(runs)


def interest_on(runs: tuple[OpenRun, ...], yearly_percent: Decimal) -> Fraction:
    """The interest on the runs in minor units, exactly; whoever makes a line of it rounds it once."""
    nights = sum(run.open_minor * run.days.days for run in runs)
    return Fraction(nights) * Fraction(yearly_percent) / 100 / DAYS_A_YEAR


def workings_of(runs: tuple[OpenRun, ...], yearly_percent: Decimal, currency: str, scale: int) -> tuple[
    dict[str, Any], ...
]:  # fmt: skip
    """How the interest comes about, as rows of workings that can be recomputed by hand."""
    rows = []
    for run in runs:
        left = plain(Fraction(run.open_minor, scale))
        exact = interest_on((run,), yearly_percent) / scale
        last = run.days.end - timedelta(days=1)
        span = f"{run.days.start} to {last}" if last != run.days.start else str(run.days.start)
        nights = f"{run.days.days} {'night' if run.days.days == 1 else 'nights'}"
        rows.append(
            {
                "step": "interest",
                "text": f"{span}, {nights}: {left} {currency} open × {plain(yearly_percent)} % a year × "
                f"{run.days.days}/{DAYS_A_YEAR} = {plain(exact)} {currency}",
            }
        )
    return tuple(rows)
