"""A PostgreSQL server of our own, in a folder of ours.

It listens on a unix socket only, asks for a password all the same, keeps `fsync` and `synchronous_commit` on, and comes
back by itself from a kill -9. What the folder holds:

    data/       the cluster; `postgresql.conf` in it is written anew at each start, ALTER SYSTEM is yours
    password    of the owner role `perimage`, made once, readable by you alone
    run/        the socket (elsewhere when the path would be too long for one)
"""

import os
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from stack import account
from stack.binaries import find_postgres
from stack.child import NO_DROP, NO_NAMESPACE
from stack.lock import Lock
from stack.process import PAUSE, Process, StackError, child_command, end_holders, last_lines, nursery, surroundings
from stack.sockets import leave_socket_folder, private_folder, socket_folder

OWNER = "perimage"
DATABASE = "perimage"
START_SECONDS = 300  # recovery may have gigabytes of log to replay
FAST, IMMEDIATE = signal.SIGINT, signal.SIGQUIT

SETTINGS_HEADER = "# Written by Perimage at each start. For settings of your own use ALTER SYSTEM."
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "password_encryption": "scram-sha-256",
    # An answer of success means flushed: these three are the promise, whatever the defaults become.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # A small machine with a solid-state disk; fewer and slower checkpoints keep intake even.
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "wal_buffers": "16MB",
    "wal_compression": "on",
    "min_wal_size": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",
    "jit": "off",  # our queries are short; compiling them costs more than it saves
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    "log_lock_waits": "on",
    "cluster_name": "perimage",
}


class Postgres:
    """One server on one folder; `settings` go into postgresql.conf over ours."""

    def __init__(self, folder: Path, *, settings: Mapping[str, str] | None = None, log: Path | None = None) -> None:
        self.folder = folder.absolute()
        self.data = self.folder / "data"
        self.log = log or self.folder / "server.log"
        self.settings = {**SETTINGS, **(settings or {})}
        self.process: Process | None = None
        self.lock = Lock(self.folder / "manager.lock", f"Process {{pid}} already runs PostgreSQL in {self.folder}.")

    def url(self, database: str = DATABASE) -> str:
        """Its address for psycopg and SQLAlchemy, password included."""
        where = quote(str(socket_folder(self.folder, self.data)), safe="/")
        return f"postgresql://{OWNER}:{self._password()}@/{quote(database, safe='')}?host={where}"

    @property
    def pid(self) -> int | None:
        """Of the running server, else None."""
        return self.process.pid if self.process and self.process.exit_code() is None else None

    def start(self, abandon: threading.Event | None = None) -> None:
        """Run the server and return when it takes connections; give up when `abandon` is set meanwhile.

        Makes the cluster and the database on first use.
        """
        if self.pid:
            return
        private_folder(self.folder)
        if self.lock.file is None:
            self.lock.take()
        try:
            end_holders(self._hold, patience=10, number=IMMEDIATE)
            programs = find_postgres(self._major())
            if not self.data.exists():
                self._initialise(programs)
            self._write_settings()
            self._forget_dead_server()
            self._run(programs / "postgres", abandon)
            self._create_database()
        except BaseException:
            self.stop()
            raise

    def stop(self, hurry: threading.Event | None = None) -> None:
        """Stop it: cleanly, and harder when that takes too long or `hurry` is set."""
        if self.process:
            self.process.stop([(FAST, 30), (IMMEDIATE, 5)], hurry)
            self.process = None
            leave_socket_folder(self.folder, self.data)
        self.lock.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()

    @property
    def _hold(self) -> Path:
        return self.folder / "postgres.hold"

    def _password(self) -> str:
        path = self.folder / "password"
        if not path.exists():
            if self.data.exists():
                raise StackError(f"{path} is gone, and the database was made with it: put it back from a backup.")
            unfinished = path.with_suffix(".new")
            unfinished.unlink(missing_ok=True)
            unfinished.touch(mode=0o600)
            unfinished.write_text(secrets.token_urlsafe(24))
            unfinished.rename(path)
        return path.read_text().strip()

    def _major(self) -> str:
        try:
            return (self.data / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            return ""

    def _initialise(self, programs: Path) -> None:
        """Make the cluster beside its place and move it there whole, so that a half-made one is never used."""
        self._password()
        unfinished = self.folder / "data.new"
        for whom in account.ways_to_begin():
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(mode=0o700)
            account.give(unfinished, whom)
            account.let_through(self.folder, whom)
            done = self._initdb(programs, unfinished, whom)
            if done.returncode == 0:
                (unfinished / "pg_hba.conf").write_text("local all all scram-sha-256\n")
                unfinished.rename(self.data)
                return
            if done.returncode not in (NO_NAMESPACE, NO_DROP):
                break
        said = "\n".join(f"    {line}" for line in (done.stdout + done.stderr).splitlines()[-6:])
        raise StackError(
            "PostgreSQL refuses to run as root, and this machine lets root be nobody else "
            "with these programs and this folder: run as an ordinary user, or set DATABASE_URL to a running server."
            if os.geteuid() == 0
            else f"PostgreSQL's initdb failed:\n{said}"
        )

    def _initdb(self, programs: Path, target: Path, whom: str) -> "subprocess.CompletedProcess[str]":
        password = self.folder / "password.init"  # initdb must be able to read it, whoever it is
        password.touch(mode=0o600)
        password.write_text(self._password())
        account.give(password, whom)
        arguments = [
            f"--pgdata={target}", f"--username={OWNER}", f"--pwfile={password}", "--auth=scram-sha-256",
            "--encoding=UTF8", "--locale=C", "--data-checksums",
        ]  # fmt: skip
        command = child_command([str(programs / "initdb"), *arguments], self._hold, whom)
        clean = surroundings({}, "PG")  # PGDATA and its like would speak for another server
        try:
            return nursery().run(
                lambda: subprocess.run(command, capture_output=True, text=True, check=False, env=clean, cwd="/")
            )
        finally:
            password.unlink()

    def _write_settings(self) -> None:
        chosen = {**self.settings, "unix_socket_directories": str(socket_folder(self.folder, self.data))}
        lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'" for name, value in chosen.items()]
        unfinished = self.data / "postgresql.conf.new"
        unfinished.write_text("\n".join([SETTINGS_HEADER, *lines, ""]))
        account.give(unfinished, account.way_to_continue(self.data))
        unfinished.rename(self.data / "postgresql.conf")

    def _forget_dead_server(self) -> None:
        """Remove what a killed server left: its number may be another process's by now, which would block the start.

        We hold the manager's lock and have seen that no process holds this folder, where the kernel lets us see that.
        """
        if not Path("/proc/self/fd").exists():
            return
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        for leftover in socket_folder(self.folder, self.data).glob(".s.PGSQL.*"):
            leftover.unlink(missing_ok=True)

    def _run(self, program: Path, abandon: threading.Event | None) -> None:
        whom = account.way_to_continue(self.data)
        account.give(socket_folder(self.folder, self.data), whom)
        account.let_through(self.folder, whom)
        self.process = Process(
            [str(program), "-D", str(self.data)],
            log=self.log,
            hold=self._hold,
            whom=whom,
            environment=surroundings({}, "PG"),
            folder=Path("/"),
            death_signal=FAST,
        )
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=10).close()
                return
            except psycopg.OperationalError as error:
                given_up = time.monotonic() > end or (abandon is not None and abandon.is_set())
                if given_up or self.process.exit_code() is not None:
                    raise StackError(f"PostgreSQL does not start:\n{last_lines(self.log) or error}") from None
            time.sleep(PAUSE)

    def _create_database(self) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            there = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if there is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
