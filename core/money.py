"""Money: the one door through which decimals come in, and the one place where anything is rounded.

Amounts on the way to a line are exact (`Fraction`: prorating divides, and a decimal cannot hold a third). A line
rounds once, half up, to the currency's minor unit; from there on money is a whole number of minor units.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from core.errors import InvalidInput

# ISO 4217: the currencies whose minor unit is not a hundredth. Everything else has two decimals.
_EXPONENTS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF"), 0),
    **dict.fromkeys(("UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}
MAX_RATE_DECIMALS = 12
_PLAIN_DECIMAL = re.compile(r"-?\d{1,24}(\.\d{1,12})?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


@lru_cache(maxsize=1000)
def exponent(currency: str) -> int:
    """Decimals of the currency's minor unit: 2 for USD, 0 for JPY, 3 for KWD."""
    if not _CURRENCY.fullmatch(currency):
        raise InvalidInput("unknown_currency", f"{currency!r} is not a currency: use an ISO 4217 code such as USD")
    return _EXPONENTS.get(currency, 2)


def decimal_of(text: str | int | Decimal, what: str = "amount") -> Decimal:
    """An exact decimal from text, a whole number or a Decimal; never from a float.

    Plain notation only, at most 24 digits before the point and 12 after: "12", "0.001", "-3.50".
    """
    if isinstance(text, bool) or not isinstance(text, str | int | Decimal):
        raise InvalidInput(
            "not_a_decimal", f'{what} must be a whole number or a decimal in quotes, such as "0.01", not {text!r}'
        )
    if isinstance(text, int):
        written = str(text) if abs(text) < 10**24 else "a number of more than 24 digits"
    else:
        written = format(text, "f") if isinstance(text, Decimal) and text.is_finite() else str(text)
    if not _PLAIN_DECIMAL.fullmatch(written):
        raise InvalidInput(
            "not_a_decimal",
            f"{what} must be a plain decimal with at most {MAX_RATE_DECIMALS} places, not {written[:40]!r}",
        )
    return Decimal(written)


def round_half_up(exact: Fraction) -> int:
    """The nearest whole number; a half goes away from zero, so that a credit mirrors its charge."""
    return _half_up(*exact.as_integer_ratio())


def _half_up(numerator: int, denominator: int) -> int:
    magnitude = (2 * abs(numerator) + denominator) // (2 * denominator)
    return magnitude if numerator >= 0 else -magnitude


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """A whole number of minor units of one currency: Money("USD", 999_00) is 999.00 USD."""

    currency: str
    minor: int

    @classmethod
    def rounded(cls, exact: Fraction | Decimal, currency: str) -> "Money":
        """`exact` units of the currency, rounded half up to its minor unit. The only rounding in Perimage."""
        numerator, denominator = exact.as_integer_ratio()
        return cls(currency, _half_up(numerator * 10 ** exponent(currency), denominator))

    @property
    def amount(self) -> Decimal:
        """The amount with the currency's own number of decimals: Decimal("999.00")."""
        return Decimal(self.minor).scaleb(-exponent(self.currency))

    def __add__(self, other: "Money") -> "Money":
        return Money(self._same(other), self.minor + other.minor)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self._same(other), self.minor - other.minor)

    def __neg__(self) -> "Money":
        return Money(self.currency, -self.minor)

    def __str__(self) -> str:
        return f"{self.amount:,f} {self.currency}"

    def _same(self, other: "Money") -> str:
        if self.currency != other.currency:
            raise InvalidInput("mixed_currencies", f"cannot add {self.currency} to {other.currency}")
        return self.currency


def total(amounts: list[Money], currency: str) -> Money:
    """The sum, in `currency` even when there is nothing to add."""
    return sum(amounts, start=Money(currency, 0))


def plain(exact: Fraction | Decimal | int, places: int = MAX_RATE_DECIMALS) -> str:
    """An exact number as a plain decimal string for people and JSON, without trailing zeros.

    A number with no finite decimal (a prorated third) is cut to `places` by half-up, for display only.
    """
    numerator, denominator = exact.as_integer_ratio()
    if denominator == 1:
        return str(numerator)
    scaled = (2 * abs(numerator) * 10**places + denominator) // (2 * denominator)
    whole, part = divmod(scaled, 10**places)
    text = f"{whole}.{part:0{places}d}".rstrip("0").rstrip(".") if places else str(whole)
    return f"-{text}" if numerator < 0 and scaled else text
