"""The sender: takes reports from spools to the service, one at a time, until each is answered.

What is not answered is sent again, the same bytes, after a pause that doubles and is drawn at random up to its full
length, so that a thousand meters do not come back at once; `Retry-After` is a pause that is never cut short. A report
that alone fails waits alone. No pause ever ends in giving up.
"""

import logging
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from perimage._answers import EARLY, Answer, Later, Outcome, Refused, Result, Reused, Settled, TooLarge, read_answer
from perimage._clock import Clock
from perimage._disk import Disk
from perimage._errors import MeterError, NotSent, Unauthorized
from perimage._parked import Parked, ParkedEvent
from perimage._receipts import keep
from perimage._reports import Damaged, Report
from perimage._spool import Spool
from perimage._usage import Event

log = logging.getLogger("perimage")
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0  # seconds
FIRST_PAUSE_WITHOUT_KEY, LONGEST_PAUSE_WITHOUT_KEY = 30.0, 600.0
TICK = 1.0  # the longest a thread sleeps before it looks at the clock again
REMIND_AFTER = 600.0
SMALL = 4_096  # bytes of a report that nobody has a reason to find too large
AHEAD = 300.0  # seconds that the service takes events ahead of its own clock
FAR_AHEAD = 86_400.0


class Way(Protocol):
    """How a report gets to the service and its answer back."""

    def report(self, body: bytes) -> Answer: ...

    def close(self) -> None: ...


@dataclass(slots=True)
class Tally:
    """Events by what became of them, since the meter was made."""

    accepted: int = 0
    duplicate: int = 0
    held: int = 0
    parked: int = 0
    reports: int = 0


@dataclass(slots=True)
class _Patience:
    attempts: int = 0
    due: float = 0.0


class Sender:
    """Sends what is pending in the spools that `spools` names. `step` is one attempt; a thread makes them."""

    def __init__(
        self,
        way: Way,
        spools: Callable[[], Sequence[Spool]],
        parked: Parked,
        *,
        receipts: Path | None,
        clock: Clock,
        disk: Disk,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.tally = Tally()
        self.last_error: NotSent | None = None  # None once a report has been answered
        self.progress = threading.Condition()
        self._way, self._spools, self._parked, self._receipts = way, spools, parked, receipts
        self._clock, self._disk, self._draw = clock, disk, draw
        self._patience: dict[str, _Patience] = {}
        self.failures = 0  # attempts that were not answered, ever
        self._streak = 0
        self._pause_until = self._told_to_wait_until = self._warned_at = float("-inf")
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="perimage-sender", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There is something to send."""
        self._wake.set()

    def hurry(self) -> None:
        """Tries again at once whatever only waits by our own choice."""
        self._pause_until = float("-inf")
        for patience in list(self._patience.values()):
            if patience.attempts:
                patience.due = float("-inf")
        self._wake.set()

    def stop(self, timeout: float) -> None:
        """Ends after the attempt that is under way, or leaves it behind after so many seconds."""
        self._stopping = True
        self._wake.set()
        if self._thread.ident:
            self._thread.join(timeout)

    def step(self) -> float:
        """Sends the next report, if one is due. Returns the seconds until the next may be."""
        now = self._clock.monotonic()
        paused = max(self._pause_until, self._told_to_wait_until) - now
        if paused > 0:
            return paused
        spool, report, wait = self._next(now)
        if spool is None or report is None:
            return wait
        try:
            outcome = self._try(spool, report)
        except Exception as error:  # a report that nobody thought of must not keep the others waiting
            log.exception("sending report %s stumbled; it is kept", report.report_id)
            outcome = Later(f"sending it stumbled: {error!r}")
        self._note(report, outcome)
        with self.progress:
            self.progress.notify_all()
        return 0.0

    def _work(self) -> None:
        while not self._stopping:
            try:
                wait = self.step()
            except Exception:
                log.exception("the sender stumbled; everything is kept and sent again")
                wait = LONGEST_PAUSE
            if wait > 0:
                self._wake.wait(min(wait, TICK))
                self._wake.clear()
        self._way.close()

    def _next(self, now: float) -> tuple[Spool | None, Report | None, float]:
        """The report to send now, one that has not failed before others; or how long until there is one."""
        soonest, fewest = TICK, 1 << 60
        chosen: tuple[Spool, Report] | None = None
        for spool in self._spools():
            for report in spool.pending():
                patience = self._patience.get(report.report_id)
                if patience is None:
                    ahead = min(max(report.not_before - self._clock.wall(), 0.0), 3600.0) if report.not_before else 0.0
                    patience = self._patience[report.report_id] = _Patience(0, now + ahead)
                if patience.due > now:
                    soonest = min(soonest, patience.due - now)
                elif patience.attempts < fewest:
                    chosen, fewest = (spool, report), patience.attempts
        return (*chosen, 0.0) if chosen else (None, None, soonest)

    def _try(self, spool: Spool, report: Report) -> Outcome:
        """One attempt, and all that follows from the answer. What cannot be stored is as good as not answered."""
        try:
            body = report.body()
        except (Damaged, OSError) as error:
            return self._give_up(spool, report, error)
        try:
            answer = self._way.report(body)
            outcome = read_answer(answer, report)
        except NotSent as error:
            return Later(str(error), "unreachable")
        try:
            if not isinstance(outcome, Later) and self._receipts and answer.status == 200:
                keep(self._disk, self._receipts, report, body, answer)
            return self._apply(spool, report, outcome)
        except (OSError, MeterError) as error:
            return Later(f"what the service answered could not be stored ({error}); it will be asked again", "spool")

    def _apply(self, spool: Spool, report: Report, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Settled):
            events = report.content()
            uncounted = [(event, each) for event, each in zip(events, outcome.results, strict=True) if not each.counted]
            delays = {each.event_id: self._delay(event, each, outcome) for event, each in uncounted}
            self._park(report, [(event, each) for event, each in uncounted if delays[each.event_id] is None])
            early = [event for event, each in uncounted if delays[each.event_id] is not None]
            if early:
                longest = max(delay for delay in delays.values() if delay is not None)
                spool.report_again(early, self._clock.wall() + longest)
            spool.settle(report)
            for each in outcome.results:
                if each.counted:
                    setattr(self.tally, each.status, getattr(self.tally, each.status) + 1)
        elif isinstance(outcome, Refused):
            self._park_all(report, outcome.code, outcome.message)
            spool.settle(report)
        elif isinstance(outcome, Reused):
            spool.report_again(report.content())
            spool.settle(report)
            return Later(f"{outcome.message}; its events are sent under another report_id")
        elif isinstance(outcome, TooLarge):
            if report.size < SMALL:
                return Later(f"{outcome.message}, of {report.size:,} bytes; check what stands between")
            if report.events > 1:
                spool.split(report)
            else:
                self._park_all(report, "body_too_large", outcome.message)
                spool.settle(report)
        return outcome

    def _delay(self, event: Event, result: Result, outcome: Settled) -> float | None:
        """Seconds until an event that our clock dated ahead of the service's may come; None where that is no cure."""
        if result.status != "rejected" or result.code != EARLY or outcome.answered_at is None:
            return None
        ahead = (datetime.fromisoformat(event["occurred_at"]) - outcome.answered_at).total_seconds()
        return min(max(ahead - AHEAD + 2.0, 2.0), 3600.0) if ahead < FAR_AHEAD else None

    def _park_all(self, report: Report, code: str, message: str) -> None:
        self._park(report, [(each, Result(each["event_id"], "refused", code, message)) for each in report.content()])

    def _park(self, report: Report, uncounted: Sequence[tuple[Event, Result]]) -> None:
        if not uncounted:
            return
        wall = self._clock.wall()
        self._parked.add(
            [
                ParkedEvent(event, report.report_id, each.status, each.code, each.message, wall)
                for event, each in uncounted
            ]
        )
        self.tally.parked += len(uncounted)
        images = sum(event["image_count"] for event, _ in uncounted)
        said = sorted({f"{each.status} {each.code}: {each.message}" for _, each in uncounted})
        log.error(
            "%d events of %d images were NOT counted and are parked in %s (%s). `perimage-meter parked` shows them",
            len(uncounted),
            images,
            self._parked.path,
            "; ".join(said[:3]),
        )

    def _give_up(self, spool: Spool, report: Report, error: Exception) -> Outcome:
        if isinstance(error, Damaged):
            log.error("%s; it was set aside and its %d images are NOT counted", error, report.images)
            spool.set_aside(report)
        return Later(str(error), "spool")

    def _note(self, report: Report, outcome: Outcome) -> None:
        """Remembers how it went: how long to wait, and whom to tell."""
        now = self._clock.monotonic()
        if not isinstance(outcome, Later):
            if self._streak:
                log.warning("usage is being sent again")
            self._streak = 0
            self.last_error = None
            self.tally.reports += isinstance(outcome, Settled)
            self._patience.pop(report.report_id, None)
            return
        self._streak += 1
        self.failures += 1
        self.last_error = (Unauthorized if outcome.kind == "unauthorized" else NotSent)(outcome.reason)
        if self._streak == 1 or now - self._warned_at > REMIND_AFTER:
            self._warned_at = now
            log.warning("usage could not be sent and is kept: %s", outcome.reason)
        pause = self._pause(self._streak, outcome.kind == "unauthorized")
        if outcome.wait:
            self._told_to_wait_until = now + outcome.wait + self._draw(0.0, min(1.0, outcome.wait / 10))
        else:
            self._pause_until = now + pause
        if outcome.kind == "failed":
            patience = self._patience.setdefault(report.report_id, _Patience())
            patience.attempts += 1
            patience.due = now + self._pause(patience.attempts, False)

    def _pause(self, attempts: int, without_key: bool) -> float:
        first, longest = (
            (FIRST_PAUSE_WITHOUT_KEY, LONGEST_PAUSE_WITHOUT_KEY) if without_key else (FIRST_PAUSE, LONGEST_PAUSE)
        )
        return self._draw(0.0, min(longest, first * 2 ** min(attempts - 1, 20)))
