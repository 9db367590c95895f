"""The pass-through floor: the lowest price per image to end users that does not lose money on the licence fee.

The fee is owed for every image, paid for or given away; only the images that end users pay for bring anything in. The
margin is the part of what end users pay that must be left after the fee.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from core.agreements.reading import MAX_COUNT
from core.errors import InvalidInput
from core.money import Money, plain
from core.rating.forecast import percent_said

MOST_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Floor:
    """`price` credits per paid image, the lowest with `decimals` decimals; `exact` before it was rounded up.

    `brought_in` is what the paid images bring at `price`, in the currency, exactly; `kept` what is left after the fee.
    """

    credit: str
    decimals: int
    worth: Decimal
    free_share: Fraction
    margin: Fraction
    images: int
    paid_images: Fraction
    cost: Money
    exact: Fraction
    price: Decimal
    brought_in: Fraction
    kept: Fraction

    @property
    def sentence(self) -> str:
        """How the floor was worked out, so that anyone can do it again."""
        currency = self.cost.currency
        worth = "" if self.credit == currency else f" ({plain(self.worth)} {currency} each)"
        whole = self.paid_images.numerator // self.paid_images.denominator
        paid = f"{whole:,}" if whole == self.paid_images else plain(self.paid_images, 2)
        places = "whole credits" if not self.decimals else f"{self.decimals} decimals"
        places = f"the {self.decimals} decimals of {currency}" if self.credit == currency else places
        return (
            f"Pass-through floor: {plain(self.price)} {self.credit} per paid image{worth}. The fee of {self.cost} for "
            f"{self.images:,} images falls on the {paid} paid for "
            f"({percent_said(self.free_share)} are free), and {percent_said(self.margin)} of what they bring is kept: "
            f"{plain(self.exact, 6)} {self.credit}, rounded up to {places}."
        )


def pass_through_floor(
    total: Money,
    images: int,
    *,
    credit: str,
    worth: Decimal,
    decimals: int,
    free_share: Fraction = Fraction(0),
    margin: Fraction = Fraction(0),
) -> Floor:
    """The lowest price with which the paid images pay the fee for all and leave the margin.

    Raises `InvalidInput` (`no_floor`) where no price can: no images, nobody who pays, nothing left of the price.
    """
    if not images:
        raise InvalidInput("no_floor", "without an image nobody pays: a floor needs a volume")
    if not 0 <= free_share < 1:
        raise InvalidInput("no_floor", "the free share must be from 0% to below 100%: somebody has to pay")
    if not 0 <= margin < 1:
        raise InvalidInput("no_floor", "the margin must be from 0% to below 100% of what end users pay")
    if not 0 <= decimals <= MOST_DECIMALS:
        raise InvalidInput("no_floor", f"a credit has 0 to {MOST_DECIMALS} decimals, not {decimals}")
    if not 0 < worth <= MAX_COUNT:
        raise InvalidInput("no_floor", "say what one credit is worth: a number above zero")
    paid = images * (1 - free_share)
    exact = Fraction(total.amount) / (paid * Fraction(worth) * (1 - margin))
    scale = 10**decimals
    steps = -((-exact * scale).numerator // (exact * scale).denominator)
    price = Decimal(plain(Fraction(steps, scale)))
    brought_in = Fraction(price) * paid * Fraction(worth)
    return Floor(
        credit=credit,
        decimals=decimals,
        worth=worth,
        free_share=free_share,
        margin=margin,
        images=images,
        paid_images=paid,
        cost=total,
        exact=exact,
        price=price,
        brought_in=brought_in,
        kept=brought_in - Fraction(total.amount),
    )
