"""How a document speaks: its language for words, its locale for numbers and days.

Numbers and days follow the patterns of the Unicode CLDR (Babel). Amounts come as strings, already rounded by our rule,
and every digit of them is printed: Babel only groups them. Where an account's locale is of another language than its
documents, numbers follow the locale and days the language, so that no month has a foreign name.

`PLAIN` is English with thin spaces between groups of digits. Explanations on a screen use it, and so do invoices that
were issued before an account had a language.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from functools import lru_cache
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_interval, format_skeleton
from babel.numbers import NumberPattern, parse_pattern

from core.errors import InvalidInput
from core.invoicing.paper.wording import is_number, parts_of, places_of, printable
from core.invoicing.paper.words import LANGUAGES, PHRASES, WORDS
from core.period import Period

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_GROUP = "\u202f"  # narrow no-break space
_SLOT = re.compile(r"\\\{(\w+)\\\}")
_FORMS = {
    "day": r"\d{4}-\d{2}-\d{2}",
    "span": r"\d{4}-\d{2}-\d{2} to \d{4}-\d{2}-\d{2}",
    "month": r"\d{4}-\d{2}(?:-\d{2}\.\.\d{4}-\d{2}-\d{2})?",
    "amount": r"-?[\d,]+(?:\.\d+)?",
    "count": r"-?[\d,]+",
    "unit": r"[^\s.]+",
    "currency": r"[A-Z]{3}",
    "id": r"[^\s,]+",
    "place": r"[\d/]+",
}


@dataclass(frozen=True, slots=True)
class Speech:
    """A language of the table of words, and a locale that Babel knows; no locale means plain English style."""

    language: str = "en"
    locale: str | None = None

    def say(self, key: str, **values: Any) -> str:
        """A text of the table, with its places filled."""
        text = WORDS[key][LANGUAGES.index(self.language)]
        return text.format(**values) if values else text

    def phrase(self, text: Any) -> str:
        """A sentence of another room in this language; as it stands where it is not one of those we know."""
        return printable(text if self.locale is None else _phrase(str(text), self))

    def grouped(self, value: Any) -> str:
        """The digits as given, grouped as the locale does, with a true minus sign."""
        sign, whole, decimals = parts_of(value)
        if self.locale is None:
            groups = f"{int(whole):,}".replace(",", _GROUP)
            return f"{'−' if sign else ''}{groups}{'.' + decimals if decimals else ''}"
        return _written(f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}", self.locale)

    def padding(self, value: Any, places: int) -> str:
        """What is printed invisibly after a number so that the points of a column stand under each other."""
        missing = places - places_of(value)
        point = "." if self.locale is None else Locale.parse(self.locale).number_symbols["latn"]["decimal"]
        return ("" if "." in str(value) else point) + "0" * missing if missing > 0 else ""

    def percent(self, value: Any) -> str:
        """A number of per cent: "19 %" or "19%"."""
        if self.locale is None:
            return f"{self.grouped(value)} %"
        return _percent_pattern(self.locale).replace("#", self.grouped(value))

    def day(self, day: date) -> str:
        if self.locale is None:
            return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"
        return _day(day, self._calendar)

    def short_day(self, day: date, before: date | None) -> str:
        """The day of the month, with the month's name where it is not that of the day named before."""
        same = before is not None and (day.year, day.month) == (before.year, before.month)
        if same:
            return str(day.day)
        if self.locale is None:
            return f"{day.day} {_MONTHS[day.month - 1][:3]}"
        return format_skeleton("MMMd", day, locale=self._calendar)

    def days(self, start: str, end: str | None) -> str:
        """Half-open days in words, the last day included: "October 2026", "1 to 15 October 2026"."""
        first = date.fromisoformat(start)
        if end is None:
            return self.say("from", day=self.day(first))
        last = date.fromisoformat(end) - timedelta(days=1)
        if last <= first:
            return self.day(first)
        return _plain_span(first, last) if self.locale is None else _span(first, last, self._calendar)

    def shown(self, value: Any) -> str:
        """A value of the workings: numbers grouped, dates in words, anything else as it is."""
        if isinstance(value, bool):
            return self.say("yes" if value else "no_word")
        text = str(value)
        if _DATE.fullmatch(text):
            return self.day(date.fromisoformat(text))
        return self.grouped(text) if is_number(text) else printable(text)

    @property
    def _calendar(self) -> str:
        """The locale of days: the account's where it speaks the language, or the language's own."""
        same = self.locale is not None and self.locale.partition("_")[0] == self.language
        return self.locale if same and self.locale else self.language


PLAIN = Speech()


def speech_of(invoice: Mapping[str, Any]) -> Speech:
    """The speech that an invoice was issued with; `PLAIN` where it says nothing. Unknown locales are the language's."""
    billing = invoice.get("billing")
    if not billing:
        return PLAIN
    return speech_for(str(billing.get("language")), str(billing.get("locale") or ""))


def speech_for(language: str, locale: str = "") -> Speech:
    """The speech of a language, with the numbers of a locale; what nobody knows is English, or the language's own."""
    spoken = language if language in LANGUAGES else "en"
    return Speech(spoken, _known(locale or spoken) or spoken)


@lru_cache(maxsize=1000)
def _known(locale: str) -> str | None:
    try:
        return str(Locale.parse(locale, sep="-"))
    except (UnknownLocaleError, ValueError):
        return None


@lru_cache(maxsize=20_000)
def _written(text: str, locale: str) -> str:
    # Babel computes in the current context: one that is wide enough for every digit there is.
    with localcontext(Context(prec=len(text) + 2, Emax=MAX_EMAX, Emin=MIN_EMIN)):
        return str(_pattern(locale, places_of(text)).apply(Decimal(text), locale)).replace("-", "−")


@lru_cache(maxsize=1_000)
def _pattern(locale: str, places: int) -> NumberPattern:
    """The locale's pattern for numbers, with just so many decimals."""
    pattern = parse_pattern(Locale.parse(locale).decimal_formats[None].pattern)
    pattern.frac_prec = (places, places)
    return pattern


@lru_cache(maxsize=100)
def _percent_pattern(locale: str) -> str:
    pattern: str = Locale.parse(locale).percent_formats[None].pattern
    return re.sub(r"[#,.0]+", "#", pattern.partition(";")[0])


@lru_cache(maxsize=5_000)
def _day(day: date, calendar: str) -> str:
    return format_date(day, "long", locale=calendar)


def _plain_span(first: date, last: date) -> str:
    if Period(first, last + timedelta(days=1)) == Period.month_of(first):
        return f"{_MONTHS[first.month - 1]} {first.year}"
    begins = f"{first.day}" if first.month == last.month else f"{first.day} {_MONTHS[first.month - 1]}"
    return f"{begins if first.year == last.year else PLAIN.day(first)} to {PLAIN.day(last)}"


@lru_cache(maxsize=5_000)
def _span(first: date, last: date, calendar: str) -> str:
    if Period(first, last + timedelta(days=1)) == Period.month_of(first):
        return str(format_skeleton("yMMMM", first, locale=calendar))
    return format_interval(first, last, "yMMMd", locale=calendar)


@lru_cache(maxsize=1)
def _patterns() -> tuple[tuple[re.Pattern[str], int], ...]:
    """The English phrases as patterns, each with its place in the table."""

    def slot(found: re.Match[str]) -> str:
        form = _FORMS.get(found[1].partition("_")[0], ".+")
        return f"(?P<{found[1]}>{form})"

    return tuple(
        (re.compile(_SLOT.sub(slot, re.escape(phrase[0])), re.DOTALL), place) for place, phrase in enumerate(PHRASES)
    )


@lru_cache(maxsize=5_000)
def _phrase(text: str, speech: Speech) -> str:
    for pattern, place in _patterns():
        found = pattern.fullmatch(text)
        if found:
            said = {name: _slot_said(name, value, speech) for name, value in found.groupdict().items()}
            return PHRASES[place][LANGUAGES.index(speech.language)].format(**said)
    return text


def _slot_said(name: str, value: str, speech: Speech) -> str:
    kind = name.partition("_")[0]
    try:
        if kind == "rest":
            return _phrase(value, speech)
        if kind == "day":
            return speech.day(date.fromisoformat(value))
        if kind == "span":
            first, _, last = value.partition(" to ")
            return speech.days(first, (date.fromisoformat(last) + timedelta(days=1)).isoformat())
        if kind == "month":
            start, _, end = value.partition("..")
            month = Period(date.fromisoformat(start), date.fromisoformat(end)) if end else Period.month(start)
            return speech.days(month.start.isoformat(), month.end.isoformat())
        if kind in ("amount", "count"):
            return speech.grouped(value.replace(",", ""))
    except (ValueError, InvalidInput):  # digits in the form of a day or a number that are none
        pass
    return value
