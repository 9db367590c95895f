"""How numbers, money and time are written for whoever reads: separators by language, amounts exact, times as UTC that
the browser turns into the reader's zone.

Nothing is rounded here. What a page shows in fewer digits was rounded by `core/money.py`.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from babel import Locale
from babel.dates import format_date, format_datetime, format_skeleton
from babel.numbers import get_decimal_symbol, get_group_symbol
from markupsafe import Markup

from core.money import Money, exponent, plain
from core.period import Period

LANGUAGES = {"en": "English", "en-GB": "English (UK)", "de": "Deutsch", "ja": "日本語"}
_KNOWN = {"en": "en", "en-us": "en", "en-gb": "en-GB", "en-au": "en-GB", "en-ie": "en-GB", "de": "de", "ja": "ja"}


@dataclass(frozen=True, slots=True)
class Reader:
    """In which language somebody reads numbers and dates."""

    tag: str
    group: str
    point: str

    @property
    def locale(self) -> Locale:
        return _locale(self.tag)


@lru_cache(maxsize=8)
def reader(tag: str) -> Reader:
    """A reader of this language, which is one of LANGUAGES."""
    locale = _locale(tag)
    return Reader(tag, get_group_symbol(locale), get_decimal_symbol(locale))


@lru_cache(maxsize=8)
def _locale(tag: str) -> Locale:
    return Locale.parse(tag.replace("-", "_"))


def language_of(chosen: str | None, accepted: str) -> str:
    """The language somebody chose, or the first one of the browser's that we know; English otherwise."""
    if chosen in LANGUAGES:
        return chosen
    for said in accepted[:200].split(","):
        tag = said.partition(";")[0].strip().lower()
        if found := _KNOWN.get(tag) or _KNOWN.get(tag.partition("-")[0]):
            return found
    return "en"


reading: ContextVar[Reader] = ContextVar("reading")  # who reads the page that is being written


def _reader() -> Reader:
    return reading.get(None) or reader("en")


def count(number: int | None) -> str:
    """42,000,000 with the reader's separators; a real minus sign."""
    return "–" if number is None else _grouped(f"{number:,}")


def decimal(number: Decimal | Fraction | int | str | None, places: int = 12) -> str:
    """An exact number without trailing zeros, such as a rate."""
    if number is None:
        return "–"
    text = plain(Decimal(number) if isinstance(number, str) else number, places)
    whole, _, part = text.partition(".")
    return _grouped(f"{int(whole):,}" if whole not in ("-0", "0") else whole, part)


def percent(part: int | Decimal, whole: int | Decimal, places: int = 1) -> str:
    """A share as 12.5 %; a dash of nothing."""
    if not whole:
        return "–"
    return f"{decimal(Fraction(part) * 100 / Fraction(whole), places)} %"


def amount(minor: int, currency: str) -> str:
    """1,234.50: an amount in minor units with all of its decimals."""
    return _grouped(*_split(f"{Money(currency, minor).amount:,f}"))


def money(minor: int | Money | None, currency: str | None = None) -> Markup:
    """The amount and its currency as HTML: `money(123450, "USD")` or `money(Money("USD", 123450))`."""
    if isinstance(minor, Money):
        minor, currency = minor.minor, minor.currency
    if minor is None or currency is None:
        return Markup("–")
    exponent(currency)
    return Markup('<span class="money">{} <span class="currency">{}</span></span>').format(
        amount(minor, currency), currency
    )


def money_text(minor: int | Money | None, currency: str | None = None) -> str:
    """The same as plain text, for attributes and charts."""
    if isinstance(minor, Money):
        minor, currency = minor.minor, minor.currency
    return "–" if minor is None or currency is None else f"{amount(minor, currency)} {currency}"


def day(value: date | None, style: str = "medium") -> Markup:
    """A day as the reader writes it."""
    if value is None:
        return Markup("–")
    return Markup('<time datetime="{}">{}</time>').format(value.isoformat(), _day(value, style, _reader().tag))


def last_day(end: date) -> Markup:
    """The last day of a period that ends before `end`."""
    return day(end - timedelta(days=1))


def day_text(value: date, style: str = "medium") -> str:
    return _day(value, style, _reader().tag)


def month(value: date | str | Period) -> str:
    """October 2026, of any of its days or of its name 2026-10."""
    if isinstance(value, str):
        value = Period.month(value)
    return _month(value.start if isinstance(value, Period) else value, _reader().tag)


def month_short(value: date) -> str:
    """Oct, as above a calendar."""
    return format_date(value, "LLL", locale=_reader().locale)


def moment(value: datetime | None) -> Markup:
    """A moment: UTC as it stands, and the browser writes it in the reader's zone with UTC on hover."""
    if value is None:
        return Markup("–")
    utc = value.astimezone(UTC)
    text = f"{format_datetime(utc, 'd MMM y, HH:mm', locale=_reader().locale)} UTC"
    return Markup('<time class="moment" datetime="{}" title="{}">{}</time>').format(
        utc.isoformat(timespec="seconds").replace("+00:00", "Z"), text, text
    )


@lru_cache(maxsize=4096)
def _day(value: date, style: str, tag: str) -> str:
    locale = _locale(tag)
    if style == "short":
        return format_skeleton("MMMd", value, locale=locale)
    return format_date(value, style, locale=locale)  # type: ignore[arg-type]


@lru_cache(maxsize=1024)
def _month(value: date, tag: str) -> str:
    return format_skeleton("yMMMM", value, locale=_locale(tag))


def _split(text: str) -> tuple[str, str]:
    whole, _, part = text.partition(".")
    return whole, part


def _grouped(whole: str, part: str = "") -> str:
    """1,234 and 50 as 1.234,50 or whatever the reader writes."""
    who = _reader()
    text = whole.replace(",", who.group) if "," in whole else whole
    if part:
        text = f"{text}{who.point}{part}"
    return f"\N{MINUS SIGN}{text[1:]}" if text.startswith("-") else text


FILTERS = {
    "count": count, "decimal": decimal, "percent": percent, "amount": amount, "money": money, "money_text": money_text,
    "day": day, "day_text": day_text, "last_day": last_day, "month": month, "moment": moment,
}  # fmt: skip
