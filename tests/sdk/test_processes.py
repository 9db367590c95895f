"""Processes: forks get spools of their own, the spools of the dead are adopted, and exits save what is in memory."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import perimage
import pytest
from perimage import _keeper

from tests.sdk.standin import StandIn, listening

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def service() -> StandIn:
    return StandIn()


@pytest.fixture
def url(service: StandIn) -> Iterator[str]:
    with listening(service) as address:
        yield address


def forked(work: Callable[[], Any]) -> int:
    """A child that does this and ends like one of gunicorn's; its exit status."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            os._exit(70)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def program(code: str, *arguments: str, **more: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, **more
    )


def wait_for(true: Callable[[], Any], patience: float = 20) -> None:
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.mark.parametrize("mode", ["durable", "fast"])
def test_a_forked_child_counts_in_a_spool_of_its_own(service: StandIn, url: str, tmp_path: Path, mode: Any):
    with perimage.Meter(url, "k", spool_dir=tmp_path, mode=mode, raise_errors=True) as made:
        made.record("parent", 3)

        def child() -> None:
            assert made.stats().recorded == 0
            made.record("child", 5)
            assert made.stats().recorded == 1
            made.close()

        assert [forked(child) for _ in range(3)] == [0, 0, 0]
        made.record("parent", 4)
        assert made.flush(5)
    assert service.images_of("model") == {"parent": 7, "child": 15}
    assert len({report["source"] for report in service.reports()}) == 4
    assert list((tmp_path / "forks").iterdir()) == []


def test_a_fork_amid_records_of_other_threads_neither_hangs_nor_doubles(service: StandIn, url: str, tmp_path: Path):
    with perimage.Meter(url, "k", spool_dir=tmp_path, raise_errors=True) as made:
        stop = threading.Event()
        taken = [0] * 4

        def work(number: int) -> None:
            while not stop.is_set():
                made.record("parent")
                taken[number] += 1

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        try:
            statuses = []
            for _ in range(10):
                statuses.append(forked(lambda: (made.record("child", 2), made.close())))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert statuses == [0] * 10
        assert made.flush(10)
    assert service.images_of("model") == {"parent": sum(taken), "child": 20}


def test_the_spool_of_a_child_that_was_killed_is_adopted_and_sent(
    service: StandIn, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_keeper, "ADOPT_EVERY", 0.1)
    with perimage.Meter(url, "k", spool_dir=tmp_path, raise_errors=True) as made:

        def child() -> None:
            made.record("child", 5)
            os.kill(os.getpid(), signal.SIGKILL)

        assert forked(child) == -signal.SIGKILL
        wait_for(lambda: service.images == 5)
        wait_for(lambda: list((tmp_path / "forks").iterdir()) == [])


def test_a_child_that_outlives_its_parent_goes_on_and_the_next_parent_starts(
    service: StandIn, url: str, tmp_path: Path
):
    code = """
        import os, sys, time, perimage
        made = perimage.Meter(sys.argv[1], "k", spool_dir=sys.argv[2], raise_errors=True)
        made.record("parent")
        if os.fork() == 0:
            made.record("child")
            print("up", flush=True)
            while os.getppid() == int(sys.argv[3]) or not os.path.exists(sys.argv[2] + "/go"):
                time.sleep(0.02)
            made.record("child", 2)
            made.close()
            print("done", flush=True)
            os._exit(0)
        os.kill(os.getpid(), 9)
    """
    process = program(code, url, str(tmp_path), "0")
    assert process.stdout
    assert process.stdout.readline() == "up\n"
    process.wait(10)
    with perimage.Meter(url, "k", spool_dir=tmp_path, raise_errors=True) as made:
        (tmp_path / "go").write_text("")
        assert process.stdout.readline() == "done\n"
        made.adopt()
        assert made.flush(5)
    assert service.images_of("model") == {"parent": 1, "child": 3}


def test_a_second_process_on_one_spool_is_refused_with_a_sentence(url: str, tmp_path: Path):
    code = """
        import sys, perimage
        try:
            perimage.Meter(sys.argv[1], "k", spool_dir=sys.argv[2])
        except perimage.SpoolLocked as refused:
            print(refused.pid, refused, flush=True)
    """
    with perimage.Meter(url, "k", spool_dir=tmp_path):
        said, _ = program(code, url, str(tmp_path)).communicate(timeout=20)
    assert said.startswith(f"{os.getpid()} ") and "give this one a spool_dir of its own" in said


def test_processes_that_share_a_folder_count_side_by_side(service: StandIn, url: str, tmp_path: Path):
    code = """
        import sys, perimage
        with perimage.Meter(sys.argv[1], "k", spool_dir=sys.argv[2], shared=True, raise_errors=True) as made:
            for _ in range(50):
                made.record(sys.argv[3])
            print("recorded", flush=True)
            sys.stdin.read()
    """
    workers = [program(code, url, str(tmp_path), f"m-{n}", stdin=subprocess.PIPE) for n in range(3)]
    for worker in workers:
        assert worker.stdout and worker.stdout.readline() == "recorded\n"
    workers[0].kill()
    for worker in workers:
        assert worker.stdin
        worker.stdin.close()
        worker.wait(20)
    with perimage.Meter(url, "k", spool_dir=tmp_path, raise_errors=True) as made:
        made.adopt()
        assert made.flush(5)
    assert service.images_of("model") == {f"m-{n}": 50 for n in range(3)}


@pytest.mark.parametrize("library", ["multiprocessing", "billiard"])
def test_children_that_end_without_atexit_save_what_is_in_memory(
    service: StandIn, url: str, tmp_path: Path, library: str
):
    """As those of multiprocessing do, and those of Celery, whose library is billiard."""
    made_by = pytest.importorskip(library)
    with perimage.Meter(url, "k", spool_dir=tmp_path, mode="fast", flush_interval=100, raise_errors=True) as made:
        context = made_by.get_context("fork")
        children = [context.Process(target=made.record, args=("child", 5)) for _ in range(2)]
        for child in children:
            child.start()
        for child in children:
            child.join(20)
            assert child.exitcode == 0
        made.adopt()
        assert made.flush(5)
    assert service.images == 10


@pytest.mark.parametrize("mode", ["durable", "fast"])
@pytest.mark.parametrize("end", ["falls off its end", "fails", "exits"])
def test_an_ordinary_exit_sends_or_saves_everything(service: StandIn, url: str, tmp_path: Path, mode: str, end: str):
    code = f"""
        import sys, perimage
        made = perimage.Meter(sys.argv[1], "k", spool_dir=sys.argv[2], mode="{mode}", flush_interval=100)
        made.record("anima-1", 5)
        {{"fails": "1 / 0", "exits": "sys.exit(3)"}}.get("{end}")
    """.replace('{"fails"', '{"fails"')
    code = textwrap.dedent(code).splitlines()
    code[-1] = {"fails": "1 / 0", "exits": "sys.exit(3)"}.get(end, "")
    program("\n".join(code), url, str(tmp_path), stderr=subprocess.DEVNULL).communicate(timeout=20)
    assert service.images == 5


def test_an_exit_without_a_network_takes_no_longer_and_loses_nothing(service: StandIn, url: str, tmp_path: Path):
    code = """
        import sys, perimage
        made = perimage.Meter("http://127.0.0.1:9", "k", spool_dir=sys.argv[1], mode="fast", flush_interval=100)
        made.record("anima-1", 5)
    """
    program(code, str(tmp_path), stderr=subprocess.DEVNULL).communicate(timeout=20)
    with perimage.Meter(url, "k", spool_dir=tmp_path, raise_errors=True) as made:
        assert made.flush(5)
    assert service.images == 5
