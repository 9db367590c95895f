"""The relay: what it answered for reaches the service, once for each fact, whatever dies or is away."""

import json
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from perimage._relay import main

from tests.door import stamp, wait_until
from tests.sdk.relay_process import (
    EVENTS,
    KEY,
    LICENCE,
    METER_EVENTS,
    OWN,
    TOKEN,
    Said,
    Seen,
    cloud_event,
    meter_event,
    nowhere,
    own_report,
    relaying,
    standing_in,
)

Refused = Callable[..., str]


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Starts a relay that cannot be, and gives back what it said."""

    def start(*options: str, **environment: str) -> str:
        for name, value in {"PERIMAGE_KEY": KEY, **environment}.items():
            monkeypatch.setenv(name, value)
        assert main(["--url", nowhere(), *options]) == 2
        return capsys.readouterr().err

    return start


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def age(text: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds()


def test_every_door_answers_as_its_protocol_does_and_is_forwarded_with_the_relays_key(spool: Path):
    with standing_in() as service, relaying(spool, service.address) as relay:
        answer = relay.post(OWN, own_report("r1", "a", "b"))
        assert (answer.status_code, answer.json()) == (
            202,
            {"report_id": "r1", "event_count": 2, "status": "spooled"},
        )
        answer = relay.post(LICENCE, {"number_of_generations": 4}, x_key="the-platforms-own")
        assert (answer.status_code, answer.json()) == (200, {"message": "Usage recorded successfully"})
        assert relay.post(LICENCE).status_code == 200, "the oldest clients send no body at all"
        answer = relay.post(EVENTS, [cloud_event("c1"), cloud_event("c2")])
        assert (answer.status_code, answer.content) == (204, b"")
        answer = relay.form(meter_event(5), Authorization="Bearer sk_test")
        assert answer.status_code == 200
        assert (
            answer.json().items() >= {"object": "billing.meter_event", "event_name": "sd-1", "livemode": True}.items()
        )
        assert answer.json()["payload"] == {"stripe_customer_id": "north", "value": "5"}
        assert answer.json()["identifier"].startswith("relay-") and abs(answer.json()["timestamp"] - time.time()) < 60
        wait_until(lambda: len(service.seen) == 5 and relay.health()["pending"] == 0)
        assert all(seen.headers["authorization"] == f"Bearer {KEY}" for seen in service.seen)
        assert {seen.headers["x-key"] for seen in service.at(LICENCE)} == {KEY}
        assert not any(text in str(service.seen) for text in ("the-platforms-own", "sk_test"))
        assert sorted(seen.json().get("number_of_generations", 1) for seen in service.at(LICENCE)) == [1, 4]
        assert all(seen.key.startswith("relay-") for seen in (*service.at(LICENCE), *service.at(METER_EVENTS)))
        assert len({seen.key for seen in service.at(LICENCE)}) == 2


def test_what_says_everything_itself_goes_on_byte_for_byte(spool: Path):
    now = stamp()
    own = json.dumps(own_report("r", "e"), indent=3).encode()
    licence = b'{ "occurred_at" : "%b" , "number_of_generations":2}' % now.encode()
    events = json.dumps(cloud_event("c", time=now), indent=1).encode()
    form = meter_event(2, timestamp=str(int(time.time())), identifier="i").encode()
    with standing_in() as service, relaying(spool, service.address) as relay:
        kind = "application/cloudevents+json; charset=UTF-8"
        json_ = {"Content_Type": "application/json"}
        assert relay.post(OWN, own, **json_).status_code == 202
        assert relay.post(LICENCE, licence, Idempotency_Key="mine", **json_).status_code == 200
        assert relay.post(EVENTS, events, Content_Type=kind).status_code == 204
        assert relay.form(form.decode(), Idempotency_Key="also mine").status_code == 200
        wait_until(lambda: len(service.seen) == 4)
        assert {seen.path: seen.body for seen in service.seen} == {
            OWN: own,
            LICENCE: licence,
            EVENTS: events,
            METER_EVENTS: form,
        }
        assert {seen.path: seen.key for seen in service.seen} == {
            OWN: "",
            LICENCE: "mine",
            EVENTS: "",
            METER_EVENTS: "also mine",
        }
        assert service.at(EVENTS)[0].headers["content-type"] == kind


def test_a_time_left_open_is_when_the_relay_took_it_and_stays_so_when_it_is_sent_again(spool: Path):
    url = nowhere()
    tricky = json.dumps([cloud_event("c1", data={"model": 'a "{" b', "count": 1}), cloud_event("c2", time=stamp())])
    with relaying(spool, url) as relay:
        for pause in (0.05, 0):
            relay.post(LICENCE, b" {} ", Content_Type="application/json", Idempotency_Key="k")
            relay.post(EVENTS, tricky.encode(), Content_Type="application/json")
            relay.form(meter_event(1, identifier="i"))
            time.sleep(pause)
        with standing_in(port=port_of(url)) as service:
            wait_until(lambda: len(service.seen) == 6)
            bodies = [[seen.body for seen in service.at(path)] for path in (LICENCE, EVENTS, METER_EVENTS)]
            assert all(first == second for first, second in bodies)
            assert 0 < age(json.loads(bodies[0][0])["occurred_at"]) < 60
            forwarded = json.loads(bodies[1][0])
            assert 0 < age(forwarded[0].pop("time")) < 60
            assert forwarded == json.loads(tricky)
            assert 0 <= time.time() - int(service.at(METER_EVENTS)[0].form()["timestamp"]) < 60


def test_a_killed_relay_forwards_everything_it_answered_for(spool: Path):
    url = nowhere()
    with relaying(spool, url) as relay:
        for number in range(15):
            assert relay.post(OWN, own_report(f"r{number}", f"e{number}")).status_code == 202
            assert relay.post(LICENCE, {"number_of_generations": number + 1}).status_code == 200
            assert relay.post(EVENTS, cloud_event(f"c{number}")).status_code == 204
            assert relay.form(meter_event(number + 1)).status_code == 200
        relay.kill()
    with relaying(spool, url) as relay:
        assert relay.health()["pending"] == 60 and relay.health()["oldest_age_seconds"] > 0
        with standing_in(port=port_of(url)) as service:
            wait_until(lambda: relay.health()["pending"] == 0)
            assert {seen.json()["report_id"] for seen in service.at(OWN)} == {f"r{number}" for number in range(15)}
            assert {seen.json()["id"] for seen in service.at(EVENTS)} == {f"c{number}" for number in range(15)}
            generations = {seen.key: seen.json()["number_of_generations"] for seen in service.at(LICENCE)}
            values = {seen.key: int(seen.form()["payload[value]"]) for seen in service.at(METER_EVENTS)}
            assert sum(generations.values()) == sum(values.values()) == 120 and len(generations) == len(values) == 15


@pytest.mark.parametrize(
    "point",
    [
        "after_reply_before_delete",
        pytest.param("after_fsync", marks=pytest.mark.slow),
        pytest.param("after_append_before_fsync", marks=pytest.mark.slow),
    ],
)
def test_killed_anywhere_it_counts_each_fact_once(spool: Path, point: str):
    """The sender repeats under its key what was not answered, as it must; the service sees at most one fact a key."""
    bodies = {f"key-{number}": {"number_of_generations": number + 1, "occurred_at": stamp()} for number in range(6)}
    with standing_in() as service:
        with relaying(spool, service.address, PERIMAGE_METER_KILL_POINT=f"{point}:2") as relay:
            answered = set()
            for key, body in bodies.items():
                try:
                    if relay.post(LICENCE, body, Idempotency_Key=key).status_code == 200:
                        answered.add(key)
                    wait_until(lambda: relay.health()["pending"] == 0)
                except httpx.TransportError:
                    break
            assert relay.process.wait(20) == -signal.SIGKILL
        with relaying(spool, service.address) as relay:
            for key in bodies.keys() - answered:
                assert relay.post(LICENCE, bodies[key], Idempotency_Key=key).status_code == 200
            wait_until(lambda: relay.health()["pending"] == 0)
        facts = {(seen.key, seen.json()["number_of_generations"]) for seen in service.seen}
        assert facts == {(key, body["number_of_generations"]) for key, body in bodies.items()}


@pytest.mark.slow
def test_a_service_that_is_busy_or_broken_gets_everything_once_it_is_well(spool: Path):
    ill = {"until": time.monotonic() + 1.5, "asked": 0.0}
    answers: list[Said] = [
        (503, b"", {}),
        (429, b"", {"Retry-After": "1"}),
        (500, b"", {}),
        (302, b"", {"Location": "/"}),
    ]

    def answer(_: Seen) -> Said | None:
        if time.monotonic() < ill["until"]:
            return answers[int(time.monotonic() * 7) % len(answers)]
        return None

    with standing_in(answer) as service, relaying(spool, service.address) as relay:
        for number in range(20):
            assert relay.post(LICENCE, {"number_of_generations": number + 1}).status_code == 200
        wait_until(lambda: relay.health()["pending"] == 0)
        counted = {seen.key: seen.json()["number_of_generations"] for seen in service.seen}
        assert sum(counted.values()) == 210 and len(counted) == 20
        assert relay.health()["parked"] == 0 and relay.health()["forwarded"] == 20


def test_retry_after_is_honoured(spool: Path):
    asked: list[float] = []

    def answer(_: Seen) -> Said | None:
        asked.append(time.monotonic())
        return (429, b"", {"Retry-After": "1"}) if len(asked) == 1 else None

    with standing_in(answer) as service, relaying(spool, service.address) as relay:
        relay.post(LICENCE)
        wait_until(lambda: len(asked) == 2)
        assert asked[1] - asked[0] >= 1


def test_one_request_that_the_service_fails_on_holds_nobody_up(spool: Path):
    poisoned = {"is": True}

    def answer(seen: Seen) -> Said | None:
        return (500, b"", {}) if b"poison" in seen.body and poisoned["is"] else None

    with standing_in(answer) as service, relaying(spool, service.address) as relay:
        relay.post(EVENTS, cloud_event("poison"))
        for number in range(5):
            relay.post(EVENTS, cloud_event(f"c{number}"))
            wait_until(lambda: relay.health()["pending"] == 1)
        poisoned["is"] = False
        wait_until(lambda: relay.health()["pending"] == 0)
        assert {seen.json()["id"] for seen in service.seen} == {"poison", *[f"c{number}" for number in range(5)]}


def test_what_the_service_refuses_is_parked_loudly_with_its_answer_and_can_be_sent_again(spool: Path):
    refusing = {"is": True}

    def answer(seen: Seen) -> Said | None:
        if not refusing["is"]:
            return None
        if seen.path == OWN:
            results = [{"event_id": "e", "status": "conflict", "message": "reported before with other content"}]
            return 200, json.dumps({"report_id": "r", "results": results}).encode(), {}
        return 400, b'{"detail": "Model slug x is not supported for usage reporting"}', {}

    with standing_in(answer) as service:
        with relaying(spool, service.address) as relay:
            relay.post(LICENCE, {"number_of_generations": 7})
            relay.post(OWN, own_report("r", "e"))
            wait_until(lambda: relay.health()["parked"] == 2)
            assert relay.health()["pending"] == 0
            assert "PARKED" in relay.log.read_text() and "not supported" in relay.log.read_text()
        parked = [json.loads(line) for line in (spool / "parked.jsonl").read_text().split("\n") if line]
        assert {(each["path"], each["status"]) for each in parked} == {(LICENCE, 400), (OWN, 200)}
        assert any("not supported" in each["answer"] for each in parked)
        before, refusing["is"] = service.at(LICENCE)[0], False
        with relaying(spool, service.address, "--send-parked") as relay:
            wait_until(lambda: len(service.seen) == 4 and relay.health()["pending"] == 0)
            assert relay.health()["parked"] == 0
            again = service.at(LICENCE)[1]
            assert (again.key, again.body) == (before.key, before.body), "the same fact under the same key"


STRANGE: dict[str, Said] = {
    "a proxy's page": (200, b"<html>Welcome to the hotel</html>", {}),
    "a proxy's refusal": (403, b"<html>Forbidden</html>", {}),
    "a wrong address": (404, b"not found", {}),
    "an unknown key": (401, b'{"code": "unauthenticated"}', {}),
}


MARKS = [(), *[pytest.mark.slow] * (len(STRANGE) - 1)]


@pytest.mark.parametrize(
    "said", [pytest.param(said, id=name, marks=mark) for (name, said), mark in zip(STRANGE.items(), MARKS, strict=True)]
)
def test_an_answer_that_decides_nothing_keeps_everything(spool: Path, said: Said):
    strange = {"is": True}
    with (
        standing_in(lambda _: said if strange["is"] else None) as service,
        relaying(spool, service.address) as relay,
    ):
        relay.post(OWN, own_report("r", "e"))
        relay.post(LICENCE)
        relay.post(EVENTS, cloud_event("c"))
        relay.form(meter_event(1))
        wait_until(lambda: len(service.seen) >= 2)
        health = relay.health()
        assert (health["pending"], health["parked"]) == (4, 0) and health["last_error"]
        strange["is"] = False
        wait_until(lambda: relay.health()["pending"] == 0)
        assert relay.health()["forwarded"] == 4


def test_a_licence_doors_403_about_the_key_parks_nothing(spool: Path):
    def answer(seen: Seen) -> Said | None:
        if seen.path == LICENCE:
            return 403, b'{"detail": "send a live meter key in the header x-key"}', {}
        return (401, b'{"code": "unauthenticated"}', {}) if seen.path.startswith("/v1/usage?") else None

    with standing_in(answer) as service, relaying(spool, service.address) as relay:
        relay.post(LICENCE)
        wait_until(lambda: len(service.at(LICENCE)) >= 2)
        assert (relay.health()["pending"], relay.health()["parked"]) == (1, 0)
        assert "meter key" in relay.health()["last_error"]


def test_simple_records_are_added_up_by_the_relays_meter(spool: Path):
    with standing_in() as service, relaying(spool, service.address) as relay:
        for _ in range(5):
            answer = relay.post("/v1/record", {"model": "sd-1", "images": 4, "plan": "free", "adapters": ["grain"]})
            assert answer.status_code == 202 and answer.json()["event_id"]
        assert relay.post("/v1/record", {"model": "sd-1", "images": 2, "occurred_at": stamp()}).status_code == 202
        for bad in (
            {"model": "sd-1"},
            {"model": "sd-1", "images": 0},
            {"model": "sd-1", "images": True},
            {"model": "sd-1", "images": 1.0},
            {"model": "", "images": 1},
            {"model": "sd-1", "images": 1, "imagse": 2},
            {"model": "sd-1", "images": 1, "occurred_at": "yesterday"},
            [1],
        ):
            assert relay.post("/v1/record", bad).status_code == 422, bad
        twice = relay.post("/v1/record", b'{"model": "a", "images": 1, "images": 2}', Content_Type="application/json")
        assert twice.status_code == 400
        relay.end()  # which sends what was added up so far
        events = [event for seen in service.at(OWN) for event in seen.json()["events"]]
        counts = {event["event_id"]: event["image_count"] for event in events}
        assert sum(counts.values()) == 22


def test_a_second_relay_on_one_spool_is_refused_with_a_sentence(spool: Path, refused: Refused):
    with relaying(spool, nowhere()):
        assert f"{spool} is in use by process" in refused("--listen", "127.0.0.1:0", "--spool", str(spool))


def test_a_full_spool_says_503_and_takes_again_when_there_is_room(spool: Path):
    url = nowhere()
    big = [cloud_event("", data={"model": "m", "note": "x" * 200_000})]
    with relaying(spool, url, "--max-spool", "1") as relay:
        answers = []
        for number in range(6):
            big[0]["id"] = f"c{number}"
            answers.append(relay.post(EVENTS, big))
        codes = [answer.status_code for answer in answers]
        assert codes == [204, 204, 204, 503, 503, 503]
        assert answers[-1].headers["retry-after"] and answers[-1].json()["code"] == "spool_full"
        too_much = relay.post(LICENCE, {"number_of_generations": 1, "external_id": "y" * 300_000})
        assert too_much.status_code == 503 and "detail" in too_much.json()
        with standing_in(port=port_of(url)) as service:
            wait_until(lambda: relay.health()["pending"] == 0)
            assert {seen.json()[0]["id"] for seen in service.seen} == {"c0", "c1", "c2"}
            assert relay.post(EVENTS, big).status_code == 204
    assert not list(spool.glob("damaged*"))


def test_it_is_reached_by_others_only_with_a_token(spool: Path, refused: Refused):
    assert "--allow-remote" in refused("--listen", "0.0.0.0:0")
    assert "PERIMAGE_RELAY_TOKEN" in refused("--listen", "0.0.0.0:0", "--allow-remote")
    assert "at least" in refused("--listen", "0.0.0.0:0", "--allow-remote", PERIMAGE_RELAY_TOKEN="short")
    assert "must be like" in refused("--listen", "8790")
    assert "PERIMAGE_KEY" in refused(PERIMAGE_KEY="", PERIMAGE_RELAY_TOKEN="")
    with (
        standing_in() as service,
        relaying(spool, service.address, "--allow-remote", PERIMAGE_RELAY_TOKEN=TOKEN) as relay,
    ):
        assert relay.post(LICENCE).status_code == 401
        assert relay.post(LICENCE, x_key="sesame").status_code == 401
        assert relay.post(LICENCE, x_key=TOKEN).status_code == 200
        assert relay.post(EVENTS, cloud_event("c"), Authorization=f"Bearer {TOKEN}").status_code == 204
        assert relay.client.post(METER_EVENTS, content=meter_event(1), auth=(TOKEN, "")).status_code == 415
        assert relay.health() == {"status": "ok"} and relay.client.get("/").status_code == 401
        wait_until(lambda: len(service.seen) == 2)
        assert TOKEN not in str(service.seen)


def test_web_pages_cannot_report(spool: Path):
    with relaying(spool, nowhere()) as relay:
        assert relay.form(meter_event(1), Origin="https://evil.example").status_code == 403
        assert relay.form(meter_event(1), Sec_Fetch_Site="cross-site").status_code == 403
        assert relay.form(meter_event(1), Host="rebound.example").status_code == 403
        assert relay.client.get("/", headers={"Host": "rebound.example"}).status_code == 403
        assert relay.form(meter_event(1), Host="[::1]:8790").status_code == 200


def test_how_it_is_doing_can_be_seen(spool: Path):
    with relaying(spool, nowhere()) as relay:
        relay.post(LICENCE)
        wait_until(lambda: relay.health()["last_error"])
        page = relay.client.get("/")
        assert page.headers["content-type"].startswith("text/html") and "script" not in page.text.lower()
        assert all(text in page.text for text in ("pending", "parked", "oldest age", "out of reach", "refresh"))
        assert relay.client.head("/").content == b"" and relay.client.head("/healthz").status_code == 200
        health: dict[str, Any] = relay.health()
        assert health["pending"] == 1 and health["taken"] == 1 and health["spool_bytes"] > 0
        assert relay.post("/healthz", {}).headers["allow"] == "GET, HEAD"
        assert relay.client.get(LICENCE).headers["allow"] == "POST"
        assert relay.post("/elsewhere", {}).status_code == 404
