"""Run the whole system on one machine, keep it running, and leave nothing behind.

    with Stack(data=Path("somewhere"), port=0) as stack:
        ...  # stack.service_url answers; stack.database_url and stack.redis_url are there for whoever needs them

The parts start in order and stop in the reverse one. A part that dies is started again after a pause that grows; one
that never could run ends the stack with a sentence and the end of its log. The service's socket is opened here and
inherited, so a port is never lost to another program while the service restarts, and callers wait instead of failing.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from config.settings import STACK_FILE
from stack.environment import Environment
from stack.lock import Lock
from stack.parts import Kept, Running
from stack.postgres import Postgres
from stack.process import StackError, Warden, last_lines
from stack.programs import Place, Program, perimage
from stack.signing_key import signing_key_file
from stack.sockets import listen
from stack.valkey import Valkey

READY_SECONDS = 120.0
TURN_SECONDS = 0.2
LOG_BYTES = 16 * 1024 * 1024
EARLY = "Stopped before everything had started."


class Stack:
    """One stack on one data folder. `port=0` takes a free one; `programs` says what runs beside the servers."""

    def __init__(
        self,
        data: Path | None = None,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        programs: Callable[[Place], list[Program]] = perimage,
        outside: Environment | None = None,
    ) -> None:
        self.outside = outside or Environment()
        self.data = (data or self.outside.data).absolute()
        self.host, self.port = host, port
        self.programs = programs
        self.logs = self.data / "logs"
        self.database_url = self.redis_url = self.service_url = ""
        self.hurry = threading.Event()  # set it to stop without waiting for anything
        self.asked_to_stop = False
        self.failure: StackError | None = None
        self._stopping = threading.Event()
        self._kept: list[Kept] = []
        self._listener: socket.socket | None = None
        self._warden: Warden | None = None
        self._watcher: threading.Thread | None = None
        refusal = (
            f"A stack already runs on {self.data} (process {{pid}}). Stop it, or choose another folder with --data."
        )
        self._lock = Lock(self.data / "stack.lock", refusal)

    # Starting

    def start(self) -> None:
        """Return when every part runs and the service answers; raise a StackError when that cannot be."""
        self._lock.take()
        try:
            self._warden = Warden(self.data, self._lock.number)
            self._file.unlink(missing_ok=True)
            self._listener = listen(self.host, self.port)
            self.port = self._listener.getsockname()[1]
            self._trim_logs()
            self._start_servers()
            self._start_programs()
            self._watcher = threading.Thread(target=self._watch, name="stack-watcher", daemon=True)
            self._watcher.start()
            self._wait_until_ready()
            self._write_file()
        except BaseException:
            self.stop()
            raise

    def _start_servers(self) -> None:
        """PostgreSQL and Valkey, unless the environment names others."""
        self.database_url, self.redis_url = self.outside.database_url, self.outside.redis_url
        if not self.database_url:
            postgres = Postgres(self.data / "postgres", log=self.logs / "postgres.log")
            self._begin(Kept("postgres", postgres))
            self.database_url = postgres.url()
        if not self.redis_url:
            valkey = Valkey(self.data / "valkey", log=self.logs / "valkey.log")
            self._begin(Kept("valkey", valkey))
            self.redis_url = valkey.url()

    def _start_programs(self) -> None:
        assert self._listener is not None  # noqa: S101  for the type checker
        reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104  compared, not bound
        local = f"http://{reachable}:{self.port}"
        self.service_url = self.outside.service_url or local
        place = Place(
            self.data, self.database_url, self.redis_url, self.service_url, local, listener=self._listener.fileno()
        )
        environment = {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "PERIMAGE_SERVICE_URL": self.service_url,
            "PERIMAGE_DATA": str(self.data),
            "PYTHONUNBUFFERED": "1",
        }
        if not self.outside.database_url:
            environment["DATABASE_OWNER_URL"] = ""  # an owner of some other database must not meet ours
        if not self.outside.signing_key:
            given = self.outside.signing_key_file
            environment["PERIMAGE_SIGNING_KEY_FILE"] = str(given.absolute() if given else signing_key_file(self.data))
        for program in self.programs(place):
            running = Running(program, environment, self.logs, self.data / "run")
            if program.once:
                self._say(f"{program.name} runs")
                running.start(self._stopping)
            else:
                self._begin(Kept(program.name, running))

    def _begin(self, kept: Kept) -> None:
        if self._stopping.is_set():
            raise StackError(EARLY)
        self._kept.append(kept)
        kept.start(self._stopping)
        self._say(f"{kept.name} started as process {kept.part.pid}")

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + READY_SECONDS
        for kept in self._kept:
            while isinstance(kept.part, Running) and not kept.part.ready():
                self.check()
                if self._stopping.is_set():
                    raise StackError(EARLY)
                if time.monotonic() > end:
                    raise StackError(f"{kept.name} does not answer:\n{last_lines(kept.part.log)}")
                time.sleep(TURN_SECONDS / 2)

    # Keeping alive

    def check(self) -> None:
        """Raise what made the watcher give up, if it did."""
        if self.failure:
            raise self.failure

    def wait(self, seconds: float) -> bool:
        """Wait at most so long for the end of the stack; True when it ends, a StackError when it failed."""
        ended = self._stopping.wait(seconds)
        self.check()
        return ended

    def _watch(self) -> None:
        while not self._stopping.wait(TURN_SECONDS):
            for kept in self._kept:
                if kept.part.pid is not None:
                    kept.noticed_alive()
                elif not self._stopping.is_set():
                    self._revive(kept)

    def _revive(self, kept: Kept) -> None:
        if not kept.down:
            pause = kept.noticed_dead()
            if kept.hopeless:
                self._give_up(kept, last_lines(kept.part.log))
            else:
                self._say(f"{kept.name} ended; starting it again in {pause:g} s")
        elif time.monotonic() >= kept.again_at:
            try:
                kept.start(self._stopping)
            except (StackError, OSError) as error:
                pause = kept.noticed_dead()
                self._say(f"{kept.name} does not start, trying again in {pause:g} s: {error}")
                if kept.hopeless:
                    self._give_up(kept, str(error))
            else:
                self._say(f"{kept.name} started as process {kept.part.pid}")
                if self._file.exists():
                    self._write_file()

    def _give_up(self, kept: Kept, why: str) -> None:
        self.failure = StackError(
            f"{kept.name} died {kept.quick_deaths} times right after its start; the end of {kept.part.log}:\n{why}"
        )
        self._say(str(self.failure))
        self._stopping.set()

    # Stopping

    def request_stop(self) -> None:
        """Ask for the end, from a signal handler or another thread; whoever waits then calls stop()."""
        self.asked_to_stop = True
        self._stopping.set()

    def stop(self) -> None:
        """Stop every part, the last started first, and give the folder back. Twice is once."""
        self._stopping.set()
        if self._watcher:
            self._watcher.join()
            self._watcher = None
        if self._lock.file is None:
            return
        self._file.unlink(missing_ok=True)
        if self._listener:
            self._listener.close()
        for kept in reversed(self._kept):
            self._say(f"{kept.name} stops")
            kept.part.stop(self.hurry)
        self._kept.clear()
        if self._warden:
            self._warden.dismiss()
            self._warden = None
        self._say("stopped")
        self._lock.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()

    # What others read

    @property
    def _file(self) -> Path:
        return self.data / STACK_FILE

    def _write_file(self) -> None:
        """Tell every other command on this machine where we are; whole or not at all, for our user alone."""
        said = {
            "database_url": self.database_url,
            "redis_url": self.redis_url,
            "service_url": self.service_url,
            "pid": os.getpid(),
            "parts": {kept.name: kept.part.pid for kept in self._kept},
        }
        unfinished = self._file.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        unfinished.write_text(json.dumps(said, indent=2) + "\n")
        unfinished.rename(self._file)

    def _say(self, text: str) -> None:
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / "stack.log").open("a") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def _trim_logs(self) -> None:
        """Keep one earlier file of a log that grew large; nothing has it open now."""
        for log in self.logs.glob("*.log"):
            if log.stat().st_size > LOG_BYTES:
                log.replace(log.with_suffix(".log.1"))
