"""kill -9 of the service at named points and at any moment: what was acknowledged is stored, and counts once."""

import signal
import threading
import time
from itertools import count

import httpx
import psycopg
import pytest

from tests.door import ServiceProcess, event, open_trade, report, service_process

POINTS = {  # and whether the report is stored when the process dies there
    "after_parse": False,
    "after_insert_before_commit": False,
    "after_commit_before_reply": True,
}


def stored(url: str) -> dict[str, int]:
    with psycopg.connect(url) as connection:
        return dict(connection.execute("SELECT event_id, image_count FROM usage_events").fetchall())


@pytest.mark.parametrize(("point", "survives"), POINTS.items())
def test_a_report_whose_service_is_killed_is_counted_once_when_it_is_sent_again(
    database_url: str, point: str, survives: bool
):
    keys = open_trade(database_url)
    sent = report([event(f"e{n}", image_count=n + 1) for n in range(100)], "r")
    expected = {each["event_id"]: each["image_count"] for each in sent["events"]}
    with service_process(database_url, keys, PERIMAGE_KILL_POINT=point) as doomed:
        with pytest.raises(httpx.TransportError):
            doomed.post(sent)
        assert doomed.exit_code() == -signal.SIGKILL
    assert stored(database_url) == (expected if survives else {})
    with service_process(database_url, keys) as risen:
        answer = risen.post(sent)
        assert answer.json()["counts"]["accepted"] == 100 and answer.json()["image_count"] == 5050
        assert ("perimage-replayed" in answer.headers) == survives
    assert stored(database_url) == expected


def test_whatever_was_acknowledged_before_a_kill_at_any_moment_is_stored(database_url: str):
    keys = open_trade(database_url)
    numbers = count(1)
    sent: list[dict] = []
    acknowledged: list[dict] = []

    def send(door: ServiceProcess, stop: threading.Event) -> None:
        with httpx.Client(base_url=door.address, timeout=10) as client:
            while not stop.is_set():
                body = report([event(f"e{next(numbers)}") for _ in range(20)])
                sent.append(body)
                try:
                    answer = client.post(
                        "/v1/usage-reports", json=body, headers={"Authorization": f"Bearer {keys['north']}"}
                    )
                except httpx.TransportError:
                    return
                assert answer.status_code == 200
                acknowledged.append(body)

    for life in range(3):
        with service_process(database_url, keys) as door:
            stop = threading.Event()
            senders = [threading.Thread(target=send, args=(door, stop)) for _ in range(8)]
            for sender in senders:
                sender.start()
            time.sleep(0.2 + 0.17 * life)
            door.process.kill()
            stop.set()
            for sender in senders:
                sender.join()
        rows = stored(database_url)
        missing = [e["event_id"] for body in acknowledged for e in body["events"] if e["event_id"] not in rows]
        assert missing == []
    assert len(acknowledged) > 10 and len(sent) > len(acknowledged)
    with service_process(database_url, keys) as door:
        for body in sent:
            counts = door.post(body).json()["counts"]
            assert counts["accepted"] == 20, counts
    assert stored(database_url) == {e["event_id"]: 1 for body in sent for e in body["events"]}
    with psycopg.connect(database_url) as connection:
        sums = connection.execute("SELECT sum(image_count), sum(accepted), count(*) FROM usage_reports").fetchone()
    assert sums == (20 * len(sent), 20 * len(sent), len(sent))
