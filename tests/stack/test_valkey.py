"""The embedded Valkey: one address for everybody, and a kill -9 loses nothing that was written."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import kombu
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stack.valkey import Valkey


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("queue") / "valkey"


@pytest.fixture
def server(folder: Path) -> Iterator[Valkey]:
    with Valkey(folder) as running:
        yield running


def client(server: Valkey) -> "redis.Redis[bytes]":
    return redis.Redis.from_url(server.url())


def kill(server: Valkey) -> None:
    os.kill(server.pid or 0, signal.SIGKILL)
    end = time.monotonic() + 10
    while server.pid and time.monotonic() < end:
        time.sleep(0.02)


def test_what_was_written_survives_kill_9_at_the_same_address(server: Valkey) -> None:
    before = server.url()
    for number in range(100):
        client(server).rpush("queue", number)
    kill(server)
    server.start()
    assert server.url() == before
    assert client(server).llen("queue") == 100


def test_the_address_stays_from_run_to_run(folder: Path) -> None:
    seen = set()
    for _ in range(2):
        with Valkey(folder) as server:
            seen.add(server.url())
    assert len(seen) == 1


def test_celerys_transport_takes_the_same_address(server: Valkey) -> None:
    with kombu.Connection(server.url()) as connection:
        queue = connection.SimpleQueue("test")
        queue.put({"id": 1})
        message = queue.get(timeout=5)
        message.ack()
        queue.close()
    assert message.payload == {"id": 1}


def test_nobody_gets_in_without_the_password(server: Valkey) -> None:
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0)).ping()
    arguments = Path(f"/proc/{server.pid}/cmdline")
    assert not arguments.exists() or server._password().encode() not in arguments.read_bytes()
    assert (server.folder / "valkey.conf").stat().st_mode & 0o777 == 0o600


def test_a_port_taken_meanwhile_is_replaced_by_another(folder: Path) -> None:
    with Valkey(folder) as first:
        remembered = first.port
    with socket.create_server(("127.0.0.1", remembered)), Valkey(folder) as second:
        assert second.port != remembered
        assert client(second).ping()


def test_an_unreadable_file_is_set_aside_and_the_queue_starts_empty(folder: Path) -> None:
    with Valkey(folder) as server:
        client(server).set("before", 1)
    written = next((folder / "appendonlydir").glob("*.incr.aof"))
    written.write_bytes(b"*3\r\nnonsense" + written.read_bytes())
    with Valkey(folder) as server:
        assert client(server).get("before") is None
    assert (folder / "appendonlydir.unreadable").is_dir()
    assert "Starting empty" in (folder / "server.log").read_text()
