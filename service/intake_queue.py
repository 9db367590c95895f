"""Where usage reports wait for the one writer of this process.

Requests come one by one; a COMMIT costs a flush of the disk however much it commits. So a single thread with a
connection of its own takes whatever has gathered while it was busy, writes it in one transaction, and only then lets
the waiting requests answer. The queue is short and bounded: what does not fit is told to come back, and nothing that
was not committed is ever called received.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from core.database import APP_ROLE, libpq_options
from core.errors import PerimageError, Unavailable
from core.usage.intake.intake import Intake, Submission
from core.usage.intake.packing import pack_report
from core.usage.intake.receipt import Receipt
from core.usage.intake.report import Refusal, Report

MOST_REPORTS = 2_000  # waiting
MOST_EVENTS = 64_000  # waiting, each some 1 kB of memory until it is written
GROUP_EVENTS = 16_000  # in one transaction
NUMBERS_IN_HAND = 2 * MOST_REPORTS
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds between attempts to reach the database
CONNECT_SECONDS = 5

log = logging.getLogger("perimage.intake")
Answer = Receipt | Exception


@dataclass(slots=True, eq=False)
class _Waiting:
    submission: Submission
    answer: "asyncio.Future[Receipt]"


class IntakeQueue:
    """The queue and its writer. `submit` is for the event loop that `start` was called on."""

    def __init__(self, database_url: str) -> None:
        self.database_url = database_url
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: deque[_Waiting] = deque()
        self._events = 0
        self._numbers: deque[int] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._intake: Intake | None = None
        self._refused: RuntimeError | None = None
        self._thread = threading.Thread(target=self._work, name="intake-writer", daemon=True)

    async def start(self) -> None:
        """Begins to write. Raises RuntimeError for a server whose COMMIT means nothing; one that is away is awaited."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._connect)
        if self._refused:
            raise self._refused
        self._thread.start()

    async def stop(self) -> None:
        """Writes and answers what waits, and ends."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.ident:
            await asyncio.to_thread(self._thread.join)

    @property
    def ready(self) -> bool:
        """Whether the writer has a connection that it may use."""
        return self._intake is not None

    def submit(
        self,
        licensee_id: int,
        key_id: int,
        report: Report,
        digest: bytes,
        holds: Mapping[int, str],
        *,
        capped: Mapping[int, Refusal] | None = None,
    ) -> "asyncio.Future[Receipt]":
        """Queues a report. The receipt comes after its COMMIT; Unavailable at once when there is no room."""
        assert self._loop is not None  # noqa: S101 - started
        if len(self._queue) >= MOST_REPORTS or self._events >= MOST_EVENTS or self._stopping:
            raise Unavailable("busy", "more is coming in than can be written; report this again", retry_after=1)
        if not self._numbers:
            raise Unavailable("database_unavailable", "the database is out of reach; report this again", retry_after=1)
        report_no = self._numbers.popleft()
        rows = pack_report(report, licensee_id, report_no, capped or ())
        submission = Submission(licensee_id, key_id, report, digest, report_no, rows, holds, capped or {})
        waiting = _Waiting(submission, self._loop.create_future())
        with self._changed:
            self._queue.append(waiting)
            self._events += len(report.events)
            self._changed.notify()
        return waiting.answer

    def _work(self) -> None:
        """The writer's life."""
        pause = FIRST_PAUSE
        while True:
            if self._intake is None and not self._connect():
                self._answer_all(Unavailable("database_unavailable", "the database is out of reach", retry_after=1))
                with self._changed:
                    if self._stopping:
                        return
                    self._changed.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            pause = FIRST_PAUSE
            group = self._take()
            if not group:
                break
            self._answer(group, self._write(group))
            self._keep_numbers()
        self._disconnect()

    def _take(self) -> list[_Waiting]:
        """What has gathered, up to a transaction's worth, once there is anything. Empty: it is time to end.

        A second report of the same id waits for the next group, where it meets the first one's receipt.
        """
        group: list[_Waiting] = []
        later: list[_Waiting] = []
        identities = set()
        events = 0
        with self._changed:
            while not self._queue and not self._stopping:
                self._changed.wait()
            while self._queue and events < GROUP_EVENTS:
                waiting = self._queue.popleft()
                if waiting.submission.identity in identities:
                    later.append(waiting)
                    continue
                identities.add(waiting.submission.identity)
                group.append(waiting)
                events += len(waiting.submission.report.events)
            self._queue.extendleft(reversed(later))
            self._events -= events
        return group

    def _write(self, group: Sequence[_Waiting]) -> Sequence[Answer]:
        """The answers to a group, whatever happens to the database meanwhile."""
        submissions = [waiting.submission for waiting in group]
        for last in (False, True):
            try:
                if self._intake is None and not self._connect():
                    break
                assert self._intake is not None  # noqa: S101 - or connecting had failed
                return self._intake.write(submissions)
            except PerimageError as busy:
                return [busy] * len(group)
            except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError) as error:
                # A connection may have died while it was idle, so a new one gets one try. Should the COMMIT have gone
                # through after all, that try finds the reports and gives their first receipts.
                log.warning("writing usage failed%s: %s", "" if last else ", trying once more", _first_line(error))
                self._disconnect()
            except Exception as error:
                if len(group) > 1:
                    log.exception("a group of %d reports failed; writing each alone", len(group))
                    return [self._write([waiting])[0] for waiting in group]
                return [error]
        away = Unavailable("database_unavailable", "the database is out of reach; report this again", retry_after=1)
        return [away] * len(group)

    def _answer(self, group: Sequence[_Waiting], answers: Sequence[Answer]) -> None:
        def answer_now() -> None:
            for waiting, answer in zip(group, answers, strict=True):
                if waiting.answer.done():  # the sender has gone
                    continue
                if isinstance(answer, Receipt):
                    waiting.answer.set_result(answer)
                else:
                    waiting.answer.set_exception(answer)

        self._on_loop(answer_now)

    def _answer_all(self, error: PerimageError) -> None:
        """Tells everybody who waits that it is no use."""
        with self._changed:
            group = list(self._queue)
            self._queue.clear()
            self._events = 0
        self._answer(group, [error] * len(group))

    def _on_loop(self, action: Callable[[], Any]) -> None:
        assert self._loop is not None  # noqa: S101 - started
        self._loop.call_soon_threadsafe(action)

    def _connect(self) -> bool:
        """A connection and numbers in hand, or False."""
        try:
            connection = psycopg.connect(
                self.database_url, options=libpq_options(APP_ROLE), connect_timeout=CONNECT_SECONDS
            )
            try:
                self._intake = Intake(connection)
                self._keep_numbers()
            except BaseException:
                connection.close()
                raise
        except RuntimeError as refused:
            log.error("%s", refused)
            self._refused = refused
        except psycopg.Error as error:
            log.warning("the database is out of reach: %s", _first_line(error))
        else:
            return self._intake is not None
        self._intake = None
        return False

    def _disconnect(self) -> None:
        if self._intake:
            self._intake.connection.close()
            self._intake = None

    def _keep_numbers(self) -> None:
        """Numbers enough for all reports that can gather until the next look."""
        if self._intake and len(self._numbers) < NUMBERS_IN_HAND:
            try:
                self._numbers.extend(self._intake.numbers(NUMBERS_IN_HAND))
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                log.warning("the database is out of reach: %s", _first_line(error))
                self._disconnect()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
