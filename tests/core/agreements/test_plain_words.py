"""Terms in words: every clause said, with its numbers, for somebody who has not read the contract."""

from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.agreements import plain_words as words
from core.agreements.clauses import Commitment, Fee, Schedule, Terms
from core.agreements.plain_words import days_said, number_said, plain_words, versions_in_words
from core.agreements.terms import parse_terms
from core.period import Period

YEAR = Period(date(2026, 1, 1), date(2027, 1, 1))


def said(*fees: dict[str, Any], **more: Any) -> dict[str, tuple[str, ...]]:
    terms = parse_terms({"currency": "USD", "fees": [{"name": "F", "models": ["m"], **fee} for fee in fees], **more})
    return {passage.heading: passage.sentences for passage in plain_words(terms)}


BUZZ = {"unit": "BUZZ", "conversions": [{"from": "BUZZ", "to": "USD", "rate": "0.001"}]}


@pytest.mark.parametrize(
    ("fee", "sentences"),
    [
        ({"schedule": {"kind": "flat", "rate": "0.01"}}, ["F (images by m): 0.01 USD an image."]),
        ({"schedule": {"kind": "zero"}}, ["F (images by m): counted, and no fee is due for an image."]),
        (
            {"schedule": {"kind": "flat", "band": ["12", "16"]}},
            ["F (images by m): between 12 and 16 USD an image; the price is not settled yet."],
        ),
        (
            {"schedule": {"kind": "package", "size": 1000, "price": "10"}},
            ["F (images by m): 10 USD for every package of 1,000 images; a package that was begun is owed in full."],
        ),
        (
            {"schedule": {"kind": "graduated", "tiers": [{"up_to": 1000, "rate": "5"}, {"rate": "4"}]}},
            [
                "F (images by m): each image at the price of its tier in the month "
                "(up to 1,000: 5 USD; above that: 4 USD)."
            ],
        ),
        (
            {"schedule": {"kind": "volume", "tiers": [{"rate": "4"}]}},
            [
                "F (images by m): all images of a month at the price of the tier that their number reaches "
                "(every image: 4 USD)."
            ],
        ),
        (
            {
                "schedule": {"kind": "flat", "rate": "0.01"},
                "models": ["a", "b", "c"],
                "per": "group",
                "included_images": 100_000,
                "base_fee": "999",
                "cap": {"images": 10_000, "kind": "hard"},
            },
            [
                "F (images by a, b and c, counted together): the first 100,000 images of a month are included; after "
                "them 0.01 USD an image.",
                "F: 999 USD a month besides, in parts by the day where the agreement begins or ends within a month.",
                "F: at most 10,000 images a month; usage above that is refused, and kept as evidence.",
            ],
        ),
    ],
)
def test_a_fee_is_said_with_its_numbers(fee, sentences):
    assert list(said(fee)["What is owed"]) == sentences


def test_a_fee_in_a_platforms_credit_is_said_in_money_too():
    found = said({"schedule": {"kind": "flat", "rate": "14"}}, **BUZZ)
    assert found["What is owed"] == ("F (images by m): 14 BUZZ (0.014 USD) an image.",)
    assert "One BUZZ is worth 0.001 USD." in found["How it is paid"]


def test_promises_say_what_is_missing_costs_and_what_an_early_end_does():
    floor = {"name": "floor", "kind": "images", "quantity": 42_000_000, "period": "term", "shortfall_rate": "12"}
    least = {"name": "least", "kind": "money", "quantity": "500", "period": "month", "ends_on": "2026-07-01"}
    found = said({"schedule": {"kind": "flat", "rate": "14"}}, commitments=[floor, least], early_termination="full")
    assert found["What is promised"] == (
        "floor: at least 42,000,000 images over the whole term. Each missing image costs 12 USD.",
        "least: at least 500 USD of fees in every calendar month, to 30 June 2026. What is missing is owed.",
        "If the agreement ends early, what was promised for the running period is due in full.",
    )


def test_a_prepaid_block_says_when_it_is_paid_and_what_goes_on():
    block = {"name": "block", "kind": "images", "quantity": 1000, "period": "year", "billing": "instalments"}
    more = {
        "instalments": "quarter",
        "prepaid_rate": "3.5",
        "rollover": {"unused": "0.5", "expires_after": 2},
        "order": 1,
    }
    found = said({"schedule": {"kind": "flat", "rate": "14"}}, commitments=[block | more])
    assert found["What is promised"][0] == (
        "block: 1,000 images in every year. It is paid before it is used, in equal parts, one every quarter at 3.5 USD "
        "an image, and usage is drawn from it. An early end forfeits what was paid and not used. It is filled as "
        "number 1 of those with a number. 50 % of what was not used counts in the next 2 periods."
    )


def test_a_monthly_fee_for_the_whole_agreement_names_no_model():
    found = said(
        {"schedule": {"kind": "zero"}},
        fees=[{"name": "Seat", "base_fee": "20"}, {"name": "F", "models": ["m"], "schedule": {"kind": "zero"}}],
    )
    assert found["What is owed"][0] == (
        "Seat: 20 USD a month for the agreement as a whole, in parts by the day where the agreement begins or ends "
        "within a month."
    )


def test_an_agreement_is_said_run_of_days_by_run_of_days():
    first, second, third = (
        parse_terms(
            {"currency": "USD", "fees": [{"name": "F", "models": ["m"], "schedule": {"kind": "flat", "rate": r}}]}
        )
        for r in ("1", "2", "3")
    )
    versions = [(YEAR.start, first), (date(2026, 9, 1), second), (date(2026, 7, 1), third)]
    runs = versions_in_words(Period(YEAR.start, date(2026, 8, 1)), versions)
    assert [(days_said(run.days), run.amendment) for run in runs] == [
        ("1 January 2026 to 30 June 2026", 0),
        ("1 July 2026 to 31 July 2026", 2),
    ]
    assert days_said(Period(YEAR.start, date(2026, 1, 2))) == "1 January 2026"
    assert [number_said(n) for n in (42_000_000, 0, -3)] == ["42,000,000", "0", "-3"]


def test_no_clause_goes_unsaid(monkeypatch):
    """A clause that has no sentence is quoted; and these are the clauses, so that a new one is noticed here."""
    monkeypatch.setattr(words, "_SAID_OF_FEE", words._SAID_OF_FEE - {"cap"})
    monkeypatch.setattr(words, "_SAID_OF_TERMS", words._SAID_OF_TERMS - {"payment_days"})
    found = said({"schedule": {"kind": "zero"}, "cap": {"images": 5, "kind": "soft"}})
    assert "F: cap: images 5, kind soft." in found["What is owed"]
    assert found["Also agreed"] == ("payment days: 30.",)


@pytest.mark.parametrize(
    ("clause", "known"),
    [
        (Terms, words._SAID_OF_TERMS),
        (Fee, words._SAID_OF_FEE),
        (Schedule, words._SAID_OF_SCHEDULE),
        (Commitment, words._SAID_OF_COMMITMENT),
    ],
)
def test_the_words_claim_no_clause_that_does_not_exist(clause, known):
    also = {"rate", "price"} if clause is Schedule else set()
    assert known <= {field.name for field in fields(clause)} | also


def test_every_scenario_can_be_said(project_folder: Path):
    for file in sorted((project_folder / "config/scenarios").glob("*.yaml")):
        for agreement in yaml.safe_load(file.read_text())["agreements"]:
            passages = plain_words(parse_terms(agreement["terms"]))
            assert passages[0].heading == "What is owed"
            assert all(sentence.endswith((".", "!", "?")) for passage in passages for sentence in passage.sentences)
