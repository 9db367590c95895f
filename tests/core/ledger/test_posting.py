"""What each event writes into the books, as an accountant would write it."""

from datetime import date

import pytest

from core.errors import InvalidInput
from core.ledger.posting import (
    Entry,
    credit_applied,
    credit_note_issued,
    invoice_issued,
    payment_received,
    refund_paid,
    reversal,
    voided,
    written_back,
    written_off,
)
from core.money import Money, total


def usd(minor: int) -> Money:
    return Money("USD", minor)


def shown(entry: Entry) -> list[tuple[str, int, str]]:
    assert total([leg.money for leg in entry.postings], "USD").minor == 0, "an entry sums to zero"
    return [(leg.book, leg.money.minor, leg.item) for leg in entry.postings]


def test_an_invoice_is_owed_with_its_tax_and_earned_without() -> None:
    entry = invoice_issued("X-1", usd(1000), usd(190), usd(5), date(2026, 11, 1))
    assert shown(entry) == [
        ("receivable", 1195, "X-1"),
        ("licence_fees", -1000, ""),
        ("interest_income", -5, ""),
        ("tax_payable", -190, ""),
    ]
    assert entry.reference == "issue:X-1"
    assert shown(invoice_issued("X-2", usd(0))) == [("receivable", 0, "X-2")]
    assert shown(voided("X-1", entry)) == [(book, -minor, item) for book, minor, item in shown(entry)]


def test_a_credit_settles_what_is_open_and_leaves_the_rest_to_use() -> None:
    entry = credit_note_issued("X-CN-1", usd(-1000), usd(-190), usd(0), settles={"X-1": usd(700)})
    assert shown(entry) == [
        ("receivable", -700, "X-1"),
        ("unapplied", -490, "X-CN-1"),
        ("licence_fees", 1000, ""),
        ("tax_payable", 190, ""),
    ]
    with pytest.raises(InvalidInput):
        credit_note_issued("X-CN-1", usd(-1), usd(0), usd(0), settles={"X-1": usd(2)})


def test_a_payment_settles_what_it_names_and_what_was_kept_back_counts_as_paid() -> None:
    entry = payment_received("b7", usd(950), {"X-1": usd(900)}, charges=usd(10), withheld=usd(40), on=date(2026, 11, 2))
    assert shown(entry) == [
        ("cash", 950, ""),
        ("bank_charges", 10, ""),
        ("withholding_tax", 40, ""),
        ("receivable", -900, "X-1"),
        ("unapplied", -100, "payment:b7"),
    ]
    with pytest.raises(InvalidInput, match="apply less"):
        payment_received("b8", usd(1), {"X-1": usd(2)})
    assert shown(credit_applied("7", "payment:b7", "X-2", usd(60))) == [
        ("unapplied", 60, "payment:b7"),
        ("receivable", -60, "X-2"),
    ]
    assert shown(refund_paid("7", "payment:b7", usd(40))) == [("unapplied", 40, "payment:b7"), ("cash", -40, "")]
    assert shown(reversal("payment-returned:b7", entry))[0] == ("cash", -950, "")


def test_a_write_off_and_its_return_cancel_out() -> None:
    there, back = shown(written_off("X-1", 1, usd(5))), shown(written_back("X-1", 1, usd(5)))
    assert sorted((book, -minor, item) for book, minor, item in there) == sorted(back)
