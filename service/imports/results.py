"""What became of each row, as a CSV file that people open in a spreadsheet.

A cell that a spreadsheet would take for a formula gets an apostrophe before it: ids come from the licensee's own users.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import repeat

from msgspec import UNSET

from core.usage.intake.imports import Outcome
from core.usage.intake.receipt import Run

HEADER = ("row", "event_id", "status", "code", "message")
PROBLEMS = ("held", "conflict", "rejected")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
Line = tuple[int, str, str, str, str]


def result_lines(outcomes: Iterable[Outcome], *, only_problems: bool = False) -> Iterator[Line]:
    """One line for each row, in the order of the file; ids are known of conflicts and refusals."""
    for outcome in outcomes:
        row, end = outcome.first, outcome.first + outcome.row_count
        for run in outcome.runs:
            first = outcome.first + run.first
            if not only_problems:
                yield from _accepted(row, first)
            if not only_problems or run.status in PROBLEMS:
                yield from _of_run(first, run)
            row = first + run.count
        if not only_problems:
            yield from _accepted(row, end)


def _accepted(start: int, end: int) -> Iterator[Line]:
    return ((row, "", "accepted", "", "") for row in range(start, end))


def _of_run(first: int, run: Run) -> Iterator[Line]:
    code = "" if run.code is UNSET else run.code
    message = "" if run.message is UNSET else harmless(run.message)
    for row, event_id in zip(range(first, first + run.count), run.ids or repeat(None), strict=False):
        yield row, harmless(event_id or ""), run.status, code, message


def harmless(cell: str) -> str:
    """A cell that no spreadsheet computes."""
    return "'" + cell if cell.startswith(_FORMULA) else cell


def csv_text(lines: Iterable[tuple[object, ...]]) -> str:
    """Lines as CSV."""
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    return text.getvalue()
