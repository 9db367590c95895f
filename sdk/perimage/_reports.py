"""A report as it waits to be sent: its very bytes, so that whatever is sent again is the same.

The file is one line that says what follows, with a checksum of its own, and then the body as it goes over the wire.
Its name is its sequence number: a number is used by one report, and a file that lost its content still keeps it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from perimage._disk import Disk
from perimage._lines import framed, unframed
from perimage._usage import Event, as_json

PREFIX, SUFFIX = "report-", ".json"


class Damaged(Exception):  # noqa: N818 - named for what is wrong
    """The file is not what was written."""


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of a report without reading its body. Times are the wall clock's, in seconds since 1970."""

    path: Path
    report_id: str
    sequence: int
    events: int
    images: int
    sealed_at: float
    not_before: float  # a time before which there is no use in sending it, or 0
    segment: str  # the segment of the journal that ends with this report, or nothing
    again: bool  # it was made of an earlier report
    size: int  # of the file
    offset: int  # of the body in it
    checksum: int

    def body(self) -> bytes:
        """What is sent. Raises Damaged."""
        body = self.path.read_bytes()[self.offset :]
        if crc32(body) != self.checksum:
            raise Damaged(f"{self.path} does not hold what was written to it")
        return body

    def content(self) -> list[Event]:
        """The events. Raises Damaged."""
        events: list[Event] = json.loads(self.body())["events"]
        return events


def path_of(folder: Path, sequence: int) -> Path:
    return folder / f"{PREFIX}{sequence:012d}{SUFFIX}"


def sequence_of(path: Path) -> int:
    return int(path.name.removeprefix(PREFIX).removesuffix(SUFFIX))


def write_report(
    disk: Disk,
    path: Path,
    *,
    report_id: str,
    source: str,
    events: Sequence[Event],
    sealed_at: float,
    not_before: float = 0.0,
    segment: str = "",
    again: bool = False,
) -> Report:
    """Stores a report under its number, whole or not at all, in place of one that was there."""
    sequence = sequence_of(path)
    body = as_json({"report_id": report_id, "source": source, "sequence": sequence, "events": list(events)})
    head: dict[str, Any] = {
        "report_id": report_id,
        "events": len(events),
        "images": sum(event["image_count"] for event in events),
        "sealed_at": sealed_at,
        "not_before": not_before,
        "segment": segment,
        "again": again,
        "crc32": crc32(body),
    }
    line = framed(as_json(head))
    disk.write_whole(path, line + body)
    return _report(path, head, len(line), len(line) + len(body))


def read_report(path: Path) -> Report:
    """A report that was stored before. Raises Damaged, and OSError."""
    with path.open("rb") as file:
        line = file.readline(10_000)
    lines, _ = unframed(line)
    if not lines:
        raise Damaged(f"{path} does not begin as it was written")
    report = _report(path, json.loads(lines[0]), len(line), path.stat().st_size)
    report.body()
    return report


def _report(path: Path, head: dict[str, Any], offset: int, size: int) -> Report:
    return Report(
        path=path,
        report_id=head["report_id"],
        sequence=sequence_of(path),
        events=head["events"],
        images=head["images"],
        sealed_at=head["sealed_at"],
        not_before=head["not_before"],
        segment=head["segment"],
        again=head["again"],
        size=size,
        offset=offset,
        checksum=head["crc32"],
    )
