"""Clauses of commitments: what may be written, what goes together, and what a refusal says."""

import json
from decimal import Decimal
from typing import Any

import pytest

from core.agreements.terms import Rollover, parse_terms, terms_document
from core.errors import InvalidInput

FLAT = {"name": "Flat", "models": ["anima-1"], "schedule": {"kind": "flat", "rate": "4"}}
TIERS = {
    "name": "Tiers",
    "models": ["birch", "cedar"],
    "per": "group",
    "schedule": {"kind": "graduated", "tiers": [{"up_to": 10, "rate": "0"}, {"rate": "10 Buzz per 1,000 images"}]},
}
OPEN = {"name": "Open", "models": ["elm"], "schedule": {"kind": "zero"}}
SUPPORT = {"name": "Support", "base_fee": "250"}


def document(*commitments: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "currency": "USD",
        "unit": "BUZZ",
        "conversions": [{"from": "BUZZ", "to": "USD", "rate": "0.001"}],
        "fees": [FLAT, TIERS, OPEN, SUPPORT],
        "commitments": [
            {"name": f"c{n}", "kind": "images", "quantity": 100, "period": "year", "models": ["anima-1"], **commitment}
            for n, commitment in enumerate(commitments)
        ],
        **more,
    }


def test_every_clause_round_trips_through_json() -> None:
    terms = parse_terms(
        document(
            {"billing": "advance", "prepaid_rate": "3.5", "rollover": {"unused": "0.50"}, "order": 2},
            {"billing": "instalments", "instalments": "quarter", "unused_at_termination": "refunded", "order": 1},
            {"rollover": {"excess": "1", "expires_after": 4}, "shortfall_rate": "5 per 2"},
            {"kind": "money", "quantity": "99.50", "models": ["anima-1", "birch", "cedar"], "order": 7},
        )
    )
    written = json.loads(json.dumps(terms_document(terms)))
    assert parse_terms(written) == terms
    assert terms_document(parse_terms(written)) == written
    first, second, third, last = terms.commitments
    assert first.rollover == Rollover(Decimal("0.5"), Decimal(0), 1)
    assert (first.prepaid, first.counts_lines, third.prepaid, third.counts_lines) == (True, True, False, False)
    assert (second.instalments, second.unused_at_termination, last.counts_lines) == ("quarter", "refunded", True)


def test_terms_without_new_clauses_keep_their_old_document() -> None:
    """What was signed before these clauses existed must still match its hash."""
    written = terms_document(parse_terms(document({})))["commitments"][0]
    assert set(written) == {"name", "kind", "quantity", "period", "models"}


def test_a_fee_for_the_whole_agreement_has_no_models_and_no_schedule() -> None:
    fee = parse_terms(document()).fees[3]
    assert (fee.name, fee.models, fee.per, fee.schedule.kind, fee.base_fee) == ("Support", (), "group", "zero", 250)


@pytest.mark.parametrize(
    ("written", "rate"),
    [
        ("10 Buzz per 1,000 images", "0.01"),
        ("10 BUZZ per 1000", "0.01"),
        ("10 per 1,000", "0.01"),
        ("1 per 4 images", "0.25"),
        ("0.5 Buzz per 1,000,000 images", "0.0000005"),
    ],
)
def test_a_price_may_be_written_as_platforms_quote_it(written: str, rate: str) -> None:
    fee = {**FLAT, "schedule": {"kind": "flat", "rate": written}}
    assert parse_terms(document(fees=[fee])).fees[0].schedule.flat_rate == Decimal(rate)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("10 Kudos per 1,000 images", "fees are in BUZZ"),
        ("1 per 3", "not an exact decimal"),
        ("1 per 3 images", "not an exact decimal"),
        ("1 Buzz per 10,00 images", "plain decimal"),
        ("-1 Buzz per 1,000 images", "plain decimal"),
        ("0 Buzz per 1,000 images", "above zero"),
        ("1 Buzz per 0 images", "plain decimal"),
    ],
)
def test_a_quoted_price_that_is_not_exact_is_refused(written: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_terms(document(fees=[{**FLAT, "schedule": {"kind": "flat", "rate": written}}]))
    assert refusal.value.detail["path"] == "fees[0].schedule.rate"
    assert says in refusal.value.sentence


ADVANCE = {"billing": "advance"}
PARTS = {"billing": "instalments", "instalments": "month"}
REFUSED: list[tuple[list[dict[str, Any]], str, str]] = [
    ([{"billing": "monthly"}], "[0].billing", "shortfall, advance, instalments"),
    ([{"billing": "instalments"}], "[0].instalments", "together"),
    ([{**ADVANCE, "instalments": "month"}], "[0].instalments", "together"),
    ([{**PARTS, "period": "month"}], "[0].instalments", "a month has no months"),
    ([{**PARTS, "instalments": "quarter", "period": "quarter"}], "[0].instalments", "a quarter has no quarters"),
    ([{**PARTS, "instalments": "week"}], "[0].instalments", "month, quarter"),
    ([{**ADVANCE, "shortfall_rate": "1"}], "[0].shortfall_rate", "write prepaid_rate"),
    ([{"prepaid_rate": "1"}], "[0].prepaid_rate", "write shortfall_rate"),
    ([{**ADVANCE, "prepaid_rate": "-1"}], "[0].prepaid_rate", "zero or more"),
    ([{**ADVANCE, "kind": "money", "prepaid_rate": "1"}], "[0].prepaid_rate", "leave this out"),
    ([{"unused_at_termination": "refunded"}], "[0].unused_at_termination", "paid in advance"),
    ([{**ADVANCE, "unused_at_termination": "kept"}], "[0].unused_at_termination", "forfeited, refunded"),
    ([{**ADVANCE, "rollover": {"unused": "1.5"}}], "[0].rollover.unused", "fraction from 0 to 1"),
    ([{**ADVANCE, "rollover": {"unused": 0.5}}], "[0].rollover.unused", "quotes"),
    ([{**ADVANCE, "rollover": {"unused": "0"}}], "[0].rollover", "nothing would roll over"),
    ([{**ADVANCE, "rollover": {"unused": "1", "expires_after": 0}}], "[0].rollover.expires_after", "from 1"),
    ([{**ADVANCE, "rollover": {"part": "1"}}], "[0].rollover.part", "not known here"),
    ([{**ADVANCE, "period": "term", "rollover": {"unused": "1"}}], "[0].rollover", "no next period"),
    ([{"order": 1, "rollover": {"unused": "1"}}], "[0].rollover", "cannot roll over too"),
    ([{"order": 0}], "[0].order", "from 1"),
    ([{"order": 1}, {**ADVANCE, "order": 1}], "[0].order", "own place"),
    ([{"order": 1}, {"kind": "money", "order": 2}], "[0].order", "one kind only"),
    ([{**ADVANCE, "models": ["birch"], "prepaid_rate": "1"}], "[0].models", "billed as one"),
    ([{**ADVANCE, "models": ["birch", "cedar"]}], "[0].prepaid_rate", "what a prepaid image costs"),
    ([{"models": ["birch", "cedar"]}], "[0].shortfall_rate", "what a missing image costs"),
    ([{"models": ["birch"], "order": 1, "shortfall_rate": "1"}], "[0].models", "billed as one"),
    ([{**ADVANCE, "models": []}], "[0].models", "no model"),
    ([{**ADVANCE, "models": ["elm"]}], "[0].models[0]", "rated at zero"),
    ([{**ADVANCE, "models": ["anima-1", "anima-1"]}], "[0].models", "named twice"),
    ([{**ADVANCE, "quantity": -1}], "[0].quantity", "whole number"),
    ([{**ADVANCE, "kind": "money", "quantity": "1.001"}], "[0].quantity", "2 decimals"),
]


@pytest.mark.parametrize(("commitments", "path", "says"), REFUSED, ids=[f"{n} {c[1]}" for n, c in enumerate(REFUSED)])
def test_clauses_that_do_not_go_together_are_refused(commitments: list[dict[str, Any]], path: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_terms(document(*commitments))
    assert refusal.value.code == "invalid_terms"
    assert refusal.value.detail["path"] == f"commitments{path}"
    assert says in refusal.value.sentence


@pytest.mark.parametrize(
    ("fees", "path", "says"),
    [
        ([FLAT, {"name": "Support"}], "fees[1].schedule", "missing"),
        ([FLAT, {"name": "Support", "base_fee": "0"}], "fees[1].base_fee", "above zero"),
        ([FLAT, {**SUPPORT, "included_images": 5}], "fees[1].included_images", "not known here"),
        ([FLAT, {**SUPPORT, "schedule": {"kind": "zero"}}], "fees[1].models", "at least one model"),
        ([FLAT, {**SUPPORT, "name": "anima-1"}], "fees[1].name", "also a model"),
    ],
)
def test_a_fee_for_the_agreement_is_a_monthly_fee_and_nothing_else(fees: list[Any], path: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_terms(document(fees=fees))
    assert refusal.value.detail["path"] == path
    assert says in refusal.value.sentence


def test_overlapping_tiers_are_refused_and_a_commitment_over_a_support_fee_alone() -> None:
    tiers = [{"up_to": 10, "rate": "1"}, {"up_to": 10, "rate": "2"}, {"rate": "3"}]
    for fees, path in (
        ([{**FLAT, "schedule": {"kind": "volume", "tiers": tiers}}], "fees[0].schedule.tiers[1].up_to"),
        ([OPEN, SUPPORT], "commitments[0].models"),
    ):
        with pytest.raises(InvalidInput) as refusal:
            parse_terms(document({"models": ["elm"]} if fees[0] is OPEN else {}, fees=fees))
        assert refusal.value.detail["path"].startswith(path)
