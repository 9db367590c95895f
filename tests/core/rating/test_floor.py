"""The pass-through floor: at it nothing is lost, one step of the credit below it something is."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.money import Money
from core.rating.floor import pass_through_floor
from core.rating.quote import quote
from tests.core.rating.test_quote import offers

BUZZ = {"credit": "BUZZ", "worth": Decimal("0.001"), "decimals": 0}


def test_the_sd3_offer_at_30_million_images_with_two_fifths_given_away() -> None:
    """588,000 USD over 18,000,000 paid images is 32.67 Buzz; with a tenth kept 36.30; rounded up 33 and 37."""
    total = quote(offers("sd3-enterprise"), 30_000_000, rate=Decimal(14)).total
    plain = pass_through_floor(total, 30_000_000, **BUZZ, free_share=Fraction(2, 5))
    assert (plain.price, plain.paid_images) == (33, 18_000_000)
    assert plain.exact == Fraction(98, 3)
    kept = pass_through_floor(total, 30_000_000, **BUZZ, free_share=Fraction(2, 5), margin=Fraction(1, 10))
    assert kept.price == 37
    assert kept.kept >= kept.brought_in / 10
    assert "rounded up to whole credits" in kept.sentence


def test_without_free_images_and_margin_the_floor_is_the_effective_price_rounded_up() -> None:
    found = pass_through_floor(Money("USD", 588_000_00), 30_000_000, **BUZZ)
    assert (found.exact, found.price) == (Fraction("19.6"), 20)


def test_a_price_that_needs_no_rounding_is_not_rounded() -> None:
    found = pass_through_floor(Money("USD", 500_000_00), 10_000_000, **BUZZ)
    assert (found.exact, found.price, found.kept) == (50, 50, 0)


def test_a_currency_is_priced_in_its_own_decimals() -> None:
    found = pass_through_floor(Money("USD", 1), 1000, credit="USD", worth=Decimal(1), decimals=2)
    assert found.price == Decimal("0.01")
    assert "the 2 decimals of USD" in found.sentence


@given(
    minor=st.integers(0, 10**12),
    images=st.integers(1, 10**10),
    free=st.integers(0, 99),
    margin=st.integers(0, 99),
    worth=st.sampled_from(["0.001", "0.0007", "1"]),
    decimals=st.integers(0, 6),
)
def test_at_the_floor_nothing_is_lost_and_one_step_below_it_something_is(
    *, minor: int, images: int, free: int, margin: int, worth: str, decimals: int
) -> None:
    total = Money("USD", minor)
    found = pass_through_floor(
        total,
        images,
        credit="BUZZ",
        worth=Decimal(worth),
        decimals=decimals,
        free_share=Fraction(free, 100),
        margin=Fraction(margin, 100),
    )

    def left(price: Fraction) -> Fraction:
        """What is left of the revenue after the fee and the margin, worked out anew."""
        revenue = price * images * Fraction(100 - free, 100) * Fraction(worth)
        return revenue - Fraction(total.amount) - revenue * Fraction(margin, 100)

    assert left(Fraction(found.price)) >= 0
    below = Fraction(found.price) - Fraction(1, 10**decimals)
    assert below < 0 or left(below) < 0
    assert found.kept == found.brought_in - Fraction(total.amount)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"images": 0}, "needs a volume"),
        ({"free_share": Fraction(1)}, "somebody has to pay"),
        ({"free_share": Fraction(-1, 100)}, "somebody has to pay"),
        ({"margin": Fraction(1)}, "below 100%"),
        ({"margin": Fraction(-1)}, "below 100%"),
        ({"decimals": 7}, "0 to 6 decimals"),
        ({"worth": Decimal(0)}, "above zero"),
    ],
)
def test_a_floor_that_no_price_reaches_is_refused(change: dict, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as refusal:
        pass_through_floor(Money("USD", 100), **{"images": 1, **BUZZ, **change})
    assert refusal.value.code == "no_floor"
