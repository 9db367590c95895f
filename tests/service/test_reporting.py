"""The reporting calendar, zero reports and gaps over HTTP."""

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from sqlalchemy.orm import Session

from core.database import make_engine
from core.registry.register import issue_key
from core.usage.counts.rollup import roll_up
from tests.door import Door, event, report, serving, settings_for
from tests.trade import Trade, flat

DAY = timedelta(days=1)
ZONE = "America/St_Johns"


@pytest.fixture
def term() -> tuple[date, date]:
    """Thirty days up to and including yesterday, and ten from today on, in the north's zone."""
    today = datetime.now(ZoneInfo(ZONE)).date()
    return today - 30 * DAY, today + 10 * DAY


@pytest.fixture
def door(database_url: str, term: tuple[date, date]) -> Iterator[Door]:
    """Two licensees: the north's days are those of Newfoundland, the south's those of UTC."""
    engine = make_engine(database_url)
    with Session(engine) as session:
        trade = Trade(session, zone=ZONE)
        trade.account("south", "UTC")
        for licensee in ("north", "south"):
            fees = [flat("sd-1", "0.01"), flat("sd-2", "0.01")]
            trade.agreement(f"deal-{licensee}", licensee=licensee, fees=fees, starts_on=term[0], ends_on=term[1])
        keys = {licensee: issue_key(session, licensee, "test") for licensee in ("north", "south")}
        session.commit()
    engine.dispose()
    with serving(settings_for(database_url), keys) as running:
        yield running


def count(database_url: str) -> None:
    engine = make_engine(database_url)
    with Session(engine) as session:
        roll_up(session)
        session.commit()
    engine.dispose()


def get(door: Door, path: str, licensee: str = "north", **params: str) -> Any:
    found = door.get(path, licensee, **params)
    assert found.status_code == 200, found.text
    return found.json()


def post_zero(door: Door, licensee: str = "north", **fields: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {door.keys[licensee]}"}
    return door.client.post("/v1/zero-reports", json=fields, headers=headers)


def in_pages(door: Door, path: str, name: str, limit: int = 1, **params: str) -> list[Any]:
    rows: list[Any] = []
    while True:
        page = get(door, path, limit=str(limit), **params)
        rows += page[name]
        if page["next"] is None:
            return rows
        params["after"] = page["next"]


def test_silent_days_are_flagged_and_a_word_of_zero_takes_the_flag_away(
    door: Door, database_url: str, term: tuple[date, date]
):
    silent = [term[0] + n * DAY for n in (3, 4, 17)]
    days = [term[0] + n * DAY for n in range(30)]
    # 02:00 UTC is the evening before in Newfoundland, so these belong to the day before their date in UTC.
    sent = [event(occurred_at=f"{day + DAY}T02:00:00Z", model="sd-2") for day in days[:-1] if day not in silent]
    sent.append(event(occurred_at=f"{days[-1]}T12:00:00Z"))
    assert door.post(report(sent)).json()["counts"]["accepted"] == 27
    assert door.post(report([event(model="mystery", image_count=3)])).json()["counts"]["held"] == 1
    count(database_url)
    asked = {"agreement": "deal-north"}
    found = get(door, "/v1/reporting-calendar", **asked)
    assert (found["zone"], found["starts_on"], found["ends_on"]) == (ZONE, str(term[0]), str(term[1]))
    assert found["unnamed"] == {"event_count": 1, "image_count": 3} and found["next"] is None
    states = {each["day"]: each["state"] for each in found["days"]}
    assert len(states) == 40 and list(states) == sorted(states)
    assert [day for day, state in states.items() if state == "missing"] == [str(day) for day in silent]
    assert [states[str(day)] for day in days if day not in silent] == ["reported"] * 27
    assert found["days"][0] == {"day": str(days[0]), "state": "reported", "event_count": 1, "image_count": 1}
    (summary,) = get(door, "/v1/reporting-calendar/missing")["agreements"]
    assert (summary["agreement"], summary["zone"], summary["missing_days"]) == ("deal-north", ZONE, 3)
    assert summary["runs"] == [
        {"from": str(silent[0]), "to": str(silent[1] + DAY)},
        {"from": str(silent[2]), "to": str(silent[2] + DAY)},
    ]
    said = post_zero(door, zero_report_id="z", **{"from": str(silent[0]), "to": str(silent[2])})
    assert said.status_code == 200, said.text
    states = {each["day"]: each["state"] for each in get(door, "/v1/reporting-calendar", **asked)["days"]}
    assert [states[str(day)] for day in silent] == ["zero", "zero", "missing"]
    assert states[str(silent[0] + 2 * DAY)] == "reported"
    (summary,) = get(door, "/v1/reporting-calendar/missing")["agreements"]
    assert summary["missing_days"] == 1
    assert get(door, "/v1/reporting-calendar/missing", "south")["agreements"][0]["missing_days"] >= 29


def test_the_calendar_comes_in_pages_and_for_the_days_asked_for(door: Door, term: tuple[date, date]):
    asked = {"agreement": "deal-north"}
    whole = get(door, "/v1/reporting-calendar", **asked)["days"]
    assert in_pages(door, "/v1/reporting-calendar", "days", limit=7, **asked) == whole
    part = {"from": str(term[0] + 2 * DAY), "to": str(term[0] + 5 * DAY)}
    assert get(door, "/v1/reporting-calendar", **asked, **part)["days"] == whole[2:5]
    assert in_pages(door, "/v1/reporting-calendar", "days", **asked, **part) == whole[2:5]
    assert get(door, "/v1/reporting-calendar", **asked, **{"from": "9999-12-30"}, to="9999-12-31")["days"] == []
    assert get(door, "/v1/reporting-calendar", **asked, **{"from": "0001-01-01"}, to="9999-12-31")["days"] == whole
    assert door.get("/v1/reporting-calendar", **asked, **{"from": "2026-01-02"}, to="2026-01-02").status_code == 422
    assert door.get("/v1/reporting-calendar").status_code == 422


def test_another_licensees_agreement_has_no_calendar_for_the_caller(door: Door):
    response = door.get("/v1/reporting-calendar", agreement="deal-south")
    assert (response.status_code, response.json()["code"]) == (404, "unknown_agreement")
    assert door.get("/v1/reporting-calendar", "south", agreement="deal-south").status_code == 200


def test_a_zero_report_is_answered_the_same_every_time_and_another_one_under_its_id_is_a_conflict(
    door: Door, term: tuple[date, date]
):
    fields = {"zero_report_id": "host/1", "from": str(term[0]), "to": str(term[0] + DAY), "model": "sd-1"}
    first = post_zero(door, **fields)
    assert first.status_code == 200 and "perimage-replayed" not in first.headers, first.text
    assert first.json() == {**fields, "reason": None, "received_at": first.json()["received_at"]}
    again = post_zero(door, **fields)
    assert again.content == first.content and again.headers["perimage-replayed"] == "true"
    other = post_zero(door, **{**fields, "reason": "another"})
    assert (other.status_code, other.json()["code"]) == (409, "zero_report_id_reused")
    assert post_zero(door, "south", **fields).headers.get("perimage-replayed") is None
    # One of the agreement's two models being zero is not the word that there was nothing.
    assert get(door, "/v1/reporting-calendar", agreement="deal-north")["days"][0]["state"] == "missing"
    post_zero(door, **{**fields, "zero_report_id": "host/2", "model": "sd-2"})
    assert get(door, "/v1/reporting-calendar", agreement="deal-north")["days"][0]["state"] == "zero"
    whole = get(door, "/v1/zero-reports")["zero_reports"]
    assert [each["zero_report_id"] for each in whole] == ["host/1", "host/2"]
    assert in_pages(door, "/v1/zero-reports", "zero_reports") == whole
    assert len(get(door, "/v1/zero-reports", "south")["zero_reports"]) == 1


def test_a_zero_report_of_the_future_or_of_nonsense_is_refused_and_kept_nowhere(door: Door, term: tuple[date, date]):
    good = {"zero_report_id": "z", "from": str(term[0]), "to": str(term[0] + DAY)}
    wrong = [
        ({"to": str(term[1])}, "day_in_future"),
        ({"model": "nobody"}, "unknown_model"),
        ({"zero_report_id": "\u202e"}, "invalid_zero_report_id"),
        ({"days": 1}, "unknown_field"),
    ]
    for fields, code in wrong:
        response = post_zero(door, **{**good, **fields})
        assert (response.status_code, response.json()["code"]) == (422, code), response.text
    headers = {"Authorization": f"Bearer {door.keys['north']}", "Content-Type": "application/json"}
    for body, status in ((b"{", 400), (b"x" * 20_000, 413), (b'{"zero_report_id": "\xff"}', 400)):
        assert door.client.post("/v1/zero-reports", content=body, headers=headers).status_code == status
    assert door.client.post("/v1/zero-reports", json=good).status_code == 401
    assert get(door, "/v1/zero-reports")["zero_reports"] == []


def test_lost_reports_are_gaps_until_they_arrive_and_nothing_else_is(door: Door):
    """What is lost on the way is chosen here; the service sees only what arrives, out of order and some of it twice."""
    dice = random.Random(7)
    batches = {
        source: [report([event()], f"{source}/{n}", source=source, sequence=n) for n in range(100, 200)]
        for source in ("a", "b", "c")
    }
    lost = {"a": [103, 104, 150], "b": [], "c": [198]}
    arriving = [batch for source, sent in batches.items() for batch in sent if batch["sequence"] not in lost[source]]
    dice.shuffle(arriving)
    for batch in [*arriving, *arriving[:30]]:
        assert door.post(batch).status_code == 200
    door.post(batches["b"][0], "south")
    gaps = get(door, "/v1/usage/gaps")["gaps"]
    assert [(gap["source"], gap["kind"], gap["first"], gap["last"], gap["missing_count"]) for gap in gaps] == [
        ("a", "missing", 103, 104, 2),
        ("a", "missing", 150, 150, 1),
        ("c", "missing", 198, 198, 1),
    ]
    assert (gaps[0]["before"]["report_id"], gaps[0]["after"]["report_id"]) == ("a/102", "a/105")
    assert get(door, "/v1/usage/gaps", open_seconds="3600")["gaps"] == []
    assert in_pages(door, "/v1/usage/gaps", "gaps") == gaps
    assert get(door, "/v1/usage/gaps", source="c")["gaps"] == gaps[2:]
    for batch in (batches["a"][3], batches["a"][50], batches["c"][98]):
        door.post(batch)
    (gap,) = get(door, "/v1/usage/gaps")["gaps"]
    assert (gap["source"], gap["first"], gap["last"]) == ("a", 104, 104)
    door.post(batches["a"][4])
    assert get(door, "/v1/usage/gaps")["gaps"] == [] == get(door, "/v1/usage/gaps", "south")["gaps"]
    door.post(report([event()], "anew", source="a", sequence=100))
    (reused,) = get(door, "/v1/usage/gaps")["gaps"]
    assert reused["kind"] == "reused" and [each["report_id"] for each in reused["reports"]] == ["a/100", "anew"]
