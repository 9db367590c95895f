"""The relay in front of the real service: exact counts through every door, with both of them killed on the way."""

import json
from pathlib import Path

import psycopg
import pytest

from tests.door import event, open_trade, report, service_process, serving, settings_for, wait_until
from tests.sdk.relay_process import EVENTS, OWN, RelayProcess, cloud_event, meter_event, relaying

LICENCE = "/v1/licenses/models/sd-1/usage"
ROUNDS = 12


def counted(url: str) -> tuple[int, int]:
    """Images, and events."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT coalesce(sum(image_count), 0), count(*) FROM usage_events").fetchone()
    assert found is not None
    return int(found[0]), found[1]


def report_a_round(relay: RelayProcess, number: int) -> int:
    """One request through each door and its repeat, where a door knows repeats. The images that should count."""
    own = json.dumps(report([event(f"own-{number}-{n}", image_count=n + 1) for n in range(3)], f"r-{number}")).encode()
    cloud = [cloud_event(f"c-{number}"), cloud_event(f"d-{number}")]
    for _ in range(2):
        assert relay.post(OWN, own, Content_Type="application/json").status_code == 202
        assert relay.post(EVENTS, cloud).status_code == 204
        assert relay.post(LICENCE, {"number_of_generations": 5}, Idempotency_Key=f"l-{number}").status_code == 200
        assert relay.form(meter_event(7, identifier=f"m-{number}")).status_code == 200
    assert relay.post(LICENCE).status_code == 200
    assert relay.post("/v1/record", {"model": "sd-1", "images": 2}).status_code == 202
    return 6 + 4 + 5 + 7 + 1 + 2


@pytest.mark.slow
def test_whatever_dies_on_the_way_every_image_counts_once(database_url: str, tmp_path: Path):
    keys = open_trade(database_url)
    spool, expected = tmp_path / "spool", 0
    key = {"PERIMAGE_KEY": keys["north"]}
    with service_process(database_url, keys) as service, relaying(spool, service.address, **key) as relay:
        for number in range(ROUNDS):
            expected += report_a_round(relay, number)
        wait_until(lambda: relay.health()["forwarded"] > 10)
        service.process.kill()
        for number in range(ROUNDS, 2 * ROUNDS):
            expected += report_a_round(relay, number)
        relay.kill()
    with service_process(database_url, keys) as service, relaying(spool, service.address, **key) as relay:
        wait_until(lambda: relay.health()["forwarded"] > 10)
        relay.kill()
    with service_process(database_url, keys) as service, relaying(spool, service.address, **key) as relay:
        wait_until(lambda: relay.health()["pending"] == 0)
        assert relay.health()["parked"] == 0, (spool / "parked.jsonl").read_text()
        relay.end()
        images, events = counted(database_url)
        assert images == expected and events >= 2 * ROUNDS * (3 + 2 + 1 + 1 + 1)


def test_what_the_service_does_not_take_is_parked_with_its_words(database_url: str, tmp_path: Path):
    keys = open_trade(database_url)
    with (
        serving(settings_for(database_url), keys) as service,
        relaying(tmp_path / "spool", service.address, PERIMAGE_KEY=keys["north"]) as relay,
    ):
        relay.post("/v1/licenses/models/nobody/usage")
        relay.post(OWN, report([event("same", image_count=1)], "r1"))
        wait_until(lambda: relay.health()["forwarded"] == 1)
        relay.post(OWN, report([event("same", image_count=2)], "r2"))
        relay.post(EVENTS, cloud_event("c", subject="south"))
        wait_until(lambda: relay.health()["parked"] == 3 and relay.health()["pending"] == 0)
        words = (tmp_path / "spool" / "parked.jsonl").read_text()
        assert all(text in words for text in ("nobody is not supported", "conflict", "subject"))
    assert counted(database_url) == (1, 1)


@pytest.mark.slow
def test_a_revoked_key_keeps_everything_on_the_disk(database_url: str, tmp_path: Path):
    keys = open_trade(database_url)
    with service_process(database_url, keys) as service:
        with relaying(tmp_path / "spool", service.address, PERIMAGE_KEY=keys["north"] + "x") as relay:
            assert relay.post(LICENCE).status_code == 200
            wait_until(lambda: "meter key" in relay.health()["last_error"])
            assert relay.post(OWN, report([event("e", image_count=3)], "r")).status_code == 202
        with relaying(tmp_path / "spool", service.address, PERIMAGE_KEY=keys["north"]) as relay:
            wait_until(lambda: relay.health()["pending"] == 0)
            assert relay.health()["parked"] == 0 and counted(database_url) == (4, 2)
