"""What works behind a meter in one process: its spool, two threads, and the spools it has adopted.

The keeper saves what is in memory, makes reports of what is ready, and looks for the spools of processes that have
died. It works on the disk only, so it is never late because the network is; that is the sender's business.
"""

import logging
import threading
import time
from contextlib import suppress
from pathlib import Path

from perimage._clock import Clock
from perimage._depot import Depot
from perimage._disk import Disk
from perimage._errors import NotSent, SpoolError
from perimage._sender import Sender, Way
from perimage._spool import Spool
from perimage._stats import Stats

log = logging.getLogger("perimage")
ADOPT_EVERY = 15.0  # seconds between looks for the spools of dead processes
COMPLAIN_EVERY = 60.0
BLINK = 0.05  # seconds after which a drain looks again, should nobody have woken it


class Keeper:
    """Keeps a spool going. `tick`: the seconds between two rounds."""

    def __init__(
        self, depot: Depot, spool: Spool, way: Way, *, receipts: Path | None, tick: float, clock: Clock, disk: Disk
    ) -> None:
        self.depot, self.spool = depot, spool
        self.sender = Sender(way, self.spools, depot.parked, receipts=receipts, clock=clock, disk=disk)
        self._adopted: list[Spool] = []
        self._gone_damage = 0  # of adopted spools that are no more
        self._tick, self._clock = tick, clock
        self._adopting = threading.Lock()
        self._ending = False
        self._wake = threading.Event()
        self._complained_at = float("-inf")
        self._thread = threading.Thread(target=self._work, name="perimage-keeper", daemon=True)

    def start(self) -> None:
        self.spool.journal.on_full = self._wake.set
        self.sender.start()
        self._thread.start()

    def spools(self) -> list[Spool]:
        """Its own, and those it has adopted."""
        return [self.spool, *self._adopted]

    def drain(self, timeout: float, patient: bool = True) -> bool:
        """Sends everything taken until now; whether it was answered in time. The impatient give up at a failure."""
        end = time.monotonic() + timeout
        failures = self.sender.failures
        frontiers = []
        for spool in self.spools():
            spool.seal(force=True)
            frontiers.append((spool, spool.frontier()))
        self.sender.hurry()
        with self.sender.progress:
            while not all(spool.is_settled(frontier) for spool, frontier in frontiers):
                left = end - time.monotonic()
                if left <= 0 or not (patient or self.sender.failures == failures):
                    return False
                self.sender.progress.wait(min(left, BLINK))
        return True

    def end(self, timeout: float) -> None:
        """Saves everything, sends what can be sent in so many seconds, stops the threads, lets go of the spools."""
        end = time.monotonic() + timeout
        try:
            with suppress(SpoolError):  # closing tells of it
                self.drain(timeout, patient=False)
        finally:
            self._ending = True
            self._wake.set()
            if self._thread.ident:
                self._thread.join(max(end - time.monotonic(), 1.0))
            self.sender.stop(max(end - time.monotonic(), 0.1))
            for adopted in self._adopted:
                with suppress(SpoolError):
                    adopted.close()
            self._adopted = []
            own = self.spool
            own.close()
            if own.folder.parent == self.depot.forks and own.is_empty():
                own.remove()

    def round(self) -> None:
        """One round: save, seal, tell the sender, bury what was adopted and is empty. Raises SpoolError."""
        made = 0
        for spool in self.spools():
            made += spool.seal()
        for spool in [each for each in self._adopted if each.is_empty()]:
            self._adopted.remove(spool)
            self._gone_damage += spool.damaged
            spool.remove()
        if made:
            self.sender.wake()

    def adopt(self) -> list[str]:
        """Takes over the spools whose processes have died, and says which."""
        with self._adopting:
            found = self.depot.orphans()
            self._adopted += found
        for spool in found:
            log.warning("sending what a process left in %s when it ended", spool.folder)
        return [str(spool.folder) for spool in found]

    def stats(self, refused: int) -> Stats:
        """How things are."""
        spools, tally, now = self.spools(), self.sender.tally, self._clock.wall()
        pending = [report for spool in spools for report in spool.pending()]
        recorded, unsaved = self.spool.journal.taken()
        return Stats(
            recorded=recorded,
            refused=refused,
            unsaved=unsaved,
            gathering=sum(spool.gathering() for spool in spools),
            pending=len(pending),
            pending_events=sum(report.events for report in pending),
            pending_images=sum(report.images for report in pending),
            oldest_pending_age=max((max(now - report.sealed_at, 0.0) for report in pending), default=0.0),
            spool_bytes=sum(spool.room.used for spool in spools),
            sent=tally.accepted + tally.duplicate + tally.held + tally.parked,
            accepted=tally.accepted,
            duplicates=tally.duplicate,
            held=tally.held,
            parked=tally.parked,
            damaged=self._gone_damage + sum(spool.damaged for spool in spools),
            last_error=str(self.sender.last_error or ""),
        )

    def why_not_sent(self) -> NotSent:
        return self.sender.last_error or NotSent("not everything was answered in time; it is kept and sent later")

    def leave(self) -> None:
        """In a child after a fork: everything here is the parent's."""
        for spool in self.spools():
            spool.journal.leave()

    def _work(self) -> None:
        adopt_at = time.monotonic()
        while not self._ending:
            try:
                if time.monotonic() >= adopt_at:
                    adopt_at = time.monotonic() + ADOPT_EVERY
                    self.adopt()
                self.round()
            except SpoolError as error:
                self._complain("usage waits in the journal, because %s", error)
            except Exception:
                self._complain("the keeper stumbled; everything is kept", None)
            self._wake.wait(self._tick)
            self._wake.clear()

    def _complain(self, sentence: str, error: SpoolError | None) -> None:
        now = time.monotonic()
        if now - self._complained_at < COMPLAIN_EVERY:
            return
        self._complained_at = now
        if error is None:
            log.exception(sentence)
        else:
            log.error(sentence, error)
