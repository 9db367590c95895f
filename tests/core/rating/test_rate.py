"""Keys under amendments, what a contract refuses, caps, progress, workings, and how fast it all is."""

import time
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from core.agreements.terms import Terms, parse_terms
from core.errors import InvalidInput
from core.period import Period
from core.rating.rate import Contract, LineKey, caps, owed, progress

YEAR = Period(date(2026, 1, 1), date(2027, 1, 1))
MAY = Period.month("2026-05")


def flat(rate: str = "5", *models: str, **more: Any) -> Terms:
    fee = {"name": "fee", "models": list(models or ["anima-1"]), "schedule": {"kind": "flat", "rate": rate}}
    document = {"currency": "USD", "unit": "BUZZ", "conversions": [{"from": "BUZZ", "to": "USD", "rate": "0.001"}]}
    return parse_terms({**document, "fees": [fee | more.pop("fee", {})], **more})


def contract(*versions: tuple[date, Terms], term: Period = YEAR, ended_on: date | None = None) -> Contract:
    return Contract(term, versions, ended_on)


def may_keys(found: Contract) -> set[LineKey]:
    counts = {(model, day): 100 for model in ("anima-1", "anima-2") for day in MAY.each_day()}
    return {line.key for line in owed(found, counts, MAY.end)}


def usage_key(part: str, subject: str = "anima-1") -> LineKey:
    return LineKey("usage", subject, MAY, part)


def test_a_back_dated_price_cuts_the_month_and_keeps_the_key_of_its_first_days() -> None:
    signed = (YEAR.start, flat("5"))
    assert may_keys(contract(signed)) == {usage_key("2026-05-01")}
    assert may_keys(contract(signed, (date(2026, 5, 10), flat("6")))) == {
        usage_key("2026-05-01"),
        usage_key("2026-05-10"),
    }


def test_a_price_back_dated_to_the_first_keeps_the_only_key() -> None:
    repriced = contract((YEAR.start, flat("5")), (date(2026, 5, 1), flat("6")))
    assert may_keys(repriced) == {usage_key("2026-05-01")}


def test_adding_a_model_changes_no_key_of_another() -> None:
    extended = contract((YEAR.start, flat("5")), (date(2026, 5, 10), flat("5", "anima-1", "anima-2")))
    assert may_keys(extended) == {usage_key("2026-05-01"), usage_key("2026-05-10", "anima-2")}


def test_what_was_signed_last_replaces_what_begins_on_or_after_its_day() -> None:
    found = contract((YEAR.start, flat("5")), (date(2026, 5, 20), flat("6")), (date(2026, 5, 10), flat("7")))
    assert [(days, number) for days, number in found.amendments] == [
        (Period(YEAR.start, date(2026, 5, 10)), 0),
        (Period(date(2026, 5, 10), YEAR.end), 2),
    ]


@pytest.mark.parametrize(
    ("versions", "ended_on", "code"),
    [
        ((), None, "no_terms"),
        (((date(2026, 1, 2), flat()),), None, "no_terms"),
        (((YEAR.start, flat()),), date(2026, 1, 1), "ended_outside_term"),
        (((YEAR.start, flat()),), date(2027, 1, 2), "ended_outside_term"),
        (((YEAR.start, flat("5", fee={"schedule": {"kind": "flat", "band": ["1", "2"]}})),), None, "price_not_settled"),
        (
            (
                (YEAR.start, flat()),
                (
                    YEAR.start,
                    parse_terms(
                        {"currency": "EUR", "fees": [{"name": "f", "models": ["m"], "schedule": {"kind": "zero"}}]}
                    ),
                ),
            ),
            None,
            "currency_changed",
        ),
        (
            (
                (
                    YEAR.start,
                    flat(conversions=[{"from": "BUZZ", "to": "USD", "rate": "1", "effective_on": "2026-02-01"}]),
                ),
            ),
            None,
            "no_conversion",
        ),
    ],
)
def test_a_contract_that_cannot_be_rated_is_refused(versions: Any, ended_on: date | None, code: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        contract(*versions, ended_on=ended_on)
    assert refusal.value.code == code


def test_days_outside_the_term_and_models_without_a_fee_are_not_rated() -> None:
    counts = {("anima-1", date(2025, 12, 31)): 5, ("anima-1", date(2027, 1, 1)): 5, ("other", date(2026, 1, 1)): 5}
    assert owed(contract((YEAR.start, flat())), counts, date(2028, 1, 1)) == ()


def test_a_month_is_owed_when_it_is_over_and_not_before() -> None:
    found = contract((YEAR.start, flat()))
    counts = {("anima-1", date(2026, 5, 31)): 1000}
    assert owed(found, counts, date(2026, 5, 31)) == ()
    assert [line.money.minor for line in owed(found, counts, date(2026, 6, 1))] == [500]


def test_the_workings_lead_an_accountant_to_the_amount() -> None:
    found = contract((YEAR.start, flat("5", fee={"included_images": 100, "cap": {"images": 120, "kind": "soft"}})))
    free, above = owed(found, {("anima-1", date(2026, 5, 4)): 145}, MAY.end)
    assert (free.key.kind, free.image_count, free.money.minor) == ("included", 100, 0)
    assert above.price_id == "0/fee"
    assert above.unit_amount == Fraction(225)
    assert above.conversion_rate == Decimal("0.001")
    assert list(above.workings) == [
        {
            "step": "count",
            "from": "2026-05-01",
            "until": "2026-06-01",
            "days": 31,
            "images": 145,
            "cap": 120,
            "cap_kind": "soft",
            "above_cap": 25,
            "included": 100,
            "included_a_month": 100,
        },
        {"step": "price", "images": 45, "price": "5", "amount": "225"},
        {"step": "convert", "amount": "225", "unit": "BUZZ", "rate": "0.001", "currency": "USD", "exact": "0.225"},
        {"step": "round", "rule": "half up, once", "amount": "0.23", "currency": "USD"},
    ]


def test_a_cap_is_watched_month_by_month() -> None:
    found = contract((YEAR.start, flat("5", fee={"cap": {"images": 100, "kind": "hard"}})))
    counts = {("anima-1", date(2026, 1, 4)): 100, ("anima-1", date(2026, 2, 4)): 101}
    assert [(use.service.name, use.counted, use.above) for use in caps(found, counts, date(2026, 2, 5))] == [
        ("2026-01", 100, 0),
        ("2026-02", 101, 1),
    ]


def test_progress_shows_the_running_period_and_where_its_pace_leads() -> None:
    floor = {"name": "floor", "kind": "images", "quantity": 36500, "period": "term"}
    money = {"name": "money", "kind": "money", "quantity": "10", "period": "quarter"}
    found = contract((YEAR.start, flat(commitments=[floor, money])))
    counts = {("anima-1", day): 50 for day in YEAR.each_day()}
    quarter, term = progress(found, counts, date(2026, 2, 1))
    assert (term.name, term.counted, term.remaining, term.fraction_done) == (
        "floor",
        1550,
        34950,
        Fraction(1550, 36500),
    )
    assert (term.forecast, term.expected_shortfall) == (18250, 18250)
    assert (quarter.unit, quarter.period.end, quarter.counted) == ("USD", date(2026, 4, 1), Decimal("7.75"))
    assert [state.name for state in progress(found, counts, date(2026, 4, 1))] == ["money", "floor"]
    assert progress(found, counts, YEAR.start) == ()


def test_periods_of_a_commitment_keep_to_the_day_of_the_month_where_it_exists() -> None:
    quarterly = {"name": "q", "kind": "images", "quantity": 90, "period": "quarter"}
    term = Period(date(2023, 11, 30), date(2024, 12, 15))
    found = contract((term.start, flat(commitments=[quarterly])), term=term)
    assert [(str(p.days.start), p.target) for p in found.promises] == [
        ("2023-11-30", 90),
        ("2024-02-29", 90),
        ("2024-05-30", 90),
        ("2024-08-30", 90),
        ("2024-11-30", 15),  # 15 of the 92 days to 28 February 2025: 14.67, rounded
    ]


def test_a_term_beyond_the_calendar_is_refused() -> None:
    with pytest.raises(InvalidInput):
        contract((date(2026, 1, 1), flat()), term=Period(date(2026, 1, 1), date(9999, 1, 1)))


def test_two_hundred_agreements_of_a_year_are_rated_in_well_under_a_second_each_month() -> None:
    """A guard against something quadratic, with room for a busy machine; bench/rating.py measures properly."""
    terms = flat(
        "5", "anima-1", "anima-2", commitments=[{"name": "f", "kind": "images", "quantity": 9, "period": "term"}]
    )
    counts = {(model, day): 7 for model in ("anima-1", "anima-2") for day in YEAR.each_day()}
    started = time.process_time()
    for _ in range(200):
        owed(contract((YEAR.start, terms)), counts, YEAR.end)
    assert time.process_time() - started < 2.0
