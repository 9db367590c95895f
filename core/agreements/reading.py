"""Reading a document of terms strictly: every refusal names the path and says what to write instead.

A contract that is half understood is worse than one that is refused, so nothing is guessed: unknown keys, empty
values, floats and wrong types stop the reading. Paths look like `fees[1].schedule.rate`.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, NoReturn, TypeVar

from core.errors import InvalidInput
from core.money import MAX_RATE_DECIMALS, decimal_of, exponent, plain

T = TypeVar("T")
D = TypeVar("D")
MAX_COUNT = 10**15  # far above any contract, far below what a 64-bit column holds
_UNIT = re.compile(r"[A-Z][A-Z0-9]{1,11}", re.ASCII)
_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}", re.ASCII)
_PER = re.compile(r"(\d[\d.]*)(?: (\w{2,12}))? per ([1-9]\d{0,2}(?:,\d{3}){1,3}|[1-9]\d{0,11})(?: images)?", re.ASCII)
_ISO_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def refuse(path: str, sentence: str) -> NoReturn:
    """Stops the reading: `InvalidInput` with code `invalid_terms`, the path in the sentence and in the detail."""
    raise InvalidInput("invalid_terms", f"{path or 'terms'}: {sentence}", path=path)


class Section:
    """One mapping of the document, taken key by key; `done` refuses whatever nobody asked for."""

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            refuse(path, f"write a mapping of names to values here, not {_shown(value)}")
        self.path = path
        self.known: list[str] = []
        self.left: dict[str, Any] = dict(value)

    def at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def required(self, key: str, read: Callable[[object, str], T]) -> T:
        """The value under `key`, as `read` understands it; refused when it is missing."""
        self.known.append(key)
        if key not in self.left:
            refuse(self.at(key), "this is missing and has no default")
        return read(self.left.pop(key), self.at(key))

    def optional(self, key: str, read: Callable[[object, str], T], default: D) -> T | D:
        """The value under `key`, or the default when the key is absent; an empty value is not absence."""
        self.known.append(key)
        if key not in self.left:
            return default
        value = self.left.pop(key)
        if value is None:
            refuse(self.at(key), "this is empty: give a value or leave the key out")
        return read(value, self.at(key))

    def done(self) -> None:
        """Refuses keys that were not asked for, naming those that would have been understood."""
        for key in self.left:
            refuse(self.at(key), f"this is not known here; known are {', '.join(sorted(self.known))}")


def many(read: Callable[[object, str], T]) -> Callable[[object, str], tuple[T, ...]]:
    """A reader of a list whose elements `read` understands."""

    def read_list(value: object, path: str) -> tuple[T, ...]:
        if not isinstance(value, list | tuple):
            refuse(path, f"write a list here, not {_shown(value)}")
        return tuple(read(element, f"{path}[{n}]") for n, element in enumerate(value))

    return read_list


def one_of(*words: str) -> Callable[[object, str], str]:
    """A reader of one of a few words."""

    def read_word(value: object, path: str) -> str:
        if not isinstance(value, str) or value not in words:
            refuse(path, f"write one of {', '.join(words)}, not {_shown(value)}")
        return value

    return read_word


def text(value: object, path: str) -> str:
    """Text for people: not empty, at most 4,000 characters, nothing that a database or a page cannot hold."""
    if not isinstance(value, str) or not value.strip():
        refuse(path, f"write some text here, not {_shown(value)}")
    if len(value) > 4000 or any((c < " " and c != "\n") or "\ud800" <= c <= "\udfff" for c in value):
        refuse(path, "write at most 4,000 characters, without control characters")
    return value.strip()


def slug(value: object, path: str) -> str:
    """A name for machines: lower-case letters, digits, dots, dashes."""
    if not isinstance(value, str) or not _SLUG.fullmatch(value):
        refuse(path, f"write a slug of lower-case letters, digits and dashes such as anima-1, not {_shown(value)}")
    return value


def unit_code(value: object, path: str) -> str:
    """A currency such as USD or a platform credit such as BUZZ."""
    if not isinstance(value, str) or not _UNIT.fullmatch(value):
        refuse(path, f"write a unit in capital letters such as USD or BUZZ, not {_shown(value)}")
    return value


def currency_code(value: object, path: str) -> str:
    """An ISO 4217 code."""
    code = unit_code(value, path)
    try:
        exponent(code)
    except InvalidInput as error:
        refuse(path, error.sentence)
    return code


def count(value: object, path: str) -> int:
    """A whole number of images or days, at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_COUNT:
        refuse(path, f"write a whole number from 1 to {MAX_COUNT:,}, not {_shown(value)}")
    return value


def amount(value: object, path: str) -> Decimal:
    """An exact decimal, zero or more: a whole number or a decimal in quotes, never a float."""
    if isinstance(value, int) and abs(value) > MAX_COUNT:
        refuse(path, f"write a number up to {MAX_COUNT:,}, not {_shown(value)}")
    try:
        found = decimal_of(value, "this") if isinstance(value, str | int | Decimal) else None
    except InvalidInput as error:
        refuse(path, error.sentence)
    if found is None or found < 0:
        refuse(
            path,
            f'write a decimal of zero or more in quotes, such as "0.01", so that it stays exact: not {_shown(value)}',
        )
    return found


def rate_in(unit: str) -> Callable[[object, str], Decimal]:
    """A reader of a price per image in `unit`, zero or more; also as platforms quote it, "10 Buzz per 1,000 images".

    A quoted price must be an exact decimal per image. A third is refused and not kept as a fraction: prices stand on
    invoices and in the database as decimals, and the parties have to agree on one that everybody can multiply with.
    """

    def read(value: object, path: str) -> Decimal:
        quoted = _PER.fullmatch(value) if isinstance(value, str) else None
        if not quoted:
            return amount(value, path)
        if quoted[2] and quoted[2].upper() != unit:
            refuse(path, f"this price is in {quoted[2]}, fees are in {unit or 'no unit here'}: write it in that")
        exact = Fraction(amount(quoted[1], path)) / int(quoted[3].replace(",", ""))
        if (exact * 10**MAX_RATE_DECIMALS).denominator != 1:
            refuse(
                path, f"{value!r} is not an exact decimal per image: write the rounded price that was agreed instead"
            )
        return Decimal(plain(exact))

    return read


def positive_in(unit: str) -> Callable[[object, str], Decimal]:
    """A reader of a price above zero in `unit`."""
    rate = rate_in(unit)

    def read(value: object, path: str) -> Decimal:
        found = rate(value, path)
        if not found:
            refuse(path, "write a number above zero; for a model that owes nothing write `schedule: {kind: zero}`")
        return found

    return read


positive = positive_in("")


def flag(value: object, path: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        refuse(path, f"write true or false, not {_shown(value)}")
    return value


def day(value: object, path: str) -> date:
    """A day, as YAML's date or as text."""
    if isinstance(value, str) and _ISO_DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            refuse(path, f"{value!r} is not a day of the calendar")
    if isinstance(value, datetime) or not isinstance(value, date):
        refuse(path, f"write a day as YYYY-MM-DD, such as 2026-01-31, not {_shown(value)}")
    return value


def _shown(value: object) -> str:
    if isinstance(value, int) and abs(value) > 10**60:
        return "a number of more than 60 digits"  # Python itself refuses to spell out thousands of digits
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
