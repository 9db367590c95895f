"""Numbers, days and text as an invoice prints them: grouped digits, dates in words, nothing unprintable.

Amounts are strings on the way in and on the way out; no digit is ever computed here.
"""

import re
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from core.period import Period

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_NUMBER = re.compile(r"(-?)(\d+)(?:\.(\d+))?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# Control characters and lone surrogates cannot be printed; bidirectional controls could turn an amount's digits round.
_UNPRINTABLE = re.compile(
    "[\0-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_LONG_WORD = re.compile(r"[^\s\u200b]{25,}")
_WORD_PART = re.compile(r"[^\s]{1,8}?(?:[-_/.,:@]+|$)|[^\s]{1,8}")
_BREAK = "\u200b"  # the template turns it into a place to break a line; it is not in the PDF's text
_GROUP = "\u202f"  # narrow no-break space


def printable(value: Any) -> str:
    """Text from the snapshot as it is, with places to break in words too long for a column."""
    return _LONG_WORD.sub(lambda word: _BREAK.join(_WORD_PART.findall(word[0])), cleaned(value))


def cleaned(value: Any) -> str:
    """Text with what cannot be printed made visible."""
    return _UNPRINTABLE.sub("\ufffd", str(value).replace("\r\n", "\n").replace("\t", " "))


def exact_of(text: Any) -> Fraction:
    if not _NUMBER.fullmatch(str(text)):
        raise ValueError(f"not a plain decimal: {text!r}")
    return Fraction(str(text))


def grouped(value: Any) -> str:
    """The digits as given, grouped by thin spaces, with a true minus sign."""
    found = _NUMBER.fullmatch(str(value))
    if not found:
        raise ValueError(f"not a plain decimal: {value!r}")
    grouped = f"{int(found[2]):,}".replace(",", _GROUP)
    return f"{'−' if found[1] else ''}{grouped}{'.' + found[3] if found[3] else ''}"


def places_of(value: Any) -> int:
    return len(str(value).partition(".")[2])


def padding(value: Any, places: int) -> str:
    """What is printed invisibly after a number so that the points of a column stand under each other."""
    missing = places - places_of(value)
    return ("" if "." in str(value) else ".") + "0" * missing if missing > 0 else ""


def day_in_words(day: date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def short_day(day: date, before: date | None) -> str:
    """The day of the month, with the month's name where it is not that of the day named before."""
    same = before is not None and (day.year, day.month) == (before.year, before.month)
    return str(day.day) if same else f"{day.day} {_MONTHS[day.month - 1][:3]}"


def days_in_words(start: str, end: str | None) -> str:
    """Half-open days in words, the last day included: "October 2026", "1 to 15 October 2026"."""
    first = date.fromisoformat(start)
    if end is None:
        return f"from {day_in_words(first)}"
    last = date.fromisoformat(end) - timedelta(days=1)
    if last <= first:
        return day_in_words(first)
    if Period(first, last + timedelta(days=1)) == Period.month_of(first):
        return f"{_MONTHS[first.month - 1]} {first.year}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day} to {day_in_words(last)}"
    if first.year == last.year:
        return f"{first.day} {_MONTHS[first.month - 1]} to {day_in_words(last)}"
    return f"{day_in_words(first)} to {day_in_words(last)}"


def shown(value: Any) -> str:
    """A value of the workings: numbers grouped, dates in words, anything else as it is."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    if _DATE.fullmatch(text):
        return day_in_words(date.fromisoformat(text))
    return grouped(text) if _NUMBER.fullmatch(text) else printable(text)
