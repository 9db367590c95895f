"""What the relay has answered for and the service has not: requests as they came, in files of their own.

    lock                  held by the relay whose spool it is
    requests-<time>.log   append-only, a checksummed line a request (_lines.py)
    parked.jsonl          requests that the service refused, each with the answer; it only grows
    meter/                the depot of the relay's own meter, for POST /v1/record

A request is flushed before its sender is answered. A file is removed when the service has answered for every request in
it; what a crash sends twice goes twice under one id, and is counted once. Nothing is dropped to make room.
"""

import json
import logging
import threading
import time
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perimage._clock import new_id
from perimage._disk import Disk
from perimage._errors import SpoolFull
from perimage._kill_points import kill_point
from perimage._lines import framed, unframed
from perimage._segment import Room
from perimage._usage import as_json

log = logging.getLogger("perimage.relay")
AT_ONCE = 256
MOST_BYTES = 4 << 20  # of a file: what the forwarder has in memory at once, and a little over


@dataclass(frozen=True, slots=True)
class Held:
    """A request that waits. `key` is its Idempotency-Key, its own or one that the relay made once."""

    path: str
    content_type: str
    key: str
    taken_at: float  # seconds since 1970
    body: bytes

    def line(self) -> bytes:
        """As it is written down."""
        return framed(as_json([self.path, self.content_type, self.key, self.taken_at, b64encode(self.body).decode()]))

    @classmethod
    def read(cls, payload: bytes) -> "Held":
        """Raises ValueError or TypeError if this is not one."""
        path, content_type, key, taken_at, body = json.loads(payload)
        return cls(path, content_type, key, float(taken_at), b64decode(body))


@dataclass(slots=True)
class File:
    """A file that takes no more: what is known of it without reading it."""

    path: Path
    requests: int
    oldest: float
    size: int = 0  # flushed; what a failed write left beyond it was never answered for
    not_before: float = 0.0  # by the monotonic clock
    postponed: int = 0  # times


class Outbox:
    """The waiting requests of one relay. One thread keeps, another takes; a third may ask how many there are."""

    def __init__(self, folder: Path, disk: Disk, max_bytes: int, min_free_bytes: int) -> None:
        self.folder = folder
        self.arrived = threading.Event()
        self.parked = 0
        self._disk = disk
        self._room = Room(disk, folder, max_bytes, min_free_bytes)
        self._busy = threading.RLock()
        self._sealed: deque[File] = deque()
        self._open: File | None = None
        self._fd = -1
        self._find_what_was_left()

    def keep(self, requests: Sequence[Held]) -> None:
        """Returns when all of them are on the disk. Raises SpoolFull or OSError, and then has taken none."""
        data = b"".join(each.line() for each in requests)
        with self._busy:
            if lacks := self._room.lacks(len(data)):
                raise SpoolFull(lacks)
            if self._open is None or self._open.size >= MOST_BYTES:
                self._begin()
            assert self._open is not None  # noqa: S101 - begun
            kill_point("before_append")
            try:
                self._disk.write(self._fd, data)
                kill_point("after_append_before_fsync")
                self._disk.sync(self._fd)
                if not self._open.size:
                    self._disk.sync_folder(self.folder)
            except BaseException:
                self._break_off()
                raise
            kill_point("after_fsync")
            self._open.size += len(data)
            self._room.add(len(data))
            self._open.requests += len(requests)
            self._open.oldest = min(self._open.oldest, *(each.taken_at for each in requests))
        self.arrived.set()

    def take(self) -> tuple[File, list[Held]] | None:
        """The requests that have waited longest, up to a file of them. They stay until `forget` or `postpone`."""
        with self._busy:
            due = [file for file in self._sealed if file.not_before <= time.monotonic()]
            if not due:
                due = self._seal()
            if not due:
                self.arrived.clear()
                return None
        return due[0], self._read(due[0].path, due[0].size)

    def idle_seconds(self) -> float | None:
        """How long until something that was postponed is due; None where nothing was."""
        with self._busy:
            return max(0.0, min(file.not_before for file in self._sealed) - time.monotonic()) if self._sealed else None

    def postpone(self, file: File, left: Sequence[Held], seconds: float) -> None:
        """Puts off what is left of a file, behind all others; the rest of it is answered for. Raises OSError."""
        data = b"".join(each.line() for each in left)
        path = self.folder / f"requests-{new_id(time.time())}.log"
        self._disk.write_whole(path, data)
        self.forget(file)
        with self._busy:
            oldest = min(each.taken_at for each in left)
            due = time.monotonic() + seconds
            self._sealed.append(File(path, len(left), oldest, len(data), due, file.postponed + 1))
            self._room.add(len(data))

    def forget(self, file: File) -> None:
        """The service has answered for all of this file."""
        with self._busy:
            kill_point("after_reply_before_delete")
            self._disk.remove(file.path)
            self._room.add(-file.size)
            self._sealed.remove(file)

    def park(self, request: Held, status: int, answer: bytes) -> None:
        """Keeps a request that the service refused, with what it said. Raises OSError."""
        fact = {
            "parked_at": time.time(),
            "status": status,
            "answer": answer.decode("utf-8", "replace")[:20_000],
            "path": request.path,
            "content_type": request.content_type,
            "key": request.key,
            "taken_at": request.taken_at,
            "body": b64encode(request.body).decode(),
        }
        line = as_json(fact) + b"\n"
        with self._busy:
            path = self.folder / "parked.jsonl"
            new = not path.exists()
            fd = self._disk.open_new(path) if new else self._disk.open_old(path)
            try:
                self._disk.write(fd, line if new else b"\n" + line)  # after whatever a crash cut off
                self._disk.sync(fd)
            finally:
                self._disk.close(fd)
            if new:
                self._disk.sync_folder(self.folder)
            self.parked += 1
            self._room.add(len(line))

    def send_parked(self) -> int:
        """Takes what is parked back among the waiting, under its own ids. Raises SpoolError and OSError."""
        requests = [
            Held(fact["path"], fact["content_type"], fact["key"], fact["taken_at"], b64decode(fact["body"]))
            for fact in self._parked()
        ]
        for start in range(0, len(requests), AT_ONCE):
            self.keep(requests[start : start + AT_ONCE])
        with self._busy:
            self._room.add(-self._parked_bytes())
            self._disk.remove(self.folder / "parked.jsonl")
            self.parked = 0
        return len(requests)

    def waiting(self) -> tuple[int, float | None]:
        """How many requests wait, and since when the oldest does."""
        with self._busy:
            files = [*self._sealed, *([self._open] if self._open else [])]
            oldest = min((each.oldest for each in files if each.requests), default=None)
            return sum(each.requests for each in files), oldest

    def room(self) -> tuple[int, int]:
        """Bytes used, and bytes that may be."""
        return self._room.used, self._room.max_bytes

    def lacks(self) -> str:
        """Why nothing can be taken now; empty when it can."""
        return self._room.lacks(1)

    def close(self) -> None:
        with self._busy:
            self._seal()

    def _begin(self) -> None:
        self._seal()
        path = self.folder / f"requests-{new_id(time.time())}.log"
        self._fd = self._disk.open_new(path)
        self._open = File(path, 0, time.time())

    def _seal(self) -> list[File]:
        """Closes the open file, if there is one, and gives it back if there is anything in it."""
        file, self._open = self._open, None
        if file is None:
            return []
        with suppress(OSError):  # what counts is flushed already
            self._disk.close(self._fd)
        if not file.requests:
            self._disk.remove(file.path)
            return []
        self._sealed.append(file)
        return [file]

    def _break_off(self) -> None:
        """After a failed write: cuts it off; where even that fails, the file takes no more, as its end is unknown."""
        assert self._open is not None  # noqa: S101 - it was being written to
        try:
            self._disk.truncate(self._fd, self._open.size)
        except OSError:
            self._seal()

    def _read(self, path: Path, size: int = -1) -> list[Held]:
        with path.open("rb") as file:
            lines, damage = unframed(file.read(size))
        found = []
        for line in lines:
            try:
                found.append(Held.read(line))
            except (ValueError, TypeError):
                damage.append(line)
        if damage:
            kept = path.with_name(f"damaged-{path.name}")
            log.error("%d lines of %s are damaged and cannot be forwarded; kept in %s", len(damage), path, kept)
            self._disk.write_whole(kept, b"\n".join(damage))
        return found

    def _parked(self) -> list[dict[str, Any]]:
        facts = []
        with suppress(FileNotFoundError):
            for line in (self.folder / "parked.jsonl").read_bytes().split(b"\n"):
                with suppress(ValueError):
                    facts.append(json.loads(line))
        return [fact for fact in facts if isinstance(fact, dict)]

    def _parked_bytes(self) -> int:
        path = self.folder / "parked.jsonl"
        return path.stat().st_size if path.exists() else 0

    def _find_what_was_left(self) -> None:
        for draft in self.folder.glob(".*.draft"):
            self._disk.remove(draft)
        for path in sorted(self.folder.glob("requests-*.log")):
            requests = self._read(path)
            if not requests:
                self._disk.remove(path)
                continue
            oldest = min(each.taken_at for each in requests)
            self._sealed.append(File(path, len(requests), oldest, path.stat().st_size))
            self._room.add(self._sealed[-1].size)
        self.parked = len(self._parked())
        self._room.add(self._parked_bytes())
        if self._sealed:
            self.arrived.set()
