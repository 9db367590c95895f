"""The laws of RATING.md over random contracts and usage, against the independent oracle."""

import json
from datetime import date
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from core.money import Money
from core.rating.quote import Offer, quote_usage
from core.rating.rate import Contract, LineKey, RatedLine, owed
from tests.core.rating.random_contracts import DAY, MODELS, Case, cases, rolling_cases
from tests.oracle import count_events
from tests.oracle import owed as oracle_owed

many = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
some = settings(many, max_examples=50)
nightly = settings(many, max_examples=5000)

Billed = dict[LineKey, tuple[int, int]]


def by_key(lines: tuple[RatedLine, ...]) -> Billed:
    """Images and minor units per key; a key that occurs twice could not be billed by difference."""
    found = {line.key: (line.image_count, line.money.minor) for line in lines}
    assert len(found) == len(lines)
    return found


def plain_keys(billed: Billed) -> dict[tuple[object, ...], tuple[int, int]]:
    return {(k.kind, k.subject, k.service.start, k.service.end, k.part): sums for k, sums in billed.items()}


def assert_equals_oracle(case: Case, until: date) -> None:
    assert plain_keys(by_key(owed(case.contract, case.counts, until))) == oracle_owed(case.plain, case.counts, until)


@many
@given(cases(amendments=6), st.integers(0, 210))
def test_every_line_is_what_the_oracle_says(case: Case, back: int) -> None:
    assert_equals_oracle(case, case.end)
    assert_equals_oracle(case, case.end - back * DAY)


@many
@given(rolling_cases())
def test_what_rolls_over_is_what_the_oracle_says(case: Case) -> None:
    assert_equals_oracle(case, case.end)


@pytest.mark.slow
@nightly
@given(rolling_cases())
def test_what_rolls_over_is_what_the_oracle_says_five_thousand_times(case: Case) -> None:
    assert_equals_oracle(case, case.end)


@pytest.mark.slow
@nightly
@given(cases(amendments=6))
def test_every_line_is_what_the_oracle_says_five_thousand_times(case: Case) -> None:
    assert_equals_oracle(case, case.end)


@some
@given(cases(), st.data())
def test_closing_by_difference_in_any_order_bills_what_is_owed_in_the_end(case: Case, data: st.DataObject) -> None:
    """Laws 1 and 2: usage arrives late, in pieces and corrected, months are closed in any order, twice, and under
    fewer amendments than there will be."""
    queues = {at: _with_corrections(images) for at, images in case.counts.items()}
    places = [at for at, pieces in queues.items() for _ in pieces]
    chance = data.draw(st.randoms(use_true_random=False))
    order = [(at, queues[at].pop(0)) for at in chance.sample(places, len(places))]  # a correction follows its report
    ends = sorted({month.end for month, _ in case.contract.months})
    closes = data.draw(st.lists(st.sampled_from(ends), max_size=6))
    billed: Billed = {}
    arrived: dict[tuple[str, date], int] = {}
    signed = 1
    for n, until in enumerate(closes):
        for at, images in order[n * len(order) // 6 : (n + 1) * len(order) // 6]:
            arrived[at] = arrived.get(at, 0) + images
        signed = data.draw(st.integers(signed, len(case.plain["versions"])))
        known = Contract(case.contract.term, case.contract.versions[:signed])  # the early end is not known yet
        _close(known, arrived, until, billed)
        assert not _close(known, arrived, until, billed), "closing twice writes nothing"
    _close(case.contract, case.counts, case.end, billed)
    end = by_key(owed(case.contract, case.counts, case.end))
    assert {key: sums for key, sums in billed.items() if sums != (0, 0)} == {
        key: sums for key, sums in end.items() if sums != (0, 0)
    }


def _with_corrections(images: int) -> list[int]:
    """Reports and corrections of a day, never below zero on the way and `images` in the end."""
    return [*_split(images + images // 2 + 1), -(images // 2 + 1)]


def _split(images: int) -> list[int]:
    return [images // 3, images - images // 3] if images > 2 else [images]


def _close(contract: Contract, counts: dict[tuple[str, date], int], until: date, billed: Billed) -> int:
    """Writes the difference for every key that is due; says how many lines that took."""
    due = by_key(owed(contract, counts, until))
    written = 0
    for key in due.keys() | {key for key in billed if key.due_on <= until}:
        (images, minor), (had_images, had_minor) = due.get(key, (0, 0)), billed.get(key, (0, 0))
        written += (images, minor) != (had_images, had_minor)
        billed[key] = (images, minor)
    return written


@some
@given(cases(), st.data())
def test_order_and_splitting_of_events_change_nothing(case: Case, data: st.DataObject) -> None:
    """Law 2, from events: sent twice, in pieces and in any order, they count the same."""
    events = [
        {
            "licensee": "l",
            "event_id": f"{at}/{n}",
            "model": at[0],
            "image_count": images,
            "occurred_at": f"{at[1]}T12:00Z",
        }
        for at, whole in case.counts.items()
        for n, images in enumerate(_split(whole))
    ]
    events += events[: len(events) // 3]
    events = data.draw(st.randoms(use_true_random=False)).sample(events, len(events))
    zones = {("l", model): "UTC" for model in (*MODELS, "unknown")}
    counted = {(model, day): n for (_, model, day), n in count_events(events, zones).items()}
    assert owed(case.contract, counted, case.end) == owed(case.contract, case.counts, case.end)


@some
@given(cases(amendments=6))
def test_what_was_due_once_stays_as_it_was_while_nothing_new_comes_in(case: Case) -> None:
    """What a later bill adds is only what has become due since: nothing depends on when a close ran."""
    end = {line.key: line.money for line in owed(case.contract, case.counts, case.end)}
    for month, _ in case.contract.months:
        then = {line.key: line.money for line in owed(case.contract, case.counts, month.end)}
        assert then == {key: money for key, money in end.items() if key.due_on <= month.end}


@some
@given(cases(kinds=("flat", "zero")), st.data())
def test_more_usage_never_lowers_usage_nor_raises_a_shortfall(case: Case, data: st.DataObject) -> None:
    """Law 4, on exact amounts, through any amendments."""
    assert_more_is_never_less(case, data)


@some
@given(cases(kinds=("flat", "graduated", "package", "zero"), amendments=0), st.data())
def test_more_usage_never_lowers_what_tiers_and_packages_cost(case: Case, data: st.DataObject) -> None:
    """Law 4 for tiers, while the price stays the same.

    It does not hold for volume pricing, where passing a tier's edge makes every image cheaper; nor over a price change
    in mid-month with falling tiers, where an earlier image may push a later one into a cheaper tier.
    """
    assume(all(len(document.get("conversions", ())) < 2 for _, document in case.plain["versions"]))
    assert_more_is_never_less(case, data)


def assert_more_is_never_less(case: Case, data: st.DataObject) -> None:
    start = case.plain["term"][0]
    at = data.draw(st.tuples(st.sampled_from(MODELS), st.integers(0, 200).map(lambda n: start + n * DAY)))
    more = {**case.counts, at: case.counts.get(at, 0) + data.draw(st.integers(1, 500))}
    before, after = (owed(case.contract, counts, case.end) for counts in (case.counts, more))
    assert _exact(after, "usage", "overage") >= _exact(before, "usage", "overage")
    images = [
        tuple(line for line in lines if line.key.kind == "shortfall" and line.image_count) for lines in (before, after)
    ]
    assert _exact(images[1], "shortfall") <= _exact(images[0], "shortfall")


@some
@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 10**6), st.integers(1, 5000), st.integers(1, 5000))
def test_a_shortfall_falls_by_no_more_than_usage_rises(
    quantity: int, before: int, more: int, rate: int, shortfall_rate: int
) -> None:
    """Law 4: when a missing image costs no more than a made one, reporting more never lowers the total."""
    commitment = {"name": "floor", "kind": "images", "quantity": quantity, "period": "term"}
    document = {
        "currency": "USD",
        "fees": [{"name": "fee", "models": ["alder"], "schedule": {"kind": "flat", "rate": rate}}],
        "commitments": [{**commitment, "shortfall_rate": min(rate, shortfall_rate)}],
    }
    start = date(2024, 2, 1)
    plain = {"term": (start, date(2024, 3, 1)), "versions": [(start, document)], "ended_on": None}
    totals = [_total(Case(plain, {("alder", start): images})) for images in (before, before + more)]
    assert totals[0] <= totals[1]


@some
@given(cases(), st.data())
def test_a_model_rated_at_zero_never_moves_an_amount(case: Case, data: st.DataObject) -> None:
    """Law 5: its counts may be anything at all, and only lines of kind zero show it."""
    versions = [
        (
            day,
            {
                **document,
                "fees": [*document["fees"], {"name": "open", "models": ["open-1"], "schedule": {"kind": "zero"}}],
            },
        )
        for day, document in case.plain["versions"]
    ]
    images = data.draw(st.dictionaries(st.integers(0, 200), st.integers(1, 10**9), max_size=5))
    counts = case.counts | {("open-1", case.plain["term"][0] + n * DAY): n_images for n, n_images in images.items()}
    rated = owed(Case({**case.plain, "versions": versions}, counts).contract, counts, case.end)
    shown = [line for line in rated if line.key.subject == "open-1"]
    assert all(line.key.kind == "zero" and line.money.minor == 0 for line in shown)
    assert [(line.key, line.image_count, line.money) for line in rated if line.key.subject != "open-1"] == [
        (line.key, line.image_count, line.money) for line in owed(case.contract, case.counts, case.end)
    ]


@some
@given(cases())
def test_a_quote_on_recorded_usage_is_what_was_billed(case: Case) -> None:
    """Law 6."""
    offer = Offer("offer", "licensor", case.contract.term, case.contract.versions)
    contract = Contract(case.contract.term, case.contract.versions)
    billed = owed(contract, case.counts, case.end)
    result = quote_usage([offer], {"offer": case.counts}, case.end)
    assert result.total == sum((line.money for line in billed), start=Money(contract.currency, 0))
    assert sum(line.image_count for line in result.lines) == sum(line.image_count for line in billed)


@some
@given(cases())
def test_rating_is_pure_and_its_workings_are_plain(case: Case) -> None:
    """B7: same inputs, same bytes; workings survive JSON; each line is its exact amount rounded once."""
    lines = owed(case.contract, case.counts, case.end)
    shuffled = dict(reversed(list(case.counts.items())))
    assert repr(owed(case.contract, shuffled, case.end)) == repr(lines)
    for line in lines:
        assert json.loads(json.dumps(line.workings)) == list(line.workings)
        assert line.money == Money.rounded(line.unit_amount * Fraction(line.conversion_rate), case.contract.currency)
        if line.unit_price is not None:
            assert line.unit_amount == line.image_count * Fraction(line.unit_price)


@some
@given(cases(amendments=0), st.integers(0, 200), st.data())
def test_an_amendment_leaves_the_lines_of_earlier_days_alone(case: Case, after: int, data: st.DataObject) -> None:
    """Keys are stable: what was rated before the amendment's day keeps its key, and nobody is asked for it again."""
    other = data.draw(cases(amendments=0))
    document = {
        **other.plain["versions"][0][1],
        "currency": case.plain["versions"][0][1]["currency"],
        "commitments": [],
    }
    if "conversions" in document:
        document["conversions"] = [{"from": "BUZZ", "to": document["currency"], "rate": "0.002"}]
    day = case.plain["term"][0] + after * DAY
    first = {**case.plain["versions"][0][1], "commitments": []}
    plain = {**case.plain, "versions": [(case.plain["versions"][0][0], first)]}
    before = by_key(owed(Case(plain, case.counts).contract, case.counts, case.end))
    amended = {**plain, "versions": [*plain["versions"], (day, document)]}
    now = by_key(owed(Case(amended, case.counts).contract, case.counts, case.end))
    untouched = {key for key in before if key.service.end <= day}
    assert {key: before[key] for key in untouched} == {key: now[key] for key in now if key.service.end <= day}


def _exact(lines: tuple[RatedLine, ...], *kinds: str) -> Fraction:
    return sum(
        (line.unit_amount * Fraction(line.conversion_rate) for line in lines if line.key.kind in kinds),
        start=Fraction(0),
    )


def _total(case: Case) -> int:
    return sum(line.money.minor for line in owed(case.contract, case.counts, case.end))
