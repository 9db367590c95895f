"""Usage events in the binary form of PostgreSQL's COPY.

The driver's own row-by-row form costs several times as much, and this is where all events pass. Names repeat from
event to event, so each is packed once in a report.
"""

import struct
from collections.abc import Collection, Iterable, Iterator

from msgspec import UNSET, UnsetType

from core.usage.intake.report import Adapters, Event, Output, Report, canonical, output_of

COLUMNS = "licensee_id, event_id, model, image_count, occurred_at, adapters, plan, output, report_no"
HEADER = b"PGCOPY\n\xff\r\n\x00" + struct.pack(">ii", 0, 0)
TRAILER = struct.pack(">h", -1)

_TEXT_OID = 25
_length = struct.Struct(">i").pack
_row_start = struct.Struct(">hiq").pack  # nine columns, then licensee_id
_count_and_time = struct.Struct(">iiiq").pack
_number = struct.Struct(">iq").pack


def pack_text(text: str) -> bytes:
    """A text column."""
    encoded = text.encode()
    return _length(len(encoded)) + encoded


def pack_texts(texts: Adapters) -> bytes:
    """A column that is an array of text."""
    if texts:
        inside = struct.pack(">iiiii", 1, 0, _TEXT_OID, len(texts), 1) + b"".join(map(pack_text, texts))
    else:
        inside = struct.pack(">iii", 0, 0, _TEXT_OID)
    return _length(len(inside)) + inside


def pack_report(report: Report, licensee_id: int, report_no: int, leaving_out: Collection[int] = ()) -> bytes:
    """The rows of a report's events, without those at the places `leaving_out`; the first where an id occurs twice."""
    start = _row_start(9, 8, licensee_id)
    end = _number(8, report_no)
    models: dict[str, bytes] = {}
    tails: dict[tuple[tuple[str, ...] | UnsetType, str | UnsetType, Output | UnsetType], bytes] = {}
    parts: list[bytes] = []
    add = parts.extend
    seen: set[str] = set()
    every = zip(report.events, report.instants, strict=True)
    for event, instant in _without(report, leaving_out) if leaving_out else every:
        if not report.distinct:
            if event.event_id in seen:
                continue
            seen.add(event.event_id)
        event_id = event.event_id.encode()
        if (model := models.get(event.model)) is None:
            model = models[event.model] = pack_text(event.model)
        if (tail := tails.get((event.adapters, event.plan, event.output))) is None:
            plan = "" if event.plan is UNSET else event.plan
            tail = pack_texts(canonical(event.adapters)) + pack_text(plan) + pack_text(output_of(event)) + end
            tails[event.adapters, event.plan, event.output] = tail
        numbers = _count_and_time(4, event.image_count, 8, instant)
        add((start, _length(len(event_id)), event_id, model, numbers, tail))
    return b"".join(parts)


def _without(report: Report, places: Collection[int]) -> Iterator[tuple[Event, int]]:
    for place, event, instant in zip(report.places, report.events, report.instants, strict=True):
        if place not in places:
            yield event, instant


def copy_body(rows: Iterable[bytes]) -> bytes:
    """What COPY .. FROM STDIN (FORMAT BINARY) reads: the rows between a header and a trailer."""
    return b"".join([HEADER, *rows, TRAILER])
