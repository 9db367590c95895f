"""What terms say about paying late and about days of silence: read strictly, kept, said in words."""

from decimal import Decimal

import pytest

from core.agreements.plain_words import plain_words
from core.agreements.terms import parse_terms, terms_document
from core.errors import InvalidInput

FEES = [{"name": "F", "models": ["sd-1"], "schedule": {"kind": "flat", "rate": "1"}}]


def document(**more: object) -> dict:
    return {"currency": "USD", "fees": FEES, **more}


def test_both_clauses_come_back_as_they_were_read_and_are_said() -> None:
    terms = parse_terms(document(late_interest={"yearly_percent": "9.50"}, missing_days="hold"))
    assert (terms.late_interest, terms.missing_days) == (Decimal("9.50"), "hold")
    assert parse_terms(terms_document(terms)) == terms
    assert terms_document(terms)["late_interest"] == {"yearly_percent": "9.5"}
    said = " ".join(sentence for passage in plain_words(terms) for sentence in passage.sentences)
    assert "9.5 % a year" in said
    assert "waits until somebody releases it" in said


def test_terms_without_them_are_hashed_as_before() -> None:
    assert not {"late_interest", "missing_days"} & terms_document(parse_terms(document())).keys()


@pytest.mark.parametrize(
    "clause",
    ["18", 18, {}, {"yearly_percent": 9.5}, {"yearly_percent": "0"}, {"yearly_percent": "101"},
     {"yearly_percent": "-1"}, {"yearly_percent": "NaN"}, {"yearly_percent": "1 per 1,000"},
     {"yearly_percent": "1", "monthly": "1"}, None],
)  # fmt: skip
def test_malformed_interest_is_refused_with_its_place(clause: object) -> None:
    with pytest.raises(InvalidInput, match="late_interest"):
        parse_terms(document(late_interest=clause))
