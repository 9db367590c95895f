"""CSV and JSON Lines to reports of neighbouring rows.

A row that is wrong is refused alone. The whole file is refused where nobody can say any more what its rows are: from
a header without the columns, or from a quotation mark that is never closed. What came before is answered by then.
"""

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

from core.errors import InvalidInput
from core.usage.intake.report import Refusal
from core.usage.intake.rows import Cells, Gathering, Naming, Rows, event_of_line
from service.imports.lines import MAX_LINE, lines, text_lines

Format = Literal["csv", "jsonl", "parquet"]
FORMATS: tuple[str, ...] = get_args(Format)
SUFFIXES: dict[str, Format] = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet",
}  # fmt: skip
DELIMITERS = {",": ",", ";": ";", "\t": "\t", "comma": ",", "semicolon": ";", "tab": "\t"}
MAX_RECORD = 4 * MAX_LINE  # characters of a row whose cells go over several lines


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is to be read."""

    format: Format
    naming: Naming = field(default_factory=Naming)
    delimiter: str | None = None  # of CSV; found from the header when it is left out


def reports(pieces: Iterable[bytes], reading: Reading, import_id: str) -> Iterator[Rows]:
    """The rows of a file of text. Raises InvalidInput when it has none or cannot be read on."""
    gathering = Gathering(import_id)
    way = _separated if reading.format == "csv" else _json_lines
    yield from way(pieces, reading, gathering)
    if rest := gathering.rest():
        yield rest
    if gathering.next_row == 1:
        raise InvalidInput("no_rows", "the file has no rows")


def _json_lines(pieces: Iterable[bytes], reading: Reading, gathering: Gathering) -> Iterator[Rows]:
    for line in lines(pieces):
        stripped = line.strip(b" \t\r")
        if stripped and (full := gathering.add(event_of_line(stripped, reading.naming), stripped)):
            yield full


def _separated(pieces: Iterable[bytes], reading: Reading, gathering: Gathering) -> Iterator[Rows]:
    source = _Lines(text_lines(pieces))
    cells_of, delimiter = _header(source.next_or_none(), reading)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    while True:
        source.begin_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if source.count > 1:
                raise InvalidInput(
                    "invalid_csv",
                    f"nobody can say where row {gathering.next_row:,} ends, which begins on line {source.first:,} "
                    f"({_said(error)}): correct it and send the file again",
                ) from None
            refusal = Refusal("invalid_csv", f"line {source.first:,} is not CSV: {_said(error)}")
            full = gathering.add(refusal, _bytes_of([source.line]))
        else:
            if not cells:
                continue
            event = cells_of.event(cells)
            full = gathering.add(event, _bytes_of(cells) if isinstance(event, Refusal) else b"")
        if full:
            yield full


class _Lines:
    """The lines of a file, and where the row that is being read began."""

    def __init__(self, source: Iterator[str]) -> None:
        self._source = source
        self.number = self.count = self.length = 0
        self.first = 1
        self.line = ""

    def begin_row(self) -> None:
        self.first, self.count, self.length = self.number + 1, 0, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.line = line = next(self._source)
        self.number += 1
        self.count += 1
        self.length += len(line)
        if self.length > MAX_RECORD:
            raise InvalidInput(
                "invalid_csv", f"the row that begins on line {self.first:,} does not end: a quotation mark is missing"
            )
        return line

    def next_or_none(self) -> str | None:
        return next(self, None)


def _header(line: str | None, reading: Reading) -> tuple[Cells, str]:
    """How the rows under this first line are read: by the delimiter given, or the one that finds our columns in it."""
    if not line or not line.strip():
        raise InvalidInput("no_header", "the first line of a CSV file must name its columns")
    reasons: list[tuple[int, InvalidInput]] = []
    for delimiter in [reading.delimiter] if reading.delimiter else [",", ";", "\t"]:
        try:
            return Cells(next(csv.reader([line], delimiter=delimiter, strict=True)), reading.naming), delimiter
        except csv.Error as error:
            reason = InvalidInput("no_header", f"the first line is not CSV: {_said(error)}")
        except InvalidInput as refusal:
            reason = refusal
        reasons.append((line.count(delimiter), reason))
    raise max(reasons, key=lambda each: each[0])[1]


def _said(error: csv.Error) -> str:
    """The reader's complaint in our words."""
    said = str(error)
    if "new-line" in said:
        return "it has a carriage return inside, and lines must end with LF or CR LF"
    if "limit" in said:
        return f"a cell has more than {csv.field_size_limit():,} characters"
    return "a quotation mark is missing, or one inside a cell is not doubled"


def _bytes_of(cells: Iterable[str]) -> bytes:
    return "\0".join(cells).encode(errors="surrogateescape")


def in_pieces(read: Callable[[int], bytes], size: int = 1 << 16) -> Iterator[bytes]:
    """What a file's `read` gives, piece by piece."""
    while piece := read(size):
        yield piece
