"""What of the usage counts as images, under given terms.

Daily counts say what was made and how a model was involved. The terms in force on the day say which of that is billed:
`adapters` decides about models that are involved only through an adapter, `definitions.counted` about previews,
upscales and rejected images, and `definitions.video_frame_factor` what a video frame comes to.

Frames times a factor are rarely whole, and bills are in whole images. So the products of a model's days are added up
exactly through the calendar month, and each day gets what the sum's whole part grows by on it: the month's images are
the whole part of its frames times the factor, every day is a whole number, nothing is lost from day to day, and only
the days' totals matter, not how or in which order they were reported. Shares of a month by any other key (plan,
derivative) are cut from the same sum in the same way, so they add up to the same images.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any, TypeVar

from core.agreements.clauses import Terms
from core.agreements.coverage import in_force
from core.registry.lineage import is_owed
from core.usage.intake.report import IMAGE, Output

K = TypeVar("K", bound=Any)
Share = Fraction | int
VIDEO_FRAME: Output = "video_frame"
_WORD_OF = {"preview": "previews", "upscale": "upscales", "rejected": "rejected"}  # as terms name them


@dataclass(frozen=True, slots=True)
class Cell:
    """A daily count: images or frames made on a day in which a model, by its slug, was involved in a role."""

    model: str
    day: date
    via: str
    plan: str
    role: str
    output: str
    image_count: int


class Timetable:
    """The terms in force on each day, from versions in the order in which they were signed."""

    def __init__(self, versions: Iterable[tuple[date, Terms]]) -> None:
        self._days, self._terms = zip(*in_force(versions), strict=True)

    def on(self, day: date) -> Terms:
        """The terms on a day; the first ones also before they began."""
        if len(self._terms) == 1:
            return self._terms[0]  # type: ignore[no-any-return]
        return self._terms[max(0, bisect_right(self._days, day) - 1)]  # type: ignore[no-any-return]


def weight(terms: Terms, output: str) -> Fraction:
    """How many images one of these counts as: 1, 0, or the factor of a video frame, 0 if the terms have none."""
    if output == IMAGE:
        return Fraction(1)
    if output == VIDEO_FRAME:
        return Fraction(terms.definitions.video_frame_factor or 0)
    return Fraction(int(_WORD_OF[output] in terms.definitions.counted))


def owed_cells(cells: Iterable[Cell], terms_on: Timetable) -> list[Cell]:
    """The counts of models that are owed their fee in their role by the terms of the day, whatever was made."""
    return [cell for cell in cells if is_owed(cell.role, terms_on.on(cell.day).adapters)]


def count_images(cells: Iterable[Cell], terms_on: Timetable) -> dict[tuple[str, date], int]:
    """Billed images by model slug and day; days of no images are left out.

    The days are whole numbers, and a month up to any day is the whole part of its exact sum up to that day.
    """
    return share_images(cells, terms_on, lambda cell: cell.day)


def share_images(cells: Iterable[Cell], terms_on: Timetable, key: Callable[[Cell], K]) -> dict[tuple[str, K], int]:
    """Billed images by model slug and any `key` of the cells; keys of no images are left out.

    For each model and calendar month the images sum up to the same whole number, whatever the key.
    """
    return cut_shares(billed_shares(cells, terms_on), key)


def billed_shares(cells: Iterable[Cell], terms_on: Timetable) -> list[tuple[Cell, Share]]:
    """The counts that are billed, each with what it comes to in images, exactly: to be cut by several keys."""
    found: list[tuple[Cell, Share]] = []
    for cell in owed_cells(cells, terms_on):
        share: Share = cell.image_count  # whole numbers while they can be: most are, and they are quicker
        if cell.output != IMAGE:
            share *= weight(terms_on.on(cell.day), cell.output)
        if share:
            found.append((cell, share))
    return found


def cut_shares(shares: Sequence[tuple[Cell, Share]], key: Callable[[Cell], K]) -> dict[tuple[str, K], int]:
    """`share_images` for counts whose shares are known. Whole shares need no cutting: they add up as they are."""
    images: dict[tuple[str, K], int] = defaultdict(int)
    exact: dict[tuple[str, date], dict[K, Share]] = defaultdict(lambda: defaultdict(int))
    whole = all(isinstance(share, int) for _, share in shares)
    for cell, share in shares:
        if whole:
            images[cell.model, key(cell)] += share  # type: ignore[assignment]
        else:
            exact[cell.model, cell.day.replace(day=1)][key(cell)] += share
    for (model, _), of_month in exact.items():
        total: Share = 0
        grown_to = 0
        for each in sorted(of_month):
            total += of_month[each]
            if grown := int(total) - grown_to:
                images[model, each] += grown
                grown_to += grown
    return {of: count for of, count in images.items() if count}
