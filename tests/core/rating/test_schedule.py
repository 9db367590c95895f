"""Every tier at its edges, and runs that continue over a price change."""

from fractions import Fraction

import pytest

from core.agreements.terms import Schedule, parse_terms
from core.errors import InvalidInput
from core.rating.schedule import price_run, split_included

TIERS = [{"up_to": 10, "rate": "3"}, {"up_to": 20, "rate": "2"}, {"rate": "1"}]


def schedule(**written: object) -> Schedule:
    return (
        parse_terms({"currency": "USD", "fees": [{"name": "f", "models": ["m"], "schedule": written}]}).fees[0].schedule
    )


@pytest.mark.parametrize(
    ("images", "owed"), [(0, 0), (1, 3), (9, 27), (10, 30), (11, 32), (20, 50), (21, 51), (100, 130)]
)
def test_graduated_tiers_at_their_edges(images: int, owed: int) -> None:
    assert price_run(schedule(kind="graduated", tiers=TIERS), 0, images, images).unit_amount == owed


@pytest.mark.parametrize(("images", "owed"), [(1, 3), (10, 30), (11, 22), (20, 40), (21, 21)])
def test_volume_tiers_at_their_edges(images: int, owed: int) -> None:
    assert price_run(schedule(kind="volume", tiers=TIERS), 0, images, images).unit_amount == owed


@pytest.mark.parametrize(("images", "owed"), [(0, 0), (1, 5), (100, 5), (101, 10), (200, 10)])
def test_packages_at_their_edges(images: int, owed: int) -> None:
    assert price_run(schedule(kind="package", size=100, price="5"), 0, images, images).unit_amount == owed


@pytest.mark.parametrize(
    "written",
    [
        {"kind": "flat", "rate": "0.001"},
        {"kind": "graduated", "tiers": TIERS},
        {"kind": "volume", "tiers": TIERS},
        {"kind": "package", "size": 7, "price": "1"},
    ],
    ids=lambda written: written["kind"],
)
def test_a_run_cut_anywhere_costs_the_same(written: dict[str, object]) -> None:
    found = schedule(**written)
    whole = price_run(found, 0, 30, 30).unit_amount
    for cut in range(31):
        parts = (price_run(found, *run, 30).unit_amount for run in ((0, cut), (cut, 30)))
        assert sum(parts, start=Fraction(0)) == whole


def test_included_images_are_the_first_of_the_month() -> None:
    assert split_included(0, 99, 100) == (99, 0, 0)
    assert split_included(0, 101, 100) == (100, 0, 1)
    assert split_included(90, 120, 100) == (10, 0, 20)
    assert split_included(150, 160, 100) == (0, 50, 60)


def test_a_run_in_several_tiers_has_no_single_price() -> None:
    tiers = schedule(kind="graduated", tiers=TIERS)
    assert price_run(tiers, 0, 10, 10).unit_price == 3
    assert price_run(tiers, 9, 11, 11).unit_price is None
    assert [(w["images"], w["price"]) for w in price_run(tiers, 9, 21, 21).workings] == [(1, "3"), (10, "2"), (1, "1")]


def test_a_zero_schedule_has_no_price() -> None:
    with pytest.raises(InvalidInput):
        price_run(schedule(kind="zero"), 0, 1, 1)
