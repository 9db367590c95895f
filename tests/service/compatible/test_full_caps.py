"""A hard cap that is used up, at each door: refused in its own words and not counted; what was taken stays taken."""

from itertools import count

from tests.door import Door, wait_until
from tests.service.compatible.doors import (
    cloud,
    cloud_event,
    licence,
    meter,
    meter_form,
    roll_up_now,
    sign,
    stored,
    traces,
)


def test_a_full_cap_turns_images_away_at_every_door_and_keeps_the_evidence(door: Door, database_url: str):
    sign(database_url, "small", cap={"images": 10, "kind": "hard"})
    first = {"number_of_generations": 10, "external_id": "first"}
    wait_until(lambda: licence(door, first, "small").status_code == 200)
    roll_up_now(database_url)
    numbers = count(1)
    wait_until(lambda: licence(door, {"external_id": f"try-{next(numbers)}"}, "small").status_code == 403)
    before, (reports, _) = stored(database_url), traces(database_url)

    refused = licence(door, {"external_id": "b"}, "small")
    assert refused.status_code == 403 and "used up" in refused.json()["detail"]
    refused = meter(door, meter_form(event_name="small", identifier="b"))
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (403, "hard_cap_reached", "event_name")
    small = {"model": "small"}
    refused = cloud(door, [cloud_event("a"), cloud_event("b", data=small)])
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (403, "hard_cap_reached")
    assert [each["id"] for each in problem["rejected"]] == ["b"] and "the other 1 of 2" in problem["detail"]

    assert stored(database_url) == before | {("north", "cloudevents:gpu-7:a"): 1}
    assert traces(database_url)[0] == reports + 3
    assert licence(door, first, "small").status_code == 200
