"""Quotes: the worked numbers of the trade, the horizon, the spread, and what is refused."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import InvalidInput
from core.rating.forecast import Forecast
from core.rating.quote import Offer, offers_of, quote, quote_forecast, spread

SCENARIOS = Path(__file__).parents[3] / "config" / "scenarios"


def scenario(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((SCENARIOS / f"{name}.yaml").read_text(encoding="utf-8"))
    return document


def offers(name: str) -> tuple[Offer, ...]:
    return offers_of(scenario(name))


@pytest.mark.parametrize(
    ("name", "images", "rate", "total"),
    [
        ("anima-flat", 1000, None, "5.00 USD"),
        ("sd3-enterprise", 42_000_000, None, "504,000.00 USD"),
        ("sd3-enterprise", 42_000_000, "16", "672,000.00 USD"),
        ("sd3-enterprise", 30_000_000, "14", "588,000.00 USD"),
        ("sd3-enterprise", 50_000_000, "14", "700,000.00 USD"),
        ("sd3-enterprise", 0, None, "504,000.00 USD"),
        ("flux-self-serve", 100_000, None, "999.00 USD"),
        ("flux-self-serve", 250_000, None, "2,499.00 USD"),
        ("flux-self-serve", 99_999, None, "999.00 USD"),
        ("flux-builder", 12_000, None, "49.00 USD"),
        ("sd3-creator", 6_000, None, "20.00 USD"),
        ("stability-community", 10**9, None, "0.00 USD"),
        ("apache-open", 10**9, None, "0.00 EUR"),
        ("stacked", 1000, None, "6.10 USD"),
        ("prepaid", 4_200_000, None, "16,800.00 USD"),
        ("prepaid", 1000, None, "16,000.00 USD"),
    ],
)
def test_the_worked_numbers_come_out_to_the_cent(name: str, images: int, rate: str | None, total: str) -> None:
    found = quote(offers(name), images, rate=None if rate is None else Decimal(rate))
    assert str(found.total) == total
    assert sum(line.amount.minor for line in found.lines) == found.total.minor


def test_every_scenario_can_be_quoted() -> None:
    for file in SCENARIOS.glob("*.yaml"):
        assert quote(offers(file.stem), 1_000_000).lines


def test_the_effective_price_is_the_total_spread_over_the_images() -> None:
    found = quote(offers("sd3-enterprise"), 30_000_000, rate=Decimal(14))
    assert found.effective_rate == Fraction("0.0196")
    assert (found.unit, found.effective_unit_rate) == ("BUZZ", Fraction("19.6"))
    assert [(line.kind, line.model, line.image_count, str(line.amount)) for line in found.lines] == [
        ("usage", "meridian-3", 30_000_000, "420,000.00 USD"),
        ("shortfall", "meridian-3", 12_000_000, "168,000.00 USD"),
    ]


def test_stacked_fees_are_three_lines_for_three_recipients() -> None:
    found = quote(offers("stacked"), 1000)
    assert [(line.recipient, str(line.amount)) for line in found.lines] == [
        ("bedrock", "5.00 USD"),
        ("rowan", "1.00 USD"),
        ("quill", "0.10 USD"),
    ]


def test_the_horizon_is_a_month_unless_a_commitment_runs_longer() -> None:
    assert quote(offers("flux-self-serve"), 100).total.minor == 999_00
    assert quote(offers("flux-self-serve"), 100, over="term").total.minor == 12 * 999_00
    month = quote(offers("sd3-enterprise"), 1000, over="month")
    assert month.total.minor == 12_00
    assert any("quote over the term" in note for note in month.notes)


@pytest.mark.parametrize(
    ("rate", "where"), [("12", "lies in"), ("16", "lies in"), ("11.99", "outside"), ("17", "outside")]
)
def test_a_price_is_held_against_its_band(rate: str, where: str) -> None:
    assert where in quote(offers("sd3-enterprise"), 1, rate=Decimal(rate)).notes[0]


def test_a_month_is_the_first_whole_one_and_nothing_before_it() -> None:
    document = scenario("flux-self-serve")
    document["agreements"][0]["starts_on"] = date(2026, 1, 15)
    found = quote(offers_of(document), 100)
    assert str(found.total) == "999.00 USD"
    assert any("2026-02-01 to 2026-02-28" in note for note in found.notes)


def test_an_unsettled_price_needs_a_rate() -> None:
    document = scenario("sd3-enterprise")
    del document["agreements"][0]["terms"]["fees"][0]["schedule"]["rate"]
    with pytest.raises(InvalidInput, match="still a band"):
        quote(offers_of(document), 1)
    assert quote(offers_of(document), 42_000_000, rate=Decimal(12)).total.minor == 504_000_00


def test_a_rate_for_several_fees_is_refused() -> None:
    with pytest.raises(InvalidInput, match="one flat fee"):
        quote(offers("stacked"), 1, rate=Decimal(3))


def test_several_currencies_are_refused() -> None:
    with pytest.raises(InvalidInput, match="different currencies"):
        quote([*offers("apache-open"), *offers("anima-flat")], 1)


def test_rounding_month_by_month_is_said() -> None:
    found = quote(offers("prepaid"), 1001)
    assert sum(line.image_count for line in found.lines if line.kind == "usage") == 1001
    drifting = quote(offers("flux-self-serve"), 100, over="term")
    assert not any("rounded" in note for note in drifting.notes)
    coarse = quote(offers("anima-flat"), 1300, rate=Decimal("0.0333"), over="term")
    assert any("rounded invoice by invoice" in note for note in coarse.notes)


@pytest.mark.parametrize("images", [0, 1, 2999, 3000, 30_000_001, 42_000_000])
def test_the_spread_is_complete_and_even(images: int) -> None:
    contract = offers("sd3-enterprise")[0].contract
    counts = spread(contract, images, contract.in_force)
    assert sum(counts.values()) == images
    assert all(count > 0 for count in counts.values())
    assert spread(contract, images, contract.in_force) == counts
    if images >= 365_000:
        assert len(counts) == 365
        assert max(counts.values()) - min(counts.values()) < 1000


def test_a_forecast_is_quoted_month_by_month_and_adds_up() -> None:
    found = quote_forecast(offers("sd3-enterprise"), Forecast(monthly=Fraction(1_000_000), growth=Fraction(3, 100)))
    assert sum(month.images for month in found.months) == found.images == 14_192_030
    assert sum(month.amount.minor for month in found.months) == found.total.minor == 504_000_00
    assert [month.month for month in found.months] == [f"2026-{month:02}" for month in range(1, 13)]
    assert [month.shortfall.minor > 0 for month in found.months] == [False] * 11 + [True]
    assert found.shortfall.minor == (42_000_000 - 14_192_030) * 12 // 10


def test_a_forecast_that_ends_before_the_term_says_that_the_floor_is_not_judged_yet() -> None:
    found = quote_forecast(offers("sd3-enterprise"), Forecast(monthly=Fraction(1_000_000), months=3))
    assert (found.images, found.total.minor, found.shortfall.minor) == (3_000_000, 36_000_00, 0)
    assert any("a shortfall does not show here" in note for note in found.notes)


def test_a_flat_forecast_costs_what_the_same_volume_costs() -> None:
    monthly = quote_forecast(offers("anima-flat"), Forecast(monthly=Fraction(1000)))
    assert monthly.total == quote(offers("anima-flat"), 12_000, over="term").total


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("agreements", None, "agreements: "),
        ("agreements", [], "at least one agreement"),
        ("starts_on", date(2027, 1, 1), "agreements[0].ends_on: "),
        ("terms", None, "agreements[0].terms: "),
        ("terms", {"currency": "USD", "fees": [{"name": "x"}]}, "agreements[0].terms.fees[0]."),
        ("account", "circle", "agreements[0].account: "),
        ("colour", "red", "agreements[0].colour: "),
        ("units", [], "declare it under `units`"),
    ],
)
def test_a_wrong_scenario_is_refused_where_it_is_wrong(path: str, value: object, says: str) -> None:
    document = scenario("anima-flat")
    (document if path in document else document["agreements"][0])[path] = value
    with pytest.raises(InvalidInput) as refusal:
        offers_of(document)
    assert says in refusal.value.sentence
