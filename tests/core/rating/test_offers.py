"""Changes on paper: exactly the place that is named, read as strictly as terms, refused in a sentence."""

from datetime import date
from decimal import Decimal

import pytest

from core.errors import InvalidInput
from core.rating.offers import Change, Offer, at_rate, band_of, change_at, changed, parse_change
from core.rating.quote import quote
from tests.core.rating.test_quote import offers


def with_changes(name: str, *written: str, since: date | None = None) -> tuple[Offer, ...]:
    return changed(offers(name), [parse_change(change) for change in written], effective_on=since)


def test_a_smaller_floor_costs_less() -> None:
    smaller = with_changes("sd3-enterprise", "commitments[0].quantity=30000000")
    assert quote(smaller, 30_000_000).total.minor == 360_000_00
    assert quote(offers("sd3-enterprise"), 30_000_000).total.minor == 504_000_00


def test_a_decimal_stays_as_it_was_typed() -> None:
    [offer] = with_changes("sd3-enterprise", "fees[0].schedule.rate=14.100000000001")
    assert offer.terms.fees[0].schedule.flat_rate == Decimal("14.100000000001")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("a=1", 1),
        ("a=1.10", "1.10"),
        ("a=null", None),
        ('a="1"', "1"),
        ("a=x", "x"),
        ("a=2026-01-01", "2026-01-01"),
        ('a=["a","b"]', ["a", "b"]),
        ("a=b=c", "b=c"),
        ("a=NaN", "NaN"),
        ("a=1e3", "1e3"),
    ],
)
def test_values_are_json_or_text_and_never_floats(written: str, value: object) -> None:
    assert parse_change(written) == Change(None, "a", value)


def test_null_takes_a_key_out_and_the_next_index_adds_one() -> None:
    [none] = with_changes("sd3-enterprise", "commitments[0]=null")
    assert none.terms.commitments == ()
    extra = '{"name": "more", "kind": "money", "quantity": "5", "period": "month"}'
    [two] = with_changes("sd3-enterprise", f"commitments[1]={extra}")
    assert [commitment.name for commitment in two.terms.commitments] == ["floor", "more"]
    [bandless] = with_changes("sd3-enterprise", "fees[0].schedule.band=null")
    assert band_of([bandless]) is None


def test_a_change_from_a_day_on_is_an_amendment() -> None:
    [offer] = with_changes("anima-flat", "fees[0].schedule.rate=6", since=date(2026, 7, 1))
    assert [(start, terms.fees[0].schedule.flat_rate) for start, terms in offer.versions] == [
        (date(2026, 1, 1), Decimal(5)),
        (date(2026, 7, 1), Decimal(6)),
    ]


def test_of_several_agreements_one_is_named() -> None:
    found = with_changes("stacked", "stacked-lora:fees[0].schedule.rate=0.2")
    assert quote(found, 1000).total.minor == 6_20


@pytest.mark.parametrize(
    ("name", "written", "says"),
    [
        ("sd3-enterprise", "commitments[0].quantity", "write PATH=VALUE"),
        ("sd3-enterprise", "commitments[1].quantity=1", "there is no commitments[1]: it has 1, counted from [0]"),
        ("sd3-enterprise", "commitments[2]=1", "there is no commitments[2]"),
        ("anima-flat", "commitments[0].quantity=1", "it is empty; [0] adds the first"),
        ("sd3-enterprise", "prices[0].rate=1", "there is no prices in the terms; there are currency, unit"),
        ("sd3-enterprise", "fees.rate=1", "fees has no keys"),
        ("sd3-enterprise", "currency[0]=1", 'currency is not a list; it is "USD"'),
        ("sd3-enterprise", "fees[0].schedule.rate.x=1", "fees[0].schedule.rate has no keys"),
        ("sd3-enterprise", "fees[0].prices=1", "fees[0].prices: this is not known here"),
        ("sd3-enterprise", "fees[0].schedule.rate=17", "17 lies outside the band of 12 to 16"),
        ("sd3-enterprise", "commitments[0].quantity=1.5", "commitments[0].quantity: write a whole number"),
        ("sd3-enterprise", "commitments[0].quantity=-1", "commitments[0].quantity: write a whole number"),
        ("sd3-enterprise", "fees[0].cap=null", "there is no cap in fees[0]"),
        ("sd3-enterprise", "other:fees[0].name=x", "there is no agreement other here, only sd3-enterprise"),
        ("stacked", "fees[0].schedule.rate=1", "say whose, as in stacked-base:fees[0].schedule.rate"),
        ("sd3-enterprise", "Fees=1", "a path names keys of the terms"),
        ("sd3-enterprise", "__class__=1", "__class__: this is not known here"),
        ("sd3-enterprise", "fees[-1].name=x", "a path names keys of the terms"),
        ("sd3-enterprise", "=1", "a path names keys of the terms"),
        ("sd3-enterprise", f"{'a.' * 50_000}a=1", "a path names keys of the terms"),
    ],
)
def test_a_change_that_leads_nowhere_is_refused_in_a_sentence(name: str, written: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        with_changes(name, written)
    assert says in refusal.value.sentence
    assert refusal.value.code in ("invalid_change", "invalid_terms")
    assert len(refusal.value.sentence) < 500


def test_a_day_outside_the_term_and_a_day_without_changes_are_refused() -> None:
    with pytest.raises(InvalidInput, match="outside the term"):
        with_changes("anima-flat", "payment_days=10", since=date(2027, 1, 1))
    with pytest.raises(InvalidInput, match="needs changes"):
        with_changes("anima-flat", since=date(2026, 2, 1))


def test_a_change_leaves_the_offer_it_was_made_from_alone() -> None:
    before = offers("sd3-enterprise")
    changed(before, [change_at("commitments[0].quantity", 1)])
    assert before == offers("sd3-enterprise")


def test_a_rate_loses_the_band_and_says_where_it_lay() -> None:
    found, note = at_rate(offers("sd3-enterprise"), Decimal(17))
    assert found[0].terms.fees[0].schedule.flat_rate == 17
    assert note == "The price of 17 BUZZ lies outside the band of 12 to 16 BUZZ."
