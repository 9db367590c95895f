"""The spool of one process: a folder in which usage waits until the service has answered.

    lock                      held by the process whose spool it is; the file says which
    spool.json                the spool's source: what the service knows it by
    next-000000000042         an empty file whose name is the next sequence number; renamed, never written
    journal-<segment>.log     what was recorded, a checksummed line each (_journal.py, _segment.py, _lines.py)
    report-000000000041.json  a report that waits for its answer: its very bytes (_reports.py)

A line of the journal is `[event_id, images, micros, model, adapters, plan, output]`, so many images more for this
event, or an object: a whole event as the service reads it.

The way of an image: a line is flushed before anybody is told that it was taken. A segment that takes no more is added
up and stored as a report, then removed. A report is removed when every event in it is answered, and the numbers move on
before that. Each step is safe to repeat, because the ids are in the journal: what a crash makes us do twice arrives
twice under one id, and is counted once. Nothing is ever dropped to make room; a spool that is full refuses.
"""

import json
import logging
import os
import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from perimage._clock import Clock, new_id
from perimage._disk import Disk, refused
from perimage._errors import SpoolFailed
from perimage._journal import Journal
from perimage._kill_points import kill_point
from perimage._lines import unframed
from perimage._lock import FolderLock
from perimage._reports import Damaged, Report, path_of, read_report, sequence_of, write_report
from perimage._segment import ENVELOPE_BYTES, Room
from perimage._settings import MAX_SPOOL_BYTES, MIN_FREE_BYTES, WINDOW
from perimage._usage import MAX_EVENTS, MAX_REPORT_BYTES, Event, as_json, event_of

log = logging.getLogger("perimage")


class Spool:
    """An open spool. Any thread may use it; another process may not."""

    def __init__(
        self, folder: Path, lock: FolderLock, source: str, *, journal: Journal, room: Room, clock: Clock
    ) -> None:
        self.folder, self.source, self.journal, self.room = folder, source, journal, room
        self._lock, self._clock, self._disk = lock, clock, room.disk
        self._sealing = threading.RLock()
        self._pending: dict[int, Report] = {}
        self._unsealed: list[tuple[Path, int | None]] = []  # finished segments, and how much of them was flushed
        self._next = self._named_next = 1
        self._closed = False
        self.damaged = 0

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        source: str | None = None,
        window: float = WINDOW,
        max_bytes: int = MAX_SPOOL_BYTES,
        min_free_bytes: int = MIN_FREE_BYTES,
        clock: Clock | None = None,
        disk: Disk | None = None,
    ) -> "Spool":
        """Opens the folder, made where there is none, with all that a process before left in it.

        Raises SpoolLocked where another process has it, SpoolFull or SpoolFailed where the disk refuses.
        """
        clock, disk = clock or Clock(), disk or Disk()
        try:
            disk.make_folder(folder)
            lock = FolderLock.take(folder)
            try:
                name = _source(folder, source, disk)
                room = Room(disk, folder, max_bytes, min_free_bytes)
                journal = Journal(folder, window=window, clock=clock, disk=disk, room=room)
                spool = cls(folder, lock, name, journal=journal, room=room, clock=clock)
                spool._find_what_was_left()
            except BaseException:
                lock.give_back()
                raise
        except OSError as error:
            raise refused(error, f"the spool {folder} could not be opened") from None
        return spool

    def append(self, events: Sequence[Event]) -> None:
        """Takes whole events with ids of their own; they are flushed on return. Raises SpoolError."""
        self.journal.append(events)

    def seal(self, force: bool = False) -> int:
        """Makes reports of what is ready, or, by force, of everything that was taken. Returns how many.

        Raises SpoolError; then what could not be sealed waits for the next time.
        """
        with self._sealing:
            before = self._next
            for segment in self.journal.retire(force):
                if segment.size:
                    self._unsealed.append((segment.path, segment.size))
                else:  # all that it was to take was refused
                    self._disk.remove(segment.path)
            while self._unsealed:
                path, size = self._unsealed[0]
                try:
                    self._seal(path, size)
                except OSError as error:
                    raise refused(error, "a report could not be stored") from None
                self._unsealed.pop(0)
            self.journal.backlog = len(self._pending)
            return self._next - before

    def pending(self) -> list[Report]:
        """The reports that wait, in their order."""
        with self._sealing:
            return [self._pending[number] for number in sorted(self._pending)]

    def settle(self, report: Report) -> None:
        """Forgets a report: each of its events was answered, and is parked if it was not counted. Raises OSError."""
        with self._sealing:
            self._check_open()
            self._move_on(report.sequence + 1)
            kill_point("after_reply_before_delete")
            self._disk.remove(report.path)
            self._pending.pop(report.sequence, None)
            self.room.add(-report.size)
            self.journal.backlog = len(self._pending)

    def report_again(self, events: Sequence[Event], not_before: float = 0.0) -> Report:
        """Stores events of a report anew, under their own ids but in a report of its own. Raises OSError."""
        with self._sealing:
            return self._store(events, not_before=not_before, again=True)

    def split(self, report: Report) -> None:
        """Makes two reports of one. The second is stored first, so that a crash can only double, not lose."""
        with self._sealing:
            events = report.content()
            half = len(events) // 2
            self._store(events[half:], again=True)
            self._replace(report, events[:half])

    def set_aside(self, report: Report) -> None:
        """Keeps a file that no longer holds what was written, out of the way. Its number is a gap, and rightly so."""
        with self._sealing:
            self._check_open()
            with suppress(FileNotFoundError):
                self._set_aside(report.path)
            self._pending.pop(report.sequence, None)
            self.room.add(-report.size)

    def is_empty(self) -> bool:
        """Whether everything that was taken is answered."""
        with self._sealing:
            return not (self._pending or self._unsealed or self.journal.gathering())

    def frontier(self) -> int:
        """The number that the next report will have."""
        with self._sealing:
            return self._next

    def is_settled(self, frontier: int) -> bool:
        """Whether no report below this number waits for an answer, nor any that was made of one."""
        with self._sealing:
            return not any(report.sequence < frontier or report.again for report in self._pending.values())

    def gathering(self) -> int:
        """Events, or at least segments, that are no report yet."""
        with self._sealing:
            return self.journal.gathering() + len(self._unsealed)

    def close(self) -> None:
        """Flushes what is in memory and lets go of the folder. Raises SpoolError, and has let go all the same."""
        try:
            self.seal(force=True)
        finally:
            self.journal.close()
            with self._sealing:
                self._closed = True
            self._lock.give_back()

    def remove(self) -> None:
        """Removes the folder of an empty spool that nobody will use again."""
        with self._sealing:
            self._closed = True
        with suppress(OSError):
            for path in self.folder.iterdir():
                if path.name in ("spool.json", "lock") or path.name.startswith("next-"):
                    self._disk.remove(path)
            self.folder.rmdir()
        self._lock.give_back()

    def _seal(self, path: Path, size: int | None) -> None:
        events, damage = replay(path, size)
        if damage:
            self.damaged += len(damage)
            kept = path.with_name(f"damaged-{path.name}")
            log.error("%d lines of %s are damaged and could not be reported; kept in %s", len(damage), path, kept)
            self._disk.write_whole(kept, b"\n".join(damage))
        reports = list(_in_reports(events))
        for number, each in enumerate(reports, 1):
            self._store(each, segment=path.stem.removeprefix("journal-") if number == len(reports) else "")
        self._discard(path)

    def _store(
        self, events: Sequence[Event], *, segment: str = "", not_before: float = 0.0, again: bool = False
    ) -> Report:
        self._check_open()
        report = self._write(self._next, events, segment=segment, not_before=not_before, again=again)
        self._next += 1
        self._pending[report.sequence] = report
        self.room.add(report.size)
        self.journal.backlog = len(self._pending)
        return report

    def _replace(self, report: Report, events: Sequence[Event]) -> None:
        self._check_open()
        made = self._write(
            report.sequence, events, segment=report.segment, not_before=report.not_before, again=report.again
        )
        self._pending[report.sequence] = made
        self.room.add(made.size - report.size)

    def _write(self, number: int, events: Sequence[Event], *, segment: str, not_before: float, again: bool) -> Report:
        wall = self._clock.wall()
        return write_report(
            self._disk,
            path_of(self.folder, number),
            report_id=new_id(wall),
            source=self.source,
            events=events,
            sealed_at=wall,
            not_before=not_before,
            segment=segment,
            again=again,
        )

    def _check_open(self) -> None:
        """A sender that was left behind may hear its answer when the folder is another process's already."""
        if self._closed:
            raise SpoolFailed("the spool was closed meanwhile")

    def _discard(self, path: Path) -> None:
        size = path.stat().st_size if path.exists() else 0
        self._disk.remove(path)
        self.room.add(-size)

    def _move_on(self, number: int) -> None:
        """Makes sure that no number below this one is used again, even when no report is left to tell."""
        if number > self._named_next:
            old = self.folder / f"next-{self._named_next:012d}"
            self._disk.rename(old, self.folder / f"next-{number:012d}")
            self._disk.sync_folder(self.folder)
            self._named_next = number

    def _find_what_was_left(self) -> None:
        """Takes up the reports and segments of the process before, and the numbers where it left off."""
        numbers = sorted(int(path.name[5:]) for path in self.folder.glob("next-*"))
        if not numbers:
            self._disk.write_whole(self.folder / f"next-{1:012d}", b"")
        self._next = self._named_next = max(numbers, default=1)
        for draft in self.folder.glob(".*.draft"):
            self._disk.remove(draft)
        sealed = set()
        for path in sorted(self.folder.glob("report-*.json")):
            self._next = max(self._next, sequence_of(path) + 1)
            try:
                report = read_report(path)
            except (Damaged, ValueError, KeyError) as damage:
                log.error("%s; it is kept as damaged-%s", damage, path.name)
                self._set_aside(path)
                continue
            sealed.add(report.segment)
            self._pending[report.sequence] = report
            self.room.add(report.size)
        for path in sorted(self.folder.glob("journal-*.log")):
            if path.stem.removeprefix("journal-") in sealed:
                self._disk.remove(path)
                continue
            self.room.add(path.stat().st_size)
            self._unsealed.append((path, None))
        self.journal.backlog = len(self._pending)

    def _set_aside(self, path: Path) -> None:
        self.damaged += 1
        self._disk.rename(path, path.with_name(f"damaged-{path.name}"))


def replay(path: Path, size: int | None = None) -> tuple[list[Event], list[bytes]]:
    """The events of a segment, added up, and the lines that are damaged; of the first `size` bytes, or of all."""
    with path.open("rb") as file:
        lines, damage = unframed(file.read(-1 if size is None else size))
    events: list[Event] = []
    counts: dict[str, Event] = {}
    for line in lines:
        try:
            fact: Any = json.loads(line)
            if isinstance(fact, dict):
                events.append(fact)
                continue
            event_id, images, micros, *content = fact
            if event_id in counts:
                counts[event_id]["image_count"] += images
            else:
                counts[event_id] = event_of(event_id, images, micros, content)
                events.append(counts[event_id])
        except (ValueError, TypeError):  # whole, but not ours: of a version to come, perhaps
            damage.append(line)
    return events, damage


def _in_reports(events: Sequence[Event]) -> "list[list[Event]]":
    """Events in reports that are not too long; one is enough for a segment of ours."""
    reports: list[list[Event]] = []
    size = MAX_REPORT_BYTES
    for event in events:
        more = len(as_json(event)) + 1
        if size + more > MAX_REPORT_BYTES or len(reports[-1]) == MAX_EVENTS:
            reports.append([])
            size = ENVELOPE_BYTES
        reports[-1].append(event)
        size += more
    return reports


def _source(folder: Path, given: str | None, disk: Disk) -> str:
    """What the spool is known by: the name given, or the host's, and six characters of this very folder.

    Sequence numbers count within it, so two spools never share one, and a spool keeps it for life.
    """
    path = folder / "spool.json"
    with suppress(FileNotFoundError):
        try:
            kept = str(json.loads(path.read_bytes())["source"])
        except (ValueError, KeyError, TypeError):
            raise SpoolFailed(
                f"{path} is damaged; move the folder away and start anew, nothing in it is lost"
            ) from None
        if given is None or kept.rpartition(":")[0] == given:
            return kept
        raise SourceChanged(kept)
    made = f"{given or _host()}:{os.urandom(3).hex()}"
    disk.write_whole(path, as_json({"version": 1, "source": made}))
    return made


def _host() -> str:
    found = os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")
    return re.sub(r"[^\w.-]", "", found)[:100] or "host"


class SourceChanged(Exception):  # noqa: N818 - never leaves the package
    """The spool has the source of another name."""
