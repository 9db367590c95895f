"""One file on its way in: read it, hand it in report by report, and wait for the COMMIT of each.

An upload lives on a thread of its own, because parsing is work that the event loop must not do; it comes to the loop
for three things only: the next piece of the body, a place in the queue, and the receipt. A few reports are on their way
at a time, so that a file cannot crowd out what others report; when the queue is full, the file waits. Reading waits
with it, and so does the sender.

Reports that stand from an earlier attempt are compared and left alone. So a file that is sent again under its import id
goes on where it broke off, and another file under that id is refused before any of it is taken in.
"""

import asyncio
import contextlib
import tempfile
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from core.errors import Conflict, InvalidInput, PerimageError, Unavailable
from core.kill_points import kill_point
from core.usage.intake import imports
from core.usage.intake.receipt import Receipt
from core.usage.intake.report import Report
from core.usage.intake.rows import Naming, Rows
from service import taking
from service.caller import Caller
from service.imports import parquet
from service.imports.reading import Reading, reports
from service.limits import too_large

ON_THE_WAY = 8  # reports of one file that wait for their COMMIT
AT_ONCE = 4  # files in one process: with the line above, half of what the queue holds
AT_ONCE_OF_ONE = 2  # files of one licensee
PATIENCE_SECONDS = 60.0  # with a queue that stays full, a database that stays away, a sender that stays silent
PAUSE_SECONDS = 0.05
LIFE_SIGN_SECONDS = 5.0

T = TypeVar("T")
Receive = Callable[[], Awaitable[Any]]
Again = Callable[[], Awaitable[Caller]]  # who sends, asked anew: a file takes long, and keys are revoked meanwhile


@dataclass(frozen=True, slots=True)
class Asked:
    """What a sender says of a file."""

    import_id: str
    file_name: str | None
    reading: Reading


class Uploads:
    """The files that this process takes in, and room for no more than it can bear."""

    def __init__(self) -> None:
        self.running: dict[tuple[int, str], Upload] = {}  # by licensee and import id
        self.stopping = False

    def start(self, upload: "Upload") -> None:
        licensee_id, _ = upload.identity
        of_one = sum(running == licensee_id for running, _ in self.running)
        if len(self.running) >= AT_ONCE or of_one >= AT_ONCE_OF_ONE or self.stopping:
            raise Unavailable("busy", "other files are being taken in; send this one again later", retry_after=5)
        self.running[upload.identity] = upload

    def stop(self) -> None:
        """Lets nothing wait any longer."""
        self.stopping = True


async def take_in(state: Any, receive: Receive, caller: Caller, again: Again, asked: Asked) -> None:
    """Takes a whole upload in. Returns when every row is committed and answered; raises what the sender must hear.

    Who sends a file again has often not been heard to hang up, so an earlier upload under the same id ends first.
    """
    if asked.reading.format == "parquet" and not parquet.is_readable():
        raise InvalidInput("unsupported_content_type", parquet.INSTALL)
    uploads: Uploads = state.uploads
    upload = Upload(state, receive, caller, again=again, asked=asked)
    while earlier := uploads.running.get(upload.identity):
        earlier.give_way()
        await earlier.ended.wait()
    uploads.start(upload)
    try:
        await _on_a_thread(upload.run)
    except PerimageError as error:
        error.detail.setdefault("import_id", asked.import_id)
        raise
    finally:
        del uploads.running[upload.identity]
        upload.ended.set()


async def _on_a_thread(work: Callable[[], None]) -> None:
    """Runs `work` on a thread that nobody else waits for; the loop's own few are for short work."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def end(error: BaseException | None) -> None:
        if not done.done():
            done.set_exception(error) if error else done.set_result(None)

    def run() -> None:
        failure = None
        try:
            work()
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(end, failure)

    threading.Thread(target=run, name="import", daemon=True).start()
    await done


class Upload:
    """The thread's side of one upload."""

    def __init__(self, state: Any, receive: Receive, caller: Caller, *, again: Again, asked: Asked) -> None:
        """To be made on the event loop."""
        self.state, self.loop, self.receive = state, asyncio.get_running_loop(), receive
        self.caller, self.again, self.asked = caller, again, asked
        self.identity = caller.licensee_id, asked.import_id
        self.waiting: deque[tuple[Rows, Report, asyncio.Future[Receipt]]] = deque()
        self.ended = asyncio.Event()
        self.row_count = 0
        self.is_open = self.gives_way = False
        self.piece: asyncio.Task[Any] | None = None  # that is waited for
        self.seen_at = time.monotonic()

    def give_way(self) -> None:
        """Ends this upload, because the same file comes in anew. For the event loop."""
        self.gives_way = True
        if self.piece:
            self.piece.cancel()

    def run(self) -> None:
        """The thread's work: the whole of it, from the first byte to the last receipt."""
        with self._session() as session:
            self.before = imports.standing(session, *self.identity)
        try:
            for rows in self._reports():
                self._take(rows)
            if max(self.before.digests, default=0) > self.row_count:
                raise Conflict("import_id_reused", f"{imports.REUSED}; the first had more rows than this one")
            while self.waiting:
                self._settle()
            self._finish()
        except BaseException as error:
            self._break_off(error)
            raise

    def _reports(self) -> Iterator[Rows]:
        asked = self.asked
        if asked.reading.format != "parquet":
            yield from reports(self._pieces(), asked.reading, asked.import_id)
            return
        with tempfile.NamedTemporaryFile(prefix="perimage-import-", suffix=".parquet") as file:
            for piece in self._pieces():
                _keep(file, piece)
            lines = parquet.lines_of(Path(file.name), asked.reading.naming)
            with contextlib.closing(lines):
                yield from reports(lines, Reading("jsonl", Naming()), asked.import_id)

    def _pieces(self) -> Iterator[bytes]:
        """The body as it comes in, and not a piece more of it than is allowed."""
        size, most = 0, self.state.settings.max_import_bytes
        more = True
        while more:
            message = self._on_loop(self._next_message())
            if message["type"] != "http.request":
                raise InvalidInput("incomplete_body", "the connection was closed before the file had come in whole")
            more, piece = message.get("more_body", False), message.get("body", b"")
            size += len(piece)
            if size > most:
                raise too_large(most)
            self._give_sign_of_life()
            if piece:
                yield piece

    async def _next_message(self) -> Any:
        self._unless_it_gives_way()
        self.piece = asyncio.ensure_future(self.receive())
        try:
            return await asyncio.wait_for(self.piece, PATIENCE_SECONDS)
        except TimeoutError:
            raise InvalidInput("incomplete_body", "the file stopped coming in; send it again") from None
        except asyncio.CancelledError:
            self._unless_it_gives_way()
            raise

    def _unless_it_gives_way(self) -> None:
        if self.gives_way:
            raise Conflict("superseded", "the same file is being sent anew over another connection, which goes on")

    def _take(self, rows: Rows) -> None:
        """Hands rows in, unless they stand already, and waits for the oldest receipt when enough are on their way."""
        self._unless_it_gives_way()
        if known := self.before.digests.get(rows.first):
            if known != rows.digest:
                raise self._other_file(rows)
        elif self.before.row_count is not None:
            raise self._other_file(rows)
        else:
            if not self.is_open:
                self._open()
            report = rows.report(taking.window(self.state, self.caller, self.state.catalogue.now()))
            kill_point("after_parse")
            self.waiting.append((rows, report, self._hand_in(rows, report)))
            if len(self.waiting) >= ON_THE_WAY:
                self._settle()
        self.row_count = rows.last

    def _hand_in(self, rows: Rows, report: Report) -> "asyncio.Future[Receipt]":
        """A place in the queue, as soon as there is one."""
        return self._patiently(lambda: self._on_loop(self._submit(report, rows.digest)))

    async def _submit(self, report: Report, digest: bytes) -> "asyncio.Future[Receipt]":
        state = self.state
        self.caller = await self.again()
        held = await taking.holds(state, self.caller, report)
        capped = state.catalogue.capped(self.caller.licensee_id, report)
        answer: asyncio.Future[Receipt] = state.intake_queue.submit(
            self.caller.licensee_id, self.caller.key_id, report, digest, held, capped=capped
        )
        return answer

    def _settle(self) -> None:
        """Waits until the oldest report on its way is committed."""
        rows, report, answer = self.waiting[0]

        def receipt() -> Receipt:
            nonlocal answer
            try:
                return self._on_loop(_result(answer))
            except Unavailable:
                answer = self._hand_in(rows, report)  # the same report under the same id: counted once either way
                raise

        try:
            self._patiently(receipt)
        except Conflict:
            raise self._other_file(rows) from None
        self.waiting.popleft()
        self._give_sign_of_life()

    def _patiently(self, attempt: Callable[[], T]) -> T:
        """Tries again while the queue is full or the database away, but not for ever."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return attempt()
            except (Unavailable, OperationalError, InterfaceError):
                if time.monotonic() > until or self.state.uploads.stopping:
                    raise
                time.sleep(PAUSE_SECONDS)

    def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def _other_file(self, rows: Rows) -> Conflict:
        return Conflict("import_id_reused", f"{imports.REUSED}; rows {rows.first:,} to {rows.last:,} are not the same")

    def _session(self) -> Session:
        return Session(self.state.engine)

    def _open(self) -> None:
        asked = self.asked
        with self._session() as session:
            imports.open_import(
                session,
                *self.identity,
                key_id=self.caller.key_id,
                file_name=asked.file_name,
                format_=asked.reading.format,
            )
            session.commit()
        self.is_open = True

    def _give_sign_of_life(self) -> None:
        if not self.is_open or time.monotonic() - self.seen_at < LIFE_SIGN_SECONDS:
            return
        self.seen_at = time.monotonic()
        with contextlib.suppress(SQLAlchemyError), self._session() as session:
            imports.give_sign_of_life(session, *self.identity)
            session.commit()

    def _finish(self) -> None:
        if not self.is_open:
            self._open()  # all rows stood already
        with self._session() as session:
            imports.finish(session, *self.identity, self.row_count)
            session.commit()

    def _break_off(self, error: BaseException) -> None:
        """Lets what is on its way come to its end, and says why there will be no more."""
        for _, _, answer in self.waiting:
            with contextlib.suppress(Exception):
                self._on_loop(_result(answer))
        if not self.is_open:
            return
        code, said = "internal_error", "something failed on our side; send the same file again"
        if isinstance(error, PerimageError):
            code, said = error.code, error.sentence
        elif isinstance(error, OperationalError | InterfaceError):
            code, said = "database_unavailable", "the database was out of reach; send the same file again"
        with contextlib.suppress(SQLAlchemyError), self._session() as session:
            imports.break_off(session, *self.identity, code, said)
            session.commit()


async def _result(answer: "asyncio.Future[Receipt]") -> Receipt:
    return await answer


def _keep(file: IO[bytes], piece: bytes) -> None:
    try:
        file.write(piece)
        file.flush()
    except OSError as error:
        raise Unavailable("no_room", f"there is no room for the file now ({error.strerror})", retry_after=60) from None
