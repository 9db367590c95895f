"""The supervisor: parts come back, a second stack is refused, and no death of anything leaves a process behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis

from stack.environment import Environment
from stack.process import StackError, holders
from stack.programs import perimage
from stack.supervisor import Stack

sys.path.insert(0, str(Path(__file__).parent))
from standin_stacks import HERE, NOWHERE, STANDIN, program, service_and_worker


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def told(data: Path) -> dict:
    return json.loads((data / "stack.json").read_text())


def answers(url: str) -> int:
    with urllib.request.urlopen(url, timeout=10) as reply:  # noqa: S310  our own address
        return int(reply.read())


def processes(data: Path) -> list[int]:
    return [pid for hold in data.rglob("*.hold") for pid in holders(hold)]


@contextmanager
def other_process(data: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A stack of stand-ins under a supervisor of its own."""
    data.mkdir(parents=True, exist_ok=True)
    with (data / "terminal").open("ab") as output:
        command = [sys.executable, str(STANDIN), "run", str(data), *words]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        running = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        until(lambda: (data / "stack.json").exists() or running.poll() is not None)
        assert running.poll() is None, (data / "terminal").read_text()
        yield running
    finally:
        running.kill()
        running.wait()


def test_a_stack_tells_where_it_is_to_its_user_alone(tmp_path: Path) -> None:
    with Stack(tmp_path, programs=service_and_worker, outside=NOWHERE) as stack:
        said = told(tmp_path)
        assert answers(stack.service_url) == said["parts"]["service"]
        assert said["pid"] == os.getpid()
        assert (said["database_url"], said["redis_url"]) == ("postgresql://nowhere", "redis://nowhere")
        assert (tmp_path / "stack.json").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "stack.json").exists()
    assert processes(tmp_path) == []


def test_the_embedded_servers_run_unless_the_environment_names_others(tmp_path: Path) -> None:
    with Stack(tmp_path, programs=service_and_worker, outside=HERE) as stack:
        assert list(told(tmp_path)["parts"]) == ["postgres", "valkey", "service", "worker"]
        with psycopg.connect(stack.database_url) as connection:
            assert connection.execute("SELECT current_database()").fetchone() == ("perimage",)
        assert redis.Redis.from_url(stack.redis_url).ping()


def test_what_an_old_run_left_is_not_taken_for_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = {"database_url": "postgresql://old", "redis_url": "redis://old", "service_url": "http://old", "pid": 1}
    (tmp_path / "stack.json").write_text(json.dumps(old))
    monkeypatch.setenv("PERIMAGE_DATA", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("REDIS_URL", "redis://said")
    assert Environment().data == tmp_path
    assert (Environment().database_url, Environment().redis_url) == ("", "redis://said")


def test_a_killed_part_comes_back_and_callers_only_wait(tmp_path: Path) -> None:
    with Stack(tmp_path, programs=service_and_worker, outside=NOWHERE) as stack:
        before = answers(stack.service_url)
        os.kill(before, signal.SIGKILL)
        after = answers(stack.service_url)
        assert after != before
        until(lambda: told(tmp_path)["parts"]["service"] == after)


def test_what_a_killed_part_forked_is_ended_before_it_comes_back(tmp_path: Path) -> None:
    with Stack(tmp_path, programs=service_and_worker, outside=NOWHERE):
        hold = tmp_path / "run" / "worker.hold"
        until(lambda: len(holders(hold)) == 2)
        before = set(holders(hold))
        os.kill(told(tmp_path)["parts"]["worker"], signal.SIGKILL)
        until(lambda: len(holders(hold)) == 2 and not before & set(holders(hold)))


def test_a_part_that_never_could_run_ends_the_stack_with_its_last_words(tmp_path: Path) -> None:
    def programs(_place: object) -> list:
        return [program("worker", "fail", "no such table: agreements")]

    said = pytest.raises(StackError, match=r"(?s)worker died 5 times right after its start.*no such table")
    with Stack(tmp_path, programs=programs, outside=NOWHERE) as stack, said:
        stack.wait(30)


def test_a_failed_migration_stops_the_start_and_everything_started_before(tmp_path: Path) -> None:
    def programs(place: object) -> list:
        return [program("worker", "work"), program("migrate", "fail", "column is gone", once=True)]

    with pytest.raises(StackError, match=r"(?s)migrate failed with exit code 1.*column is gone"):
        Stack(tmp_path, programs=programs, outside=NOWHERE).start()
    assert processes(tmp_path) == []
    with Stack(tmp_path, programs=lambda _: [], outside=NOWHERE):
        pass  # the folder is free again


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(StackError, match=f"Port {port} of 127.0.0.1 is taken.*--port"):
            Stack(tmp_path, port=port, programs=service_and_worker, outside=NOWHERE).start()


def test_a_second_stack_on_one_folder_is_refused_and_another_folder_is_not(tmp_path: Path) -> None:
    with other_process(tmp_path / "one") as first, other_process(tmp_path / "two"):
        with pytest.raises(StackError, match=f"already runs on .*process {first.pid}"):
            Stack(tmp_path / "one", programs=service_and_worker, outside=NOWHERE).start()
        one, two = told(tmp_path / "one"), told(tmp_path / "two")
        assert answers(one["service_url"]) == one["parts"]["service"]
        assert answers(two["service_url"]) == two["parts"]["service"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything_cleanly(tmp_path: Path, number: int) -> None:
    with other_process(tmp_path, "servers") as running:
        with psycopg.connect(told(tmp_path)["database_url"]) as connection:
            sockets = list(Path(connection.info.host).glob(".s.PGSQL.*"))
        running.send_signal(number)
        assert running.wait(30) == 0
        assert sockets
        assert not [path for path in sockets if path.exists()]
        assert not (tmp_path / "stack.json").exists()
        assert processes(tmp_path) == []
    assert "nothing is left running" in (tmp_path / "terminal").read_text()


def test_kill_9_of_the_supervisor_leaves_no_process_and_no_row_behind(tmp_path: Path) -> None:
    with other_process(tmp_path, "servers") as running:
        with psycopg.connect(told(tmp_path)["database_url"]) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS number")
        running.kill()
        running.wait()
        # The process that the worker forked hears nothing from the kernel: the warden ends it.
        until(lambda: processes(tmp_path) == [])
    (tmp_path / "stack.json").unlink()
    with other_process(tmp_path, "servers") as running:
        with psycopg.connect(told(tmp_path)["database_url"]) as connection:
            assert connection.execute("SELECT number FROM kept").fetchone() == (42,)
        until(lambda: len(holders(tmp_path / "run" / "worker.hold")) == 2)
        running.terminate()
        assert running.wait(30) == 0


def test_a_start_right_after_kill_9_waits_until_the_killed_stack_is_gone(tmp_path: Path) -> None:
    with other_process(tmp_path) as running:
        worker = told(tmp_path)["parts"]["worker"]
        running.kill()
        running.wait()
        with Stack(tmp_path, programs=service_and_worker, outside=NOWHERE):
            time.sleep(0.5)
            now = told(tmp_path)["parts"]["worker"]
            assert now != worker
            assert now in holders(tmp_path / "run" / "worker.hold")
            assert len(processes(tmp_path)) == 3


def test_the_real_programs_are_the_four_of_the_house(tmp_path: Path) -> None:
    from stack.programs import Place

    names = [one.name for one in perimage(Place(tmp_path, "", "", "", "http://127.0.0.1:1", listener=3))]
    assert names == ["migrate", "service", "worker", "beat"]
