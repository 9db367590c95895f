"""perimage-meter: what an operator sees."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import perimage
import pytest
from perimage import _cli
from perimage._spool import Spool

from tests.sdk.standin import StandIn, listening
from tests.sdk.workroom import ANIMA

FATES = {"b": ("conflict", "event_id_reused"), "c": ("rejected", "invalid_model")}


@pytest.fixture
def service() -> StandIn:
    return StandIn(lambda event: FATES.get(event["model"]))


@pytest.fixture
def url(service: StandIn) -> Iterator[str]:
    with listening(service) as address:
        yield address


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def command(*arguments: Any) -> tuple[int, Any]:
        status = _cli.main([*map(str, arguments), "--json"])
        return status, json.loads(capsys.readouterr().out)

    return command


def leave_behind(folder: Path, *models: str) -> None:
    """A process records these and is killed."""
    spool = Spool.open(folder / "main", min_free_bytes=0)
    for model in models:
        spool.journal.count((model, (), "", "image"), 2, int(time.time() * 1e6), True)
    spool.seal(force=True)
    spool.journal.count(ANIMA, 1, int(time.time() * 1e6), True)
    spool._lock.give_back()


def test_help_teaches(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        _cli.main(["--help"])
    said = capsys.readouterr().out
    assert end.value.code == 0
    for word in ("status", "flush", "parked", "send-test", "verify", "doctor", "relay", "PERIMAGE_URL", "Exit status"):
        assert word in said


def test_status_reads_a_spool_that_is_in_use(tmp_path: Path, run: Any):
    with perimage.Meter("http://127.0.0.1:9", "k", spool_dir=tmp_path, source="host") as made:
        made.record("anima-1", 3)
        made.flush(0.1)
        made.record("anima-1", 3)
        status, found = run("status", "--spool", tmp_path)
        assert status == 0 and found["holder"] == made_by()
        (main,) = found["spools"]
        assert main["source"].startswith("host:") and (main["reports"], main["images"]) == (1, 3)
        assert main["journal_bytes"] > 0 and main["oldest_age"] < 60
        assert made.record("anima-1")


def made_by() -> int:
    import os

    return os.getpid()


def test_what_is_wrong_is_one_sentence_and_exit_status_1(tmp_path: Path, run: Any, capsys: pytest.CaptureFixture[str]):
    assert _cli.main(["status", "--spool", str(tmp_path / "none")]) == 1
    assert "there is no spool" in capsys.readouterr().out
    assert run("flush", "--spool", tmp_path, "--url", "", "--key", "k")[1]["error"] == "BadSettings"
    with perimage.Meter("http://127.0.0.1:9", "k", spool_dir=tmp_path):
        status, found = run("flush", "--spool", tmp_path, "--url", "http://127.0.0.1:9", "--key", "k")
    assert status == 1 and found["error"] == "SpoolLocked"


def test_flush_sends_what_a_dead_process_left(tmp_path: Path, run: Any, service: StandIn, url: str):
    leave_behind(tmp_path, "a")
    assert run("status", "--spool", tmp_path)[1]["spools"][0]["holder"] == made_by()
    status, found = run("flush", "--spool", tmp_path, "--url", url, "--key", "k")
    assert status == 0 and found["pending"] == 0 and found["sent"] == 2
    assert service.images == 3


def test_parked_events_are_listed_shown_and_requeued(tmp_path: Path, run: Any, service: StandIn, url: str):
    leave_behind(tmp_path, "a", "b", "c")
    run("flush", "--spool", tmp_path, "--url", url, "--key", "k")
    status, parked = run("parked", "--spool", tmp_path)
    assert status == 1 and {each["event"]["model"]: each["status"] for each in parked} == {
        "b": "conflict",
        "c": "rejected",
    }
    by_model = {each["event"]["model"]: each["event"]["event_id"] for each in parked}
    assert run("parked", "--spool", tmp_path, by_model["c"])[1]["code"] == "invalid_model"
    assert run("parked", "--spool", tmp_path, "nobody")[1]["error"] == "BadSettings"
    assert run("parked", "--spool", tmp_path, "--new-ids")[1]["error"] == "BadSettings"

    FATES_BEFORE = dict(FATES)  # noqa: N806
    try:
        FATES.clear()
        assert run("parked", "--spool", tmp_path, by_model["c"], "--retry") == (0, {"requeued": 1})
        assert run("parked", "--spool", tmp_path, by_model["b"], "--retry", "--new-ids") == (0, {"requeued": 1})
        assert run("parked", "--spool", tmp_path) == (0, [])
        run("flush", "--spool", tmp_path, "--url", url, "--key", "k")
    finally:
        FATES.update(FATES_BEFORE)
    assert by_model["c"] in service.counted and by_model["b"] not in service.counted
    assert service.images_of("model") == {"a": 2, "anima-1": 1, "b": 2, "c": 2}


def test_a_retry_that_was_cut_short_goes_on_under_the_same_new_id(tmp_path: Path):
    from perimage._disk import Disk
    from perimage._parked import Parked, ParkedEvent

    parked = Parked(tmp_path, Disk())
    event = {"event_id": "e", "model": "a", "image_count": 1, "occurred_at": "2026-11-22T09:14:59Z"}
    parked.add([ParkedEvent(event, "r", "conflict", "event_id_reused", "", 0.0)] * 2)
    handed: list[Any] = []

    def cut_short(events: Any) -> None:
        handed.extend(events)
        raise KeyboardInterrupt

    ids = iter(["new-1", "new-2"])
    with pytest.raises(KeyboardInterrupt):
        parked.requeue(parked.list(), cut_short, lambda: next(ids))
    assert len(parked.list()) == 1
    assert parked.requeue(parked.list(), handed.extend, lambda: next(ids)) == 1
    assert [each["event_id"] for each in handed] == ["new-1", "new-1"]
    assert parked.list() == []


def test_doctor_says_what_to_change(tmp_path: Path, run: Any):
    status, found = run("doctor", "--spool", tmp_path, "--url", "http://127.0.0.1:9", "--key", "k")
    by_name = {each["name"]: each for each in found}
    assert status == 1 and not by_name["url"]["good"] and by_name["spool"]["good"] and by_name["room"]["good"]
    assert not run("doctor", "--spool", tmp_path, "--url", "x", "--key", "k")[1][0]["good"]
    (tmp_path / "file").write_text("")
    found = run("doctor", "--spool", tmp_path / "file" / "spool", "--url", "x", "--key", "k")[1]
    assert [each["name"] for each in found if not each["good"]] == ["settings", "spool"]


def test_the_command_is_installed_and_runs(tmp_path: Path):
    command = Path(sys.executable).with_name("perimage-meter")
    done = subprocess.run(
        [command, "status", "--spool", tmp_path, "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["spools"] == []
