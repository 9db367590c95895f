"""Curves: break-evens exact to the image, tables that say what single quotes say, crossovers, and what they refuse."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.agreements.terms import parse_terms
from core.errors import InvalidInput
from core.period import Period
from core.rating.curve import (
    Curve,
    band_rates,
    break_even,
    cheapest,
    crossovers,
    price_table,
    telling_volumes,
)
from core.rating.offers import Offer, at_rate, parse_change
from core.rating.offers import changed as with_changes
from core.rating.quote import quote
from tests.core.rating.random_contracts import Case, cases
from tests.core.rating.test_quote import SCENARIOS, offers

FLAT = {"name": "a", "models": ["a"], "schedule": {"kind": "flat", "rate": "0.01"}}


def offer(months: int, *fees: dict[str, Any], commitments: list[dict[str, Any]]) -> Offer:
    terms = parse_terms({"currency": "USD", "fees": list(fees), "commitments": commitments})
    term = Period(date(2026, 1, 1), date(2026, 1 + months, 1))
    return Offer("deal", "guild", term, ((term.start, terms),))


def binds(offers_: list[Offer], images: int, over: str) -> bool:
    """Whether a quote on the volume has a shortfall line, without a word of the curve's."""
    return any(line.kind == "shortfall" for line in quote(offers_, images, over=over).lines)


@pytest.mark.parametrize(
    ("name", "images"),
    [("sd3-enterprise", 42_000_000), ("anima-flat", None), ("flux-self-serve", None), ("stacked", None)],
)
def test_the_break_evens_of_the_trade(name: str, images: int | None) -> None:
    found = break_even(Curve(offers(name)))
    assert found.images == images
    if images:
        assert binds(list(offers(name)), images - 1, found.over)
        assert not binds(list(offers(name)), images, found.over)


@pytest.mark.parametrize("file", sorted(SCENARIOS.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_curve_says_what_quotes_say(file: Any) -> None:
    curve = Curve(offers(file.stem))
    for images in (0, 1, 999, 123_456, 41_999_999):
        quoted, point = quote(offers(file.stem), images), curve.at(images)
        assert (point.total, point.shortfall) == (quoted.total, quoted.shortfall)
        assert point.effective_rate == quoted.effective_rate
        assert point.effective_unit_rate == quoted.effective_unit_rate


def test_a_prepaid_block_binds_until_it_is_used_up() -> None:
    found = break_even(Curve(offers("prepaid")))
    curve = Curve(offers("prepaid"), found.over)
    assert found.images is not None
    assert curve.at(0).total.minor == 16_000_00
    assert curve.at(found.images - 1).binding
    assert not curve.at(found.images).binding
    assert curve.at(2 * found.images).total.minor > 16_000_00


def test_a_cheap_block_binds_until_its_last_image_not_until_its_money_is_worth_it() -> None:
    block = {"name": "b", "kind": "images", "quantity": 1000, "period": "month", "billing": "advance"}
    bought = offer(1, FLAT, commitments=[{**block, "prepaid_rate": "0.005"}])
    assert break_even(Curve([bought])).images == 1000


def test_every_commitment_has_its_own_break_even_and_all_of_them_the_largest() -> None:
    small = {"name": "small", "kind": "images", "quantity": 100, "period": "term"}
    large = {"name": "large", "kind": "money", "quantity": "5.00", "period": "term"}
    found = break_even(Curve([offer(2, FLAT, commitments=[small, large])]))
    assert found.by_commitment == (("deal", "large", 500), ("deal", "small", 100))
    assert found.images == 500


def test_a_money_commitment_that_rounding_fills_breaks_even_at_the_image_that_does() -> None:
    fee = {**FLAT, "schedule": {"kind": "flat", "rate": "0.0033"}}
    floor = {"name": "floor", "kind": "money", "quantity": "1.00", "period": "month"}
    single = [offer(1, fee, commitments=[floor])]
    assert break_even(Curve(single)).images == 302  # 0.9966 is 1.00 already; 301 x 0.0033 is 0.9933, 0.99
    assert binds(single, 301, "month")


def test_a_commitment_nothing_can_fill_has_no_break_even() -> None:
    tier = {"kind": "graduated", "tiers": [{"up_to": 10, "rate": "1"}, {"rate": "0"}]}
    floor = {"name": "floor", "kind": "money", "quantity": "50", "period": "month"}
    found = break_even(Curve([offer(1, {**FLAT, "schedule": tier}, commitments=[floor])]))
    assert found.images is None
    assert found.by_commitment == (("deal", "floor", None),)


def test_under_volume_tiers_the_first_volume_that_is_enough_is_found() -> None:
    """100 images at 1.00 are worth 100, 101 at 0.5 only 50.5: the floor of 90 stops binding at 90, and binds again."""
    tiers = {"kind": "volume", "tiers": [{"up_to": 100, "rate": "1"}, {"rate": "0.5"}]}
    floor = {"name": "floor", "kind": "money", "quantity": "90", "period": "month"}
    single = [offer(1, {**FLAT, "schedule": tiers}, commitments=[floor])]
    assert break_even(Curve(single)).images == 90
    assert binds(single, 101, "month")
    assert break_even(Curve(single)).images == next(n for n in range(200) if not binds(single, n, "month"))


@settings(max_examples=40, deadline=None)
@given(
    quantity=st.integers(10, 400),
    kind=st.sampled_from(["images", "money"]),
    period=st.sampled_from(["month", "quarter", "term"]),
    rate=st.sampled_from(["1", "0.5", "0.0133"]),
    months=st.integers(1, 4),
    tiers=st.booleans(),
)
def test_for_any_commitment_the_break_even_is_the_first_volume_that_a_scan_finds(
    *, quantity: int, kind: str, period: str, rate: str, months: int, tiers: bool
) -> None:
    schedule = {"kind": "flat", "rate": rate}
    if tiers:
        schedule = {"kind": "volume", "tiers": [{"up_to": 50, "rate": rate}, {"rate": "0.3"}]}
    floor = {"name": "floor", "kind": kind, "quantity": quantity, "period": period}
    if kind == "images":
        floor["shortfall_rate"] = "0.2"
    single = [offer(months, {**FLAT, "schedule": schedule}, commitments=[floor])]
    found = break_even(Curve(single, "term"))
    assert found.images is not None
    assert not binds(single, found.images, "term")
    assert binds(single, found.images - 1, "term")
    if found.images <= 3000:
        before = range(max(0, found.images - 150), found.images)
        assert all(binds(single, images, "term") for images in [*before, *range(0, found.images, 97)])


@settings(max_examples=30, deadline=None)
@given(case=cases(kinds=("flat", "zero", "graduated"), amendments=2))
def test_for_any_contract_a_break_even_is_an_edge(case: Case) -> None:
    contract = case.contract
    tried = [Offer("deal", "guild", contract.term, contract.versions, contract.ended_on)]
    curve = Curve(tried, "term")
    for _, name, images in break_even(curve).by_commitment:
        if images is not None:
            assert ("deal", name) not in curve.at(images).binding
            assert ("deal", name) in curve.at(images - 1).binding


def test_a_commitment_over_the_term_is_looked_at_over_the_term_whatever_the_horizon() -> None:
    assert break_even(Curve(offers("sd3-enterprise"), "month")) == break_even(Curve(offers("sd3-enterprise"), "term"))


def test_table_cells_equal_single_quotes() -> None:
    rates, volumes = band_rates(offers("sd3-enterprise")), [0, 30_000_000, 42_000_000, 50_000_000]
    assert [str(rate) for rate in rates] == ["12", "13", "14", "15", "16"]
    for rate, points in price_table(offers("sd3-enterprise"), rates, volumes):
        for images, point in zip(volumes, points, strict=True):
            quoted = quote(offers("sd3-enterprise"), images, rate=rate)
            assert (point.total, point.shortfall) == (quoted.total, quoted.shortfall)
            assert (point.effective_unit_rate, point.unit) == (quoted.effective_unit_rate, quoted.unit)
    assert str(price_table(offers("sd3-enterprise"), [Decimal(14)], [30_000_000])[0][1][0].total) == "588,000.00 USD"


def test_a_band_that_is_missing_or_cannot_be_divided_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no price band"):
        band_rates(offers("anima-flat"))
    uneven = with_changes(
        offers("sd3-enterprise"),
        [parse_change('fees[0].schedule={"kind": "flat", "band": ["0.000000000001", "0.000000000002"]}')],
    )
    with pytest.raises(InvalidInput, match="cannot be divided"):
        band_rates(uneven)


@pytest.mark.parametrize("guess", [0, 1, 41_999_999, 42_000_000, 42_000_001, 10**9])
def test_a_guess_is_taken_only_where_it_is_the_break_even(guess: int) -> None:
    assert break_even(Curve(offers("sd3-enterprise")), guess).images == 42_000_000


def test_telling_volumes_lie_around_the_break_even() -> None:
    found = break_even(Curve(offers("sd3-enterprise")))
    assert telling_volumes(None, found) == [n * 10_500_000 for n in (1, 2, 3, 4, 5, 6, 8)]
    assert 30_000_000 in telling_volumes(30_000_000, found)
    with pytest.raises(InvalidInput, match="no volume"):
        telling_volumes(None, None)


def test_offers_cross_where_one_image_decides() -> None:
    """A floor of 1,000 images at 0.01 against 0.02 an image without one: 10.00 is reached at 500 images."""
    floor = {"name": "floor", "kind": "images", "quantity": 1000, "period": "term"}
    curves = [
        ("floor", Curve([offer(1, FLAT, commitments=[floor])], "term")),
        ("free", Curve([offer(1, {**FLAT, "schedule": {"kind": "flat", "rate": "0.02"}}, commitments=[])], "term")),
    ]
    [found] = crossovers(curves, [10_000])
    assert (found.images, found.before, found.after) == (501, "free", "floor")
    assert (found.total_before.minor, found.total_after.minor) == (10_02, 10_00)
    assert cheapest(curves, 500) == ["floor", "free"]
    assert (cheapest(curves, 499), cheapest(curves, 501)) == (["free"], ["floor"])
    assert crossovers(curves, [500]) == []


def test_offers_that_never_cross_have_no_crossover() -> None:
    dearer, _ = at_rate(offers("anima-flat"), Decimal(6))
    curves = [("five", Curve(offers("anima-flat"))), ("six", Curve(dearer))]
    assert crossovers(curves, [10**9]) == []
    assert cheapest(curves, 10**6) == ["five"]
