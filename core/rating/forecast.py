"""Forecasts: how many images each month is expected to bring, in whole images that add up to what was meant.

Growth compounds month by month and is exact; a month's images are the difference of two rounded running totals, so
that nothing is gained or lost by rounding: after any number of months the sum is the exact one, rounded once.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from core.agreements.reading import MAX_COUNT
from core.errors import InvalidInput
from core.money import decimal_of, plain, round_half_up
from core.period import Period

MOST_MONTHS = 400
_YEAR = 12
_PERCENT = re.compile(r"(-?\d{1,6}(?:\.\d{1,6})?) ?%", re.ASCII)
_WHOLE = re.compile(r"\d{1,16}", re.ASCII)
_HEADER = ["month", "images"]


@dataclass(frozen=True, slots=True)
class Forecast:
    """Images a month: `monthly` in the first (in an average month, where it has `weights`), or `total` over all.

    `growth` is added from month to month, compounded; `weights` say how strong each calendar month is, January first;
    `months` is how many (None: to the end of the term). Or `listed`: the images of calendar months, nothing computed.
    """

    monthly: Fraction | None = None
    total: int | None = None
    growth: Fraction = Fraction(0)
    weights: tuple[Fraction, ...] = ()
    months: int | None = None
    listed: tuple[tuple[Period, int], ...] = ()

    def __post_init__(self) -> None:
        if sum((self.monthly is not None, self.total is not None, bool(self.listed))) != 1:
            raise _wrong("say how many images: a month, in total, or a list of months")
        if self.listed and (self.growth or self.weights or self.months is not None):
            raise _wrong("a list of months says everything: leave growth, season and the number of months out")
        if self.growth <= -1:
            raise _wrong("growth must be above -100%: nothing can shrink by more than all of it")
        if self.weights and (len(self.weights) != _YEAR or min(self.weights) < 0 or not sum(self.weights)):
            raise _wrong("a season has twelve weights, January first, none below zero and not all of them zero")
        if self.months is not None and not 1 <= self.months <= MOST_MONTHS:
            raise _wrong(f"a forecast is over 1 to {MOST_MONTHS} months, not {self.months}")
        if not 0 <= (self.monthly or 0) <= MAX_COUNT or not 0 <= (self.total or 0) <= MAX_COUNT:
            raise _wrong(f"write a number of images from 0 to {MAX_COUNT:,}")

    def images_of(self, services: Sequence[Period]) -> list[int]:
        """The images of each of the first months of a contract, given all of its months.

        Raises `InvalidInput` where the forecast goes on after the contract, or out of all proportion.
        """
        if self.listed:
            return self._listed(services)
        months = self.months or len(services)
        if months > min(len(services), MOST_MONTHS):
            most = min(len(services), MOST_MONTHS)
            raise _wrong(f"{months} months are more than the {most} that can be forecast here: the term has no more")
        mean = sum(self.weights, Fraction(0)) / _YEAR if self.weights else Fraction(1)
        shape, grown = [], Fraction(1)
        for service in services[:months]:
            weight = self.weights[service.start.month - 1] / mean if self.weights else Fraction(1)
            shape.append(grown * weight)
            grown *= 1 + self.growth
        if self.monthly is not None:
            scale = self.monthly
        elif not sum(shape):
            raise _wrong("every month of the forecast weighs nothing, so the images have no place")
        else:
            scale = Fraction(self.total or 0) / sum(shape)
        return _whole([scale * month for month in shape])

    def _listed(self, services: Sequence[Period]) -> list[int]:
        known = {Period.month_of(service.start): n for n, service in enumerate(services)}
        for month, _ in self.listed:
            if month not in known:
                last = Period.month_of(services[-1].start)
                raise _wrong(
                    f"{month.name} is outside the term, which runs from {min(known).name} to {last.name}: leave it out"
                )
        last_listed = max(known[month] for month, _ in self.listed)
        found = [0] * (last_listed + 1)
        for month, images in self.listed:
            found[known[month]] = images
        return found


def percentage(written: object, what: str) -> Fraction:
    """A share or a growth as people write it: "3%", "-2.5%"."""
    found = _PERCENT.fullmatch(written) if isinstance(written, str) else None
    if not found:
        raise _wrong(f"{what}: write a percentage such as 3%, not {str(written)[:40]!r}")
    return Fraction(decimal_of(found[1], what)) / 100


def percent_said(share: Fraction) -> str:
    """A share as a percentage: "40%"."""
    return f"{plain(share * 100)}%"


def listed_months(rows: Sequence[tuple[str, int]], what: str) -> Forecast:
    """A forecast from (month, images), such as ("2026-01", 1000000); each month once."""
    if not 1 <= len(rows) <= MOST_MONTHS:
        raise _wrong(f"{what}: list 1 to {MOST_MONTHS} months, not {len(rows)}")
    found: dict[Period, int] = {}
    for name, images in rows:
        month = Period.month(name)
        if month in found:
            raise _wrong(f"{what}: {name} is listed twice: keep one")
        if not 0 <= images <= MAX_COUNT:
            raise _wrong(f"{what}: {name} has {images} images; write a whole number from 0 to {MAX_COUNT:,}")
        found[month] = images
    return Forecast(listed=tuple(sorted(found.items())))


def csv_months(text: str, what: str) -> Forecast:
    """A forecast from a CSV file with the columns month and images."""
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))
    if not rows or [cell.strip().lower() for cell in rows[0]] != _HEADER:
        raise _wrong(f"{what}, line 1: the first line must be `month,images`")
    found = []
    for number, row in enumerate(rows[1 : MOST_MONTHS + 2], start=2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(_HEADER):
            raise _wrong(f"{what}, line {number}: write a month and its images, such as 2026-01,1000000")
        month, images = (cell.strip() for cell in row)
        if not _WHOLE.fullmatch(images):
            raise _wrong(f"{what}, line {number}: images are a whole number without separators, not {images[:40]!r}")
        try:
            Period.month(month)
        except InvalidInput as error:
            raise _wrong(f"{what}, line {number}: {error.sentence}") from None
        found.append((month, int(images)))
    return listed_months(found, what)


def _whole(exact: Sequence[Fraction]) -> list[int]:
    """Whole images whose running totals are the exact ones, rounded."""
    found, total, placed = [], Fraction(0), 0
    for month in exact:
        total += month
        if total > MAX_COUNT:
            raise _wrong(f"the forecast grows beyond {MAX_COUNT:,} images: write a smaller growth")
        reached = round_half_up(total)
        found.append(reached - placed)
        placed = reached
    return found


def _wrong(sentence: str) -> InvalidInput:
    return InvalidInput("invalid_forecast", sentence)
