"""The spread: complete, even, the same for days and for cells, and never moving an image that was placed already."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.agreements.terms import parse_terms
from core.period import Period
from core.rating.contract import Contract
from core.rating.rate import owed
from core.rating.spread import Spread
from tests.core.rating.random_contracts import Case, cases
from tests.core.rating.test_quote import offers

SCENARIOS = ["sd3-enterprise", "stacked", "flux-self-serve", "flux-builder", "prepaid"]


def contract_with(*fees: dict[str, Any], until: date = date(2026, 3, 1)) -> Contract:
    terms = parse_terms({"currency": "USD", "fees": list(fees)})
    return Contract(Period(date(2026, 1, 1), until), ((date(2026, 1, 1), terms),))


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("images", [0, 1, 4999, 1_000_000, 42_000_001])
def test_cells_hold_what_days_hold_and_are_rated_alike(name: str, images: int) -> None:
    for offer in offers(name):
        contract = offer.contract
        spread = Spread(contract, contract.in_force)
        by_day, by_cell = spread.by_day(images), spread.by_cell(images)
        assert sum(by_day.values()) == sum(by_cell.values()) == images
        assert owed(contract, by_day, contract.term.end) == owed(contract, by_cell, contract.term.end)


@settings(max_examples=40, deadline=None)
@given(case=cases(), images=st.integers(0, 5000))
def test_for_any_contract_cells_are_rated_as_days(case: Case, images: int) -> None:
    contract = case.contract
    spread = Spread(contract, contract.in_force)
    by_day, by_cell = spread.by_day(images), spread.by_cell(images)
    assert sum(by_day.values()) == sum(by_cell.values())
    assert owed(contract, by_day, contract.term.end) == owed(contract, by_cell, contract.term.end)


@settings(max_examples=40, deadline=None)
@given(case=cases(), images=st.integers(0, 3000))
def test_one_image_more_is_one_more_on_one_day_and_fewer_on_none(case: Case, images: int) -> None:
    contract = case.contract
    spread = Spread(contract, contract.in_force)
    before, after = spread.by_day(images), spread.by_day(images + 1)
    grown = {at: after.get(at, 0) - before.get(at, 0) for at in before.keys() | after.keys()}
    assert sorted(change for change in grown.values() if change) == ([1] if contract.versions[0][1].models else [])


def test_models_share_evenly() -> None:
    fee = {"name": "all", "models": ["a", "b", "c"], "schedule": {"kind": "flat", "rate": "0.01"}}
    contract = contract_with(fee)
    counts = Spread(contract, contract.in_force).by_day(1_000_000)
    sums = [sum(images for (model, _), images in counts.items() if model == name) for name in "abc"]
    assert sum(sums) == 1_000_000
    assert max(sums) - min(sums) <= 1


def test_blocks_keep_a_years_months_free_of_rounding() -> None:
    fee = {"name": "all", "models": ["a"], "schedule": {"kind": "flat", "rate": "0.0125"}}
    contract = contract_with(fee, until=date(2027, 1, 1))
    lines = owed(contract, Spread(contract, contract.in_force).by_day(123_456), date(2027, 1, 1))
    assert sum(line.money.minor for line in lines) == 154_320
    assert all(line.unit_amount == line.money.amount for line in lines)


def test_an_amendment_moves_images_to_the_models_of_its_days() -> None:
    first = parse_terms({"currency": "USD", "fees": [fee_of("a")]})
    second = parse_terms({"currency": "USD", "fees": [fee_of("b"), fee_of("c")]})
    term = Period(date(2026, 1, 1), date(2026, 3, 1))
    contract = Contract(term, ((term.start, first), (date(2026, 2, 1), second)))
    counts = Spread(contract, term).by_day(59_000)
    assert {model for (model, day) in counts if day < date(2026, 2, 1)} == {"a"}
    assert {model for (model, day) in counts if day >= date(2026, 2, 1)} == {"b", "c"}
    assert sum(counts.values()) == 59_000


def fee_of(model: str) -> dict[str, Any]:
    return {"name": model, "models": [model], "schedule": {"kind": "flat", "rate": "0.01"}}
