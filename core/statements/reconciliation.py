"""The licensee's own daily totals against ours: where they differ, by how much, and whether that is more than agreed.

Licence contracts name a threshold (5 % as a rule) above which an under-report has consequences. It is compared with
the whole period's difference; single days are shown whatever they come to, since days often differ by their edges.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from core.errors import InvalidInput
from core.money import plain
from core.period import Period

DEFAULT_THRESHOLD = Fraction(5, 100)
MAX_ROWS = 1_000_000
COLUMNS = ("model", "day", "image_count")
_MAX_DIGITS = 15
Totals = Mapping[tuple[str, date], int]


@dataclass(frozen=True, slots=True)
class Difference:
    """Images of a model, on a day or (`day` None) in the whole period: theirs and ours."""

    model: str
    day: date | None
    theirs: int
    ours: int

    @property
    def images(self) -> int:
        """How many more we counted than they did."""
        return self.ours - self.theirs

    @property
    def share(self) -> Fraction | None:
        """The difference as a part of the larger number; None where there were no images at all."""
        most = max(self.ours, self.theirs)
        return Fraction(self.images, most) if most else None


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Every model and day on which the totals differ, the sums of each model, and of all."""

    days: list[Difference]
    models: list[Difference]
    whole: Difference
    threshold: Fraction

    @property
    def beyond_threshold(self) -> bool:
        """Whether the whole period differs by more than agreed, either way."""
        share = self.whole.share
        return share is not None and abs(share) > self.threshold

    def document(self) -> dict[str, Any]:
        """The whole as JSON types; shares in percent."""
        return {
            "days": [_shown(each) for each in self.days],
            "models": [_shown(each) for each in self.models],
            "whole": _shown(self.whole),
            "threshold": f"{plain(self.threshold * 100, 2)} %",
            "beyond_threshold": self.beyond_threshold,
        }


def reconcile(theirs: Totals, ours: Totals, threshold: Fraction | Decimal = DEFAULT_THRESHOLD) -> Reconciliation:
    """Compares totals by model and day; what one side does not name is nothing there."""
    both = sorted(theirs.keys() | ours.keys())
    days = [Difference(model, day, theirs.get((model, day), 0), ours.get((model, day), 0)) for model, day in both]
    models = [_sum(model, [each for each in days if each.model == model]) for model in sorted({m for m, _ in both})]
    return Reconciliation([each for each in days if each.images], models, _sum("", days), Fraction(threshold))


def _shown(found: Difference) -> dict[str, Any]:
    counts = {"theirs": found.theirs, "ours": found.ours, "images": found.images}
    share = "" if found.share is None else f"{plain(found.share * 100, 2)} %"
    return {"model": found.model, "day": found.day and found.day.isoformat(), **counts, "share": share}


def read_totals(text: str, period: Period) -> dict[tuple[str, date], int]:
    """Daily totals from CSV with the columns model, day and image_count, each model and day once.

    Raises InvalidInput that names the row: the header is row 1.
    """
    reader = csv.reader(text.removeprefix("\ufeff").splitlines())
    header = [name.strip() for name in next(reader, [])]
    if sorted(header) != sorted(COLUMNS):
        raise InvalidInput(
            "wrong_columns", f"the columns must be {', '.join(COLUMNS)}, not {', '.join(header) or 'none'}"
        )
    places = [header.index(name) for name in COLUMNS]
    try:
        return gathered(([cells[at] for at in places if at < len(cells)] for cells in reader), period, first=2)
    except csv.Error as problem:
        raise InvalidInput("not_csv", f"the file is not CSV: {problem}") from None


def gathered(rows: Iterable[Sequence[str]], period: Period, *, first: int = 1) -> dict[tuple[str, date], int]:
    """Daily totals from rows of a model, a day and a count, each model and day once. An empty row says nothing.

    Raises InvalidInput that names the row, counted from `first`.
    """
    found: dict[tuple[str, date], int] = {}
    for number, cells in enumerate(rows, start=first):
        if not cells:
            continue
        if number > MAX_ROWS:
            raise InvalidInput("too_many_rows", f"totals may have at most {MAX_ROWS:,} rows")
        model, day, images = _row(number, cells, period)
        if (model, day) in found:
            raise InvalidInput("row_given_twice", f"row {number}: {model} on {day} is given twice")
        found[model, day] = images
    return found


def _row(number: int, cells: Sequence[str], period: Period) -> tuple[str, date, int]:
    if len(cells) != len(COLUMNS):
        raise InvalidInput("wrong_row", f"row {number} must have {len(COLUMNS)} cells")
    model, written, images = (cell.strip() for cell in cells)
    try:
        day = date.fromisoformat(written)
    except ValueError:
        raise InvalidInput("wrong_day", f"row {number}: a day is written YYYY-MM-DD, not {written[:40]!r}") from None
    if day not in period:
        raise InvalidInput("wrong_day", f"row {number}: {day} is not in {period.name}")
    if not (images.isascii() and images.isdigit() and len(images) <= _MAX_DIGITS):
        raise InvalidInput(
            "wrong_count", f"row {number}: image_count must be a whole number in digits, not {images[:40]!r}"
        )
    if not model:
        raise InvalidInput("wrong_model", f"row {number} names no model")
    return model, day, int(images)


def _sum(model: str, differences: Iterable[Difference]) -> Difference:
    listed = list(differences)
    return Difference(model, None, sum(each.theirs for each in listed), sum(each.ours for each in listed))
