"""A Valkey (or Redis) server of our own, in a folder of ours.

It listens on the loopback with a password, because one `redis://` address is all that both redis-py and Celery
understand in the same way. Every write goes to an append-only file, so a kill -9 loses nothing that was written. Work
is rows in PostgreSQL all the same: when the file cannot be read any more it is set aside and Valkey starts empty.
"""

import secrets
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Self

import redis

from stack.binaries import find_valkey
from stack.lock import Lock
from stack.process import PAUSE, Process, StackError, end_holders, last_lines
from stack.sockets import free_port, port_is_free, private_folder

START_SECONDS = 60
TRIES = 3  # somebody may take the free port before the server does


class Valkey:
    """One server on one folder."""

    def __init__(self, folder: Path, *, log: Path | None = None) -> None:
        self.folder = folder.absolute()
        self.log = log or self.folder / "server.log"
        self.process: Process | None = None
        self.port = 0
        self.lock = Lock(self.folder / "manager.lock", f"Process {{pid}} already runs Valkey in {self.folder}.")

    def url(self, database: int = 0) -> str:
        """Its address for redis-py and Celery, password included. The port is known once it has been started."""
        return f"redis://:{self._password()}@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int | None:
        """Of the running server, else None."""
        return self.process.pid if self.process and self.process.exit_code() is None else None

    def start(self, abandon: threading.Event | None = None) -> None:
        """Run the server and return when it answers; give up when `abandon` is set meanwhile."""
        if self.pid:
            return
        private_folder(self.folder)
        if self.lock.file is None:
            self.lock.take()
        try:
            end_holders(self._hold, patience=10, number=signal.SIGTERM)
            if not self._run(abandon) and not (self._set_aside_broken_file() and self._run(abandon)):
                raise StackError(f"Valkey does not start:\n{last_lines(self.log)}")
        except BaseException:
            self.stop()
            raise

    def stop(self, hurry: threading.Event | None = None) -> None:
        """Stop it, and harder when that takes too long or `hurry` is set."""
        if self.process:
            self.process.stop([(signal.SIGTERM, 15)], hurry)
            self.process = None
        self.lock.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()

    @property
    def _hold(self) -> Path:
        return self.folder / "valkey.hold"

    def _password(self) -> str:
        path = self.folder / "password"
        if not path.exists():
            unfinished = path.with_suffix(".new")
            unfinished.unlink(missing_ok=True)
            unfinished.touch(mode=0o600)
            unfinished.write_text(secrets.token_urlsafe(24))
            unfinished.rename(path)
        return path.read_text().strip()

    def _choose_port(self, attempt: int) -> None:
        """The port of this run, then of the last one, else a free one: addresses that stay are easier to live with."""
        remembered = self.folder / "port"
        if attempt == 0 and not self.port and remembered.exists():
            self.port = int(remembered.read_text() or 0)
            if self.port and not port_is_free(self.port):
                self.port = 0
        if not self.port:
            self.port = free_port()
            remembered.write_text(str(self.port))

    def _run(self, abandon: threading.Event | None) -> bool:
        restart = self.port != 0  # others know this port: keep to it
        for attempt in range(TRIES):
            self._choose_port(attempt)
            self.process = Process(
                [str(find_valkey()), str(self._write_settings())],
                log=self.log,
                hold=self._hold,
                folder=self.folder,
            )
            if self._answers(abandon):
                return True
            if port_is_free(self.port):
                return False
            if not restart:
                self.port = 0
        return False

    def _write_settings(self) -> Path:
        """The password stands in a file of ours, not among the arguments, which everybody can read."""
        lines = [
            "bind 127.0.0.1", f"port {self.port}", f"requirepass {self._password()}",
            f'dir "{self.folder}"', "daemonize no", 'logfile ""', "loglevel warning", "always-show-logo no",
            "appendonly yes", "appendfsync everysec", 'save ""',
            "maxmemory-policy noeviction",  # a queue must refuse rather than forget
        ]  # fmt: skip
        path = self.folder / "valkey.conf"
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text("\n".join(lines) + "\n")
        return path

    def _answers(self, abandon: threading.Event | None) -> bool:
        assert self.process is not None  # noqa: S101  for the type checker
        end = time.monotonic() + START_SECONDS
        with redis.Redis.from_url(self.url(), socket_timeout=5) as client:
            while time.monotonic() < end and not (abandon and abandon.is_set()):
                try:
                    client.ping()
                    return self.process.exit_code() is None
                except redis.RedisError:  # not there yet, or still loading its file
                    if self.process.exit_code() is not None:
                        return False
                time.sleep(PAUSE)
        return False

    def _set_aside_broken_file(self) -> bool:
        """Keep what Valkey cannot read for whoever wants to look, and let it start empty."""
        written = self.folder / "appendonlydir"
        if "append only file" not in last_lines(self.log).lower() or not written.exists():
            return False
        aside = self.folder / "appendonlydir.unreadable"
        shutil.rmtree(aside, ignore_errors=True)
        written.rename(aside)
        with self.log.open("a") as log:
            log.write(f"The append-only file was unreadable; it is now {aside}. Starting empty: work is rows.\n")
        return True
