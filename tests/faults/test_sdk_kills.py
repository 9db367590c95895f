"""kill -9 of a platform's process and of the service, with a real service and database: acknowledged = counted.

The oracle reads what the process said before it died, and the journal it left behind, with a few lines of its own that
know the file format from its description and share no code with the meter.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import perimage
import psycopg
import pytest
from perimage._clock import Clock

from tests.door import ROOT, open_trade, service_process, serving, settings_for, wait_until
from tests.sdk.proxy import Proxy, misbehaving

NOWHERE = "http://127.0.0.1:9"


def counted(url: str) -> dict[str, int]:
    with psycopg.connect(url) as connection:
        return dict(connection.execute("SELECT event_id, image_count FROM usage_events").fetchall())


def reporter(url: str, key: str, spool: Path, *words: Any, kill_point: str = "") -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.sdk.reporter", url, str(spool), *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "REPORTER_KEY": key, "PERIMAGE_METER_KILL_POINT": kill_point},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def said(process: "subprocess.Popen[str]") -> tuple[int, int]:
    """Images that it asked to have recorded, and of how many it was told that they are."""
    lines = (process.communicate(timeout=60)[0] or "").split("\n")
    asked = sum(int(line.split()[1]) for line in lines if line.startswith("ask "))
    got = sum(int(line.split()[1]) for line in lines if line.startswith("got "))
    return asked, got


def in_spool(folder: Path) -> dict[str, int]:
    """Images by event, as the files of the spool tell it."""
    found: dict[str, int] = {}
    for path in folder.glob("main/report-*.json"):
        body = path.read_bytes().partition(b"\n")[2]
        found |= {event["event_id"]: event["image_count"] for event in json.loads(body)["events"]}
    for path in folder.glob("main/journal-*.log"):
        for line in path.read_bytes().split(b"\n"):
            if len(line) > 9 and int(line[:8], 16) == zlib.crc32(line[9:]):
                event_id, images = json.loads(line[9:])[:2]
                found[event_id] = found.get(event_id, 0) + images
    return found


def drain(url: str, key: str, spool: Path, **more: Any) -> None:
    with perimage.Meter(url, key, spool_dir=spool, raise_errors=True, **more) as meter:
        meter.adopt()
        assert meter.flush(30), meter.stats()
        assert meter.stats().parked == 0


@pytest.mark.parametrize(
    "point",
    [
        "after_fsync",
        *(pytest.param(point, marks=pytest.mark.slow) for point in ("before_append", "after_append_before_fsync")),
    ],
)
def test_a_process_killed_while_it_records_loses_nothing_it_was_told_is_safe(
    database_url: str, tmp_path: Path, point: str
):
    keys = open_trade(database_url)
    asked = got = 0
    with serving(settings_for(database_url), keys) as door:
        for life, times in enumerate((1, 9, 30)):
            process = reporter(NOWHERE, keys["north"], tmp_path, "durable", 4, 60, kill_point=f"{point}:{times}")
            more_asked, more_got = said(process)
            assert process.returncode == -signal.SIGKILL
            asked, got = asked + more_asked, got + more_got
            left = in_spool(tmp_path)
            assert got <= sum(left.values()) + sum(counted(database_url).values()) <= asked
            if life == 1:
                drain(door.address, keys["north"], tmp_path)
                assert sum(counted(database_url).values()) == sum(left.values())
        before, left = counted(database_url), in_spool(tmp_path)
        drain(door.address, keys["north"], tmp_path)
    assert counted(database_url) == {**before, **left}
    assert got <= sum(counted(database_url).values()) <= asked
    assert got > 0


@pytest.mark.parametrize("point", ["after_send_before_reply", "after_reply_before_delete"])
def test_a_process_killed_while_it_sends_is_counted_once(database_url: str, tmp_path: Path, point: str):
    keys = open_trade(database_url)
    asked = got = 0
    with serving(settings_for(database_url), keys) as door:
        for _ in range(2):
            process = reporter(door.address, keys["north"], tmp_path, "durable", 4, 20, "flush", kill_point=point)
            more_asked, more_got = said(process)
            assert process.returncode == -signal.SIGKILL
            asked, got = asked + more_asked, got + more_got
        before, left = counted(database_url), in_spool(tmp_path)
        assert left
        drain(door.address, keys["north"], tmp_path)
        drain(door.address, keys["north"], tmp_path)
    assert counted(database_url) == {**before, **left}
    assert 0 < got <= sum(counted(database_url).values()) <= asked
    with psycopg.connect(database_url) as connection:
        numbers = connection.execute("SELECT source, sequence FROM usage_reports ORDER BY sequence").fetchall()
    assert [number for _, number in numbers] == list(range(1, len(numbers) + 1))
    assert len({source for source, _ in numbers}) == 1


@pytest.mark.slow
def test_a_process_killed_at_any_moment_in_fast_mode_loses_only_what_was_in_memory(database_url: str, tmp_path: Path):
    keys = open_trade(database_url)
    process = reporter(NOWHERE, keys["north"], tmp_path, "fast", 2, 200)
    time.sleep(1.0)
    process.kill()
    asked, got = said(process)
    left = in_spool(tmp_path)
    assert asked == got == sum(left.values()) > 0  # all had long been saved
    with serving(settings_for(database_url), keys) as door:
        drain(door.address, keys["north"], tmp_path)
    assert counted(database_url) == left


@pytest.mark.slow
@pytest.mark.parametrize("point", ["after_parse", "after_insert_before_commit", "after_commit_before_reply"])
def test_a_service_killed_under_a_meter_counts_once_what_the_meter_keeps(database_url: str, tmp_path: Path, point: str):
    keys = open_trade(database_url)
    with (
        misbehaving(Proxy(NOWHERE)) as proxy,
        perimage.Meter(proxy.address, keys["north"], spool_dir=tmp_path, raise_errors=True) as meter,
    ):
        for images in range(1, 11):
            meter.record("sd-1", images, plan=f"plan-{images % 3}")
        with service_process(database_url, keys, PERIMAGE_KILL_POINT=point) as doomed:
            proxy.target = doomed.address
            with pytest.raises(perimage.NotSent):
                meter.flush(1.0)
            assert doomed.exit_code() == -signal.SIGKILL
        assert meter.stats().pending == 1
        with service_process(database_url, keys) as risen:
            proxy.target = risen.address
            assert meter.flush(20)
        assert meter.stats().accepted == 3
    assert sum(counted(database_url).values()) == 55


FAULTS = ["lost", "reset", "500", "echo", "twice", "500-after", "429", "page", "cut", "502", "lost", "echo", "slow"]


@pytest.mark.slow
def test_lost_doubled_slow_and_wrong_answers_change_nothing(database_url: str, tmp_path: Path):
    keys = open_trade(database_url)
    with (
        serving(settings_for(database_url), keys) as door,
        misbehaving(Proxy(door.address, FAULTS)) as proxy,
        perimage.Meter(proxy.address, keys["north"], spool_dir=tmp_path, raise_errors=True, timeout=1.0) as meter,
    ):
        total = 0
        for number in range(12):
            total += 10**number % 997
            meter.record("sd-1", 10**number % 997, plan=f"plan-{number}")
            try:
                meter.flush(0.2)
            except perimage.NotSent as error:
                print(error)
        end = time.monotonic() + 30
        while proxy.faults or meter.stats().pending:
            assert time.monotonic() < end, (proxy.faults, meter.stats())
            try:
                meter.record("sd-1", 1)
                total += 1
                meter.flush(1.0)
            except perimage.NotSent as error:
                print(error)
        assert set(FAULTS) <= set(proxy.done)
        assert sum(counted(database_url).values()) == total
        assert meter.stats().parked == 0 and list((tmp_path / "main").glob("report-*")) == []
    with psycopg.connect(database_url) as connection:
        numbers = [row[0] for row in connection.execute("SELECT sequence FROM usage_reports ORDER BY 1").fetchall()]
    assert numbers == list(range(1, len(numbers) + 1))


class Offline(Clock):
    """72 hours pass in a moment; they end now."""

    def __init__(self, hours: float) -> None:
        self.offset = -hours * 3600
        self.wall = lambda: time.time() + self.offset  # type: ignore[method-assign,assignment]
        self.monotonic = lambda: time.monotonic() + self.offset  # type: ignore[method-assign,assignment]

    def pass_by(self, seconds: float) -> None:
        self.offset += seconds


@pytest.mark.parametrize("mode", ["durable", pytest.param("fast", marks=pytest.mark.slow)])
def test_three_days_offline_are_counted_to_the_image_afterwards(database_url: str, tmp_path: Path, mode: Any):
    keys = open_trade(database_url)
    clock = Offline(72)
    oracle: dict[str, int] = {}
    made = {"spool_dir": tmp_path, "raise_errors": True, "clock": clock, "mode": mode, "flush_interval": 0.05}
    meter = perimage.Meter(NOWHERE, keys["north"], **made)
    for hour in range(72):
        for minute in range(4):
            day = time.strftime("%Y-%m-%d", time.gmtime(clock.wall()))
            for plan in ("free", "paid"):
                meter.record("sd-1", 1 + (hour + minute) % 7, plan=plan)
                oracle[day] = oracle.get(day, 0) + 1 + (hour + minute) % 7
            clock.pass_by(900)
        if hour == 0:
            wait_until(lambda away=meter: away.stats().last_error)
        if hour == 40:  # the host restarts
            meter.close(0)
            meter = perimage.Meter(NOWHERE, keys["north"], **made)
    meter.close(0)
    with serving(settings_for(database_url), keys) as door:
        drain(door.address, keys["north"], tmp_path, clock=clock)
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT (occurred_at AT TIME ZONE 'UTC')::date::text, sum(image_count)::int FROM usage_events GROUP BY 1"
        ).fetchall()
        reports = connection.execute("SELECT count(*) FROM usage_reports").fetchone()
    assert dict(rows) == oracle
    assert reports and reports[0] < 100  # of 288 windows


FILL = """
import json, os, sys, perimage
url, key, folder = sys.argv[1:]
meter = perimage.Meter(url, key, spool_dir=folder, raise_errors=True, min_free_bytes=int(os.environ["MIN_FREE"]))
got = 0
try:
    while got < 200_000:
        meter.record("sd-1", 1, plan="p" * 200)
        got += 1
except perimage.SpoolFull as error:
    print(json.dumps({"got": got, "error": str(error)}), flush=True)
refused = 0
for _ in range(50):
    try:
        meter.record("sd-1")
        got += 1
    except perimage.SpoolFull:
        refused += 1
print(json.dumps({"got": got, "refused": refused}), flush=True)
if sys.stdin.readline() == "balloon\\n":
    os.remove(folder + "/balloon")
try:
    meter.flush(20)
except perimage.NotSent as error:
    print(error, file=sys.stderr)
again = meter.record("sd-1") and 1
meter.flush(10)
print(json.dumps({"got": got + again, "pending": meter.stats().pending, "parked": meter.stats().parked}), flush=True)
"""


@pytest.mark.parametrize(
    "min_free",
    [pytest.param(262_144, id="leaving some room"), pytest.param(0, id="to the brim", marks=pytest.mark.slow)],
)
def test_a_full_file_system_pushes_back_and_recovers_without_hands(database_url: str, tmp_path: Path, min_free: int):
    """A file system of one megabyte, in a mount namespace of the process's own.

    A meter that may fill it to the brim cannot even make a report of what it has, and waits until somebody makes room:
    that is what the balloon is for. One that leaves some room needs nobody.
    """
    mount = f'mount -t tmpfs -o size=1m tmpfs {tmp_path} && head -c 65536 /dev/zero >{tmp_path}/balloon && exec "$@"'
    probe = subprocess.run(["unshare", "-m", "sh", "-c", mount, "sh", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("a file system cannot be mounted here; tests/sdk has a disk of ours that fills up")
    keys = open_trade(database_url)
    with serving(settings_for(database_url), keys) as door, misbehaving(Proxy(NOWHERE)) as proxy:
        process = subprocess.Popen(
            [
                "unshare",
                "-m",
                "sh",
                "-c",
                mount,
                "sh",
                sys.executable,
                "-c",
                FILL,
                proxy.address,
                keys["north"],
                tmp_path,
            ],
            cwd=ROOT,
            env={**os.environ, "MIN_FREE": str(min_free)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout and process.stdin
        first = json.loads(process.stdout.readline())
        assert first["got"] > 100 and ("full" in first["error"] or "min_free_bytes" in first["error"])
        assert json.loads(process.stdout.readline())["refused"] > 0
        proxy.target = door.address
        process.stdin.write("balloon\n" if not min_free else "\n")
        process.stdin.flush()
        out, err = process.communicate(timeout=60)
    last = json.loads(out)
    assert (last["pending"], last["parked"]) == (0, 0), err
    assert sum(counted(database_url).values()) == last["got"]


@pytest.mark.slow
def test_kills_at_any_moment_through_a_bad_network_end_in_an_exact_count(database_url: str, tmp_path: Path):
    keys = open_trade(database_url)
    asked = got = 0
    with serving(settings_for(database_url), keys) as door, misbehaving(Proxy(door.address)) as proxy:
        for life in range(12):
            proxy.faults = FAULTS[life:] + FAULTS[:life]
            process = reporter(proxy.address, keys["north"], tmp_path, "durable", 4, 400, "flush")
            killer = threading.Timer(0.7 + 0.13 * life, process.kill)
            killer.start()
            more_asked, more_got = said(process)
            killer.cancel()
            asked, got = asked + more_asked, got + more_got
        proxy.faults = []
        left = in_spool(tmp_path)
        before = counted(database_url)
        drain(proxy.address, keys["north"], tmp_path)
    after = counted(database_url)
    assert after == {**before, **left}
    assert got <= sum(after.values()) <= asked
