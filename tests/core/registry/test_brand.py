"""Colours that can be read on paper, and bank details that can be paid to."""

import pytest

from core.errors import InvalidInput
from core.registry.bank_details import BankDetails, checked_iban, grouped
from core.registry.brand import WHITE, Brand, contrast


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", WHITE) == contrast(WHITE, "#000000") == 21
    assert f"{contrast('#767676', WHITE):.2f}" == "4.54"  # the well-known lightest grey for text
    assert f"{contrast('#777777', WHITE):.2f}" == "4.48"


def test_bars_take_the_colour_of_the_headings_where_they_have_none() -> None:
    assert Brand("#1b4d89").document() == {"colours": {"ink": "#1b4d89", "accent": "#1b4d89"}}
    assert Brand("#1b4d89", "#3f7d8c").document() == {"colours": {"ink": "#1b4d89", "accent": "#3f7d8c"}}
    assert Brand("", "#3f7d8c").document() == {"colours": {"accent": "#3f7d8c"}}
    assert Brand().document() == {}


@pytest.mark.parametrize(
    ("colours", "at", "said"),
    [
        (("#ffcc00", ""), "colour", "contrast is 1.38 to 1 and has to be 4.5; take a darker one such as '#7f6600'"),
        (("", "#ffcc00"), "accent", "has to be 3"),
        (("1b4d89", ""), "colour", "write a colour like"),
        (("", "red"), "accent", "write a colour like"),
        (("#fff", ""), "colour", "six digits"),
    ],
)
def test_a_colour_that_cannot_be_read_is_refused_and_a_darker_one_named(colours, at, said) -> None:
    with pytest.raises(InvalidInput, match=said) as refused:
        Brand(*colours)
    assert refused.value.detail["at"] == at


def test_the_darker_colour_that_is_named_can_be_taken() -> None:
    assert Brand("#7f6600")


@pytest.mark.parametrize(
    "iban",
    ["DE02 1203 0000 0000 2020 51", "gb82west12345698765432", "FR1420041010050500013M02606", "NO9386011117947"],
)
def test_ibans_of_several_countries_are_known(iban: str) -> None:
    assert grouped(checked_iban(iban)).replace(" ", "") == iban.replace(" ", "").upper()


@pytest.mark.parametrize(
    ("details", "at", "said"),
    [
        ({"iban": "DE02120300000000202052"}, "iban", "check digits of DE02 1203 0000 0000 2020 52"),
        ({"iban": "DE20120300000000202051"}, "iban", "check digits"),
        ({"iban": "DE0212030000000020205"}, "iban", "has 22 characters, this one 21"),
        ({"iban": "12345"}, "iban", "write an IBAN like"),
        ({"iban": "DE02120300000000202051", "bic": "BYLADEM10"}, "bic", "8 or 11 characters"),
        ({"iban": "DE02120300000000202051", "bic": "BYLA1EM1"}, "bic", "write a BIC like"),
    ],
)
def test_an_account_that_cannot_be_is_refused(details, at, said) -> None:
    with pytest.raises(InvalidInput, match=said) as refused:
        BankDetails(**details)
    assert refused.value.detail["at"] == at


def test_what_is_written_with_spaces_is_kept_without() -> None:
    assert BankDetails("DE02 1203 0000 0000 2020 51", "bylade m1001").document() == {
        "iban": "DE02120300000000202051",
        "bic": "BYLADEM1001",
    }
