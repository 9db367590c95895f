"""Reads the texts of a catalogue that people will see printed: one line each, with nothing in it that cannot be."""

import re

from core.agreements.reading import refuse

MAX_NAME = 255
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def line(value: object, path: str) -> str:
    """One line of printable text, possibly empty."""
    if not isinstance(value, str):
        refuse(path, f"write text here, in quotes if it looks like a number or a date, not {value!r:.60}")
    if len(value) > MAX_NAME or _UNPRINTABLE.search(value):
        refuse(path, f"write one line of at most {MAX_NAME} characters, without control characters")
    return value.strip()


def name(value: object, path: str) -> str:
    """One line of printable text."""
    found = line(value, path)
    if not found:
        refuse(path, "this is empty: write a name")
    return found


def email(value: object, path: str) -> str:
    """An e-mail address, or nothing."""
    found = line(value, path)
    if found and not re.fullmatch(r"[^\s@]+@[^\s@]+", found):
        refuse(path, f"write an e-mail address such as billing@example.com, not {found!r:.60}")
    return found
