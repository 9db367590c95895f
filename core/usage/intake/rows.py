"""Rows of a file: from cells or lines to reports, which are then read and judged like any other report.

A row becomes the event that it would be in the body of a report, and neighbouring rows become one report. So a file
can say nothing that a report could not, and is refused in the same words. What text formats lack is added strictly: a
count is a whole number in ASCII digits, and an empty cell of an optional column is no value.

The reports of a file are the same whenever it is read, whatever pieces it arrives in: the same rows in the same
places, under ids made of the import's id and the number of their first row. That is what makes an import resumable.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from operator import itemgetter

import msgspec
from msgspec import UNSET, UnsetType

from core.errors import InvalidInput
from core.usage.intake.report import MAX_EVENTS, Refusal, Report, Window, read_report

REQUIRED = ("event_id", "model", "image_count", "occurred_at")
OPTIONAL = ("adapters", "plan", "output")
FIELDS = (*REQUIRED, *OPTIONAL)
BETWEEN_ADAPTERS = "|"
MAX_BYTES = 512 * 1024  # of events in one report; reports of usual rows are full long before
MAX_ROWS = 50_000_000  # in a file
_NAMES_SHOWN, _LETTERS_SHOWN = 20, 40

_IMPORT_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_WHOLE = re.compile(r"0|[1-9][0-9]{0,18}")
_ANY_VALUE = msgspec.json.Decoder(msgspec.Raw)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode

NOT_UTF8 = Refusal("invalid_utf8", "the row holds bytes that are not UTF-8: save the file in UTF-8")
NOT_JSON = Refusal("invalid_json", "the line is not JSON: each line must be one object in UTF-8")
TOO_DEEP = Refusal("invalid_event", "the event is nested too deeply")
TWICE = Refusal("duplicate_field", "a field of the event is given twice")


@dataclass(frozen=True, slots=True)
class Naming:
    """What a file calls our fields, where it has names of its own, and whether it may have more than them."""

    columns: Mapping[str, str] = field(default_factory=dict)  # by our field
    ignore_extra: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether rows are already named as a report's events are, with nothing beside."""
        return not self.columns and not self.ignore_extra

    def column_of(self, our_field: str) -> str:
        return self.columns.get(our_field, our_field)

    def places(self, header: Sequence[str]) -> dict[str, int]:
        """Where each of our fields stands in a row under this header; fields that it does not have are left out.

        Raises InvalidInput for a header that lacks a column, has one twice, or has more than it may.
        """
        found: dict[str, int] = {}
        for our_field in FIELDS:
            column = self.column_of(our_field)
            if header.count(column) > 1:
                raise InvalidInput("duplicate_column", f"the file has the column {_shown([column])} more than once")
            if column in header:
                found[our_field] = header.index(column)
            elif our_field in REQUIRED or our_field in self.columns:
                raise InvalidInput(
                    "missing_column",
                    f"the file has no column {_shown([column])}; it has {_shown(header)}. Map the one that holds "
                    f"{our_field}, as in {our_field}=NAME",
                )
        taken = set(found.values())
        if not self.ignore_extra and (extra := [name for at, name in enumerate(header) if at not in taken]):
            raise InvalidInput(
                "unknown_column",
                f"the file has columns that mean nothing here: {_shown(extra)}. Map them, leave them out, or say that "
                f"extra columns are to be ignored. Known are {', '.join(FIELDS)}",
            )
        return found


def read_naming(said: Iterable[str], *, ignore_extra: bool = False) -> Naming:
    """The names in pairs such as `event_id=ID`: our field, then the file's column."""
    columns: dict[str, str] = {}
    for pair in said:
        our_field, equals, column = pair.partition("=")
        if not equals or not column or our_field not in FIELDS:
            raise InvalidInput(
                "invalid_map",
                f"{_shown([pair])} is no mapping: say FIELD=COLUMN, where FIELD is one of {', '.join(FIELDS)}",
            )
        if our_field in columns or column in columns.values():
            raise InvalidInput("invalid_map", f"{our_field} and {_shown([column])} may be mapped only once")
        columns[our_field] = column
    return Naming(columns, ignore_extra)


def check_import_id(import_id: str) -> str:
    """The id, if it is one that an import may have."""
    if not _IMPORT_ID.fullmatch(import_id):
        raise InvalidInput(
            "invalid_import_id", "an import id has 1 to 128 characters: letters, digits, full stops, _ and -"
        )
    return import_id


def report_id(import_id: str, first_row: int) -> str:
    """The id of the report that begins with a row. Ids of an import sort like its rows."""
    return f"import:{import_id}:{first_row:010d}"


class _Row(msgspec.Struct, omit_defaults=True, gc=False):
    """An event in the making."""

    event_id: str
    model: str
    image_count: int | str
    occurred_at: str
    adapters: list[str] | UnsetType = UNSET
    plan: str | UnsetType = UNSET
    output: str | UnsetType = UNSET


class Cells:
    """Rows whose values are text in columns, under a header."""

    def __init__(self, header: Sequence[str], naming: Naming) -> None:
        places = naming.places(header)
        self.width = len(header)
        self._required = itemgetter(*(places[name] for name in REQUIRED))
        self._optional = [(name, places[name]) for name in OPTIONAL if name in places]

    def event(self, cells: Sequence[str]) -> bytes | Refusal:
        """The event that a row says, as it stands in a report's body, or why it can say none."""
        if len(cells) != self.width:
            return Refusal("wrong_cells", f"the row has {len(cells)} cells, and the header has {self.width}")
        event_id, model, count, occurred_at = self._required(cells)
        row = _Row(event_id, model, int(count) if _WHOLE.fullmatch(count) else count, occurred_at)
        for name, place in self._optional:
            if cell := cells[place]:
                setattr(row, name, cell.split(BETWEEN_ADAPTERS) if name == "adapters" else cell)
        try:
            return _encode(row)
        except UnicodeEncodeError:  # a byte that was no UTF-8 was kept as a lone surrogate
            return NOT_UTF8


def event_of_line(line: bytes, naming: Naming) -> bytes | Refusal:
    """The event that a line of JSON says, as it stands in a report's body, or why it can say none."""
    try:
        line.decode()
        _ANY_VALUE.decode(line)
    except UnicodeDecodeError:
        return NOT_UTF8
    except (msgspec.MsgspecError, RecursionError):
        return NOT_JSON
    return line if naming.is_ours else _renamed(line, naming)


def _renamed(line: bytes, naming: Naming) -> bytes | Refusal:
    """A line of JSON with our names for its fields, every value as it was written."""
    try:
        values = _OBJECT.decode(line)
        given = json.loads(line, object_pairs_hook=len, parse_int=str, parse_float=str)
    except msgspec.ValidationError:
        return line  # no object: refused when it is read as an event
    except RecursionError:
        return TOO_DEEP
    if given != len(values):
        return TWICE
    event = {name: values.pop(naming.column_of(name)) for name in FIELDS if naming.column_of(name) in values}
    if values and not naming.ignore_extra:
        return Refusal("unknown_field", f"the line has fields that mean nothing here: {_shown(list(values))}")
    return _encode(event)


@dataclass
class Rows:
    """Neighbouring rows of a file as one report."""

    import_id: str
    first: int  # counted from 1; the header is no row
    events: list[bytes] = field(default_factory=list)
    refusals: dict[int, Refusal] = field(default_factory=dict)  # by place, of rows that never were events

    @property
    def last(self) -> int:
        return self.first + len(self.events) - 1

    @cached_property
    def digest(self) -> bytes:
        """What tells these rows from others."""
        return sha256(self._body(self.events)).digest()

    def report(self, window: Window) -> Report:
        """The rows as a report, judged against the times it may speak of; what is wrong with a row is its refusal."""
        try:
            report = read_report(self._body(self.events), window)
        except InvalidInput:
            report = read_report(
                self._body([self._readable(place, window) for place in range(len(self.events))]), window
            )
        report.refusals = {**report.refusals, **self.refusals}
        return report

    def _readable(self, place: int, window: Window) -> bytes:
        """An event, or a stand-in for one that is nested so deeply that no report with it can be read."""
        try:
            read_report(self._body([self.events[place]]), window)
        except InvalidInput:
            self.refusals[place] = TOO_DEEP
            return b"null"
        return self.events[place]

    def _body(self, events: Iterable[bytes]) -> bytes:
        return b'{"report_id":"%b","events":[%b]}' % (
            report_id(self.import_id, self.first).encode(),
            b",".join(events),
        )


class Gathering:
    """Rows on their way into reports: always the same ones for the same file."""

    def __init__(self, import_id: str) -> None:
        self._rows, self._size = Rows(import_id, 1), 0

    @property
    def next_row(self) -> int:
        return self._rows.last + 1

    def add(self, event: bytes | Refusal, row: bytes = b"") -> Rows | None:
        """Takes the next row, or of a row that says no event the refusal and its bytes; gives a report that is full."""
        rows = self._rows
        if isinstance(event, Refusal):
            rows.refusals[len(rows.events)] = event
            event = _encode(sha256(row).hexdigest())
        rows.events.append(event)
        self._size += len(event)
        return self.rest() if len(rows.events) == MAX_EVENTS or self._size >= MAX_BYTES else None

    def rest(self) -> Rows | None:
        """What has gathered; the next row begins another report."""
        rows = self._rows
        if not rows.events:
            return None
        if rows.last >= MAX_ROWS:
            raise InvalidInput("too_many_rows", f"a file may have at most {MAX_ROWS:,} rows: send several")
        self._rows, self._size = Rows(rows.import_id, rows.last + 1), 0
        return rows


def _shown(names: Sequence[str]) -> str:
    """Names out of a file, fit to be read in a sentence."""
    cut = [name if len(name) <= _LETTERS_SHOWN else name[:_LETTERS_SHOWN] + "..." for name in names[:_NAMES_SHOWN]]
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(json.dumps(name, ensure_ascii=not name.isprintable()) for name in cut) + more
