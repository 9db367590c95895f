"""kill -9 of the service in the middle of a file: sent again, every row counts once and has its answer."""

import contextlib
import signal
import threading

import httpx
import pytest

from tests.door import open_trade, service_process, wait_until
from tests.service.test_imports import csv_of, good, send, statuses, stored

POINTS = {  # and how many of the rows are stored when the process dies there
    "after_parse": 0,
    "after_insert_before_commit": 0,
    "after_commit_before_reply": 900,
}
pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("point", "survive"), POINTS.items())
def test_a_file_whose_service_is_killed_at_a_point_goes_on_when_it_is_sent_again(
    database_url: str, point: str, survive: int
):
    keys, rows = open_trade(database_url), good(900)
    content = csv_of(rows)
    with service_process(database_url, keys, PERIMAGE_KILL_POINT=point) as doomed:
        with pytest.raises(httpx.TransportError):
            send(doomed, content)
        assert doomed.exit_code() == -signal.SIGKILL
    assert len(stored(database_url)) == survive
    with service_process(database_url, keys) as risen:
        found = risen.get("/v1/imports/i").json()
        assert found["state"] != "done" and found["row_count"] == survive
        assert send(risen, content).json()["counts"]["accepted"] == 900
        assert statuses(risen) == ["accepted"] * 900
    assert stored(database_url) == {row["event_id"]: row["image_count"] for row in rows}


def test_a_file_whose_service_is_killed_at_any_moment_goes_on_when_it_is_sent_again(database_url: str):
    keys, rows = open_trade(database_url), good(60_000)
    content = csv_of([*rows, *rows[:500], *({**row, "image_count": 77} for row in rows[:500])])
    for life in range(4):
        with service_process(database_url, keys) as door:

            def attempt(door=door) -> None:  # type: ignore[no-untyped-def]
                with contextlib.suppress(httpx.TransportError):
                    send(door, content)

            sender = threading.Thread(target=attempt)
            sender.start()
            wait_until(lambda least=8_000 * (life + 1): len(stored(database_url)) >= least)
            door.process.kill()
            sender.join()
        assert len(stored(database_url)) < 60_000, "the file was in before the service was killed"
    with service_process(database_url, keys) as door:
        before = door.get("/v1/imports/i").json()
        assert before["row_count"] == before["next_row"] - 1 == len(stored(database_url))
        said = send(door, content).json()
        assert said["counts"] == {"accepted": 60_000, "duplicate": 500, "held": 0, "conflict": 500, "rejected": 0}
        assert statuses(door) == ["accepted"] * 60_000 + ["duplicate"] * 500 + ["conflict"] * 500
    assert stored(database_url) == {row["event_id"]: row["image_count"] for row in rows}
