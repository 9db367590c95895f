"""Strict reading for the doors: JSON without surprises, and counts, names and times as one of our own reports has them.

Python's JSON takes NaN, the last of two equal keys, halves of characters and any depth until the stack ends; here each
of them is refused. Where a protocol's clients write numbers as text, text of plain digits is a number too, and nothing
else is: not `1_000`, `1e3`, `+1`, a space, or digits of another script.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, NoReturn, TypeVar, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from core.errors import InvalidInput
from core.usage.intake.report import MAX_ADAPTERS, MAX_IMAGE_COUNT, MAX_NAME, OUTPUTS, Output, is_clean

_DIGITS = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
_HALF = re.compile("[\ud800-\udfff]")
_LONGEST_NUMBER = 20
T = TypeVar("T")
_Time = Annotated[datetime, Meta(tz=True)]


class OddNumber:
    """A JSON number that is not written as a whole one, or longer than any count. Nothing here takes it."""

    def __init__(self, _text: str) -> None:
        pass


def read_json(body: bytes) -> Any:
    """What a body says. Raises InvalidInput with the code invalid_json or duplicate_field."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise InvalidInput("invalid_json", "the body must be JSON in UTF-8; it holds bytes that are not") from None
    try:
        return _decoder.decode(text)
    except RecursionError:
        raise InvalidInput("invalid_json", "the body is nested too deeply") from None
    except ValueError as error:
        raise InvalidInput("invalid_json", f"the body is not JSON: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InvalidInput("duplicate_field", "a field is given twice in one object; give it once")
    return found


def _integer(text: str) -> int | OddNumber:
    return int(text) if len(text) <= _LONGEST_NUMBER else OddNumber(text)


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=OddNumber, parse_constant=_constant
)


def only(fields: dict[str, Any], allowed: tuple[str, ...], what: str, inside: str = "") -> None:
    """Refuses a field that means nothing here: it may be a misspelt one that would have mattered."""
    for name in fields:
        if name not in allowed:
            shown = name if len(name) <= 64 and _whole(name) else "a name that is not shown"
            raise InvalidInput(
                "unknown_field", f"there is no {shown} in {what}; it may have {', '.join(allowed)}", at=inside + shown
            )


def if_given(fields: dict[str, Any], name: str, read: Callable[[Any], T]) -> T | UnsetType:
    """What a field says, if it is there. Null is not the same as not being there."""
    return read(fields[name]) if name in fields else UNSET


def a_count(value: Any, called: str, code: str, *, as_text: bool = False) -> int:
    """How many images: a whole number from 1 to a thousand million, in digits only."""
    if as_text and isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if type(value) is int and 1 <= value <= MAX_IMAGE_COUNT:
        return value
    written = "in plain digits" if as_text else "written as a JSON number without fraction or exponent"
    raise InvalidInput(code, f"{called} must be a whole number from 1 to {MAX_IMAGE_COUNT:,}, {written}", at=called)


def a_name(value: Any, called: str, code: str, longest: int = MAX_NAME) -> str:
    """Text that names something: not empty, not too long, without control characters or white space around it."""
    if isinstance(value, str) and 1 <= len(value) <= longest and _whole(value):
        return value
    raise InvalidInput(
        code,
        f"{called} must be text of 1 to {longest:,} characters, without control characters or white space around it",
        at=called,
    )


def names(value: Any, called: str, code: str) -> tuple[str, ...]:
    """A list of names, each of them as `a_name` has it."""
    if not isinstance(value, list) or len(value) > MAX_ADAPTERS:
        raise InvalidInput(code, f"{called} must be a list of at most {MAX_ADAPTERS} names, or be left out", at=called)
    return tuple(a_name(each, f"each of {called}", code) for each in value)


def a_time(value: Any, called: str, code: str) -> datetime:
    """An instant: an RFC 3339 time with its zone."""
    try:
        if isinstance(value, str):
            return msgspec.convert(value, _Time)
    except msgspec.ValidationError:
        pass
    raise InvalidInput(
        code, f"{called} must be an RFC 3339 time with its zone, such as 2026-10-31T23:59:59Z", at=called
    )


def an_output(value: Any, called: str, code: str) -> Output:
    """What was made."""
    if isinstance(value, str) and value in OUTPUTS:
        return cast(Output, value)
    raise InvalidInput(code, f"{called} must be one of {', '.join(OUTPUTS)}, or be left out", at=called)


def _whole(text: str) -> bool:
    """Whether text may be kept and printed. Half a character, which JSON can smuggle in, may not."""
    return is_clean(text) and _HALF.search(text) is None
