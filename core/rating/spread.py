"""How a volume that nobody counted yet is spread over days and models, the same way every time.

Images come one after another, and each has its day and model for good: one image more is one more on one day and fewer
on none. So a larger volume never misses a commitment that a smaller one kept, and break-even can be searched for.
They come in blocks whose fee is a whole number of minor units, where the prices allow it, so that a figure for a year
is not blurred by twelve roundings.
"""

from bisect import bisect_left
from datetime import date
from fractions import Fraction
from functools import reduce
from math import gcd, lcm

from core.agreements.terms import Terms
from core.money import exponent
from core.period import Period
from core.rating.contract import Contract

COARSEST = 1000  # images of a model in a block; prices that would need more are spread image by image
_GOLDEN = 618  # thousandths of the days between one block and the next: early blocks are already far apart


class Spread:
    """Images over the days of one contract that lie in a horizon, evenly over its fee-bearing models."""

    def __init__(self, contract: Contract, horizon: Period) -> None:
        self.horizon = horizon
        runs = [
            (days, contract.versions[n][1]) for period, n in contract.amendments if (days := period.overlap(horizon))
        ]
        models_of = {days: _models(terms) for days, terms in runs}
        grain = _grain([terms for _, terms in runs])
        together = reduce(lcm, (len(models) or 1 for models in models_of.values()), 1)
        self._block = grain * together if together <= COARSEST else grain
        self._days = [(day, models_of[days]) for days, _ in runs for day in days.each_day()]
        count = len(self._days)
        stride = next(n for n in range(max(1, count * _GOLDEN // 1000), count + 2) if gcd(n, count) == 1)
        self._order = [n * stride % count for n in range(count)]
        self._rank = [0] * count
        for rank, n in enumerate(self._order):
            self._rank[n] = rank
        self._runs = self._cells(contract)

    def _cells(self, contract: Contract) -> list[tuple[date, tuple[str, ...], list[int]]]:
        """Days over which nothing changes: their first, the models, and the ranks of the days in order."""
        found, at = [], 0
        for cell in contract.cells:
            days = cell.days.overlap(self.horizon)
            if days:
                found.append((days.start, self._days[at][1], sorted(self._rank[at : at + days.days])))
                at += days.days
        return found

    def by_day(self, images: int) -> dict[tuple[str, date], int]:
        """The images by model and day."""
        rounds, begun, rest = self._place(images)
        counts = {}
        for (day, models), rank in zip(self._days, self._rank, strict=True):
            more = self._block if rank < begun else rest if rank == begun else 0
            for model, share in zip(models, _shares(rounds * self._block + more, len(models)), strict=True):
                if share:
                    counts[model, day] = share
        return counts

    def by_cell(self, images: int) -> dict[tuple[str, date], int]:
        """The same, each run of days over which nothing changes put on its first: as good for rating, and far less."""
        rounds, begun, rest = self._place(images)
        counts = {}
        for day, models, ranks in self._runs:
            full = bisect_left(ranks, begun)
            partial = rest if full < len(ranks) and ranks[full] == begun else None
            others = len(ranks) - full - (partial is not None)
            fuller = _shares((rounds + 1) * self._block, len(models))
            plainer = _shares(rounds * self._block, len(models))
            last = _shares(rounds * self._block + (partial or 0), len(models))
            for n, model in enumerate(models):
                share = full * fuller[n] + others * plainer[n] + (last[n] if partial is not None else 0)
                if share:
                    counts[model, day] = share
        return counts

    def _place(self, images: int) -> tuple[int, int, int]:
        """Blocks on every day, days that get one more, and the images in the block that is not full."""
        blocks, rest = divmod(images, self._block)
        rounds, begun = divmod(blocks, len(self._days))
        return rounds, begun, rest


def spread(contract: Contract, images: int, horizon: Period) -> dict[tuple[str, date], int]:
    """The images by (model, day), evenly over the fee-bearing models and the days of the horizon."""
    return Spread(contract, horizon).by_day(images)


def _shares(images: int, models: int) -> list[int]:
    """The images over so many models, the first of them getting what is left over; over none, nothing."""
    return [images // models + (n < images % models) for n in range(models)]


def _models(terms: Terms) -> tuple[str, ...]:
    """The models that owe a fee per image; every model where none does."""
    priced = tuple(model for fee in terms.fees if fee.schedule.kind != "zero" for model in fee.models)
    return priced or terms.models


def _grain(versions: list[Terms]) -> int:
    """The fewest images whose fee is a whole number of minor units at every rate; 1 when that is too coarse a grain."""
    grain = 1
    for terms in versions:
        minor = 10 ** exponent(terms.currency)
        worths = [Fraction(conversion.rate) for conversion in terms.conversions] or [Fraction(1)]
        rates = {tier.rate for fee in terms.fees if fee.schedule.kind != "package" for tier in fee.schedule.tiers}
        for rate in rates:
            for worth in worths:
                grain = lcm(grain, (Fraction(rate) * worth * minor).denominator)
                if grain > COARSEST:
                    return 1
    return grain
