"""Rows as CSV for spreadsheets: numbers stay numbers, and text that a spreadsheet would compute gets an apostrophe."""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from itertools import islice

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_AT_ONCE = 500


def csv_chunks(header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> Iterator[bytes]:
    """The whole table, some hundred rows at a time."""
    waiting = iter(rows)
    chunk: Iterable[tuple[object, ...]] = [header, *islice(waiting, _AT_ONCE)]
    while chunk:
        text = io.StringIO()
        csv.writer(text, lineterminator="\r\n").writerows([[_cell(value) for value in row] for row in chunk])
        yield text.getvalue().encode()
        chunk = list(islice(waiting, _AT_ONCE))


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, int | date | datetime):
        return value.isoformat() if isinstance(value, date) else str(value)
    text = str(value)
    return "'" + text if text.lstrip().startswith(_FORMULA) or text.startswith(_FORMULA) else text
