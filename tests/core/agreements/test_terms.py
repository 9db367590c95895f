"""Terms are read strictly, refusals name the place, and the canonical document round-trips."""

import json
from copy import deepcopy
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.agreements.terms import Commitment, Tier, parse_terms, terms_document
from core.errors import InvalidInput

SCENARIOS = sorted((Path(__file__).parents[3] / "config" / "scenarios").glob("*.yaml"))

FULL: dict[str, Any] = {
    "currency": "USD",
    "unit": "BUZZ",
    "conversions": [
        {"from": "BUZZ", "to": "USD", "rate": "0.0007", "effective_on": "2026-07-01"},
        {"from": "BUZZ", "to": "USD", "rate": "0.001"},
    ],
    "fees": [
        {
            "name": "Flat",
            "models": ["anima-1"],
            "schedule": {"kind": "flat", "rate": "12.00", "band": ["12", "16"]},
            "included_images": 1000,
            "base_fee": 999,
            "cap": {"images": 10_000, "kind": "hard"},
        },
        {
            "name": "Tiers",
            "models": ["birch", "cedar"],
            "per": "group",
            "schedule": {"kind": "graduated", "tiers": [{"up_to": 10, "rate": "0"}, {"rate": "10 per 1000"}]},
        },
        {"name": "Packs", "models": ["dogwood"], "schedule": {"kind": "package", "size": 100, "price": "1"}},
        {"name": "Open", "models": ["elm"], "schedule": {"kind": "zero"}},
    ],
    "commitments": [
        {"name": "floor", "kind": "images", "quantity": 42_000_000, "period": "term", "models": ["anima-1"]},
        {"name": "money", "kind": "money", "quantity": "100.50", "period": "month", "starts_on": date(2026, 3, 1)},
    ],
    "early_termination": "full",
    "payment_days": 45,
    "adapters": "both",
    "definitions": {"image": "saved", "counted": ["upscales"], "video_frame_factor": "0.04", "text": "As saved."},
    "eligibility": {"revenue_below": {"amount": "1000000", "currency": "USD"}, "attested": "yearly"},
}


def changed(path: list[str | int], value: object) -> dict[str, Any]:
    """The full document with one place set, or removed when the value is Ellipsis."""
    document = deepcopy(FULL)
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


def test_the_document_round_trips_through_json() -> None:
    terms = parse_terms(FULL)
    document = json.loads(json.dumps(terms_document(terms)))
    assert parse_terms(document) == terms
    assert terms_document(parse_terms(document)) == document


def test_what_was_written_is_what_is_meant() -> None:
    terms = parse_terms(FULL)
    flat, tiers, _, _ = terms.fees
    assert flat.schedule.flat_rate == Decimal(12)
    assert flat.schedule.band == (Decimal(12), Decimal(16))
    assert tiers.schedule.tiers == (Tier(10, Decimal(0)), Tier(None, Decimal("0.01")))
    assert terms.models == ("anima-1", "birch", "cedar", "dogwood", "elm")
    assert [conversion.rate for conversion in terms.conversions] == [Decimal("0.001"), Decimal("0.0007")]
    assert terms.commitments[0] == Commitment("floor", "images", Decimal(42_000_000), "term", ("anima-1",))


def test_equal_terms_have_equal_documents_however_they_were_written() -> None:
    written = changed(["fees", 0, "schedule", "rate"], "12")
    written["fees"][0]["base_fee"] = "999.000"
    assert terms_document(parse_terms(written)) == terms_document(parse_terms(FULL))


@pytest.mark.parametrize("file", SCENARIOS, ids=lambda file: file.stem)
def test_every_scenario_has_terms_that_round_trip(file: Path) -> None:
    for agreement in yaml.safe_load(file.read_text(encoding="utf-8"))["agreements"]:
        terms = parse_terms(agreement["terms"])
        assert parse_terms(json.loads(json.dumps(terms_document(terms)))) == terms


def test_a_band_without_a_rate_is_not_settled() -> None:
    terms = parse_terms(changed(["fees", 0, "schedule"], {"kind": "flat", "band": ["12", "16"]}))
    assert not terms.fees[0].schedule.settled
    assert parse_terms(terms_document(terms)) == terms


REFUSED: list[tuple[list[str | int], object, str, str]] = [
    (["fees", 1, "schedule", "tiers", 1, "rate"], 0.01, "fees[1].schedule.tiers[1].rate", "quotes"),
    (["fees", 0, "schedule", "rate"], "1e3", "fees[0].schedule.rate", "plain decimal"),
    (["fees", 0, "schedule", "rate"], "-1", "fees[0].schedule.rate", "zero or more"),
    (["fees", 0, "schedule", "rate"], True, "fees[0].schedule.rate", "decimal"),
    (["fees", 0, "schedule", "rate"], "NaN", "fees[0].schedule.rate", "plain decimal"),
    (["fees", 0, "schedule", "rate"], "0", "fees[0].schedule.rate", "kind: zero"),
    (["fees", 0, "schedule", "rate"], "0.0000000000001", "fees[0].schedule.rate", "12 places"),
    (["fees", 0, "schedule", "rate"], "1 per 3", "fees[0].schedule.rate", "not an exact decimal"),
    (["fees", 0, "schedule", "rate"], "17", "fees[0].schedule.rate", "outside the band"),
    (["fees", 0, "schedule", "rate"], 10**30, "fees[0].schedule.rate", "number up to"),
    (["fees", 0, "schedule", "rate"], 10**5000, "fees[0].schedule.rate", "number up to"),
    (["fees", 0, "schedule", "band"], ["16", "12"], "fees[0].schedule.band", "lowest and the highest"),
    (["fees", 0, "schedule", "kind"], "tiered", "fees[0].schedule.kind", "one of flat"),
    (["fees", 0, "schedule", "tiers"], [], "fees[0].schedule.tiers", "not known here"),
    (["fees", 0, "schedule"], "zero", "fees[0].schedule", "mapping"),
    (["fees", 0, "included_images"], "1000", "fees[0].included_images", "whole number"),
    (["fees", 0, "included_images"], 1.0, "fees[0].included_images", "whole number"),
    (["fees", 0, "included_images"], True, "fees[0].included_images", "whole number"),
    (["fees", 0, "base_fee"], None, "fees[0].base_fee", "leave the key out"),
    (["fees", 0, "models"], [], "fees[0].models", "at least one"),
    (["fees", 0, "models"], "anima-1", "fees[0].models", "list"),
    (["fees", 0, "models"], ["Anima 1"], "fees[0].models[0]", "slug"),
    (["fees", 0, "per"], "image", "fees[0].per", "model, group"),
    (["fees", 0, "cap", "kind"], "firm", "fees[0].cap.kind", "soft, hard"),
    (["fees", 0, "colour"], "red", "fees[0].colour", "not known here"),
    (["fees", 0, "name"], "Tiers", "fees[1].name", "used twice"),
    (["fees", 0, "name"], "nul\x00", "fees[0].name", "control"),
    (["fees", 1, "name"], "anima-1", "fees[1].name", "also a model"),
    (["fees", 1, "models"], ["anima-1"], "fees[1].models", "already has its price"),
    (["fees", 1, "schedule", "tiers", 1, "up_to"], 20, "fees[1].schedule.tiers", "end with a tier"),
    (["fees", 1, "schedule", "tiers", 0, "up_to"], ..., "fees[1].schedule.tiers[0].up_to", "must rise"),
    (["fees", 3, "included_images"], 5, "fees[3].included_images", "free"),
    (["fees"], [], "fees", "at least one fee"),
    (["fees"], ..., "fees", "missing"),
    (["currency"], "usd", "currency", "capital letters"),
    (["currency"], "BUZZ", "currency", "ISO 4217"),
    (["currency"], "EUR", "conversions[0]", "fees go from BUZZ to EUR"),
    (["unit"], "USD", "conversions[0]", "fees go from USD"),
    (["conversions"], ..., "conversions", "worth"),
    (["conversions", 0, "rate"], "0", "conversions[0].rate", "above zero"),
    (["conversions", 0, "effective_on"], ..., "conversions", "same day"),
    (["conversions", 0, "effective_on"], "2026-02-30", "conversions[0].effective_on", "calendar"),
    (["conversions", 0, "effective_on"], datetime(2026, 7, 1), "conversions[0].effective_on", "YYYY-MM-DD"),
    (["commitments", 0, "models"], ["fir"], "commitments[0].models[0]", "no fee"),
    (["commitments", 0, "models"], ["elm"], "commitments[0].models[0]", "rated at zero"),
    (["commitments", 0, "models"], [], "commitments[0].models", "no model"),
    (["commitments", 0, "models"], ["birch"], "commitments[0].shortfall_rate", "no single flat price"),
    (["commitments", 0, "quantity"], "42000000", "commitments[0].quantity", "whole number"),
    (["commitments", 0, "period"], "week", "commitments[0].period", "one of month"),
    (["commitments", 0, "name"], "money", "commitments[0].name", "used twice"),
    (["commitments", 1, "quantity"], "100.505", "commitments[1].quantity", "2 decimals"),
    (["commitments", 1, "shortfall_rate"], "1", "commitments[1].shortfall_rate", "leave this out"),
    (["commitments", 1, "models"], ["birch"], "commitments[1].models", "billed as one"),
    (["commitments", 1, "ends_on"], date(2026, 3, 1), "commitments[1].ends_on", "after starts_on"),
    (["payment_days"], 0, "payment_days", "from 1"),
    (["early_termination"], "none", "early_termination", "prorated, full"),
    (["definitions", "image"], "made", "definitions.image", "delivered"),
    (["eligibility", "revenue_below", "amount"], 1e6, "eligibility.revenue_below.amount", "quotes"),
    (["fee"], [], "fee", "not known here"),
]


@pytest.mark.parametrize(
    ("place", "value", "path", "says"), REFUSED, ids=[f"{n} {case[2]}" for n, case in enumerate(REFUSED)]
)
def test_wrong_terms_are_refused_where_they_are_wrong(
    place: list[str | int], value: object, path: str, says: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_terms(changed(place, value))
    assert refusal.value.code == "invalid_terms"
    assert refusal.value.detail["path"] == path
    assert refusal.value.sentence.startswith(f"{path}: ")
    assert says in refusal.value.sentence


@pytest.mark.parametrize("document", [None, [], "terms", {1: 2}, {}])
def test_what_is_not_a_document_of_terms_is_refused(document: Any) -> None:
    with pytest.raises(InvalidInput):
        parse_terms(document)
