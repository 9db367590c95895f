"""Seeing one's own reports and events: what became of each, how to mend it, and never anybody else's."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import psycopg
from sqlalchemy.orm import Session

from core.database import make_engine
from core.usage.counts.rollup import roll_up
from tests.door import Door, event, report, stamp

MIXED = "host 7/2026-11-22T09:15/ü?#%2F"  # an id with everything that an address could trip over


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


def refused(response: httpx.Response, status: int, code: str) -> None:
    assert (response.status_code, response.json()["code"]) == (status, code), response.text


def in_pages(door: Door, path: str, name: str, licensee: str = "north", limit: int = 1, **params: str) -> list[Any]:
    rows: list[Any] = []
    while True:
        page = get(door, path, licensee, limit=str(limit), **params)
        rows += page[name]
        if page["next"] is None:
            return rows
        params["after"] = page["next"]


def test_a_report_tells_its_events_and_what_became_of_the_others(door: Door, database_url: str):
    first = event("a/1", image_count=3, plan="free", occurred_at=stamp())
    assert door.post(report([first])).status_code == 200
    sent = [
        event("b", model="sd-1-tuned", image_count=2, adapters=["grain"]),
        event("c", model="nobody", image_count=5),
        event("d", image_count=0),
        {**first, "image_count": 4},
        {"image_count": 1},
        first,
        event("e", model="sd-1-tuned"),
    ]
    body = msgspec.json.encode(report(sent, MIXED, source="host", sequence=7))
    assert door.post(body).status_code == 200
    waiting = get(door, f"/v1/reports/{quote(MIXED, safe='')}")
    assert [each["standing"] for each in waiting["events"]] == ["waiting"] * 3
    count(database_url)
    found = get(door, f"/v1/reports/{quote(MIXED)}")
    assert found["report_id"] == MIXED and (found["source"], found["sequence"]) == ("host", 7)
    assert found["body_sha256"] == sha256(body).hexdigest() and found["key"] == "test"
    assert found["key_id"] == door.keys["north"].split("_")[1]
    assert found["counts"] == {"accepted": 1, "duplicate": 1, "held": 2, "conflict": 1, "rejected": 2}
    assert [(each["event_id"], each["standing"]) for each in found["events"]] == [
        ("b", "held"), ("c", "held"), ("e", "counted"),
    ]  # fmt: skip
    today = datetime.fromisoformat(sent[0]["occurred_at"]).date().isoformat()
    counted = {"day": today, "role": "named", "model": "sd-1", "agreement": "deal-north"}
    b, c, e = found["events"]
    assert e["counted_for"] == [counted] and e["held_for"] == []
    assert b["counted_for"] == [{**counted, "model": "grain", "role": "adapter_own", "agreement": None}, counted]
    assert [(hold["name"], hold["reason"]) for hold in b["held_for"]] == [("grain", "no_agreement")]
    assert [(hold["name"], hold["reason"]) for hold in c["held_for"]] == [("nobody", "unknown_name")]
    assert c["counted_for"] == [] and all(hold["how_to_fix"] for each in (b, c) for hold in each["held_for"])
    assert [(each["place"], each["event_id"], each["status"], each["code"]) for each in found["problems"]] == [
        (2, "d", "rejected", "invalid_image_count"),
        (3, "a/1", "conflict", "event_id_reused"),
        (4, None, "rejected", "missing_field"),
    ]
    assert [(each["place"], each["event_count"], each["code"]) for each in found["held"]] == [
        (0, 1, "no_agreement"),
        (1, 1, "unknown_model"),
    ]
    assert all(len(each["how_to_fix"]) > 20 for each in found["problems"] + found["held"])


def test_an_event_tells_its_report_what_it_counts_for_and_its_corrections(door: Door, database_url: str):
    sent = event("host/1", image_count=9, model="sd-1-tuned", plan="free")
    receipt = door.post(report([sent], "batch/1", source="host", sequence=1)).json()
    count(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO usage_corrections (licensee_id, correction_id, event_id, number, kind, image_delta,"
            " image_count_before, image_count_after, reason, actor) SELECT id, 'k', 'host/1', 1, 'amend', -2, 9, 7,"
            " 'two were test images', 'somebody' FROM licensees WHERE slug = 'north'"
        )
    found = get(door, "/v1/events/host/1")
    assert (found["report_id"], found["source"], found["sequence"]) == ("batch/1", "host", 1)
    assert found["received_at"] == receipt["received_at"]
    assert (found["image_count"], found["image_count_now"], found["plan"], found["output"]) == (9, 7, "free", "image")
    assert [(each["model"], each["agreement"]) for each in found["counted_for"]] == [("sd-1", "deal-north")]
    assert [(each["correction_id"], each["image_count_after"], each["reason"]) for each in found["corrections"]] == [
        ("k", 7, "two were test images")
    ]
    refused(door.get("/v1/events/host/2"), 404, "unknown_event")
    refused(door.get("/v1/events/host/1", "south"), 404, "unknown_event")


def test_two_licensees_with_equal_ids_see_each_its_own(door: Door, database_url: str):
    for licensee, images in (("north", 1), ("south", 1000)):
        sent = [event("same", image_count=images), event("wrong", image_count=-images)]
        assert door.post(report(sent, "same", source="same", sequence=images), licensee).status_code == 200
    count(database_url)
    for licensee, images in (("north", 1), ("south", 1000)):
        found = get(door, "/v1/reports/same", licensee)
        assert (found["sequence"], found["image_count"]) == (images, images)
        assert [each["image_count"] for each in found["events"]] == [images]
        event_ = get(door, "/v1/events/same", licensee)
        assert event_["image_count"] == images
        assert event_["counted_for"][0]["agreement"] == f"deal-{licensee}"
        assert [each["sequence"] for each in get(door, "/v1/reports", licensee)["reports"]] == [images]
        assert [each["image_count"] for each in get(door, "/v1/usage/sources", licensee)["sources"]] == [images]
        assert len(get(door, "/v1/usage/rejected", licensee)["rejected"]) == 1
    door.post(report([event("north's")], "north's"))
    refused(door.get("/v1/reports/north's", "south"), 404, "unknown_report")
    for path in ("/v1/reports", "/v1/reports/same", "/v1/events/same", "/v1/usage/rejected", "/v1/usage/sources"):
        assert door.client.get(path).status_code == 401


def test_reports_are_listed_newest_first_in_pages_and_by_source_time_and_problems(door: Door, database_url: str):
    for n in range(6):
        events = [event(), event(image_count=0)] if n % 3 == 0 else [event()]
        assert door.post(report(events, f"r{n}", source=f"host-{n % 2}")).status_code == 200
    everything = get(door, "/v1/reports")
    assert [each["report_id"] for each in everything["reports"]] == ["r5", "r4", "r3", "r2", "r1", "r0"]
    assert everything["next"] is None
    assert in_pages(door, "/v1/reports", "reports") == everything["reports"]
    assert in_pages(door, "/v1/reports", "reports", limit=2, source="host-1") == [
        each for each in everything["reports"] if each["source"] == "host-1"
    ]
    problems = in_pages(door, "/v1/reports", "reports", only="problems")
    assert [each["report_id"] for each in problems] == ["r3", "r0"]
    at = {each["report_id"]: each["received_at"] for each in everything["reports"]}
    between = get(door, "/v1/reports", **{"from": at["r1"], "to": at["r3"]})
    assert [each["report_id"] for each in between["reports"]] == ["r2", "r1"]


def test_reports_of_one_commit_have_one_time_and_still_each_its_place_in_the_pages(door: Door, database_url: str):
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO usage_reports (licensee_id, report_id, report_no, key_id, body_digest, received_at, accepted,"
            " duplicate, held, conflict, rejected, image_count, outcomes) SELECT l.id, 'r' || n, n, 1, '',"
            " now() - n % 2 * interval '1 day', 0, 0, 0, 0, 2, 0,"
            """ '[{"first": 0, "status": "rejected", "code": "invalid_model", "message": "m", "count": 2}]'"""
            " FROM licensees l, generate_series(1, 9) n WHERE l.slug = 'north'"
        )
    whole = get(door, "/v1/reports")["reports"]
    assert len(whole) == 9 and in_pages(door, "/v1/reports", "reports", limit=2) == whole
    events = get(door, "/v1/usage/rejected")["rejected"]
    assert [(each["event_id"], each["place"]) for each in events] == [(None, 0), (None, 1)] * 9  # ids were not kept
    assert in_pages(door, "/v1/usage/rejected", "rejected", limit=5) == events


def test_events_that_were_turned_away_are_listed_with_their_ids_until_for_ever(door: Door):
    good, bad = event("good"), event("bad", image_count=0)
    door.post(report([good, bad, {"event_id": 7}], "r1", source="host"))
    door.post(report([{**good, "image_count": 2}, event("late", occurred_at=stamp(timedelta(days=99)))], "r2"))
    door.post(report([{**bad, "image_count": 1}], "r3"))  # mended
    found = get(door, "/v1/usage/rejected")
    assert [(each["report_id"], each["event_id"], each["code"], each["source"]) for each in found["rejected"]] == [
        ("r2", "good", "event_id_reused", None),
        ("r2", "late", "timestamp_too_far_in_past", None),
        ("r1", "bad", "invalid_image_count", "host"),
        ("r1", None, "invalid_event_id", "host"),
    ]
    assert "free" in found["rejected"][2]["how_to_fix"] and "back-fill" in found["rejected"][1]["how_to_fix"]
    assert in_pages(door, "/v1/usage/rejected", "rejected") == found["rejected"]
    assert get(door, "/v1/events/bad")["image_count"] == 1


def test_the_ids_that_a_receipt_keeps_do_not_change_its_answer(door: Door, database_url: str):
    sent = report([event("a"), event("b", image_count=0), event("c", image_count=0), event("d", model="nobody")], "r")
    first = door.post(sent)
    again = door.post(sent)
    assert again.headers["perimage-replayed"] == "true" and again.content == first.content
    with psycopg.connect(database_url) as connection:
        [(outcomes,)] = connection.execute("SELECT outcomes FROM usage_reports").fetchall()
    assert [run.get("ids") for run in outcomes] == [["b", "c"], None]


def test_a_report_from_before_leaves_its_events_out_and_says_so(door: Door, owner_url: str):
    door.post(report([event("a")], "r"))
    with psycopg.connect(owner_url) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute("UPDATE usage_reports SET xid = NULL")
    found = get(door, "/v1/reports/r")
    assert found["events"] is None and "by their ids" in found["events_note"]
    assert get(door, "/v1/events/a")["report_id"] == "r"


def test_sources_are_summed_over_a_bounded_time(door: Door, database_url: str):
    door.post(report([event(image_count=2), event(model="nobody", image_count=3)], source="b", sequence=5))
    door.post(report([event(image_count=0)], source="b", sequence=9))
    last = door.post(report([event(image_count=4)])).json()
    found = get(door, "/v1/usage/sources")["sources"]
    assert [(each["source"], each["report_count"], each["event_count"], each["image_count"]) for each in found] == [
        (None, 1, 1, 4),
        ("b", 2, 2, 5),
    ]
    assert (found[1]["first_sequence"], found[1]["last_sequence"], found[1]["counts"]["rejected"]) == (5, 9, 1)
    assert found[0]["last_seen"] == last["received_at"]
    assert in_pages(door, "/v1/usage/sources", "sources") == found
    now = datetime.now(UTC)
    assert get(door, "/v1/usage/sources", **{"to": (now - timedelta(days=1)).isoformat()})["sources"] == []
    for start, end in ((now, now), (now, now - timedelta(1)), (now - timedelta(401), now)):
        asked = {"from": start.isoformat(), "to": end.isoformat()}
        refused(door.get("/v1/usage/sources", **asked), 422, "invalid_range")
    refused(door.get("/v1/usage/sources", to="0001-01-01T00:00:00Z"), 422, "invalid_range")


PATHS: dict[str, dict[str, str]] = {
    "/v1/reports": {},
    "/v1/usage/rejected": {},
    "/v1/usage/sources": {},
    "/v1/usage/gaps": {},
    "/v1/zero-reports": {},
    "/v1/reporting-calendar/missing": {},
    "/v1/reporting-calendar": {"agreement": "deal-north"},
}
NO_PLACES = ["", "x", "[]", "[1]", "{}", "null", '["2026-11-22"]', '["\\u0000"]', '["\\ud800"]', "[" * 900,
             '["2026-11-22T00:00:00",""]', '["9999-12-31T23:59:59-23:59","x",-1]', '["9999-12-31"]',
             '["x",9223372036854775808,"missing"]', '["x",1,"other"]', '["a","b","c","d"]', "\x00"]  # fmt: skip


def test_a_place_that_no_page_gave_is_refused_and_nothing_breaks(door: Door):
    door.post(report([event(), event(image_count=0)], source="x", sequence=1))
    for path, more in PATHS.items():
        for after in NO_PLACES:
            response = door.get(path, after=after, **more)
            assert response.status_code in (200, 422), (path, after, response.text)


HOSTILE = ["", "%00", "%FF", "x" * 256, "..%2F..", "' OR 1=1 --", "%E2%80%AE", "%F0%9F%8E%A9", "//", "b/"]


def test_ids_that_look_like_paths_are_found_and_hostile_ones_find_nothing_and_break_nothing(door: Door):
    for name in ("a//b", "/a", "a/", "../x", "%2F", "a b", "missing/../a", "🎨"):
        door.post(report([event(f"e{name}")], name))
        assert get(door, f"/v1/reports/{quote(name, safe='')}")["report_id"] == name
        assert get(door, f"/v1/events/e{quote(name, safe='')}")["report_id"] == name
    for name in HOSTILE:
        for path in ("reports", "events"):
            response = door.get(f"/v1/{path}/{name}")
            assert response.status_code in (404, 422), response.text
            assert response.headers["content-type"] == "application/problem+json"
