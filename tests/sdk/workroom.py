"""A spool and a sender without threads, so that a test takes every step itself, and clocks that it sets."""

from pathlib import Path
from typing import Any

from perimage._clock import Clock
from perimage._disk import Disk
from perimage._parked import Parked
from perimage._sender import Sender, Way
from perimage._spool import Spool
from perimage._usage import MICROS, Content

ANIMA: Content = ("anima-1", (), "", "image")
START = 1_795_000_000.0  # a time in November 2026


class SetClock(Clock):
    """Clocks that stand still until they are moved."""

    def __init__(self, wall: float = START) -> None:
        self.now, self.passed = wall, 1_000.0
        self.wall = lambda: self.now  # type: ignore[method-assign,assignment]
        self.monotonic = lambda: self.passed  # type: ignore[method-assign,assignment]

    def move(self, seconds: float) -> None:
        """Time passes on both clocks."""
        self.now += seconds
        self.passed += seconds

    def step(self, seconds: float) -> None:
        """Somebody sets the clock."""
        self.now += seconds


class Workroom:
    """One process's worth of a meter, opened in a folder. `record` is durable."""

    def __init__(
        self, folder: Path, way: Way, disk: Disk | None = None, clock: Clock | None = None, **settings: Any
    ) -> None:
        self.clock, self.disk = clock or SetClock(), disk or Disk()
        settings = {"min_free_bytes": 0, **settings}
        self.spool = Spool.open(folder / "main", clock=self.clock, disk=self.disk, **settings)
        self.parked = Parked(folder, self.disk)
        self.sender = Sender(
            way,
            lambda: [self.spool],
            self.parked,
            receipts=folder / "receipts",
            clock=self.clock,
            disk=self.disk,
            draw=lambda _low, high: high,
        )

    def record(self, images: int = 1, content: Content = ANIMA, at: float | None = None) -> str:
        micros = int((self.clock.wall() if at is None else at) * MICROS)
        return self.spool.journal.count(content, images, micros, at is None)

    def drain(self, patience: int = 200) -> None:
        """Seals and sends until nothing waits, letting the clock run on through every pause."""
        self.spool.seal(force=True)
        for _ in range(patience):
            if not self.spool.pending():
                return
            wait = self.sender.step()
            if isinstance(self.clock, SetClock):
                self.clock.move(wait)
        raise AssertionError(f"{len(self.spool.pending())} reports still wait: {self.sender.last_error}")

    def close(self) -> None:
        self.spool.close()
