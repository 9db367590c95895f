"""Money: exact on the way, rounded half up once, in the currency's own minor unit."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.money import Money, decimal_of, exponent, plain, round_half_up, total


@pytest.mark.parametrize(
    ("exact", "currency", "minor"),
    [
        ("0.005", "USD", 1),  # half a cent goes up
        ("0.0049999", "USD", 0),
        ("-0.005", "USD", -1),  # and a credit mirrors its charge
        ("2.5", "JPY", 3),
        ("1.0005", "KWD", 1001),
        ("504000", "USD", 504_000_00),
    ],
)
def test_an_amount_rounds_half_up_to_the_currencys_minor_unit(exact: str, currency: str, minor: int) -> None:
    assert Money.rounded(Decimal(exact), currency) == Money(currency, minor)


@given(st.fractions(), st.integers(0, 3))
def test_rounding_is_never_off_by_more_than_half_and_is_odd(exact: Fraction, places: int) -> None:
    scaled = exact * 10**places
    assert abs(round_half_up(scaled) - scaled) <= Fraction(1, 2)
    assert round_half_up(-scaled) == -round_half_up(scaled)


def test_amounts_show_as_many_places_as_the_currency_has() -> None:
    shown = [str(Money(currency, 1234567).amount) for currency in ("JPY", "USD", "KWD")]
    assert shown == ["1234567", "12345.67", "1234.567"]
    assert str(Money("USD", -5)) == "-0.05 USD"
    assert (exponent("EUR"), exponent("CLP"), exponent("BHD")) == (2, 0, 3)


def test_different_currencies_never_add_up() -> None:
    with pytest.raises(InvalidInput, match="cannot add"):
        Money("USD", 1) + Money("EUR", 1)
    assert total([], "JPY") == Money("JPY", 0)
    assert total([Money("USD", 5), -Money("USD", 7)], "USD") == Money("USD", -2)


@pytest.mark.parametrize(
    "text",
    ["", "1e3", "NaN", "Infinity", "1_000", "１２", " 1", "1 ", "0x10", "1.", ".5", "1." + "0" * 13, "9" * 25, "+1"],
)
def test_only_plain_decimals_come_in(text: str) -> None:
    with pytest.raises(InvalidInput):
        decimal_of(text)


@pytest.mark.parametrize("value", [True, 1.5, None, b"1", Decimal("NaN"), Decimal("1e30"), 10**25])
def test_floats_truths_and_monsters_never_come_in(value: object) -> None:
    with pytest.raises(InvalidInput):
        decimal_of(value)  # type: ignore[arg-type]


def test_a_whole_number_too_long_to_print_is_refused_in_words() -> None:
    with pytest.raises(InvalidInput, match="more than 24 digits"):
        decimal_of(10**5000)


def test_a_decimal_comes_in_as_it_is_written() -> None:
    assert decimal_of("0.000000000001") == Decimal("0.000000000001")
    assert decimal_of(Decimal("1E+3")) == Decimal(1000)
    assert decimal_of(-12) == Decimal(-12)


@given(st.decimals(-(10**15), 10**15, places=12))
def test_a_plain_number_reads_back_as_itself(value: Decimal) -> None:
    assert Decimal(plain(value)) == value
    assert plain(value) == plain(Fraction(value))
    assert not plain(value).endswith(".")
    assert plain(value) != "-0"


def test_a_third_is_cut_for_display() -> None:
    assert plain(Fraction(1, 3)) == "0.333333333333"
    assert plain(Fraction(-2, 3), 2) == "-0.67"
    assert plain(Fraction(-1, 10**13)) == "0"
    assert (plain(1000), plain(Decimal("1.50")), plain(Fraction(5, 2), 0)) == ("1000", "1.5", "3")
