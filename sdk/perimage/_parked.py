"""Events that the service would not count: kept until a person has looked at them.

`parked.jsonl` only grows. Each line is one of three facts: an event was parked, and why; it is about to be reported
again, and under which id; it was handed over, and is parked no more. So a crash at any moment loses nothing, and what
is requeued twice is requeued under one id. Every process that shares the folder writes to the one file, under a lock.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from perimage._disk import Disk
from perimage._lock import alone
from perimage._usage import Event, as_json


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event, and what the service said of it. `status` is conflict, rejected, or refused with its whole report."""

    event: Event
    report_id: str
    status: str
    code: str
    message: str
    parked_at: float
    requeued_as: str = ""  # the id under which it is being reported again

    @property
    def event_id(self) -> str:
        return str(self.event["event_id"])


class Parked:
    """The file of parked events in a folder."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.path = folder / "parked.jsonl"
        self._disk = disk

    def add(self, events: Sequence[ParkedEvent]) -> None:
        """Keeps them, flushed on return. Those that are there already, from the same report, are not kept twice."""
        with alone(self.path.with_suffix(".lock")):
            known = {(each.event_id, each.report_id) for each in self.list()}
            self._write({"parked": asdict(each)} for each in events if (each.event_id, each.report_id) not in known)

    def list(self) -> list[ParkedEvent]:
        """What is parked now, the oldest first."""
        found: dict[tuple[str, str], ParkedEvent] = {}
        for line in self._lines():
            if parked := line.get("parked"):
                each = ParkedEvent(**parked)
                found.setdefault((each.event_id, each.report_id), each)
            elif requeued := line.get("requeue"):
                key = tuple(requeued)
                if key in found:
                    found[key] = ParkedEvent(**{**asdict(found[key]), "requeued_as": line["as"]})
            elif gone := line.get("gone"):
                found.pop(tuple(gone), None)
        return list(found.values())

    def requeue(
        self,
        events: Iterable[ParkedEvent],
        append: Callable[[Sequence[Event]], None],
        new_id: Callable[[], str] | None = None,
    ) -> int:
        """Hands events over to be reported again, under their own ids, or under new ones where `new_id` makes them."""
        with alone(self.path.with_suffix(".lock")):
            chosen = {(each.event_id, each.report_id) for each in events}
            due = [each for each in self.list() if (each.event_id, each.report_id) in chosen]
            ids = [each.requeued_as or (new_id() if new_id else each.event_id) for each in due]
            self._write(
                {"requeue": [each.event_id, each.report_id], "as": made} for each, made in zip(due, ids, strict=True)
            )
            append([{**each.event, "event_id": made} for each, made in zip(due, ids, strict=True)])
            self._write({"gone": [each.event_id, each.report_id]} for each in due)
        return len(due)

    def _lines(self) -> Iterator[dict[str, Any]]:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return
        for line in data.split(b"\n"):
            with suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, dict):
                    yield found

    def _write(self, lines: Iterable[dict[str, Any]]) -> None:
        """Appends and flushes. What a crash or a full disk cuts off ends in a line feed of the next write."""
        data = b"".join(as_json(line) + b"\n" for line in lines)
        if not data:
            return
        new = not self.path.exists()
        fd = self._disk.open_new(self.path) if new else self._disk.open_old(self.path)
        try:
            self._disk.write(fd, data if new else b"\n" + data)
            self._disk.sync(fd)
        finally:
            self._disk.close(fd)
        if new:
            self._disk.sync_folder(self.path.parent)
