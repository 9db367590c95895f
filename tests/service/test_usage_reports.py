"""Reporting usage over HTTP: receipts, repeats, keys, limits, and what happens when the database is away."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy.orm import Session

from core.database import make_engine
from core.errors import Conflict, Unavailable
from core.registry.register import issue_key, revoke_key
from core.usage.counts.rollup import roll_up
from core.usage.intake.report import Window, read_report
from migrations.upgrade import upgrade
from service import intake_queue
from service.intake_queue import IntakeQueue
from stack.postgres import Postgres
from tests.door import Door, event, open_trade, report, service_process, serving, settings_for, stamp, wait_until
from tests.trade import Trade, flat


def results(response: httpx.Response) -> list[tuple[str, str | None]]:
    assert response.status_code == 200, response.text
    return [(each["status"], each.get("code")) for each in response.json()["results"]]


def stored(url: str) -> dict[str, int]:
    with psycopg.connect(url) as connection:
        return dict(connection.execute("SELECT event_id, image_count FROM usage_events").fetchall())


def refused(response: httpx.Response, status: int, code: str) -> None:
    """A problem: the status, the code, a sentence."""
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status and problem["type"].endswith(code) and len(problem["detail"]) > 10


def test_the_receipt_has_one_result_for_each_event_in_order(door: Door, database_url: str):
    events = [
        event("a", image_count=3),
        event("b", model="sd-1-tuned", adapters=["grain"]),
        event("c", model="nobody"),
        event("d", image_count=0),
        event("e", model="unagreed", image_count=10),
        event("f", adapters=["nobody"]),
    ]
    response = door.post(report([*events, events[0]], "r", source="host", sequence=1))
    assert results(response) == [
        ("accepted", None),
        ("held", "no_agreement"),  # the adapter owes a fee of its own, which is not agreed
        ("held", "unknown_model"),
        ("rejected", "invalid_image_count"),
        ("held", "no_agreement"),
        ("held", "unknown_adapter"),
        ("duplicate", None),
    ]
    receipt = response.json()
    assert [each["event_id"] for each in receipt["results"]] == ["a", "b", "c", "d", "e", "f", "a"]
    assert receipt["report_id"] == "r" and receipt["image_count"] == 3 + 1 + 1 + 10 + 1
    assert receipt["counts"] == {"accepted": 1, "duplicate": 1, "held": 4, "conflict": 0, "rejected": 1}
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT received_at, source, sequence FROM usage_reports").fetchall() == [
            (datetime.fromisoformat(receipt["received_at"]), "host", 1)
        ]
    assert stored(database_url) == {"a": 3, "b": 1, "c": 1, "e": 10, "f": 1}


def test_the_same_report_again_is_answered_with_the_first_receipt(door: Door):
    sent = report([event("a"), event("b", model="nobody"), event("c", image_count=-1), {"image_count": 1}], "r")
    first = door.post(sent)
    again = door.post(sent)
    assert again.content == first.content
    assert "perimage-replayed" not in first.headers and again.headers["perimage-replayed"] == "true"
    refused(door.post({**sent, "sequence": 2}), 409, "report_id_reused")
    assert door.post(sent, "south").json()["counts"]["accepted"] == 1


def test_old_usage_takes_a_key_with_a_back_fill_permission(door: Door):
    ages = [timedelta(days=34), timedelta(days=36), timedelta(days=299), timedelta(days=302), timedelta(minutes=-10)]
    sent = [event(occurred_at=stamp(age)) for age in ages]
    past, future = ("rejected", "timestamp_too_far_in_past"), ("rejected", "timestamp_in_future")
    accepted = ("accepted", None)
    assert results(door.post(report(sent))) == [accepted, past, past, past, future]
    again = [{**each, "event_id": each["event_id"] + "'"} for each in sent]
    assert results(door.post(report(again), "backfill")) == [accepted, accepted, accepted, past, future]


def test_a_model_registered_just_now_is_not_held(door: Door, database_url: str):
    held = door.post(report([event(model="brand-new")]))
    assert results(held) == [("held", "unknown_model")]
    with psycopg.connect(database_url) as owner:
        owner.execute("INSERT INTO model_names (name, model_id) SELECT 'brand-new', id FROM models WHERE slug = 'sd-1'")
    time.sleep(0.3)  # an unknown name makes intake look again, but not more often than that
    assert results(door.post(report([event(model="brand-new")]))) == [("accepted", None)]


def test_without_a_live_key_nothing_is_taken(door: Door, database_url: str):
    body = report([event()])
    key = door.keys["north"]
    wrong = ["", "Bearer", "Basic abc", f"Bearer {key}x", f"Bearer {key[:-1]}{'A' if key[-1] != 'A' else 'B'}",
             f"Bearer pmk_{'x' * 16}_{'y' * 43}", f"Bearer {key[:20]}", "Bearer \u00e9", f"Token {key}"]  # fmt: skip
    for value in wrong:
        response = door.post(body, Authorization=value.encode("latin-1"))  # type: ignore[arg-type]
        refused(response, 401, "unauthenticated")
        assert response.headers["www-authenticate"].startswith("Bearer")
    engine = make_engine(database_url)
    with Session(engine) as session:
        expired = issue_key(session, "north", "old", expires_at=datetime.fromisoformat(stamp(timedelta(seconds=1))))
        session.commit()
    refused(door.post(body, Authorization=f"Bearer {expired}"), 401, "unauthenticated")
    assert stored(database_url) == {}
    engine.dispose()


def test_a_revoked_key_is_refused_within_five_seconds(door: Door, database_url: str):
    assert door.post(report([event()])).status_code == 200
    engine = make_engine(database_url)
    with Session(engine) as session:
        revoke_key(session, door.keys["north"].split("_")[1])
        session.commit()
    engine.dispose()
    wait_until(lambda: door.post(report([event()])).status_code == 401, patience=5)
    assert door.post(report([event()]), "south").status_code == 200


def test_what_is_too_large_or_of_another_kind_is_refused_before_it_is_read(door: Door, database_url: str):
    body = httpx.Request("POST", "http://x", json=report([event()])).content
    limit = 1024 * 1024
    padded = body[:-1] + b" " * (limit - len(body)) + b"}"
    assert len(padded) == limit and door.post(padded).status_code == 200
    refused(door.post(padded + b" "), 413, "body_too_large")
    refused(door.post(b"x" * 10 * limit), 413, "body_too_large")
    bomb = gzip.compress(b"[" * 10_000_000)
    refused(door.post(bomb, Content_Encoding="gzip"), 415, "unsupported_content_encoding")
    for kind in ("text/plain", "application/x-www-form-urlencoded", "", "application/json; charset=latin-1"):
        refused(door.post(body, Content_Type=kind), 415, "unsupported_content_type")
    assert door.post(report([event()]), Content_Type='application/json; charset="UTF-8"').status_code == 200

    def chunks() -> Any:
        for _ in range(40):
            yield b" " * 65536

    headers = {"Authorization": f"Bearer {door.keys['north']}", "Content-Type": "application/json"}
    refused(door.client.post("/v1/usage-reports", content=chunks(), headers=headers), 413, "body_too_large")
    assert len(stored(database_url)) == 2


def test_fifty_senders_of_one_id_with_two_bodies_count_it_once(door: Door, database_url: str):
    bodies = [event("contested", image_count=count) for count in (1, 2)]

    def send(n: int) -> tuple[int, tuple[str, str | None]]:
        return n % 2, results(door.post(report([bodies[n % 2]])))[0]

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(send, range(50)))
    assert sum(status == "accepted" for _, (status, _) in answers) == 1
    winner = next(side for side, (status, _) in answers if status == "accepted")
    for side, (status, _) in answers:
        assert (status in ("accepted", "duplicate")) == (side == winner)
    assert stored(database_url) == {"contested": winner + 1}


def test_fifty_senders_of_one_report_get_one_receipt(door: Door, database_url: str):
    sent = report([event() for _ in range(20)], "r")
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: door.post(sent), range(50)))
    assert len({answer.content for answer in answers}) == 1
    assert sum("perimage-replayed" not in answer.headers for answer in answers) == 1
    assert len(stored(database_url)) == 20


def test_two_services_on_one_database_count_each_event_once(database_url: str):
    keys = open_trade(database_url)
    events = [event(f"e{n}") for n in range(200)]
    with serving(settings_for(database_url), keys) as one, service_process(database_url, keys) as two:

        def send(n: int) -> httpx.Response:
            part = [{**each} for each in events[n % 10 * 20 : n % 10 * 20 + 40]]
            return (one, two)[n % 2].post(report(part if n % 3 else part[::-1]))

        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(send, range(60)))
    counts = [answer.json()["counts"] for answer in answers]
    assert sum(count["accepted"] for count in counts) == 200
    assert all(count["conflict"] == count["rejected"] == 0 for count in counts)
    assert len(stored(database_url)) == 200


def test_a_lost_database_is_a_503_and_heals_without_hands(tmp_path: Path):
    with Postgres(tmp_path) as server:
        upgrade(server.url())
        with serving(settings_for(server.url()), open_trade(server.url())) as door:
            first = report([event("a")], "r")
            assert door.post(first).status_code == 200
            server.stop()
            lost = door.post(report([event("b")], "r2"))
            refused(lost, 503, "database_unavailable")
            assert lost.headers["retry-after"] == "1"
            assert door.client.get("/readyz").status_code == 503
            server.start()
            wait_until(lambda: door.post(report([event("b")], "r3")).status_code == 200)
            assert door.post(first).headers["perimage-replayed"] == "true"
            assert stored(server.url()) == {"a": 1, "b": 1}


def test_connections_cut_by_the_server_cost_no_report(door: Door, database_url: str):
    assert door.post(report([event("a")])).status_code == 200
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                      "AND pid <> pg_backend_pid()")  # fmt: skip
    assert door.post(report([event("b")])).status_code == 200
    assert stored(database_url) == {"a": 1, "b": 1}


def test_a_database_that_may_only_be_read_acknowledges_nothing(door: Door, database_url: str):
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(f"ALTER DATABASE {owner.info.dbname} SET default_transaction_read_only = on")
        owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                      "AND pid <> pg_backend_pid()")  # fmt: skip
        assert door.post(report([event("a")])).status_code == 503
        owner.execute("SET default_transaction_read_only = off")
        owner.execute(f"ALTER DATABASE {owner.info.dbname} RESET default_transaction_read_only")
        owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                      "AND pid <> pg_backend_pid()")  # fmt: skip
    wait_until(lambda: door.post(report([event("a")])).status_code == 200)
    assert stored(database_url) == {"a": 1}


def read(sent: dict[str, Any]) -> Any:
    return read_report(json.dumps(sent).encode(), Window.at(datetime.fromisoformat(stamp()), 35, 5))


@asynccontextmanager
async def blocked_queue(database_url: str) -> AsyncIterator[tuple[IntakeQueue, list[Any]]]:
    """A queue whose writer stands at a lock with one report of three events, until the block is left."""
    queue = IntakeQueue(database_url)
    await queue.start()
    blocker = await asyncio.to_thread(psycopg.connect, database_url)
    blocker.execute("LOCK usage_events")
    waiting: list[Any] = [queue.submit(1, 1, read(report([event() for _ in range(3)])), b"", {})]
    await asyncio.sleep(0.3)
    yield queue, waiting
    stopping = asyncio.create_task(queue.stop())
    await asyncio.sleep(0.1)
    assert not any(each.done() for each in waiting)
    blocker.rollback()
    await stopping
    blocker.close()


def test_a_full_queue_says_come_back_and_a_stopping_one_writes_what_it_has(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(intake_queue, "MOST_EVENTS", 5)
    open_trade(database_url)

    async def go() -> None:
        three = [event() for _ in range(9)]
        async with blocked_queue(database_url) as (queue, waiting):
            waiting += [queue.submit(1, 1, read(report(three[n : n + 3])), b"", {}) for n in (0, 3)]
            with pytest.raises(Unavailable):
                queue.submit(1, 1, read(report(three[6:])), b"", {})
        assert [receipt.verdict.counts.accepted for receipt in await asyncio.gather(*waiting)] == [3, 3, 3]

    asyncio.run(go())
    assert len(stored(database_url)) == 9


def test_of_one_report_several_times_in_a_waiting_group_the_first_is_counted_and_the_rest_hear_of_it(database_url: str):
    open_trade(database_url)
    sent = report([event("a"), event("b")], "r")

    async def go() -> list[Any]:
        async with blocked_queue(database_url) as (queue, waiting):
            waiting += [queue.submit(1, 1, read(sent), digest, {}) for digest in (b"1", b"1", b"2", b"1")]
            waiting.append(queue.submit(2, 2, read(sent), b"2", {}))
        return await asyncio.gather(*waiting[1:], return_exceptions=True)

    first, second, other, third, south = asyncio.run(go())
    assert (first.replayed, second.replayed, third.replayed, south.replayed) == (False, True, True, False)
    assert first.received_at == second.received_at == third.received_at
    assert isinstance(other, Conflict)
    assert first.verdict.counts.accepted == south.verdict.counts.accepted == 2


def test_the_service_does_not_start_on_a_server_that_does_not_flush(owner_url: str):
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(f"ALTER DATABASE {owner.info.dbname} SET synchronous_commit = off")
    with pytest.raises(RuntimeError, match="synchronous_commit=off"):
        asyncio.run(IntakeQueue(owner_url).start())


def test_a_full_hard_cap_turns_further_images_away_and_keeps_the_evidence(database_url: str):
    keys = open_trade(database_url)
    month = datetime.now(UTC).strftime("%Y-%m")
    engine = make_engine(database_url)
    with Session(engine) as session:
        trade = Trade.of(session, "guild")
        trade.agreement(
            "capped",
            fees=[flat("capped", "0.01", cap={"images": 100, "kind": "hard"})],
            licensee="north",
            starts_on=datetime.now(UTC).date() - timedelta(days=100),
            ends_on=datetime.now(UTC).date() + timedelta(days=100),
        )
        session.commit()
        with serving(settings_for(database_url), keys) as door:
            first = report([event("a", model="capped", image_count=150)], "first")
            assert results(door.post(first)) == [("accepted", None)]  # an event is taken whole
            roll_up(session)
            session.commit()
            wait_until(lambda: door.post(report([event(model="capped")])).status_code == 403, 10)
            full = report([event("b", model="capped", image_count=7), event("c", model="capped")], "full")
            response = door.post(full)
            refused(response, 403, "hard_cap_reached")
            assert "100 images of capped a month" in response.json()["detail"] and month in response.json()["detail"]
            assert (response.json()["image_count"], response.json()["report_id"]) == (8, "full")
            refused(door.post(full), 403, "hard_cap_reached")  # the same answer again
            mixed = [event("a", model="capped", image_count=150, occurred_at=first["events"][0]["occurred_at"]),
                     event("d", model="capped"), event("e"), event("f", model="capped", output="preview")]  # fmt: skip
            assert results(door.post(report(mixed))) == [
                ("duplicate", None), ("rejected", "hard_cap_reached"), ("accepted", None), ("accepted", None),
            ]  # fmt: skip
            assert results(door.post(first)) == [("accepted", None)]
    engine.dispose()
    assert set(stored(database_url)) >= {"a", "e", "f"} and not {"b", "c", "d"} & set(stored(database_url))
    with psycopg.connect(database_url) as connection:
        [(rejected, outcomes)] = connection.execute(
            "SELECT rejected, outcomes FROM usage_reports WHERE report_id = 'full'"
        ).fetchall()
    assert rejected == 2 and outcomes[0]["image_count"] == 8
