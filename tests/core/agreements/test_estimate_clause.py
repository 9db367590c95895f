"""The clause about days without a report: read strictly, kept whole, said in words."""

import pytest

from core.agreements.plain_words import plain_words
from core.agreements.terms import Estimate, parse_terms, terms_document
from core.errors import InvalidInput
from tests.core.agreements.test_late_clauses import document


def test_the_rule_comes_back_as_it_was_read_with_its_default_spelled_out() -> None:
    terms = parse_terms(document(estimate={"rule": "trailing_average"}))
    assert terms.estimate == Estimate("trailing_average", 3)
    assert terms_document(terms)["estimate"] == {"rule": "trailing_average", "months": 3}
    assert parse_terms(terms_document(terms)) == terms


def test_terms_without_it_are_hashed_as_before() -> None:
    assert "estimate" not in terms_document(parse_terms(document()))


@pytest.mark.parametrize(
    ("clause", "path", "advice"),
    [
        ("trailing_average", "estimate", "write a mapping"),
        (None, "estimate", "this is empty"),
        ({}, "estimate.rule", "this is missing"),
        ({"rule": "median"}, "estimate.rule", "write one of trailing_average"),
        ({"rule": "trailing_average", "months": 0}, "estimate.months", "from 1 to 24"),
        ({"rule": "trailing_average", "months": 25}, "estimate.months", "from 1 to 24"),
        ({"rule": "trailing_average", "months": "3"}, "estimate.months", "a whole number of months"),
        ({"rule": "trailing_average", "months": True}, "estimate.months", "a whole number of months"),
        ({"rule": "trailing_average", "days": 3}, "estimate.days", "known are months, rule"),
    ],
)
def test_a_malformed_rule_is_refused_with_its_place(clause: object, path: str, advice: str) -> None:
    with pytest.raises(InvalidInput, match=advice) as refusal:
        parse_terms(document(estimate=clause))
    assert refusal.value.detail["path"] == path


@pytest.mark.parametrize(("months", "said"), [(1, "of the month before"), (6, "of the 6 months before")])
def test_it_is_said_in_words_and_an_invoice_then_waits_only_where_nothing_can_be_estimated(
    months: int, said: str
) -> None:
    terms = parse_terms(document(missing_days="hold", estimate={"rule": "trailing_average", "months": months}))
    words = " ".join(sentence for passage in plain_words(terms) for sentence in passage.sentences)
    assert f"the average of the reported days {said}" in words
    assert "Where there is no reported day to go by, the invoice waits" in words
    assert "An invoice for days of which nothing was reported" not in words
