"""Laws that need no second opinion: change the question in a way that must change the answer in a known way."""

from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.rating.rate import RatedLine, owed
from core.rating.schedule import price_run, split_included
from tests.core.rating.random_contracts import DAY, Case, rates, schedules

START, END = date(2026, 1, 1), date(2026, 7, 1)
some = settings(max_examples=60, deadline=None)
days = st.integers(0, 180).map(lambda n: START + n * DAY)
used = st.dictionaries(st.tuples(st.sampled_from(["alder", "birch"]), days), st.integers(1, 5000), max_size=12)


def rated(
    fee: dict[str, Any], counts: dict[tuple[str, date], int], *commitments: dict[str, Any]
) -> tuple[RatedLine, ...]:
    document = {"currency": "USD", "fees": [fee], "commitments": list(commitments)}
    return owed(
        Case({"term": (START, END), "versions": [(START, document)], "ended_on": None}, counts).contract, counts, END
    )


def amounts(lines: tuple[RatedLine, ...]) -> dict[object, tuple[int, int]]:
    return {line.key: (line.image_count, line.money.minor) for line in lines}


PROMISES = [
    {"name": "floor", "kind": "images", "quantity": 5000, "shortfall_rate": "0.02"},
    {"name": "floor", "kind": "money", "quantity": 70, "rollover": {"unused": "0.5", "excess": "0.5"}},
    {"name": "floor", "kind": "images", "quantity": 4000, "billing": "advance", "prepaid_rate": "0.5"}
    | {"rollover": {"unused": "0.5"}},
    {"name": "floor", "kind": "money", "quantity": 90, "billing": "advance", "rollover": {"excess": "1"}},
]


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: f"{promise['kind']} {promise.get('billing')}")
@some
@given(
    counts=used,
    schedule=schedules(("flat", "graduated", "volume", "package")),
    period=st.sampled_from(["month", "quarter"]),
)
def test_models_of_a_pool_may_be_merged_into_one(
    promise: dict[str, Any], counts: dict[tuple[str, date], int], schedule: dict[str, Any], period: str
) -> None:
    """Two models in a group, and one model with the images of both: the same lines, to the last minor unit."""
    promise = promise | {"period": period}
    merged: dict[tuple[str, date], int] = {}
    for (_, day), images in counts.items():
        merged["alder", day] = merged.get(("alder", day), 0) + images
    pool = {"name": "pool", "per": "group", "schedule": schedule, "base_fee": "10"}
    apart = rated({**pool, "models": ["alder", "birch"]}, counts, promise)
    together = rated({**pool, "models": ["alder"]}, merged, promise)
    assert amounts(apart) == amounts(together)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: f"{promise['kind']} {promise.get('billing')}")
@some
@given(counts=used, rate=st.integers(1, 99), period=st.sampled_from(["month", "quarter"]))
def test_twice_the_images_against_twice_the_targets_cost_twice_as_much(
    promise: dict[str, Any], counts: dict[tuple[str, date], int], rate: int, period: str
) -> None:
    """For flat prices in whole minor units; rollover rounds a half image down, so it is left at nothing or all."""
    promise = promise | {"period": period}
    if "rollover" in promise:
        promise["rollover"] = dict.fromkeys(promise["rollover"], "1")
    fee = {
        "name": "fee",
        "models": ["alder", "birch"],
        "schedule": {"kind": "flat", "rate": f"{rate // 100}.{rate % 100:02d}"},
    }
    doubled = {**promise, "quantity": promise["quantity"] * 2}
    once = rated(fee, counts, promise)
    twice = rated(fee, {at: images * 2 for at, images in counts.items()}, doubled)
    assert {key: (2 * images, 2 * minor) for key, (images, minor) in amounts(once).items()} == amounts(twice)


@some
@given(counts=used, schedule=schedules(("flat", "graduated", "volume", "package")), data=st.data())
def test_within_a_month_only_the_sum_of_the_days_matters(
    counts: dict[tuple[str, date], int], schedule: dict[str, Any], data: st.DataObject
) -> None:
    """While nothing changes in the month: moving images to other days of it moves no amount."""
    moved: dict[tuple[str, date], int] = {}
    for (model, day), images in counts.items():
        to = day.replace(day=data.draw(st.integers(1, 28)))
        moved[model, to] = moved.get((model, to), 0) + images
    fee = {"name": "fee", "models": ["alder", "birch"], "schedule": schedule, "included_images": 100}
    promises = [dict(PROMISES[2], period="month"), dict(PROMISES[1], name="money", period="quarter")]
    assert amounts(rated(fee, counts, *promises)) == amounts(rated(fee, moved, *promises))


EDGES = [1, 2, 9, 10, 11, 100, 101]


def one_by_one(written: dict[str, Any], images: int) -> Fraction:
    """What images cost when each is looked at by itself, straight from the document."""
    if written["kind"] == "package":
        return Fraction(written["price"]) * sum(1 for n in range(images) if n % written["size"] == 0)
    total = Fraction(0)
    for n in range(1, images + 1):
        place = n if written["kind"] == "graduated" else images
        tiers = written.get("tiers", [{"rate": written.get("rate")}])
        total += Fraction(next(t["rate"] for t in tiers if t.get("up_to") is None or place <= t["up_to"]))
    return total


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["flat", "graduated", "volume", "package"]),
    st.sets(st.sampled_from(EDGES), max_size=4),
    st.lists(rates(), min_size=5, max_size=5),
    st.sampled_from([0, 1, 10]),
)
def test_every_schedule_at_every_edge_is_what_its_images_cost_one_by_one(
    kind: str, edges: set[int], prices: list[str], included: int
) -> None:
    if kind == "flat":
        written: dict[str, Any] = {"kind": kind, "rate": prices[0]}
    elif kind == "package":
        written = {"kind": kind, "size": max(edges, default=1), "price": prices[0]}
    else:
        tiers = [{"up_to": edge, "rate": price} for edge, price in zip(sorted(edges), prices, strict=False)]
        written = {"kind": kind, "tiers": [*tiers, {"rate": prices[-1]}]}
    fee = {"name": "fee", "models": ["alder"], "schedule": written}
    document = {"currency": "USD", "fees": [fee]}
    plain = {"term": (START, END), "versions": [(START, document)], "ended_on": None}
    schedule = Case(plain, {}).contract.versions[0][1].fees[0].schedule
    for edge in {*EDGES, *(2 * e for e in EDGES)}:
        for images in (edge - 1, edge, edge + 1):
            free, first, last = split_included(0, images + included, included)
            assert free == included
            assert price_run(schedule, first, last, last).unit_amount == one_by_one(written, images)
