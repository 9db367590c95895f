"""What is left of rated lines while commitments take from them, one after the other, oldest lines first.

A share of a line is a share of both its images and its amount. Whole lines are taken to the last minor unit; a part is
rounded once, and whoever takes the rest takes exactly the rest, so no cent is taken twice or forgotten.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from core.money import round_half_up
from core.rating.commitment import Promise
from core.rating.line import KINDS, RatedLine


@dataclass(slots=True)
class Meter:
    """A rated line and what nobody has taken of it yet."""

    line: RatedLine
    images: int
    minor: int

    def quantity(self, kind: str) -> int:
        """What is left, in the quantity that a commitment of this kind counts."""
        return self.images if kind == "images" else self.minor

    def take(self, kind: str, most: int) -> tuple[int, int]:
        """Takes up to `most` images or minor units; how many images and minor units that were."""
        left = self.quantity(kind)
        if left <= 0 or most <= 0:
            return 0, 0
        if most >= left:
            taken = self.images, self.minor
        elif kind == "images":
            taken = most, round_half_up(Fraction(self.minor * most, left))
        else:
            taken = self.images * most // left, most
        self.images -= taken[0]
        self.minor -= taken[1]
        return taken


def meters_of(fees: Iterable[RatedLine]) -> list[Meter]:
    """Full meters on fee lines, oldest first; on the same day by subject, so that the order of terms is no matter."""
    lines = [line for line in fees if line.key.kind != "zero"]
    lines.sort(key=lambda line: (line.days.start, line.key.subject, KINDS.index(line.key.kind)))
    return [Meter(line, line.image_count, line.money.minor) for line in lines]


def in_scope(promise: Promise, line: RatedLine) -> bool:
    """Whether a line belongs to a promise: its days and all of its models do. Fences see to it that none straddles.

    A monthly fee for the whole agreement names no model; it counts towards commitments over all models alone.
    """
    if not promise.days.start <= line.days.start < promise.days.end:
        return False
    wanted = promise.commitment.models
    return wanted is None or (bool(line.models) and all(model in wanted for model in line.models))
