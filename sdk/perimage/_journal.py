"""The journal: what was recorded, before it is made into reports.

There is one open segment at a time. An entry's id names its segment, and both live and end together, so the images of
an event are never spread over two reports. A segment is retired when its window is over; with every report that waits
to be sent it gathers twice as long, up to an hour, so that a spell without a network ends in few large reports and not
in many small ones. Windows are wall-clock minutes or the like, and none crosses a quarter of an hour, so no event
crosses the bound of a day or a month in any time zone.
"""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from perimage._clock import Clock
from perimage._disk import Disk, refused
from perimage._errors import MeterError, SpoolError, SpoolFull
from perimage._lines import framed
from perimage._segment import Entry, Group, Room, Segment
from perimage._usage import MICROS, Content, Event, whole_event

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

LONGEST_WINDOW = 3600.0  # seconds that a segment gathers when reports wait
MOST_RETIRED, MOST_WAITING = 50, 50_000  # segments and events that may wait in memory for the disk


class Journal:
    """Takes what is recorded, from any thread."""

    def __init__(self, folder: Path, *, window: float, clock: Clock, disk: Disk, room: Room) -> None:
        self.backlog = 0  # reports that wait to be sent
        self.on_full: Callable[[], object] = bool  # told when a segment is full
        self.recorded = 0  # calls that were taken, those of finished segments
        self._folder, self._clock, self._disk, self._room = folder, clock, disk, room
        self._window, self._bucket = window, round(window * MICROS)
        self._lock = threading.Lock()
        self._saving = threading.Lock()
        self._segment: Segment | None = None
        self._retired: list[Segment] = []
        self._noted = 0  # calls whose images are in memory only
        self._refusing: SpoolError | None = None
        self._executor: ThreadPoolExecutor | None = None

    def count(self, content: Content, images: int, micros: int, fresh: bool) -> str:
        """Counts images and returns the id of their event once that is flushed. `fresh`: they were made just now."""
        with self._lock:
            segment, entry = self._entry(content, images, micros, fresh)
            group, first = segment.join((entry.line(images),), 1)
        _commit(segment, group, first)
        return entry.event_id

    def count_soon(
        self, content: Content, images: int, micros: int, fresh: bool, done: Callable[[], None]
    ) -> "Promise":
        """The same without waiting. `done` is called, by another thread, when it is flushed or refused."""
        with self._lock:
            segment, entry = self._entry(content, images, micros, fresh)
            group, first = segment.join((entry.line(images),), 1)
            group.waiters.append(done)
            if first:
                self._executor = self._executor or _executor()
                self._executor.submit(segment.write, group)
        return Promise(entry.event_id, group)

    def note(self, content: Content, images: int, micros: int, fresh: bool) -> str:
        """Counts images in memory, until the next save. Refuses while saving fails."""
        with self._lock:
            if self._refusing is not None:
                raise type(self._refusing)(*self._refusing.args)
            if len(self._retired) > MOST_RETIRED and sum(each.events for each in self._retired) > MOST_WAITING:
                raise SpoolFull("usage comes faster than the disk can take it; nothing was taken")
            segment = self._segment
            bucket = micros // self._bucket
            # The common case of _entry, written out: it is what a call in fast mode costs.
            if segment is not None and (segment.bucket == bucket or not fresh or self.backlog):
                entry = segment.entry(content, bucket, micros, images)
            else:
                entry = None
            if entry is None:
                _, entry = self._entry(content, images, micros, fresh)
            entry.unsaved += images
            self._noted += 1
            return entry.event_id

    def append(self, events: Iterable[Event]) -> None:
        """Takes whole events with ids of their own, as the service reads them, and returns once they are flushed.

        They are never added up: an event that is appended twice is sent twice, and counted once.
        """
        payloads = [whole_event(event) for event in events]
        joined: list[tuple[Segment, Group, bool]] = []
        with self._lock:
            for payload in payloads:
                segment = self._open()
                if not segment.admits(1, len(payload)):
                    segment = self._renew()
                    segment.admits(1, len(payload))
                group, first = segment.join((framed(payload),), 1)
                if not joined or joined[-1][1] is not group:
                    joined.append((segment, group, first))
        for segment, group, first in joined:
            _commit(segment, group, first)

    def save(self) -> None:
        """Flushes what is only in memory. Raises SpoolError, and then refuses to note more until it succeeds."""
        with self._saving:
            with self._lock:
                segments = [*self._retired, *([self._segment] if self._segment else [])]
            for segment in segments:
                with self._lock:
                    taken = [(each, each.unsaved) for each in _entries(segment) if each.unsaved]
                    if not taken:
                        continue
                    noted, self._noted = self._noted, 0
                    for entry, _ in taken:
                        entry.unsaved = 0
                    group, first = segment.join([entry.line(images) for entry, images in taken], noted)
                try:
                    _commit(segment, group, first)
                except BaseException as error:
                    with self._lock:
                        if group.done:  # else whoever comes next writes it
                            self._noted += noted
                            for entry, images in taken:
                                entry.unsaved += images
                        self._refusing = error if isinstance(error, SpoolError) else self._refusing
                    raise
            self._refusing = None

    def retire(self, force: bool = False) -> list[Segment]:
        """The segments that take no more, with whatever was in memory saved: finished, ready to become reports."""
        with self._lock:
            segment = self._segment
            if segment and segment.events and (force or self._is_due(segment)):
                self._retired.append(segment)
                self._segment = None
            retired = list(self._retired)  # those that follow while we save are not saved
        self.save()
        for segment in retired:
            segment.finish()
            with self._lock:
                self._retired.remove(segment)
                self.recorded += segment.saved_records
        return retired

    def taken(self) -> tuple[int, int]:
        """Calls that were taken, and how many of them are only in memory."""
        with self._lock:
            live = [*self._retired, *([self._segment] if self._segment else [])]
            return self.recorded + self._noted + sum(each.saved_records for each in live), self._noted

    def gathering(self) -> int:
        """Events in the making."""
        with self._lock:
            return sum(each.events for each in (*self._retired, *([self._segment] if self._segment else [])))

    def close(self) -> None:
        if self._executor:
            self._executor.shutdown()

    def leave(self) -> None:
        """In a child after a fork: everything here is the parent's."""
        for segment in (*self._retired, *([self._segment] if self._segment else [])):
            segment.leave()

    def _entry(self, content: Content, images: int, micros: int, fresh: bool) -> tuple[Segment, Entry]:
        bucket = micros // self._bucket
        segment = self._open()
        if fresh and segment.bucket != bucket and segment.events and not self.backlog:
            segment = self._renew()
        entry = segment.entry(content, bucket, micros, images)
        if entry is None:
            segment = self._renew()
            entry = segment.entry(content, bucket, micros, images)
        assert entry is not None  # noqa: S101 - an empty segment takes any event
        return segment, entry

    def _open(self) -> Segment:
        if self._segment is None:
            wall = self._clock.wall()
            self._segment = Segment(
                self._folder,
                wall=wall,
                opened_at=self._clock.monotonic(),
                bucket=int(wall * MICROS) // self._bucket,
                disk=self._disk,
                room=self._room,
                lock=self._lock,
            )
        return self._segment

    def _renew(self) -> Segment:
        if self._segment is not None:
            self._retired.append(self._segment)
            self._segment = None
            self.on_full()
        return self._open()

    def _is_due(self, segment: Segment) -> bool:
        """Its window is over, by either clock: the one may stand still or jump, the other does not."""
        patience = min(self._window * 2 ** min(self.backlog, 20), max(self._window, LONGEST_WINDOW))
        if self._clock.monotonic() - segment.opened_at >= patience:
            return True
        return not self.backlog and int(self._clock.wall() * MICROS) // self._bucket != segment.bucket


class Promise:
    """A count that is being flushed."""

    def __init__(self, event_id: str, group: Group) -> None:
        self._event_id, self._group = event_id, group

    def result(self) -> str:
        """The id of the event, or the error; once it is done."""
        if self._group.error is not None:
            raise _in_words(self._group.error)
        return self._event_id


def _commit(segment: Segment, group: Group, first: bool) -> None:
    try:
        segment.commit(group, first)
    except (OSError, SpoolError) as error:
        raise _in_words(error) from None


def _in_words(error: OSError | MeterError) -> MeterError:
    """An error of its own for each who waited for the group."""
    if isinstance(error, OSError):
        return refused(error, "usage could not be written to the spool")
    return type(error)(*error.args)


def _entries(segment: Segment) -> Iterable[Entry]:
    yield from segment.retired
    yield from segment.entries.values()


def _executor() -> "ThreadPoolExecutor":
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - only asyncio programs need it

    return ThreadPoolExecutor(1, "perimage-committer")
