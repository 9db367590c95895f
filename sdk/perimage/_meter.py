"""The meter: what a platform calls for every image.

`record` takes the way to the journal and nothing else; one thread of the meter makes reports of the journal, another
sends them. So the network can be away for days without a caller noticing, and the disk is the only thing that a caller
ever waits for, in durable mode.
"""

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from perimage._clock import Clock
from perimage._errors import BadSettings, MeterClosed, MeterError, SpoolError
from perimage._settings import MAX_SPOOL_BYTES, MIN_FREE_BYTES, WINDOW, check_address, check_key, check_settings
from perimage._stats import Stats
from perimage._usage import MAX_IMAGE_COUNT, MICROS, Content, content_of, micros_of, whole

if TYPE_CHECKING:
    from perimage._disk import Disk
    from perimage._journal import Journal
    from perimage._keeper import Keeper

log = logging.getLogger("perimage")
EXIT_SECONDS = 2.0  # to send at exit what the next start would send anyway
COMPLAIN_EVERY = 10.0  # seconds between log lines about records that were refused
MOST_CONTENTS = 10_000  # remembered as checked


class Meter:
    """Counts images and reports them, each once.

    meter = perimage.Meter("https://licences.example", key, spool_dir="/var/lib/myapp/perimage")
    meter.record("anima-1", images=4, adapters=["film-grain"], plan="free")

    `mode="durable"`: record() returns when the images are flushed to the spool. `mode="fast"`: they are in memory for
    at most `flush_interval` seconds; a kill or a power cut in that time loses them, an ordinary exit does not.

    `spool_dir` is a folder on a disk that outlives the process. One process at a time may have it; processes that
    cannot know of each other share it with `shared=True`. Forks of a process that has it need nothing.

    `window`: seconds whose images are added up to one event per model, adapters, plan and output. `source`: what the
    service knows this place by; the host's name by default. `max_spool_bytes`, `min_free_bytes`: how much the spool may
    take of the disk, and must leave; beyond that record() refuses. `keep_receipts`: keep the signed answers.

    Raises BadSettings, SpoolLocked, SpoolFull and SpoolFailed; record() raises only with `raise_errors=True`.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        spool_dir: str | os.PathLike[str],
        mode: Literal["durable", "fast"] = "durable",
        source: str | None = None,
        window: float = WINDOW,
        flush_interval: float = 1.0,
        raise_errors: bool = False,
        keep_receipts: bool = False,
        shared: bool = False,
        max_spool_bytes: int = MAX_SPOOL_BYTES,
        min_free_bytes: int = MIN_FREE_BYTES,
        timeout: float = 30.0,
        clock: Clock | None = None,
        disk: "Disk | None" = None,
    ) -> None:
        from perimage import _forks  # noqa: PLC0415 - `import perimage` does without what only a meter needs
        from perimage._depot import Depot  # noqa: PLC0415
        from perimage._disk import Disk  # noqa: PLC0415

        self.url, self._key = check_address(url), check_key(key)
        check_settings(mode, source, window, flush_interval)
        self.mode, self._fast, self._source = mode, mode == "fast", source
        self._tick = flush_interval if self._fast else min(window, 1.0)
        self._raise_errors, self._keep_receipts, self._apart, self._timeout = (
            raise_errors,
            keep_receipts,
            shared,
            timeout,
        )
        self._clock, self._disk = clock or Clock(), disk or Disk()
        self._wall = self._clock.wall
        self._contents: dict[Any, Content] = {}
        self._refused, self._complained_at = 0, float("-inf")
        self._opening = threading.Lock()
        self._closed = False
        self._journal: Journal | None = None
        self._keeper: Keeper | None = None
        self._depot = Depot.open(
            spool_dir,
            shared=shared,
            disk=self._disk,
            clock=self._clock,
            window=window,
            max_bytes=max_spool_bytes,
            min_free_bytes=min_free_bytes,
        )
        try:
            self._open()
        except BaseException:
            self._depot.close()
            raise
        _forks.register(self)
        atexit.register(_Closing(self))

    @classmethod
    def from_environment(cls, **settings: Any) -> "Meter":
        """A meter as PERIMAGE_URL and PERIMAGE_KEY say, and PERIMAGE_SPOOL, by default ~/.perimage/spool.

        Arguments go before the environment.
        """
        for name, variable in (("url", "PERIMAGE_URL"), ("key", "PERIMAGE_KEY")):
            settings[name] = settings.get(name) or os.environ.get(variable, "")
            if not settings[name]:
                raise BadSettings(f"set {variable} in the environment, or give {name}")
        home_spool = os.path.expanduser("~/.perimage/spool")  # noqa: PTH111 - pathlib takes as long as all the rest
        settings["spool_dir"] = settings.get("spool_dir") or os.environ.get("PERIMAGE_SPOOL") or home_spool
        return cls(**settings)

    def record(
        self,
        model: str,
        images: int = 1,
        *,
        adapters: Iterable[str] | None = None,
        plan: str | None = None,
        output: str = "image",
        occurred_at: datetime | None = None,
    ) -> str:
        """Counts images made with a model, and adapters, for a plan of yours. Returns the id of their event.

        `output`: image, preview, upscale, rejected or video_frame. `occurred_at`: when, if not now. Where nothing was
        taken, which is logged and counted, the id is empty; with `raise_errors` an error says why.
        """
        try:
            journal = self._journal or self._open()
            content, images, micros = self._checked(model, images, adapters, plan, output, occurred_at)
            if self._fast:
                return journal.note(content, images, micros, occurred_at is None)
            return journal.count(content, images, micros, occurred_at is None)
        except Exception as error:
            return self._refuse(error)

    async def arecord(
        self,
        model: str,
        images: int = 1,
        *,
        adapters: Iterable[str] | None = None,
        plan: str | None = None,
        output: str = "image",
        occurred_at: datetime | None = None,
    ) -> str:
        """The same for asyncio: the loop goes on while the disk flushes, and one flush serves all who wait."""
        if self._fast:
            return self.record(model, images, adapters=adapters, plan=plan, output=output, occurred_at=occurred_at)
        import asyncio  # noqa: PLC0415 - whoever calls this has it already

        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def flushed() -> None:
            loop.call_soon_threadsafe(lambda: None if done.done() else done.set_result(None))

        try:
            journal = self._journal or self._open()
            content, images, micros = self._checked(model, images, adapters, plan, output, occurred_at)
            promise = journal.count_soon(content, images, micros, occurred_at is None, flushed)
            await done
            return promise.result()
        except Exception as error:
            return self._refuse(error)

    def append(self, events: Sequence[dict[str, Any]]) -> bool:
        """Takes whole events with ids of their own, as POST /v1/usage-reports describes them; flushed on return.

        For those who pass usage on. Nothing is added up or checked here; whether they were taken is the answer.
        """
        try:
            (self._journal or self._open()).append(events)
        except Exception as error:
            self._refuse(error, len(events))
            return False
        return True

    def flush(self, timeout: float = 10.0) -> bool:
        """Sends everything that was taken until now. Whether all of it was answered within so many seconds.

        What was not is kept and sent later. With `raise_errors` NotSent says why it was not.
        """
        try:
            self._journal or self._open()
            keeper = self._keeper
            done = keeper is None or keeper.drain(timeout)
        except MeterError as error:
            self._refuse(error, 0)
            return False
        if keeper and not done and self._raise_errors:
            raise keeper.why_not_sent()
        return done

    def adopt(self) -> list[str]:
        """Takes over at once what processes that have died left in this folder; by itself it looks now and then."""
        return self._keeper.adopt() if self._keeper else []

    def close(self, timeout: float = 5.0) -> None:
        """Saves everything, tries to send it for at most so many seconds, and lets go of the spool.

        What could not be sent is sent after the next start. record() refuses from now on.
        """
        with self._opening:
            if self._closed:
                return
            self._closed, self._journal = True, None
        try:
            if self._keeper:
                self._keeper.end(timeout)
        except SpoolError as error:
            self._refuse(error, 0)
        finally:
            self._depot.close()

    def stats(self) -> Stats:
        """How the meter is doing in this process."""
        return self._keeper.stats(self._refused) if self._keeper else Stats(refused=self._refused)

    def __enter__(self) -> "Meter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def leave(self) -> None:
        """In a child after a fork: everything but the settings is the parent's. See _forks.py."""
        self._left = self._keeper  # never to be collected, for its connection is not ours to close
        if self._keeper:
            self._keeper.leave()
        self._depot.leave()
        self._opening = threading.Lock()
        self._journal = self._keeper = None
        self._apart, self._refused = True, 0

    def _open(self) -> "Journal":
        """The journal of this process: opened at the start, and in a child when it first records."""
        with self._opening:
            if self._closed:
                raise MeterClosed("the meter is closed; record before close(), or make another")
            if self._journal is not None:
                return self._journal
            from perimage import _forks  # noqa: PLC0415
            from perimage._keeper import Keeper  # noqa: PLC0415
            from perimage._post import Post  # noqa: PLC0415

            spool = self._depot.branch(self._source) if self._apart else self._depot.main(self._source)
            self._keeper = Keeper(
                self._depot,
                spool,
                Post(self.url, self._key, self._timeout),
                receipts=self._depot.receipts if self._keep_receipts else None,
                tick=self._tick,
                clock=self._clock,
                disk=self._disk,
            )
            self._keeper.start()
            self._journal = spool.journal
            _forks.at_exit_of_child(_Closing(self))
            return self._journal

    def _checked(  # noqa: PLR0917 - by name, they would cost a microsecond
        self, model: Any, images: int, adapters: Any, plan: Any, output: Any, occurred_at: Any
    ) -> tuple[Content, int, int]:
        """What was given, in order. Content that was seen before is not checked again."""
        key: Any = (model, tuple(adapters) if adapters.__class__ is list else adapters, plan, output)
        try:
            content = self._contents.get(key)
        except TypeError:  # adapters of another kind, or no names at all
            key = content = None
        if content is None:
            content = content_of(model, adapters, plan, output)
            if key is not None and (adapters is None or adapters.__class__ in (list, tuple)):
                if len(self._contents) >= MOST_CONTENTS:
                    self._contents.clear()
                self._contents[key] = content
        if images.__class__ is not int or not 0 < images <= MAX_IMAGE_COUNT:
            images = whole(images)
        return content, images, int(self._wall() * MICROS) if occurred_at is None else micros_of(occurred_at)

    def _refuse(self, error: Exception, records: int = 1) -> str:
        """Tells of an error without letting it out, unless that was asked for."""
        self._refused += records
        if self._raise_errors:
            raise error
        now = time.monotonic()
        if now - self._complained_at >= COMPLAIN_EVERY:
            self._complained_at = now
            known = isinstance(error, MeterError)
            log.error("usage was NOT taken: %s", error if known else repr(error), exc_info=None if known else error)
        return ""


class _Closing:
    """Closes a meter that still exists, as a process ends."""

    def __init__(self, meter: Meter) -> None:
        self._meter = weakref.ref(meter)

    def __call__(self) -> None:
        meter = self._meter()
        if meter is not None:
            meter.close(EXIT_SECONDS)
