"""What an incoming amount pays: proposals with their confidence and reason."""

from datetime import date

import pytest

from core.money import Money
from core.payments.bank import Row
from core.payments.matching import OpenInvoice, match

OPEN = [
    OpenInvoice("OWL-000001", "north", "Nordlicht GmbH", Money("EUR", 100_00), date(2026, 11, 1)),
    OpenInvoice("OWL-000010", "north", "Nordlicht GmbH", Money("EUR", 50_00), date(2026, 10, 1)),
    OpenInvoice("OWL-000011", "south", "Südlicht AG", Money("EUR", 75_00), date(2026, 11, 1)),
    OpenInvoice("OWL-000012", "west", "West Inc", Money("EUR", 75_00), date(2026, 12, 1)),
    OpenInvoice("OWL-000013", "west", "West Inc", Money("USD", 20_00), date(2026, 12, 1)),
]


def row(minor: int, reference: str = "", payer: str = "", currency: str = "EUR") -> Row:
    return Row(2, date(2026, 11, 3), Money(currency, minor), payer, reference, "f")


CASES = {
    "its number and amount": (row(100_00, "Rechnung OWL-000001"), "certain", "north", ("OWL-000001",)),
    "without the hyphen": (row(100_00, "OWL000001 danke"), "certain", "north", ("OWL-000001",)),
    "in small letters with spaces": (row(100_00, "owl 000001"), "certain", "north", ("OWL-000001",)),
    "beside the payer": (row(100_00, "", "Nordlicht OWL-000001"), "certain", "north", ("OWL-000001",)),
    "its number, a part": (row(40_00, "OWL-000001"), "likely", "north", ("OWL-000001",)),
    "its number, too much": (row(101_00, "OWL-000001"), "likely", "north", ("OWL-000001",)),
    "two numbers that add up": (row(150_00, "OWL-000010, OWL-000001"), "likely", "north", ("OWL-000010", "OWL-000001")),
    "a number of another currency": (row(20_00, "OWL-000013"), "none", None, ()),
    "numbers of two licensees": (row(175_00, "OWL-000001 OWL-000011"), "none", None, ()),
    "a number inside a longer one": (row(1_00, "OWL-0000011 and XOWL-000001"), "none", None, ()),
    "amount and name": (row(75_00, "", "SUDLICHT AG"), "likely", "south", ("OWL-000011",)),
    "only the amount, once": (row(100_00, "invoice", "A. Nonymous"), "possible", "north", ("OWL-000001",)),
    "only the amount, twice": (row(75_00, "invoice"), "none", None, ()),
    "only the name": (row(120_00, "", "Nordlicht Gmbh"), "possible", "north", ("OWL-000010", "OWL-000001")),
    "neither": (row(1_23, "thanks", "Somebody"), "none", None, ()),
}


@pytest.mark.parametrize("how", CASES)
def test_a_row_is_matched_by_number_then_amount_then_name(how: str) -> None:
    said, confidence, licensee, numbers = CASES[how]
    found = match(said, OPEN)
    assert (found.confidence, found.licensee, found.numbers) == (confidence, licensee, numbers)
    assert found.reason


def test_amount_and_name_of_several_take_the_oldest() -> None:
    twins = [OpenInvoice(f"OWL-{n}", "north", "Nordlicht", Money("EUR", 5_00), date(2026, 12, n)) for n in (3, 1, 2)]
    assert match(row(5_00, "", "Nordlicht"), twins).numbers == ("OWL-1",)


def test_a_name_of_three_letters_or_a_legal_form_says_nothing() -> None:
    short = [OpenInvoice("OWL-1", "abc", "ABC Ltd", Money("EUR", 5_00), date(2026, 12, 1))]
    assert match(row(7_00, "", "abc ltd"), short).confidence == "none"


def test_nothing_open_fits_nothing() -> None:
    assert match(row(5_00, "OWL-000001"), []).confidence == "none"
