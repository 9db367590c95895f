"""The hostile list of PROMISES.md, over HTTP: a 4xx or a rejected event, a code and a sentence, nothing stored.

Which code each gets is proved in tests/core/usage/intake/test_report.py, case by case; here the whole way is, at once.
"""

import json
from collections.abc import Iterator

import psycopg

from tests.door import Door, event, report, stamp

NUMBERS = ["0", "-1", "1.0", "1.5", "1e3", "1e400", "NaN", "-Infinity", "true", "null", '"12"', '"1_000"', "1_000",
           "１２", '"１２"', str(2**31), str(2**53 + 1), str(2**63), str(10**23), "9" * 5000, "[]", "{}", "01",
           "0x10"]  # fmt: skip
STRINGS = ['""', json.dumps("x" * 256), json.dumps("x" * 900_000), '"\\u0000"', '"a\\u0000b"', '"\\ud800"',
           '"\\udfff\\ud800"', '"a\\u202eb"', '"a "', '" a"', '"a\\u00a0"', '"a\\n"', '"a\nb"', '"\\u001b[2J"', "1",
           "null", "[]"]  # fmt: skip
TIMES = ["2026-11-22T11:00:00", "2026-11-22T24:00:00Z", "2026-06-30T23:59:60Z", "2025-02-29T00:00:00Z",
         "10000-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
         "9999-12-31T23:59:59.9999999Z",
         "2026-03-29T02:30:00 Europe/Berlin", "", "now", "2026-11-22", "1970-01-01T00:00:00Z"]  # fmt: skip
STRUCTURES = {
    "depth": b"[" * 100_000,
    "depth in events": b'{"report_id":"r","events":' + b"[" * 100_000,
    "depth in an event": b'{"report_id":"r","events":[{"event_id":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}",
    "no events": b'{"report_id":"r","events":[]}',
    "truncated": b'{"report_id":"r","events":[{"event_id":"a","mod',
    "empty": b"",
    "not JSON": b"report_id=r",
    "binary": bytes(range(256)),
    "10 MiB": b" " * (10 << 20),
    "licensee": b'{"report_id":"r","licensee_id":2,"events":[]}',
}


def good() -> dict:
    return event("innocent")


def events_with(field: str, literals: list[str]) -> Iterator[bytes]:
    for literal in literals:
        fields = {**{k: json.dumps(v) for k, v in event("hostile").items()}, field: literal}
        yield ("{" + ",".join(f'"{k}":{v}' for k, v in fields.items()) + "}").encode()


def hostile_events() -> Iterator[bytes]:
    yield from events_with("image_count", NUMBERS)
    for field in ("event_id", "model", "plan"):
        yield from events_with(field, STRINGS)
    yield from events_with(
        "adapters", [f"[{text}]" for text in STRINGS] + ["null", '"a"', "{}", json.dumps(["a"] * 33)]
    )
    yield from events_with("occurred_at", [*map(json.dumps, TIMES), "1795345200", "1795345200000", "null", "[]"])
    plain = json.dumps(event("hostile"))
    for extra in ('"event_id":"b"', '"event_id":"hostile"', '"image_count":1',
                  '"image_count":2', '"event\\u005fid":"b"',
                  '"licensee_id":2', '"__class__":"x"', '"":""'):  # fmt: skip
        yield f"{plain[:-1]},{extra}}}".encode()
    yield from (b"1", b"null", b"[]", b'"x"', b"{}", b"[[[]]]")


def test_a_hostile_event_is_refused_and_the_good_one_beside_it_counts_or_the_whole_report_is_refused(
    door: Door, database_url: str
):
    failures = []
    expected = 0
    for n, hostile in enumerate(hostile_events()):
        innocent = json.dumps(event(f"innocent-{n}")).encode()
        response = door.post(b'{"report_id":"r%d","events":[%s,%s]}' % (n, hostile, innocent))
        answer = response.json()
        if response.status_code == 200:
            bad, fine = answer["results"]
            fair = (
                bad["status"] == "rejected"
                and bad["code"]
                and len(bad["message"]) > 10
                and fine["status"] == "accepted"
            )
            expected += 1
        else:
            fair = response.status_code == 400 and answer["code"] == "invalid_json" and len(answer["detail"]) > 10
        if not fair:
            failures.append((hostile[:120], response.status_code, response.text[:300]))
    assert failures == []
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT event_id FROM usage_events").fetchall()
    assert len(rows) == expected > 100
    assert all(event_id.startswith("innocent-") for (event_id,) in rows)


def test_a_hostile_envelope_is_refused_as_a_whole(door: Door, database_url: str):
    bodies = dict(STRUCTURES)
    whole = json.dumps(report([good()], "r"))
    for literal in [*STRINGS, '"r","report_id":"r"', '"r","x":1']:
        bodies[f"report_id {literal[:20]}"] = whole.replace('"r"', literal, 1).encode()
    for literal in ["-1", "1.0", "1e3", "true", '"1"', "null", str(2**63), "NaN"]:
        bodies[f"sequence {literal}"] = (whole[:-1] + f',"sequence":{literal}}}').encode()
    bodies["1,001 events"] = json.dumps(report([good()] * 1001, "r")).encode()
    failures = []
    for name, body in bodies.items():
        response = door.post(body)
        if not 400 <= response.status_code < 500 or len(response.json()["detail"]) < 10 or not response.json()["code"]:
            failures.append((name, response.status_code, response.text[:300]))
    assert failures == []
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM usage_events").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM usage_reports").fetchone() == (0,)


def test_text_that_is_only_strange_is_kept_letter_for_letter(door: Door, database_url: str):
    strange = ["=HYPERLINK(1)", "<script>alert(1)</script>", "' OR 1=1 --", "../../etc/passwd", "é", "e\u0301", "\\N",
               "NULL", '"', "%s{}", "名前", "\U0001f600", "x" * 255]  # fmt: skip
    sent = [event(text, model=text, plan=text, adapters=[text], occurred_at=stamp()) for text in strange]
    response = door.post(report(sent, "'; DROP TABLE usage_events; --", source="<b>"))
    assert response.json()["counts"]["held"] == len(strange), response.text
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT event_id, model, plan, adapters FROM usage_events").fetchall()
    assert sorted(rows) == sorted((text, text, text, [text]) for text in strange)
    assert [each["event_id"] for each in response.json()["results"]] == strange


def test_hostile_queries_are_refused(door: Door):
    for params in ({"from": "x"}, {"to": "2026-02-30"}, {"limit": "0"}, {"limit": "1e3"}, {"limit": "-1"},
                   {"group_by": "licensee"}, {"after": "x"}, {"after": "2026-13-01 a"},
                   {"after": "2026-01-01 \x00"}, {"model": "x" * 300}):  # fmt: skip
        response = door.get("/v1/usage", **params)
        assert response.status_code == 422 and response.json()["code"] and response.json()["detail"], params
    for params in ({"model": "' OR 1=1"}, {"model": "\x00"}, {"from": "0001-01-01", "to": "9999-12-31"}):
        assert door.get("/v1/usage", **params).status_code in (200, 422), params
