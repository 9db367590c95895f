"""Text and numbers of a snapshot on their way to a document: nothing unprintable, nothing that is not a plain decimal.

Amounts are strings on the way in and on the way out; no digit is ever computed here.
"""

import re
from fractions import Fraction
from typing import Any

_NUMBER = re.compile(r"(-?)(\d+)(?:\.(\d+))?", re.ASCII)
# Control characters and lone surrogates cannot be printed; bidirectional controls could turn an amount's digits round.
_UNPRINTABLE = re.compile(
    "[\0-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
# Chinese, Japanese and Korean characters may break anywhere by themselves.
_LONG_WORD = re.compile(r"[^\s\u200b\u2e80-\u9fff\uac00-\ud7af\uff00-\uffef]{25,}")
_WORD_PART = re.compile(r"[^\s]{1,8}?(?:[-_/.,:@]+|$)|[^\s]{1,8}")
_BREAK = "\u200b"  # the template turns it into a place to break a line; it is not in the PDF's text


def printable(value: Any) -> str:
    """Text from the snapshot as it is, with places to break in words too long for a column."""
    return _LONG_WORD.sub(lambda word: _BREAK.join(_WORD_PART.findall(word[0])), cleaned(value))


def cleaned(value: Any) -> str:
    """Text with what cannot be printed made visible."""
    return _UNPRINTABLE.sub("\ufffd", str(value).replace("\r\n", "\n").replace("\t", " "))


def parts_of(value: Any) -> tuple[str, str, str]:
    """Sign, whole digits and decimals of a plain decimal; `ValueError` for anything else."""
    found = _NUMBER.fullmatch(str(value))
    if not found:
        raise ValueError(f"not a plain decimal: {value!r}")
    return found[1], found[2], found[3] or ""


def is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def exact_of(text: Any) -> Fraction:
    parts_of(text)
    return Fraction(str(text))


def places_of(value: Any) -> int:
    return len(str(value).partition(".")[2])
