"""A real PostgreSQL and a real Valkey for whoever asks, one each per test process, and a fresh database per test.

The database is built by the real migrations, once, as a template; a test gets a copy of it in some 30 ms. Set
TEST_DATABASE_URL to a server whose role may create databases to use that instead of the embedded one.
"""

import os
import shutil
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import redis
from psycopg import sql
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import create_engine
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.util import LRUCache

import core.database
from core.access import passwords
from stack.postgres import Postgres
from stack.valkey import Valkey

ROOM_IN_MEMORY = 4 * 1024**3  # bytes: a server keeps at most so much of its log
_numbers = count(1)


def _on(server: str, database: str) -> str:
    """The address of another database on the same server."""
    return urlunsplit(urlsplit(server)._replace(path=f"/{database}"))


def _drop(server: str, database: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))


def _create(server: str, database: str, template: str = "template1") -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                sql.Identifier(database), sql.Identifier(template)
            )
        )


@pytest.fixture(scope="session", autouse=True)
def _nothing_done_twice() -> Iterator[None]:
    """What each engine and each client would do anew, although nothing of it differs from test to test.

    A statement is compiled once in a process, not once for every database: engines share a cache, and the dialects in
    its keys are equal. The authorities of the system are read once. Passwords are hashed in one short round; that the
    product does it at full cost is said in tests/core/access.
    """
    short = PasswordHash([Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)])
    compiled = {"compiled_cache": LRUCache(5000)}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(core.database, "create_engine", partial(create_engine, execution_options=compiled))
        patched.setattr(PGDialect_psycopg, "__eq__", lambda one, other: type(one) is type(other))
        patched.setattr(PGDialect_psycopg, "__hash__", lambda one: hash(type(one)))
        patched.setattr(passwords, "_hasher", lambda: short)
        patched.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
        yield


@pytest.fixture(scope="session")
def database_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server, as a role that may create databases."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield given
        return
    with _in_memory() or nullcontext(tmp_path_factory.mktemp("postgres")) as folder, Postgres(folder) as server:
        address = server.url("postgres")
        with psycopg.connect(address) as owner:  # a connection then takes one round of hashing instead of 4,096
            owner.execute("SET scram_iterations = 1")
            owner.execute(sql.SQL("ALTER ROLE CURRENT_USER PASSWORD {}").format(urlsplit(address).password))
        yield address


def _in_memory() -> AbstractContextManager[Path] | None:
    """A folder in memory where this system has enough of it: copying the template there takes a tenth of the time.

    What a kill leaves is the same; what a power cut leaves is not a question for these tests.
    """
    memory = Path("/dev/shm")  # noqa: S108 - shared memory is what we want
    if not (os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM_IN_MEMORY):
        return None
    for left in memory.glob("perimage-tests-*"):  # by a test process that was killed
        if not Path("/proc", left.name.rpartition("-")[2]).exists():
            shutil.rmtree(left, ignore_errors=True)
    return _folder(memory / f"perimage-tests-{os.getpid()}")


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_template(database_server: str) -> Iterator[str]:
    """The name of a database with every migration applied and no rows; copy it, never use it."""
    from migrations.upgrade import upgrade

    name = f"perimage_template_{os.getpid()}"
    _drop(database_server, name)
    _create(database_server, name)
    upgrade(_on(database_server, name))
    with psycopg.connect(database_server, autocommit=True) as connection:
        # A database with a session in it cannot be copied, and a pool may still keep one.
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        connection.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name])
    yield name
    _drop(database_server, name)


@pytest.fixture
def owner_url(database_server: str, migrated_template: str) -> Iterator[str]:
    """A database of the test's own, freshly migrated, as its owner."""
    name = f"perimage_test_{os.getpid()}_{next(_numbers)}"
    _create(database_server, name, migrated_template)
    yield _on(database_server, name)
    _drop(database_server, name)


@pytest.fixture
def database_url(owner_url: str) -> str:
    """The same database, as the service and the worker are told of it."""
    return owner_url


@pytest.fixture
def empty_database_url(database_server: str) -> Iterator[str]:
    """A database without a single table, for what migrations themselves must do."""
    name = f"perimage_empty_{os.getpid()}_{next(_numbers)}"
    _create(database_server, name, "template0")
    yield _on(database_server, name)
    _drop(database_server, name)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Valkey server for this test process."""
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url()


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """That server, emptied for this test."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture(scope="session")
def project_folder() -> Path:
    """The top of the project's tree."""
    return Path(__file__).resolve().parents[1]
