"""OpenMeter's door: identity, what a batch does as a whole, and its problems."""

import time
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest

from tests.door import Door, stamp
from tests.service.compatible.doors import cloud, cloud_event, roll_up_now, stored, traces


def refused(response: httpx.Response, status: int, code: str) -> dict:
    """A problem: the status, the code, a sentence."""
    assert (response.status_code, response.json().get("code")) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict = response.json()
    assert problem["status"] == status and problem["type"].endswith(code) and len(problem["detail"]) > 10
    return problem


def taken(response: httpx.Response) -> None:
    assert (response.status_code, response.content) == (204, b""), response.text
    assert "content-type" not in response.headers


def test_the_three_media_types_take_what_they_are_for(door: Door, database_url: str):
    one, batch, either = ("application/cloudevents+json", "application/cloudevents-batch+json", "application/json")
    for n, (kind, body) in enumerate([
        (one, cloud_event("a")), (batch, [cloud_event("b"), cloud_event("c")]), (either, cloud_event("d")),
        (either, [cloud_event("e")]), (f"{one}; charset=utf-8", cloud_event("f")),
        (f'{batch}; charset="UTF-8"', [cloud_event("g")]), (f"{either};charset=utf-8", cloud_event("h")),
        (one.upper(), cloud_event("i")),
    ]):  # fmt: skip
        taken(cloud(door, body, kind=kind))
        assert len(stored(database_url)) >= n
    assert {event_id for _, event_id in stored(database_url)} == {
        f"cloudevents:gpu-7:{letter}" for letter in "abcdefghi"
    }
    before = traces(database_url)
    refused(cloud(door, [cloud_event("z")], kind=one), 400, "invalid_events")
    refused(cloud(door, cloud_event("z"), kind=batch), 400, "invalid_events")
    for kind in ("text/plain", "application/x-www-form-urlencoded", f"{one}; charset=latin-1"):
        refused(cloud(door, cloud_event("z"), kind=kind), 415, "unsupported_content_type")
    assert traces(database_url) == before


def test_an_event_is_known_by_its_source_and_id_together_and_nothing_moves_between_them(door: Door, database_url: str):
    pairs = [("a", "b"), ("b", "a"), ("a:", "b"), ("a", ":b"), ("a%3A", "b"), ("a:b", "c"), ("a", "b:c"), ("/a/é", "b"),
             ("x" * 600, "y" * 600), ("x" * 601, "y" * 599), ("x" * 600 + ":y", "y" * 598)]  # fmt: skip
    for _ in range(2):
        taken(cloud(door, [cloud_event(id_, source=source) for source, id_ in pairs]))
    assert len(stored(database_url)) == len(pairs)
    taken(cloud(door, [cloud_event("b", source="a"), cloud_event("b", source="a")]))
    taken(cloud(door, cloud_event("b", "south", source="a"), "south"))
    assert len(stored(database_url)) == len(pairs) + 1
    assert all(len(event_id) <= 255 for _, event_id in stored(database_url))


def test_a_time_of_ours_does_not_make_a_repeat_a_conflict(door: Door, database_url: str):
    taken(cloud(door, [cloud_event("1"), cloud_event("2", time=stamp(timedelta(hours=1)))]))
    time.sleep(0.01)
    taken(cloud(door, [cloud_event("1"), cloud_event("2"), cloud_event("1", time=None)]))
    assert len(stored(database_url)) == 2
    refused(cloud(door, cloud_event("2", time=stamp())), 409, "event_id_reused")


def test_everything_an_event_may_say_is_kept(door: Door, database_url: str):
    data = {"model": "sd-1-tuned", "count": "12", "adapters": ["grain", "a"], "plan": "free", "output": "preview"}
    attributes = {"datacontenttype": "application/json", "dataschema": "https://x.example/s", "traceparent": "00-1",
                  "sequence": "7", "time": "2026-10-31T23:59:59.25+01:00"}  # fmt: skip
    when = datetime.now(UTC).replace(microsecond=250_000) - timedelta(days=2)
    taken(cloud(door, cloud_event(data=data, **{**attributes, "time": when.isoformat()})))
    nothing = {"time": None, "datacontenttype": None, "dataschema": None, "tracestate": None}
    taken(cloud(door, cloud_event("2", **nothing)))
    with psycopg.connect(database_url) as connection:
        first, second = connection.execute(
            "SELECT model, image_count, adapters, plan, output, occurred_at FROM usage_events ORDER BY event_id"
        ).fetchall()
    assert first == ("sd-1-tuned", 12, ["a", "grain"], "free", "preview", when)
    assert second[:5] == ("sd-1", 1, [], "", "image")


def test_a_batch_with_anything_wrong_is_refused_whole_and_says_where(door: Door, database_url: str):
    wrong = cloud_event("3", data={"model": "sd-1", "count": 0})
    late = cloud_event("4", time=stamp(timedelta(days=36)))
    problem = refused(cloud(door, [cloud_event("1"), cloud_event("2"), wrong]), 400, "invalid_count")
    assert [each["at"] for each in problem["errors"]] == ["[2].data.count"] and "[2].data.count" in problem["detail"]
    problem = refused(cloud(door, [wrong, cloud_event("1"), late, 7]), 400, "invalid_events")
    assert [(each["at"], each["code"]) for each in problem["errors"]] == [
        ("[0].data.count", "invalid_count"),
        ("[2].time", "timestamp_too_far_in_past"),
        ("[3]", "invalid_event"),
    ]
    assert problem["error_count"] == 3 and "nothing was stored" in problem["detail"]
    problem = refused(cloud(door, [wrong] * 30), 400, "invalid_events")
    assert (len(problem["errors"]), problem["error_count"]) == (20, 30)
    assert refused(cloud(door, wrong), 400, "invalid_count")["errors"][0]["at"] == "data.count"
    assert traces(database_url) == (0, 0)
    taken(cloud(door, [cloud_event(str(n)) for n in range(1000)]))
    refused(cloud(door, [cloud_event(str(n)) for n in range(2000, 3001)]), 400, "invalid_events")
    refused(cloud(door, []), 400, "invalid_events")
    assert traces(database_url) == (1, 1000)


@pytest.mark.parametrize("subject", ["south", "North", "north ", "nobody", ""])
def test_the_subject_must_be_the_licensee_whose_key_it_is(door: Door, database_url: str, subject: str):
    for body in (cloud_event(subject=subject), [cloud_event("1"), cloud_event("2", subject=subject)]):
        response = cloud(door, body)
        if subject.strip() == subject != "":
            problem = refused(response, 403, "wrong_subject")
            assert "north" in problem["detail"] and "south" not in problem["detail"]
        else:
            refused(response, 400, "invalid_subject")
    assert traces(database_url) == (0, 0)


def test_a_conflict_is_told_with_its_ids_and_the_rest_is_stored(door: Door, database_url: str):
    taken(cloud(door, cloud_event("1", data={"model": "sd-1", "count": 4})))
    batch = [
        cloud_event("1", data={"model": "sd-1", "count": 5}),
        cloud_event("2"),
        cloud_event("3", data={"model": "x"}),
    ]
    for _ in range(2):
        problem = refused(cloud(door, batch), 409, "event_id_reused")
        (conflict,) = problem["conflicts"]
        assert (conflict["source"], conflict["id"]) == ("gpu-7", "1") and "image_count" in conflict["message"]
        assert "the other 2 of 3 events are stored" in problem["detail"]
    assert stored(database_url) == {("north", f"cloudevents:gpu-7:{n}"): 4 if n == 1 else 1 for n in (1, 2, 3)}


def test_held_events_are_acknowledged_and_listed(door: Door, database_url: str):
    taken(
        cloud(
            door, [cloud_event("1", data={"model": "nobody", "count": 3}), cloud_event("2", data={"model": "unagreed"})]
        )
    )
    roll_up_now(database_url)
    (held,) = door.get("/v1/usage/held").json()["held"]
    assert (held["name"], held["image_count"]) == ("nobody", 3)


def test_another_type_of_event_is_told_to_go_elsewhere(door: Door, database_url: str):
    problem = refused(cloud(door, cloud_event(type="tokens")), 400, "invalid_type")
    assert "image.generated" in problem["detail"]
    assert traces(database_url) == (0, 0)
