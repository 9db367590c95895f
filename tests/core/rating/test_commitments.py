"""Commitments one by one: when they fall due, at which price they are bought, how they end, where they stand."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from core.agreements.terms import Terms, parse_terms
from core.invoicing.paper.workings import explain_line
from core.period import Period
from core.rating.rate import Contract, LineKey, RatedLine, owed, progress

YEAR = Period(date(2026, 1, 1), date(2027, 1, 1))
Q1, Q2 = Period(date(2026, 1, 1), date(2026, 4, 1)), Period(date(2026, 4, 1), date(2026, 7, 1))


def terms(*commitments: dict[str, Any], rate: str = "4", **more: Any) -> Terms:
    fee = {"name": "fee", "models": ["a-1", "b-1"], "schedule": {"kind": "flat", "rate": rate}}
    return parse_terms(
        {
            "currency": "USD",
            "unit": "BUZZ",
            "conversions": [{"from": "BUZZ", "to": "USD", "rate": "0.01"}],
            "fees": [fee],
            "commitments": [
                {"name": "block", "kind": "images", "quantity": 1000, "period": "quarter", **c} for c in commitments
            ],
            **more,
        }
    )


def signed(*versions: tuple[date, Terms], ended_on: date | None = None) -> Contract:
    return Contract(YEAR, versions, ended_on)


def sums(lines: tuple[RatedLine, ...], *kinds: str) -> list[tuple[str, str, int, int]]:
    return [
        (line.key.kind, line.key.service.name, line.image_count, line.money.minor)
        for line in lines
        if line.key.kind in kinds
    ]


def in_words(line: RatedLine) -> list[str]:
    """The steps of a line as an invoice prints them, with plain spaces."""
    printed = {
        "no": 1,
        "description": line.description,
        "service_start": line.key.service.start.isoformat(),
        "service_end": line.key.service.end.isoformat(),
        "adjustment": False,
        "unit": line.unit,
        "workings": line.workings,
    }
    return [step.replace("\u202f", " ") for step in explain_line(printed, "USD")["steps"]]


ADVANCE = {"billing": "advance"}


def test_a_prepayment_is_due_on_the_first_day_of_its_period_and_nothing_else_before_its_end() -> None:
    found = signed((YEAR.start, terms(ADVANCE)))
    assert owed(found, {}, date(2025, 12, 31)) == ()
    assert sums(owed(found, {}, Q1.start), "prepayment") == [("prepayment", Q1.name, 1000, 4000)]
    assert sums(owed(found, {}, date(2026, 3, 31)), "prepayment") == [("prepayment", Q1.name, 1000, 4000)]
    assert len(owed(found, {}, Q2.start)) == 2


def test_when_a_key_is_due_and_whose_bill_shows_it_as_its_own() -> None:
    march, april = Period.month("2026-03"), Period.month("2026-04")
    block, used = LineKey("prepayment", "block", Q2, ""), LineKey("usage", "a-1", march, "2026-03-01")
    assert (block.due_on, used.due_on) == (Q2.start, march.end)
    assert (block.belongs_to(march), block.belongs_to(april)) == (True, True)  # asked for by whichever comes first
    assert (used.belongs_to(march), used.belongs_to(april)) == (True, False)
    assert not block.belongs_to(Period.month("2026-05"))


def test_a_block_keeps_the_price_of_its_first_day() -> None:
    dearer = (date(2026, 2, 10), terms(ADVANCE, rate="5"))
    lines = owed(signed((YEAR.start, terms(ADVANCE)), dearer), {}, Q2.start)
    assert sums(lines, "prepayment") == [("prepayment", Q1.name, 1000, 4000), ("prepayment", Q2.name, 1000, 5000)]


def test_a_block_that_the_first_day_did_not_know_has_the_price_of_the_terms_that_bring_it() -> None:
    lines = owed(signed((YEAR.start, terms()), (date(2026, 2, 10), terms(ADVANCE, rate="5"))), {}, Q1.end)
    assert sums(lines, "prepayment")[0] == ("prepayment", Q1.name, 1000, 5000)


def test_a_block_dropped_by_an_amendment_is_taken_back_with_its_drawdowns() -> None:
    counts = {("a-1", date(2026, 1, 5)): 10}
    kept, dropped = (
        signed((YEAR.start, terms(ADVANCE))),
        signed((YEAR.start, terms(ADVANCE)), (date(2026, 3, 1), terms())),
    )
    assert {line.key.kind for line in owed(kept, counts, Q1.end)} == {"usage", "drawdown", "prepayment"}
    assert {line.key.kind for line in owed(dropped, counts, Q1.end)} == {"usage"}


@pytest.mark.parametrize(
    ("clauses", "early", "prepaid", "back"),
    [
        ({}, "prorated", 50 * 4 * 10, []),  # 45 of 90 days: 500 images
        ({}, "full", 4000, []),
        ({"unused_at_termination": "refunded"}, "prorated", 2000, [("refund", "2026-01-01..2026-02-15", -400, -1600)]),
        ({"unused_at_termination": "refunded"}, "full", 4000, [("refund", "2026-01-01..2026-02-15", -900, -3600)]),
    ],
)
def test_an_early_end_leaves_what_the_terms_say(
    clauses: dict[str, Any], early: str, prepaid: int, back: list[Any]
) -> None:
    found = signed((YEAR.start, terms({**ADVANCE, **clauses}, early_termination=early)), ended_on=date(2026, 2, 15))
    lines = owed(found, {("a-1", date(2026, 1, 5)): 100}, YEAR.end)
    assert sums(lines, "prepayment")[0][3] == prepaid
    assert sums(lines, "refund") == back
    assert sums(lines, "drawdown") == [("drawdown", "2026-01", -100, -400)]
    assert all(line.key.service != Q2 for line in lines)


def test_the_key_of_a_prepayment_is_the_same_before_and_after_an_early_end() -> None:
    whole = owed(signed((YEAR.start, terms(ADVANCE))), {}, Q1.start)
    cut = owed(signed((YEAR.start, terms(ADVANCE)), ended_on=date(2026, 2, 15)), {}, Q1.start)
    assert [line.key for line in whole] == [line.key for line in cut]


def test_parts_of_a_block_sum_up_to_it_to_the_cent() -> None:
    parts = {"billing": "instalments", "instalments": "month", "period": "year", "kind": "money", "quantity": "100"}
    lines = owed(signed((YEAR.start, terms(parts))), {}, date(2026, 12, 1))
    assert [line.money.minor for line in lines] == [833, 833, 834] * 4
    assert [line.key.due_on.month for line in lines] == list(range(1, 13))
    assert {line.key.part for line in lines} == {"2026-01-01..2027-01-01"}


def test_what_rolls_over_expires() -> None:
    lasting = {**ADVANCE, "rollover": {"unused": "1", "expires_after": 1}}
    late = {("a-1", date(2026, 8, 1)): 5000}
    found = sums(owed(signed((YEAR.start, terms(lasting))), late, date(2026, 9, 1)), "drawdown")
    assert found == [("drawdown", "2026-08", -2000, -8000)]  # the third block and the second one's rest
    lasting["rollover"] = {"unused": "1", "expires_after": 2}
    found = sums(owed(signed((YEAR.start, terms(lasting))), late, date(2026, 9, 1)), "drawdown")
    assert found == [("drawdown", "2026-08", -3000, -12000)]


def test_excess_lowers_the_next_block_before_it_is_bought() -> None:
    eager = {**ADVANCE, "rollover": {"excess": "0.5"}}
    lines = owed(signed((YEAR.start, terms(eager))), {("a-1", date(2026, 1, 5)): 1501}, Q2.start)
    assert sums(lines, "prepayment") == [("prepayment", Q1.name, 1000, 4000), ("prepayment", Q2.name, 750, 3000)]


MONTHLY = {"period": "month", "rollover": {"unused": "1", "excess": "1", "expires_after": 1}}
FEBRUARY, MARCH = date(2026, 2, 1), date(2026, 3, 1)


def test_excess_that_nothing_needed_in_time_is_gone() -> None:
    counts = {("a-1", date(2026, 1, 5)): 1500, ("a-1", date(2026, 2, 5)): 1000}
    missed = owed(signed((YEAR.start, terms(MONTHLY)), ended_on=date(2026, 4, 1)), counts, YEAR.end)
    assert sums(missed, "shortfall") == [("shortfall", "2026-03", 1000, 4000)]


@pytest.mark.parametrize("billing", ["shortfall", "advance"])
def test_nothing_rolls_over_a_gap(billing: str) -> None:
    held = terms({**MONTHLY, "billing": billing})
    found = signed((YEAR.start, held), (FEBRUARY, terms()), (MARCH, held), ended_on=date(2026, 4, 1))
    lines = owed(found, {("a-1", date(2026, 3, 5)): 1500}, YEAR.end)
    if billing == "advance":
        assert sums(lines, "drawdown") == [("drawdown", "2026-03", -1000, -4000)]
    else:
        assert sums(lines, "shortfall") == [("shortfall", "2026-01", 1000, 4000)]


def test_images_do_not_roll_over_into_money() -> None:
    block = {**MONTHLY, "billing": "advance"}
    found = signed((YEAR.start, terms(block)), (FEBRUARY, terms({**block, "kind": "money", "quantity": 10})))
    lines = owed(found, {("a-1", date(2026, 2, 5)): 1500}, MARCH)
    assert sums(lines, "drawdown") == [("drawdown", "2026-02", 0, -1000)]


def test_an_excess_greater_than_a_block_frees_the_next_ones_until_it_expires() -> None:
    eager = {**ADVANCE, "rollover": {"excess": "1", "expires_after": 2}}
    found = owed(signed((YEAR.start, terms(eager))), {("a-1", date(2026, 1, 5)): 2600}, date(2026, 10, 1))
    assert sums(found, "prepayment") == [
        ("prepayment", Q1.name, 1000, 4000),  # 1,600 beyond it: 1,000 free the second block, 600 of the third
        ("prepayment", "2026-07-01..2026-10-01", 400, 1600),
        ("prepayment", "2026-10-01..2027-01-01", 1000, 4000),
    ]


def test_a_block_shows_when_it_would_be_used_up_and_how_that_was_computed() -> None:
    found = signed((YEAR.start, terms(ADVANCE)))
    counts = {("a-1", day): 20 for day in Period(Q1.start, date(2026, 2, 28)).each_day()}  # from the 10th on: not yet
    (state,) = progress(found, counts, date(2026, 2, 10))
    assert (state.billing, state.target, state.counted, state.remaining) == ("advance", 1000, 800, 200)
    assert (state.fraction_done, state.forecast, state.expected_unused) == (Fraction(4, 5), 1800, 0)
    assert state.exhausted_on == date(2026, 2, 19)  # 20 a day: the 50th day
    assert state.computed == (
        "800 images in 40 of 90 days; at that pace 1,800 images by 2026-03-31; "
        "the 1,000 held would be used up on 2026-02-19"
    )
    assert [(row.month.name, row.quantity, row.left) for row in state.burn_down] == [
        ("2026-01", 620, 380),
        ("2026-02", 180, 200),
    ]
    (calm,) = progress(found, {("a-1", Q1.start): 80}, date(2026, 2, 10))
    assert (calm.exhausted_on, calm.forecast, calm.expected_unused) == (None, 180, 820)


def test_progress_of_a_shortfall_includes_what_rolled_over() -> None:
    rolled = {"rollover": {"unused": "0.5", "excess": "0.5"}}
    less = progress(signed((YEAR.start, terms(rolled))), {("a-1", date(2026, 1, 5)): 600}, date(2026, 4, 11))
    assert [(state.target, state.carried, state.remaining) for state in less] == [(1200, 200, 1200)]
    more = progress(signed((YEAR.start, terms(rolled))), {("a-1", date(2026, 1, 5)): 1600}, date(2026, 4, 11))
    assert [(state.target, state.carried, state.remaining) for state in more] == [(700, -300, 700)]
    assert more[0].computed == "0 images in 10 of 91 days; at that pace 0 images by 2026-06-30"


def test_the_workings_of_a_block_read_as_sentences() -> None:
    bought = {**ADVANCE, "rollover": {"unused": "0.5"}, "unused_at_termination": "refunded"}
    found = signed((YEAR.start, terms(bought)), ended_on=date(2026, 5, 16))
    counts = {("a-1", date(2026, 1, 5)): 600, ("b-1", date(2026, 4, 5)): 250}
    said = {(line.key.kind, line.key.service.start.month): in_words(line) for line in owed(found, counts, YEAR.end)}
    assert said["prepayment", 1] == [
        "1 January to 31 March 2026: 1 000 images in advance",
        "1 000 images × 4 BUZZ = 4 000 BUZZ",
        "4 000 BUZZ × 0.01 USD per BUZZ = 40 USD, exactly",
    ]
    assert said["prepayment", 4] == [
        "1 April to 30 June 2026: 495 images in advance (of 1 000 for a whole period); "
        "the agreement ended before 16 May 2026",
        "495 images × 4 BUZZ = 1 980 BUZZ",
        "1 980 BUZZ × 0.01 USD per BUZZ = 19.8 USD, exactly",
    ]
    assert said["drawdown", 4] == [
        "Balance for 1 January to 31 March 2026: 200 − 200 drawn = 0 images left",
        "Balance for 1 April to 30 June 2026: 495 − 50 drawn = 445 images left",
        "Images by b-1: 250 of 250 images, 10.00 of 10.00 USD paid in advance",
    ]
    assert said["refund", 4] == ["Unused for 1 April to 30 June 2026: 445 images × 0.04 = 17.8 USD"]


def test_the_workings_of_parts_and_of_rollover_read_as_sentences() -> None:
    parts = {"billing": "instalments", "instalments": "month", "period": "year"}
    part = owed(signed((YEAR.start, terms(parts))), {}, YEAR.start)[0]
    rolled = {"rollover": {"unused": "0.5"}}
    shortfalls = owed(signed((YEAR.start, terms(rolled))), {("a-1", date(2026, 1, 5)): 600}, Q2.end)
    words = [in_words(line) for line in (part, *shortfalls) if line.key.kind != "usage"]
    assert words[0] == [
        "1 January to 31 December 2026: 1 000 images in advance; × 4 BUZZ × 0.01 USD per BUZZ",
        "Part 1 of 12 of 40.00 USD: 3.33 USD",
    ]
    assert words[1][0] == (
        "1 January to 31 March 2026: 1 000 images committed − 600 counted = 400 images missing, "
        "200 of them added to the next target and not charged yet"
    )
    assert words[2][0] == (
        "1 April to 30 June 2026: 1 000 images committed + 200 left over from before − 0 counted = "
        "1 200 images missing, 500 of them added to the next target and not charged yet"
    )
    assert part.unit_price is None
    assert part.conversion_rate == Decimal(1)
