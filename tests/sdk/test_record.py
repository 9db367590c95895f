"""record(): what it takes, what it makes of it, and that it never hurts who calls it."""

import asyncio
import json
import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import perimage
import pytest
from perimage._disk import Disk

from tests.sdk.standin import StandIn, listening
from tests.sdk.workroom import SetClock

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def service() -> StandIn:
    return StandIn()


@pytest.fixture
def url(service: StandIn) -> Iterator[str]:
    with listening(service) as address:
        yield address


def meter(url: str, folder: Path, **settings: Any) -> perimage.Meter:
    return perimage.Meter(url, "pk_test", spool_dir=folder, **{"raise_errors": True, **settings})


@pytest.mark.parametrize("mode", ["durable", "fast"])
def test_images_of_a_window_are_one_event_for_each_content(service: StandIn, url: str, tmp_path: Path, mode: Any):
    with meter(url, tmp_path, mode=mode, source="host-7", clock=SetClock()) as made:
        first = made.record("anima-1", images=4, adapters=["grain", "ink", "grain"], plan="free")
        again = made.record("anima-1", 3, adapters=("ink", "grain"), plan="free")
        other = made.record("anima-1", plan="paid", output="preview")
        assert first == again != other and first
        assert made.flush(5)
        assert made.stats().accepted == 2 and made.stats().recorded == 3 and made.stats().pending == 0
    assert len(service.bodies) == 1
    report = service.reports()[0]
    assert report["source"].startswith("host-7:") and report["sequence"] == 1
    assert report["events"] == [
        {
            "event_id": first,
            "model": "anima-1",
            "image_count": 7,
            "occurred_at": "2026-11-18T11:06:40.000000Z",
            "adapters": ["grain", "ink"],
            "plan": "free",
        },
        {
            "event_id": other,
            "model": "anima-1",
            "image_count": 1,
            "occurred_at": "2026-11-18T11:06:40.000000Z",
            "plan": "paid",
            "output": "preview",
        },
    ]


def test_an_event_holds_no_images_of_two_windows(service: StandIn, url: str, tmp_path: Path):
    midnight = datetime(2026, 11, 1, tzinfo=UTC)
    with meter(url, tmp_path) as made:
        before = made.record("anima-1", occurred_at=midnight - timedelta(microseconds=1))
        after = made.record("anima-1", occurred_at=midnight.astimezone(timezone(timedelta(hours=5, minutes=45))))
        assert before != after
        assert made.flush(5)
    assert {event["occurred_at"] for event in service.counted.values()} == {
        "2026-10-31T23:59:59.999999Z",
        "2026-11-01T00:00:00.000000Z",
    }


def test_an_event_never_holds_more_images_than_the_service_takes(service: StandIn, url: str, tmp_path: Path):
    with meter(url, tmp_path) as made:
        ids = {made.record("anima-1", 600_000_000) for _ in range(3)}
        assert len(ids) == 3
        assert made.flush(5)
    assert service.images == 1_800_000_000


HOSTILE: list[dict[str, Any]] = [
    *({"images": images} for images in (0, -1, 1.0, 1.5, True, None, "12", float("nan"), 10**9 + 1, 2**63, 10**23)),
    *({"model": name} for name in ("", " a", "a ", "a\0", "a\n", "\u202ea", "\ud800", "x" * 256, None, 5, ["a"], {})),
    *({"adapters": names} for names in ("grain", b"x", [1], [""], [["a"]], [f"a{n}" for n in range(33)], 5, [None])),
    *({"plan": plan} for plan in (" ", 5, 0, False, ["free"], "x" * 256)),
    *({"output": output} for output in ("Image", "", None, ["image"], 1)),
    *(
        {"occurred_at": at}
        for at in (datetime(2026, 11, 1), "2026-11-01T00:00:00Z", 5, datetime(1969, 1, 1, tzinfo=UTC))
    ),
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda fields: ascii(fields)[:40])
def test_what_cannot_be_reported_is_refused_with_a_sentence(tmp_path: Path, hostile: dict[str, Any]):
    with meter(NOWHERE, tmp_path) as made:
        with pytest.raises(perimage.BadUsage) as refused:
            made.record(**{"model": "anima-1", **hostile})
        assert "must be" in str(refused.value)
        assert made.stats().refused == 1 and made.stats().recorded == 0


def test_record_never_raises_unless_it_is_asked_to(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    class Broken(Disk):
        def write(self, fd: int, data: bytes) -> None:
            raise OSError(5, "Input/output error")

    with perimage.Meter(NOWHERE, "k", spool_dir=tmp_path / "good") as made:
        for hostile in HOSTILE:
            assert made.record(**{"model": "anima-1", **hostile}) == ""
        assert made.stats().refused == len(HOSTILE)
    assert made.record("anima-1") == ""
    assert made.flush() is False
    messages = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(messages) == 1 and "NOT taken" in messages[0]

    broken = perimage.Meter(NOWHERE, "k", spool_dir=tmp_path / "bad")
    broken._depot  # noqa: B018
    assert broken._journal is not None
    broken._journal._disk = Broken()
    assert broken.record("anima-1") == ""
    assert broken.stats().refused == 1
    broken.close()


def test_a_subclass_of_int_and_text_is_as_good(service: StandIn, url: str, tmp_path: Path):
    class Count:
        def __index__(self) -> int:
            return 4

    class Name(str):
        pass

    with meter(url, tmp_path) as made:
        made.record(Name("anima-1"), Count(), adapters={"grain"})  # type: ignore[arg-type]
        made.record("anima-1", 1, adapters=(name for name in ("grain",)))
        assert made.flush(5)
    assert service.images == 5 and len(service.counted) == 1


def test_many_threads_share_flushes_and_lose_nothing(service: StandIn, url: str, tmp_path: Path):
    class Counting(Disk):
        syncs = 0

        def sync(self, fd: int) -> None:
            self.syncs += 1
            time.sleep(0.002)  # as a slow disk
            super().sync(fd)

    disk = Counting()
    with meter(url, tmp_path, disk=disk) as made:
        before = disk.syncs

        def work(number: int) -> None:
            for _ in range(25):
                assert made.record(f"model-{number % 3}")

        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert disk.syncs - before < 16 * 25 / 3
        assert made.stats().recorded == 16 * 25
        assert made.flush(5)
    assert service.images == 16 * 25


def test_asyncio_tasks_share_flushes_and_the_loop_goes_on(service: StandIn, url: str, tmp_path: Path):
    async def work(made: perimage.Meter) -> int:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(0)
                beats += 1

        beating = asyncio.create_task(beat())
        ids = await asyncio.gather(*(made.arecord("anima-1", 2) for _ in range(200)))
        assert len(set(ids)) == 1
        with pytest.raises(perimage.BadUsage):
            await made.arecord("")
        beating.cancel()
        return beats

    with meter(url, tmp_path) as made:
        assert asyncio.run(work(made)) > 0
        assert made.flush(5)
    assert service.images == 400


def test_an_asyncio_record_that_is_cancelled_may_be_counted_and_harms_nobody(tmp_path: Path):
    async def work(made: perimage.Meter) -> None:
        task = asyncio.create_task(made.arecord("anima-1"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await made.arecord("anima-1")

    with meter(NOWHERE, tmp_path) as made:
        asyncio.run(work(made))


def test_fast_mode_saves_within_its_interval(tmp_path: Path):
    with meter(NOWHERE, tmp_path, mode="fast", flush_interval=0.05) as made:
        made.record("anima-1", 5)
        assert made.stats().recorded == 1
        deadline = time.monotonic() + 5
        while made.stats().unsaved:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        journal = b"".join(path.read_bytes() for path in (tmp_path / "main").glob("journal-*.log"))
        assert json.loads(journal.split(b" ", 1)[1])[1] == 5


def test_fast_mode_saves_what_is_in_memory_when_it_is_closed(service: StandIn, url: str, tmp_path: Path):
    made = meter(url, tmp_path, mode="fast", flush_interval=100)
    made.record("anima-1", 5)
    made.close(0)
    with meter(url, tmp_path) as again:
        assert again.flush(5)
    assert service.images == 5


def test_fast_mode_refuses_while_the_disk_does_and_loses_nothing_it_took(service: StandIn, url: str, tmp_path: Path):
    class Full(Disk):
        full = False

        def write(self, fd: int, data: bytes) -> None:
            if self.full:
                super().write(fd, data[: len(data) // 2])
                raise OSError(28, "No space left on device")
            super().write(fd, data)

    disk = Full()
    with meter(url, tmp_path, mode="fast", flush_interval=0.02, disk=disk) as made:
        disk.full = True
        taken, deadline = 0, time.monotonic() + 5
        with pytest.raises(perimage.SpoolFull, match="full"):
            while time.monotonic() < deadline:
                made.record("anima-1")
                taken += 1
                time.sleep(0.002)
        disk.full = False
        while True:
            try:
                made.record("anima-1")
                break
            except perimage.SpoolFull:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        assert made.flush(5)
    assert service.images == taken + 1


def test_more_contents_than_a_report_holds_become_more_reports(service: StandIn, url: str, tmp_path: Path):
    with meter(url, tmp_path, mode="fast") as made:
        for number in range(2_500):
            made.record(f"model-{number}")
        assert made.flush(10)
    sizes = [len(report["events"]) for report in service.reports()]
    assert sum(sizes) == 2_500 and max(sizes) <= 1_000
    assert max(len(body) for body in service.bodies) < 1 << 20


def test_long_names_never_make_a_report_too_large(service: StandIn, url: str, tmp_path: Path):
    with meter(url, tmp_path, mode="fast") as made:
        for number in range(120):
            made.record(f"{number:03d}" + "\U0001f5bc" * 252, adapters=[f"{n:02d}" + "é" * 253 for n in range(32)])
        assert made.flush(10)
    assert len(service.counted) == 120 and max(len(body) for body in service.bodies) < 1 << 20


def test_whole_events_are_passed_on_as_they_are(service: StandIn, url: str, tmp_path: Path):
    event = {"event_id": "theirs-1", "model": "anima-1", "image_count": 3, "occurred_at": "2026-11-22T09:14:59Z"}
    with meter(url, tmp_path) as made:
        assert made.append([event, {**event, "event_id": "theirs-2"}])
        assert made.append([event])
        assert made.flush(5)
        for wrong in ({}, "x", {**event, "event_id": 5}, {**event, "image_count": True}, {**event, "model": "\ud800"}):
            with pytest.raises(perimage.BadUsage):
                made.append([event, wrong])  # type: ignore[list-item]
        assert made.stats().gathering == 0  # of a batch with a wrong one nothing is taken
    assert service.counted == {"theirs-1": event, "theirs-2": {**event, "event_id": "theirs-2"}}


def test_no_window_is_left_for_two_and_a_backlog_makes_one_report(tmp_path: Path):
    """While the service is away windows go on in one journal, event by event, and become few reports."""
    service, clock = StandIn(faults=["away"] * 2), SetClock()
    clock.monotonic = lambda: clock.passed + time.monotonic()
    with listening(service) as url, meter(url, tmp_path, clock=clock) as made:
        for _ in range(30):
            made.record("anima-1")
            clock.move(61)
        assert made.flush(10)
    assert service.images == 30 and len(service.counted) == 30
    assert len(service.reports()) < 30


@pytest.mark.parametrize("step", [-86_400.0, -1.0, 1.0, 86_400.0], ids=lambda step: f"{step:+.0f}s")
def test_a_clock_that_is_set_neither_loses_nor_doubles(service: StandIn, url: str, tmp_path: Path, step: float):
    clock = SetClock()
    with meter(url, tmp_path, clock=clock) as made:
        ids = []
        for number in range(6):
            ids.append(made.record("anima-1", 10**number))
            clock.step(step if number % 2 else -step)
            clock.move(20)
        assert made.flush(5)
    assert service.images == 111_111
    assert all(report["events"] for report in service.reports())
    assert len(service.sequences()) == len(service.reports())


def test_a_meter_refuses_settings_that_make_no_sense(tmp_path: Path):
    good = {"url": NOWHERE, "key": "k", "spool_dir": tmp_path}
    bad = [
        {"url": ""},
        {"url": "ftp://x"},
        {"url": None},
        {"key": ""},
        {"key": "a b"},
        {"key": "a\n"},
        {"mode": "both"},
    ]
    bad += [{"window": 0}, {"window": 7}, {"window": 3600}, {"flush_interval": 0}, {"source": ""}, {"source": "a\n"}]
    for wrong in bad:
        with pytest.raises(perimage.BadSettings):
            perimage.Meter(**{**good, **wrong})


def test_a_meter_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PERIMAGE_KEY", raising=False)
    monkeypatch.setenv("PERIMAGE_URL", NOWHERE)
    with pytest.raises(perimage.BadSettings, match="PERIMAGE_KEY"):
        perimage.Meter.from_environment()
    monkeypatch.setenv("PERIMAGE_KEY", "k")
    monkeypatch.setenv("PERIMAGE_SPOOL", str(tmp_path))
    with perimage.Meter.from_environment(mode="fast") as made:
        assert made.url == NOWHERE and made.mode == "fast"
