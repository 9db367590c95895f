"""A segment: one append-only file of the journal, and the ids of the events that it will become.

Whoever joins a group of lines first writes it for all who joined, with one flush, while the next group gathers. So a
thread alone pays for one flush and waits for nobody, and many threads share one.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from perimage._clock import new_id
from perimage._disk import Disk
from perimage._errors import MeterError, SpoolFailed, SpoolFull
from perimage._kill_points import kill_point
from perimage._lines import framed
from perimage._usage import MAX_EVENTS, MAX_IMAGE_COUNT, MAX_REPORT_BYTES, Content, as_json, event_of

MOST_BYTES = 8 << 20  # of a segment
ENVELOPE_BYTES = 2_000
PATIENCE = 1.0  # seconds until somebody else writes a group whose writer has gone


class Room:
    """How much the spool may hold, and how much it does."""

    def __init__(self, disk: Disk, folder: Path, max_bytes: int, min_free_bytes: int) -> None:
        self.disk, self.folder, self.max_bytes, self.min_free_bytes = disk, folder, max_bytes, min_free_bytes
        self.used = 0
        self._lock = threading.Lock()

    def add(self, size: int) -> None:
        """So many bytes more are held, or fewer."""
        with self._lock:
            self.used += size

    def lacks(self, more: int) -> str:
        """Why so many bytes more may not be taken; empty when they may."""
        if self.used + more > self.max_bytes:
            return f"the spool holds {self.used:,} bytes and may hold {self.max_bytes:,} (max_spool_bytes)"
        if self.disk.free(self.folder) < more + self.min_free_bytes:
            return f"the disk would have less than {self.min_free_bytes:,} bytes left (min_free_bytes)"
        return ""


class Entry:
    """An event in the making: its id, made once, and what is counted for it."""

    __slots__ = ("_head", "_tail", "event_id", "total", "unsaved")

    def __init__(self, event_id: str, content: Content, micros: int) -> None:
        self.event_id = event_id
        self.total = 0  # asked for so far, so that the sum stays within what an event may hold
        self.unsaved = 0  # of it, not in the journal yet (fast mode)
        self._head = f'["{event_id}",'.encode()
        self._tail = b"," + as_json([micros, *content])[1:]

    def line(self, images: int) -> bytes:
        """So many images more."""
        return framed(b"%b%d%b" % (self._head, images, self._tail))


class Group:
    """Lines that are flushed together. `error` says why they were not."""

    __slots__ = ("done", "error", "gate", "lines", "records", "waiters")

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.records = 0
        self.done = False
        self.gate = threading.Lock()  # open once it is done; who comes through lets the next one follow
        self.gate.acquire()
        self.error: OSError | MeterError | None = None
        self.waiters: list[Callable[[], None]] = []


class Segment:
    """The file and its entries. `lock` is the journal's; what is marked so asks for it to be held."""

    def __init__(
        self, folder: Path, *, wall: float, opened_at: float, bucket: int, disk: Disk, room: Room, lock: threading.Lock
    ) -> None:
        self.name = new_id(wall)
        self.path = folder / f"journal-{self.name}.log"
        self.opened_at, self.bucket = opened_at, bucket
        self.size = 0  # flushed
        self.saved_records = 0
        self.entries: dict[tuple[Content, int], Entry] = {}
        self.retired: list[Entry] = []  # full ones, that another took the place of
        self.events = 0
        self.body_bytes = ENVELOPE_BYTES
        self._disk, self._room, self._lock = disk, room, lock
        self._writing = threading.Lock()
        self._group: Group | None = None
        self._fd: int | None = None
        self._torn = self._named = False

    def entry(self, content: Content, bucket: int, micros: int, images: int) -> Entry | None:
        """The event that these images belong to, or None when the segment is full. Under the lock."""
        found = self.entries.get((content, bucket))
        if self.size >= MOST_BYTES:
            return None
        if found is not None and found.total + images <= MAX_IMAGE_COUNT:
            found.total += images
            return found
        event_id = f"{self.name}-{self.events:04d}"
        if not self.admits(1, len(as_json(event_of(event_id, MAX_IMAGE_COUNT, micros, content)))):
            return None
        if found is not None:
            self.retired.append(found)
        made = self.entries[content, bucket] = Entry(event_id, content, micros)
        made.total = images
        return made

    def admits(self, events: int, size: int) -> bool:
        """Makes room for events of this size in the report to come, if there is any. Under the lock."""
        if self.events and (self.events + events > MAX_EVENTS or self.body_bytes + size + events > MAX_REPORT_BYTES):
            return False
        self.events += events
        self.body_bytes += size + events
        return True

    def join(self, lines: Sequence[bytes], records: int) -> tuple[Group, bool]:
        """The group that these lines are flushed with, and whether the caller is the first in it. Under the lock."""
        group = self._group
        first = group is None
        if group is None:
            group = self._group = Group()
        group.lines += lines
        group.records += records
        return group, first

    def commit(self, group: Group, first: bool) -> None:
        """Returns when the group is flushed, or raises why it is not."""
        if first:
            self.write(group)
        else:
            while not group.done:
                if group.gate.acquire(timeout=PATIENCE):
                    group.gate.release()
                else:
                    self.write(group)  # its first may have been interrupted
        if group.error is not None:
            raise group.error

    def write(self, group: Group) -> None:
        """Writes and flushes the group, unless somebody did."""
        with self._writing:
            if group.done:
                return
            with self._lock:
                if self._group is group:
                    self._group = None
                data = b"".join(group.lines)
            group.error = SpoolFailed("writing to the spool was interrupted")
            try:
                self._append(data)
                group.error = None
            except (OSError, MeterError) as error:
                group.error = error
            finally:
                with self._lock:
                    if group.error is None:
                        self._room.add(len(data))
                        self.saved_records += group.records
                    waiters = group.waiters
                    group.done = True
                    group.gate.release()
                for wake in waiters:
                    wake()

    def _append(self, data: bytes) -> None:
        """All of it, flushed; or an error, and the file is as it was."""
        if lacks := self._room.lacks(len(data)):
            raise SpoolFull(f"{lacks}; nothing was taken")
        kill_point("before_append")
        if self._fd is None:
            self._fd = self._disk.open_new(self.path)
        self._mend()
        self._torn = True
        try:
            self._disk.write(self._fd, data)
            kill_point("after_append_before_fsync")
            self._disk.sync(self._fd)
            if not self._named:
                self._disk.sync_folder(self.path.parent)
                self._named = True
        except BaseException:
            self._mend()
            raise
        kill_point("after_fsync")
        self.size += len(data)
        self._torn = False

    def _mend(self) -> None:
        """Cuts off what a failed write left behind."""
        if self._torn and self._fd is not None:
            self._disk.truncate(self._fd, self.size)
            self._torn = False

    def finish(self) -> None:
        """Writes the last group and closes the file. Nobody may join any more."""
        with self._lock:
            group = self._group
        if group is not None:
            self.write(group)
        with self._writing:
            fd, self._fd = self._fd, None
            if fd is not None:
                with suppress(OSError):  # what counts is flushed already
                    self._disk.close(fd)

    def leave(self) -> None:
        """In a child after a fork: the file is the parent's."""
        if self._fd is not None:
            self._disk.close(self._fd)
            self._fd = None
