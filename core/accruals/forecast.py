"""What the days that nobody reported yet are expected to bring: the run rate by weekday, as anyone can work it out.

Of the last days that were heard of, each day to come brings the average of its weekday; where a weekday was heard of
less than twice, the average of all of them. A day that was said to be zero counts as zero, a silent one not at all. The
running day brings at least what came in on it already. Averages are exact; a model's images are rounded as running
totals, so that over any number of days nothing is gained or lost.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

from core.money import round_half_up
from core.period import Period
from core.rating.rate import Contract, Counts

LOOK_BACK = 28  # days up to the last that was heard of: every weekday four times
LEAST_OF_A_WEEKDAY = 2
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Expected:
    """Counts with the days to come filled in, and the method in words."""

    counts: dict[tuple[str, date], int]
    method: str


def expected(contract: Contract, counts: Counts, heard: Collection[date], today: date, days: Period) -> Expected:
    """Fills in those of the days that come after the last that was heard of, as far as the contract runs.

    `heard` are days before `today` that were reported or said to be zero; `counts` what came in, of today too.
    """
    past = sorted(day for day in heard if day < today)
    if not past:
        return Expected(dict(counts), "nothing was reported yet, so no images are expected")
    last = past[-1]
    window = [day for day in past if day > last - LOOK_BACK * _DAY]
    rates = _rates(counts, window)
    filled = dict(counts)
    start, end = max(days.start, last + _DAY), min(days.end, contract.in_force.end)
    exact: defaultdict[str, Fraction] = defaultdict(Fraction)
    placed: defaultdict[str, int] = defaultdict(int)
    for cell in contract.cells:
        shared = cell.days.overlap(Period(start, end)) if start < end else None
        for day in shared.each_day() if shared else ():
            for model in cell.terms.models:
                if model not in rates:
                    continue
                exact[model] += rates[model][day.weekday()]
                reached = round_half_up(exact[model])
                images, placed[model] = reached - placed[model], reached
                if images > counts.get((model, day), 0):
                    filled[model, day] = images
    return Expected(filled, _said(window, last))


def _rates(counts: Counts, window: list[date]) -> dict[str, tuple[Fraction, ...]]:
    """The images of each model on a Monday, a Tuesday and so on."""
    heard = [0] * 7
    for day in window:
        heard[day.weekday()] += 1
    sums: dict[str, list[int]] = {}
    known = set(window)
    for (model, day), images in counts.items():
        if day in known:
            sums.setdefault(model, [0] * 7)[day.weekday()] += images
    return {
        model: tuple(
            Fraction(of_day[n], heard[n]) if heard[n] >= LEAST_OF_A_WEEKDAY else Fraction(sum(of_day), len(window))
            for n in range(7)
        )
        for model, of_day in sums.items()
    }


def _said(window: list[date], last: date) -> str:
    days = f"{len(window)} reported {'day' if len(window) == 1 else 'days'}"
    return (
        f"counted up to {last}; each later day as the average of its weekday over the {days} "
        f"from {window[0]} to {last}, or of all of them where a weekday was reported less than twice"
    )


def counts_in(counts: Mapping[tuple[str, date], int], days: Period) -> int:
    """The images of all models on these days."""
    return sum(images for (_, day), images in counts.items() if day in days)
