"""Costs against volume, drawn quickly: points are remembered for a while, so that dragging a slider asks for few."""

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from core.errors import InvalidInput
from core.rating.curve import BreakEven, Curve, Point, break_even
from core.rating.offers import Offer

STEPS = 20
MOST_WORK = 60_000  # cells that one answer may have rated, of some 60 microseconds each
_SEARCHED = 110


@dataclass(frozen=True, slots=True)
class Drawn:
    """An offer at the volumes that are drawn, and where its commitments stop binding."""

    offer: Offer
    curve: Curve
    even: BreakEven
    points: tuple[Point, ...]

    def at(self, images: int) -> Point:
        return self.curve.at(images)


def drawn(offer: Offer, most: int, guess: int | None = None) -> Drawn:
    """The offer over its term, from nothing to `most` images, with its break-even among the points. `guess` is where
    the break-even may well be: that of the same terms at another price.
    """
    curve = _curve(offer)
    if curve.cells * (STEPS + (_SEARCHED if curve.promised else 1)) > MOST_WORK:
        raise InvalidInput(
            "quote_too_large", "these terms are too large to be drawn here: try them with `perimage quote`"
        )
    even = _even(offer, guess)
    volumes = {most * n // STEPS for n in range(STEPS + 1)}
    if even.images is not None and even.images <= most:
        volumes.add(even.images)
    return Drawn(offer, curve, even, tuple(curve.at(images) for images in sorted(volumes)))


@lru_cache(maxsize=128)
def _curve(offer: Offer) -> Curve:
    return Curve([offer], "term")


@lru_cache(maxsize=512)
def _even(offer: Offer, guess: int | None) -> BreakEven:
    return break_even(_curve(offer), guess)


def nice_top(images: int) -> int:
    """A round number at least as large: 1, 2, 5 or 10 times a power of ten."""
    unit = 10 ** max(3, len(str(max(images, 1))) - 1)
    return next(unit * n for n in (1, 2, 5, 10) if unit * n >= images)


def per_image(point: Point) -> Decimal | None:
    """What an image costs in the end, in the unit of the terms where there is one, else in the currency."""
    rate = point.effective_unit_rate if point.effective_unit_rate is not None else point.effective_rate
    return None if rate is None else Decimal(rate.numerator) / Decimal(rate.denominator)
