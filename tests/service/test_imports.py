"""Files over HTTP: every row counts as in a report, once, whatever breaks off on the way."""

import csv
import io
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest

from service.imports import parquet, taking_in
from tests.core.usage.intake.test_rows import NOT_COUNTS, NOT_NAMES, NOT_TIMES, STRANGE
from tests.door import Door, event, open_trade, report, serving, settings_for, stamp, wait_until

COLUMNS = ("event_id", "model", "image_count", "occurred_at", "adapters", "plan", "output")
Row = dict[str, Any]


def csv_of(rows: Sequence[Row], columns: Sequence[str] = COLUMNS) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode(errors="surrogateescape")


def send(door: Door, content: bytes, import_id: str = "i", *, licensee: str = "north", **params: Any) -> httpx.Response:
    kind = params.pop("kind", "text/csv")
    headers = {"Authorization": f"Bearer {door.keys[licensee]}", "Content-Type": kind}
    return door.client.post("/v1/imports", params={"import_id": import_id, **params}, headers=headers, content=content)


def results(door: Door, import_id: str = "i", licensee: str = "north", **params: str) -> list[Row]:
    response = door.get(f"/v1/imports/{import_id}/results", licensee, **params)
    assert response.status_code == 200 and response.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(response.text)))


def statuses(door: Door, import_id: str = "i", licensee: str = "north") -> list[str]:
    found = results(door, import_id, licensee)
    assert [int(row["row"]) for row in found] == list(range(1, len(found) + 1))
    return [row["status"] for row in found]


def stored(url: str, licensee_id: int = 1) -> dict[str, int]:
    with psycopg.connect(url) as connection:
        asked = "SELECT event_id, image_count FROM usage_events WHERE licensee_id = %s"
        return dict(connection.execute(asked, [licensee_id]).fetchall())


def good(count: int, prefix: str = "e") -> list[Row]:
    at = stamp()
    return [{**event(f"{prefix}{n}", image_count=n % 9 + 1), "occurred_at": at} for n in range(count)]


def test_a_file_is_taken_in_and_every_row_hears_what_became_of_it(door: Door, database_url: str):
    rows = [*good(2400), event("adapter", adapters="sd-1-tuned|sd-1-tuned", plan="free"), event("held", model="new")]
    rows += [event("bad", image_count="1.0"), {**rows[7], "image_count": 99}, rows[8]]
    response = send(door, csv_of(rows), file="C:\\usage\\october.csv")
    assert response.status_code == 200, response.text
    said = response.json()
    assert said["counts"] == {"accepted": 2401, "duplicate": 1, "held": 1, "conflict": 1, "rejected": 1}
    assert (said["state"], said["row_count"], said["next_row"]) == ("done", 2405, 2406)
    assert (said["file_name"], said["format"]) == ("october.csv", "csv")
    counted = stored(database_url)
    assert said["image_count"] == sum(counted.values()) and len(counted) == 2402
    assert statuses(door) == ["accepted"] * 2401 + ["held", "rejected", "conflict", "duplicate"]
    problems = results(door, only="problems")
    assert [(row["row"], row["event_id"], row["code"]) for row in problems] == [
        ("2402", "", "unknown_model"),
        ("2403", "bad", "invalid_image_count"),
        ("2404", "e7", "event_id_reused"),
    ]
    assert "image_count" in problems[2]["message"]
    assert door.get("/v1/imports/i").json() == said == door.get("/v1/imports").json()["imports"][0]


def test_a_file_and_a_report_are_under_one_identity_rule(door: Door):
    rows = good(3)
    assert door.post(report(rows)).json()["counts"]["accepted"] == 3
    assert send(door, csv_of([rows[0], {**rows[1], "model": "sd-1-tuned"}, *good(1, "new")])).status_code == 200
    assert statuses(door) == ["duplicate", "conflict", "accepted"]
    assert door.post(report(good(1, "new"))).json()["counts"]["conflict"] == 1  # at another time
    assert door.post(report([{**rows[2], "image_count": 50}])).json()["counts"]["conflict"] == 1


def hostile() -> list[Row]:
    rows = [event("hostile", image_count=text) for text in NOT_COUNTS]
    rows += [event("hostile", occurred_at=text) for text in [*NOT_TIMES, "1970-01-01T00:00:00Z", stamp(-timedelta(1))]]
    names = [text for text in NOT_NAMES if text]
    rows += [{**event("hostile"), field: text} for field in ("event_id", "model", "plan") for text in names]
    rows += [{**event("hostile"), **wrong} for wrong in ({"event_id": ""}, {"model": ""}, {"output": "Image"})]
    rows += [{**event("hostile"), "adapters": text} for text in ["|", "a||b", "a\x00", "|".join("a" * 33), "x" * 256]]
    rows += [{**event("hostile"), field: b"\xff\xfe".decode(errors="surrogateescape")} for field in COLUMNS]
    return rows


def test_a_hostile_value_in_any_column_is_refused_and_the_rows_beside_it_count(door: Door, database_url: str):
    bad = hostile()
    rows = [row for n, each in enumerate(bad) for row in (each, *good(1, f"innocent-{n}-"))]
    response = send(door, csv_of(rows))
    assert response.status_code == 200, response.text
    found = results(door)
    wrong = [
        (row, answer)
        for row, answer in zip(bad, found[::2], strict=True)
        if answer["status"] != "rejected" or not answer["code"] or len(answer["message"]) < 10
    ]
    assert wrong == []
    assert {answer["status"] for answer in found[1::2]} == {"accepted"}
    assert len(stored(database_url)) == len(bad) > 100


def test_text_that_is_only_strange_counts_and_no_cell_of_the_results_is_a_formula(door: Door, database_url: str):
    rows = [event(text, model="sd-1", plan=text) for text in STRANGE]
    assert send(door, csv_of(rows)).json()["counts"]["accepted"] == len(STRANGE)
    assert set(stored(database_url)) == set(STRANGE)
    again = [{**row, "image_count": 7} for row in rows] + [event("=1+1", image_count=0)]
    assert send(door, csv_of(again), "again").status_code == 200
    ids = [row["event_id"] for row in results(door, "again")]
    assert ids == [f"'{text}" if text[0] in "=+-@" else text for text in [*STRANGE, "=1+1"]]


UNREADABLE: list[tuple[Row, bytes, tuple[int, str]]] = [
    ({}, b"", (422, "no_header")),
    ({}, b"a,b\n1,2\n", (422, "missing_column")),
    ({}, b"event_id,model,image_count,occurred_at,x\n", (422, "unknown_column")),
    ({"map": ["event_id"]}, b"", (422, "invalid_map")),
    ({"map": ["plan=x"] * 9}, b"", (422, "invalid_request")),
    ({"delimiter": "pipe"}, b"", (422, "invalid_delimiter")),
    ({"import_id": "a:b"}, b"", (422, "invalid_import_id")),
    ({"import_id": "x" * 129}, b"", (422, "invalid_request")),
    ({"file": "a\nb"}, b"", (422, "invalid_file_name")),
    ({"kind": "application/json"}, b"[]", (415, "unsupported_content_type")),
    ({"kind": "text/csv; charset=latin-1"}, b"", (415, "unsupported_content_type")),
    ({"kind": "application/vnd.apache.parquet"}, b"PAR1", (422, "invalid_parquet")),
    ({"kind": "application/x-ndjson"}, b"\n\n", (422, "no_rows")),
    ({"kind": "application/jsonl", "delimiter": "tab"}, b"", (422, "invalid_delimiter")),
]


def test_a_file_that_cannot_be_read_is_refused_and_leaves_nothing(door: Door, database_url: str):
    for params, content, problem in UNREADABLE:
        response = send(door, content, **{"import_id": "i", **params})
        said = response.json()
        assert (response.status_code, said["code"]) == problem and len(said["detail"]) > 10, (params, response.text)
    assert stored(database_url) == {} and door.get("/v1/imports").json()["imports"] == []


def test_keys_sizes_and_what_is_not_there_are_problems(database_url: str):
    keys = open_trade(database_url)
    with serving(settings_for(database_url, max_import_bytes=100_000), keys) as door:
        assert door.client.post("/v1/imports", content=b"").status_code == 401
        assert door.get("/v1/imports/nothing").status_code == door.get("/v1/imports/nothing/results").status_code == 404
        assert door.get("/v1/imports/a:b").status_code == 422
        big = csv_of(good(3000))
        announced = send(door, big, "announced")
        assert (announced.status_code, announced.json()["code"]) == (413, "body_too_large")
        headers = {"Authorization": f"Bearer {keys['north']}", "Content-Type": "text/csv"}
        params = {"import_id": "chunked"}

        def pieces() -> Iterator[bytes]:
            yield big[:70_000]
            wait_until(lambda: stored(database_url))
            yield big[70_000:]

        streamed = door.client.post("/v1/imports", params=params, headers=headers, content=pieces())
        assert (streamed.status_code, streamed.json()["import_id"]) == (413, "chunked")
        found = door.get("/v1/imports/chunked").json()
        assert (found["state"], found["code"]) == ("broken", "body_too_large") and found["next_row"] == 1001


def test_a_file_of_the_senders_own_columns_is_mapped(door: Door, database_url: str):
    rows = [{"ID": f"e{n}", "count": n + 1, "model": "sd-1", "at": stamp(), "prompt": "a,\nb"} for n in range(5)]
    content = csv_of(rows, ["prompt", "ID", "count", "model", "at"])
    mapped = ["event_id=ID", "image_count=count", "occurred_at=at"]
    assert send(door, content, map=mapped).json()["code"] == "unknown_column"
    answer = send(door, content.replace(b"prompt", b"p;t"), map=mapped, ignore_extra="true", delimiter="comma")
    assert answer.json()["counts"]["accepted"] == 5, answer.text
    assert stored(database_url) == {f"e{n}": n + 1 for n in range(5)}


def test_the_same_rows_are_duplicates_in_every_other_format(door: Door, database_url: str, tmp_path: Any):
    from tests.service.test_import_reading import TYPES, write_parquet

    rows = [*good(1200), event("a", adapters="sd-1-tuned|sd-1", plan="p", output="preview"), event("b", image_count=0)]
    typed = [{**row, **({"adapters": row["adapters"].split("|")} if "adapters" in row else {})} for row in rows]
    types = TYPES.replace("TIMESTAMPTZ", "VARCHAR")
    write_parquet(tmp_path / "x.parquet", typed, types)
    assert send(door, csv_of(rows), "csv").json()["counts"]["accepted"] == 1201
    lines = b"\n".join(json.dumps(row).encode() for row in typed)
    again = send(door, lines, "jsonl", kind="application/jsonl")
    columns = send(door, (tmp_path / "x.parquet").read_bytes(), "parquet", kind="application/vnd.apache.parquet")
    for answer in (again, columns):
        assert answer.json()["counts"] == {"accepted": 0, "duplicate": 1201, "held": 0, "conflict": 0, "rejected": 1}
        assert answer.json()["image_count"] == 0
    assert results(door, "jsonl") == results(door, "parquet")
    assert len(stored(database_url)) == 1201


def test_parquet_without_its_reader_says_what_to_install(door: Door, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parquet, "is_readable", lambda: False)
    response = send(door, b"PAR1", kind="application/vnd.apache.parquet")
    assert response.status_code == 415 and "perimage-server[parquet]" in response.json()["detail"]


def test_two_licensees_may_use_one_import_id_and_never_see_each_other(door: Door, database_url: str):
    assert send(door, csv_of(good(5))).json()["counts"]["accepted"] == 5
    assert send(door, csv_of(good(3)), licensee="south").json()["counts"]["accepted"] == 3
    assert send(door, csv_of(good(1)), "mine").status_code == 200
    assert len(stored(database_url, 1)) == 5 and len(stored(database_url, 2)) == 3
    assert (len(statuses(door)), len(statuses(door, licensee="south"))) == (5, 3)
    assert [each["import_id"] for each in door.get("/v1/imports", "south").json()["imports"]] == ["i"]
    assert door.get("/v1/imports/mine", "south").status_code == 404
    assert door.get("/v1/imports/mine/results", "south").status_code == 404


def test_imports_come_in_pages_the_newest_first(door: Door):
    for n in range(5):
        assert send(door, csv_of(good(1, f"{n}-")), f"i{n}").status_code == 200
    first = door.get("/v1/imports", limit="3").json()
    second = door.get("/v1/imports", limit="3", after=first["next"]).json()
    assert [each["import_id"] for each in first["imports"] + second["imports"]] == ["i4", "i3", "i2", "i1", "i0"]
    assert second["next"] is None


def test_another_file_under_a_used_id_is_refused_where_it_differs(door: Door, database_url: str):
    rows = good(2500)
    first = send(door, csv_of(rows)).json()
    assert send(door, csv_of(rows)).json() == first
    others = {
        "another row": [*rows[:1500], *good(1000, "x")],
        "longer": [*rows, *good(1, "x")],
        "shorter": rows[:2000],
        "shorter still": rows[:300],
    }
    for name, other in others.items():
        response = send(door, csv_of(other))
        assert (response.status_code, response.json()["code"]) == (409, "import_id_reused"), name
    assert "rows 1,001 to 2,000" in send(door, csv_of(others["another row"])).json()["detail"]
    assert door.get("/v1/imports/i").json() == first and len(stored(database_url)) == 2500


def test_an_id_is_made_for_a_file_that_has_none_and_a_header_may_give_one(door: Door):
    headers = {"Authorization": f"Bearer {door.keys['north']}", "Content-Type": "text/csv; charset=utf-8"}
    made = door.client.post("/v1/imports", headers=headers, content=csv_of(good(1))).json()
    assert len(made["import_id"]) == 36
    given = door.client.post("/v1/imports", headers={**headers, "Idempotency-Key": "mine"}, content=csv_of(good(1)))
    assert given.json()["import_id"] == "mine"
    both = door.client.post("/v1/imports?import_id=a", headers={**headers, "Idempotency-Key": "b"}, content=b"")
    assert both.json()["code"] == "two_import_ids"


class Broken:
    """An upload by hand, whose connection is cut after so many bytes."""

    def __init__(self, door: Door, content: bytes, import_id: str = "i") -> None:
        port = int(door.address.rsplit(":", 1)[1])
        self.socket = socket.create_connection(("127.0.0.1", port))
        head = (
            f"POST /v1/imports?import_id={import_id} HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"
            f"Authorization: Bearer {door.keys['north']}\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        self.socket.sendall(head.encode())
        self.content = content

    def send_and_cut(self, size: int) -> None:
        self.socket.sendall(self.content[:size])
        time.sleep(0.02)
        self.socket.close()


def test_a_file_that_broke_off_anywhere_goes_on_when_it_is_sent_again(door: Door, database_url: str):
    rows = good(4200)
    content, chance = csv_of(rows), random.Random(7)
    sizes = sorted(chance.randrange(len(content)) for _ in range(6))
    for size in sizes:
        Broken(door, content).send_and_cut(size)
        found = door.get("/v1/imports/i").json()
        in_ = found.get("row_count", 0)  # at any moment: whole reports, and no more than was sent
        assert in_ % 1000 == 0 and in_ <= content[:size].count(b"\n") and found.get("next_row", 1) == in_ + 1
    last = Broken(door, content)
    last.socket.sendall(content[:-10])
    wait_until(lambda: len(stored(database_url)) == 4000)
    last.socket.close()
    wait_until(lambda: door.get("/v1/imports/i").json()["code"] == "incomplete_body")
    found = door.get("/v1/imports/i").json()
    assert (found["state"], found["row_count"], found["next_row"]) == ("broken", 4000, 4001)
    answer = send(door, content).json()
    assert (answer["counts"]["accepted"], answer["state"]) == (4200, "done")
    assert stored(database_url) == {row["event_id"]: row["image_count"] for row in rows}
    assert statuses(door) == ["accepted"] * 4200


def test_nothing_is_said_to_be_in_before_it_is_committed(door: Door, owner_url: str):
    answers: list[httpx.Response] = []
    with psycopg.connect(owner_url) as owner:
        owner.execute("LOCK TABLE usage_events IN ACCESS EXCLUSIVE MODE")
        sender = threading.Thread(target=lambda: answers.append(send(door, csv_of(good(1500)))))
        sender.start()
        wait_until(lambda: door.get("/v1/imports/i").status_code == 200)
        time.sleep(0.3)
        found = door.get("/v1/imports/i").json()
        assert (found["state"], found["row_count"], found["next_row"]) == ("receiving", 0, 1)
        assert answers == []
    sender.join()
    assert answers[0].json()["row_count"] == 1500


def test_a_full_queue_makes_a_file_wait_and_not_fail(door: Door, monkeypatch: pytest.MonkeyPatch):
    from service import intake_queue

    monkeypatch.setattr(intake_queue, "MOST_EVENTS", 1_500)
    said = send(door, csv_of(good(20_000))).json()
    assert said["counts"]["accepted"] == 20_000


def test_too_many_files_at_once_are_told_to_come_back(door: Door):
    content = csv_of(good(1500))
    held = [Broken(door, content, f"slow-{n}") for n in range(taking_in.AT_ONCE_OF_ONE)]
    for each in held:
        each.socket.sendall(content[:-10])
    wait_until(lambda: len(door.get("/v1/imports").json()["imports"]) == len(held))
    refused = send(door, csv_of(good(1, "x")), "third")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert send(door, csv_of(good(1)), "other", licensee="south").status_code == 200
    for each in held:
        each.socket.close()
    wait_until(lambda: send(door, csv_of(good(1, "x")), "third").status_code == 200)


def test_an_upload_that_hangs_gives_way_when_the_same_file_is_sent_again(door: Door, database_url: str):
    content = csv_of(good(2500))
    hanging = Broken(door, content)
    hanging.socket.sendall(content[:-10])
    wait_until(lambda: len(stored(database_url)) == 2000)
    assert send(door, content).json()["counts"]["accepted"] == 2500
    assert b"superseded" in hanging.socket.recv(65536)
    assert door.get("/v1/imports/i").json()["state"] == "done"


def test_a_key_that_is_revoked_ends_a_file_on_its_way(door: Door, owner_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("service.caller.BELIEVED_SECONDS", 0.0)
    upload = Broken(door, content := csv_of(good(3000)))
    half = content.index(b"\ne1500,")
    upload.socket.sendall(content[:half])
    wait_until(lambda: door.get("/v1/imports/i").json().get("row_count") == 1000)
    with psycopg.connect(owner_url) as owner:
        owner.execute("UPDATE meter_keys SET revoked_at = now() WHERE backfill_from IS NULL AND licensee_id = 1")
    upload.socket.sendall(content[half:])
    assert upload.socket.recv(65536).startswith(b"HTTP/1.1 401")
    with psycopg.connect(owner_url) as owner:
        assert owner.execute("SELECT state, code FROM usage_imports").fetchone() == ("broken", "unauthenticated")


def oracle(rows: Sequence[Row], is_good: Callable[[Row], bool]) -> tuple[list[str], dict[str, int]]:
    """What must become of rows of one licensee, and what must be stored: slow, plain, and without the service."""
    said: dict[str, tuple[Any, ...]] = {}
    became = []
    for row in rows:
        says = tuple(row.get(name, "") for name in COLUMNS[1:])
        if not is_good(row):
            became.append("rejected")
        elif row["event_id"] in said:
            became.append("duplicate" if said[row["event_id"]] == says else "conflict")
        else:
            said[row["event_id"]] = says
            became.append("held" if row["model"] == "new" else "accepted")
    return became, {event_id: says[1] for event_id, says in said.items()}


@pytest.mark.parametrize("size", [3_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_mixed_file_is_exact_to_the_row(door: Door, database_url: str, size: int):
    chance = random.Random(size)
    at = [stamp(timedelta(minutes=n)) for n in range(50)]
    bad: list[Row] = [{"image_count": "1.0"}, {"event_id": ""}, {"occurred_at": "yesterday"}, {"plan": " x"}]
    rows: list[Row] = []
    for n in range(size):
        kind = chance.random()
        row = event(f"e{n}", image_count=chance.randint(1, 500), occurred_at=chance.choice(at))
        if kind < 0.05 and rows:
            row = dict(chance.choice(rows))
        elif kind < 0.1 and rows:
            row = {**chance.choice(rows), "image_count": chance.randint(1, 500)}
        elif kind < 0.15:
            row |= chance.choice(bad)
        elif kind < 0.2:
            row |= {"model": "new"}
        rows.append(row)
    wrong = ("1.0", "", "yesterday", " x")
    became, counted = oracle(rows, lambda row: not any(value in wrong for value in row.values()))
    response = send(door, csv_of(rows))
    assert statuses(door) == became
    assert stored(database_url) == counted
    said = response.json()
    assert said["image_count"] == sum(counted.values())
    assert said["counts"] == {status: became.count(status) for status in said["counts"]}
