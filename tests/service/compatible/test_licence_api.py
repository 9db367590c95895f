"""The licence API's own ways: ids where there are any, blind repeats where there are none, and its refusals."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg

from service.compatible.licence_api import RECORDED
from tests.door import Door, stamp, wait_until
from tests.service.compatible.doors import licence, register, roll_up_now, sign, stored, traces


def refused(response: httpx.Response, status: int) -> str:
    """The sentence of a refusal in this protocol's form."""
    assert response.status_code == status, response.text
    assert list(response.json()) == ["detail"] and len(response.json()["detail"]) > 10
    return str(response.json()["detail"])


def name_model(url: str, name: str, slug: str = "sd-1") -> None:
    with psycopg.connect(url) as owner:
        owner.execute(
            "INSERT INTO model_names (name, model_id) SELECT %s, id FROM models WHERE slug = %s", [name, slug]
        )


def test_the_success_is_exactly_what_old_clients_compare_with(door: Door):
    for body in (None, {}, {"number_of_generations": 3}):
        response = licence(door, body)
        assert (response.status_code, response.json()) == (200, {"message": "Usage recorded successfully"})
    assert RECORDED == {"message": "Usage recorded successfully"}


def test_an_external_id_or_an_idempotency_key_names_the_fact_and_the_former_goes_first(door: Door, database_url: str):
    sent: list[tuple[Any, dict[str, str]]] = [
        ({"external_id": "job:1 é"}, {}),
        ({"external_id": "job:1 é"}, {"Idempotency_Key": "other"}),
        ({"number_of_generations": 2}, {"Idempotency_Key": "key-1"}),
        ({"number_of_generations": 2}, {"Idempotency_Key": "key-1"}),
        ({"external_id": "key-1"}, {}),  # an id is not a key of the same letters
        ({"external_id": "x" * 255}, {}),
        ({"external_id": "x" * 254}, {}),
    ]
    for body, headers in sent:
        time.sleep(0.002)  # a repeat comes at another time of ours
        assert licence(door, body, **headers).status_code == 200
    found = {event_id: count for (_, event_id), count in stored(database_url).items()}
    long = [event_id for event_id in found if event_id.startswith("licence-sha256:")]
    assert len(long) == 2
    assert {k: v for k, v in found.items() if k not in long} == {
        "licence:job:1 é": 1, "licence-key:key-1": 2, "licence:key-1": 1}  # fmt: skip
    assert "external_id or Idempotency-Key" in refused(
        licence(door, {"number_of_generations": 3}, Idempotency_Key="key-1"), 409
    )
    assert "derivatives" not in refused(licence(door, {"external_id": "job:1 é"}, model="sd-1-tuned"), 409)
    assert stored(database_url) == {("north", event_id): count for event_id, count in found.items()}


def test_equal_keys_of_two_licensees_are_two_facts(door: Door, database_url: str):
    for licensee in ("north", "south"):
        assert licence(door, {"external_id": "a"}, licensee=licensee).status_code == 200
    assert stored(database_url) == {("north", "licence:a"): 1, ("south", "licence:a"): 1}


def test_blind_repeats_are_both_counted_and_flagged(door: Door, database_url: str):
    for _ in range(2):
        licence(door, {"number_of_generations": 4})
    licence(door, {"number_of_generations": 5})
    licence(door, {"number_of_generations": 4}, licensee="south")
    for _ in range(2):
        licence(door, {"number_of_generations": 6}, Idempotency_Key="k")
    assert sorted(stored(database_url).values()) == [4, 4, 4, 5, 6]
    page = door.get("/v1/usage/possible-duplicates").json()
    assert page["complete"] is True
    (found,) = page["possible_duplicates"]
    assert (found["model"], found["adapters"], found["image_count"], found["event_count"]) == ("sd-1", [], 4, 2)
    assert {("north", event_id) for event_id in found["event_ids"]} <= stored(database_url).keys()
    assert door.get("/v1/usage/possible-duplicates", "south").json()["possible_duplicates"] == []
    assert door.get("/v1/usage/possible-duplicates", limit="1").json()["complete"] is False
    for days in ({"from": "2026-01-01"}, {"to": "0001-01-02"}, {"to": "9999-12-31"},
                 {"from": "2026-02-02", "to": "2026-02-02"},
                 {"from": "0001-01-01", "to": "0001-01-02"}, {"limit": "0"}, {"from": "x"}):  # fmt: skip
        assert door.get("/v1/usage/possible-duplicates", **days).status_code == 422, days


def test_the_time_is_ours_unless_it_is_given(door: Door, database_url: str):
    past = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
    licence(door, {"occurred_at": past.isoformat(), "external_id": "told"})
    licence(door, {"external_id": "told"})  # says nothing about the time: the same
    licence(door, {"external_id": "untold"})
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT event_id, occurred_at, received_at FROM usage_events ORDER BY 1").fetchall()
    (_, told, _), (_, untold, received) = rows
    assert told == past and abs(received - untold) < timedelta(seconds=5)
    for occurred_at, word in ((stamp(timedelta(days=36)), "older"), (stamp(timedelta(minutes=-6)), "ahead")):
        detail = refused(licence(door, {"occurred_at": occurred_at}), 422)
        assert detail.startswith("occurred_at") and word in detail
    assert licence(door, {"occurred_at": stamp(timedelta(days=36))}, licensee="backfill").status_code == 200


def test_a_model_is_named_by_slug_alias_or_air_and_nobody_elses_name_is_a_400(door: Door, database_url: str):
    air = "urn:air:sd1:checkpoint:civitai:4384@128713"
    for name in ("flux-2-dev", "flux-1-kontext-dev", air, "org/model v1"):
        name_model(database_url, name)
    time.sleep(0.3)  # an unknown name makes intake look again, but not more often than that
    guessed = "urn:air:sd1:lora:civitai:a/b@2"
    for name in (
        "flux-2-dev",
        "flux-1-kontext-dev",
        "sd-1-tuned",
        air,
        guessed.replace("/", "%2F"),
        guessed,
        "org/model%20v1",
    ):
        assert licence(door, {"external_id": name}, name).status_code == 200, name
    before = stored(database_url)
    for name in ("flux-2", "Flux-2-dev", "%20sd-1", "sd-1%00", "%FF", "x" * 300, "..%2Fsd-1", "sd-1/", "%E2%80%AEsd-1"):
        detail = refused(licence(door, model=name), 400)
        assert detail.startswith("Model slug ") and detail.endswith(" is not supported for usage reporting")
    assert licence(door, model="").status_code in (400, 404)
    assert stored(database_url) == before


def test_usage_without_an_agreement_is_refused_kept_and_counted_when_one_is_signed(door: Door, database_url: str):
    register(database_url, "unsigned")
    time.sleep(0.3)
    for _ in range(2):
        detail = refused(licence(door, {"number_of_generations": 5, "external_id": "a"}, "unsigned"), 403)
        assert "no licence for model unsigned" in detail and "do not report them again" in detail
    assert stored(database_url) == {("north", "licence:a"): 5}
    assert refused(licence(door, {"derivatives": ["grain"], "external_id": "b"}), 403).count("these derivatives") == 1
    assert licence(door, {"derivatives": ["nobody"], "external_id": "c"}).status_code == 200
    sign(database_url, "unsigned")
    wait_until(lambda: licence(door, {"number_of_generations": 5, "external_id": "a"}, "unsigned").status_code == 200)
    roll_up_now(database_url)
    counted = {row["model"]: row["image_count"] for row in door.get("/v1/usage", group_by="model").json()["usage"]}
    assert counted["unsigned"] == 5


def test_a_bad_key_is_a_403_whatever_is_wrong_with_it(door: Door, database_url: str):
    for key in ("", "pmk_x", f"Bearer {door.keys['north']}", "\u00e9"):
        response = licence(door, **{"x-key": key.encode("latin-1")})  # type: ignore[arg-type]
        assert refused(response, 403) == "send a live meter key in the header x-key"
        assert "www-authenticate" not in response.headers
    assert refused(door.client.post("/v1/licenses/models/sd-1/usage"), 403)
    bearer = {"Authorization": f"Bearer {door.keys['north']}"}
    assert refused(door.client.post("/v1/licenses/models/sd-1/usage", headers=bearer), 403)
    assert traces(database_url) == (0, 0)
