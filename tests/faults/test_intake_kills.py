"""kill -9 of the service at named points and at any moment: what was acknowledged is stored, and counts once."""

import json
import os
import signal
import threading
import time
from itertools import count
from pathlib import Path

import httpx
import psycopg
import pytest

from migrations.upgrade import upgrade
from stack.postgres import Postgres
from tests.door import ServiceProcess, event, open_trade, report, service_process, wait_until

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


@pytest.mark.slow
def test_whatever_was_acknowledged_before_a_kill_at_any_moment_is_stored(database_url: str):
    keys = open_trade(database_url)
    numbers = count(1)
    sent: list[dict] = []
    acknowledged: list[dict] = []

    headers = {"Authorization": f"Bearer {keys['north']}", "Content-Type": "application/json"}

    def send(door: ServiceProcess, stop: threading.Event) -> None:
        with httpx.Client(base_url=door.address, timeout=10) as client:
            while not stop.is_set():
                body = report([event(f"e{next(numbers)}") for _ in range(20)])
                sent.append(body)
                try:
                    answer = client.post("/v1/usage-reports", content=json.dumps(body), headers=headers)
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    acknowledged.append(body)

    for life in range(3):
        with service_process(database_url, keys) as door:
            stop = threading.Event()
            senders = [threading.Thread(target=send, args=(door, stop)) for _ in range(8)]
            for sender in senders:
                sender.start()
            wait_until(lambda enough=20 * (life + 1): len(acknowledged) >= enough)
            time.sleep(0.013 * life)
            door.process.kill()
            stop.set()
            for sender in senders:
                sender.join()
        rows = stored(database_url)
        missing = [e["event_id"] for body in acknowledged for e in body["events"] if e["event_id"] not in rows]
        assert missing == []
    assert len(sent) > len(acknowledged)
    with service_process(database_url, keys) as door:
        for body in sent:
            answer = door.post(body)
            assert answer.status_code == 200, answer.text
            assert answer.json()["counts"]["accepted"] == 20
    assert stored(database_url) == {e["event_id"]: 1 for body in sent for e in body["events"]}
    with psycopg.connect(database_url) as connection:
        sums = connection.execute("SELECT sum(image_count), sum(accepted), count(*) FROM usage_reports").fetchone()
    assert sums == (20 * len(sent), 20 * len(sent), len(sent))


def test_a_killed_database_keeps_whatever_was_acknowledged(tmp_path: Path):
    acknowledged: list[str] = []
    with Postgres(tmp_path) as server:
        upgrade(server.url())
        keys = open_trade(server.url())
        with service_process(server.url(), keys) as door:
            for _ in range(2):
                stop = threading.Event()

                def send(door: ServiceProcess = door, stop: threading.Event = stop) -> None:
                    with httpx.Client(base_url=door.address, timeout=10) as client:
                        while not stop.is_set():
                            sent = report([event()])
                            headers = {"Authorization": f"Bearer {keys['north']}", "Content-Type": "application/json"}
                            if client.post("/v1/usage-reports", json=sent, headers=headers).status_code == 200:
                                acknowledged.append(sent["events"][0]["event_id"])

                enough = len(acknowledged) + 100
                senders = [threading.Thread(target=send) for _ in range(4)]
                for sender in senders:
                    sender.start()
                wait_until(lambda enough=enough: len(acknowledged) >= enough)
                assert server.pid
                os.kill(server.pid, signal.SIGKILL)
                stop.set()
                for sender in senders:
                    sender.join()
                server.stop()
                server.start()
                assert set(acknowledged) <= set(stored(server.url()))
            wait_until(lambda: door.post(report([event()])).status_code == 200)
