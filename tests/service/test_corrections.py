"""/v1/corrections: taken once, answered one by one, looked at before, and seen by nobody else."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.agreements.tables import Agreement
from core.database import make_engine
from core.invoicing.drafts.close import preview
from core.invoicing.workings.explain import explain_draft
from core.period import Period
from core.usage.counts.rollup import roll_up
from service.routes.corrections import EXAMPLES
from tests.door import Door, event, report, stamp

TODAY = datetime.now(UTC)


def send(door: Door, body: Any, licensee: str = "north", path: str = "", **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Authorization": f"Bearer {door.keys[licensee]}", "Content-Type": "application/json", **headers}
    return door.client.post(f"/v1/corrections{path}", content=content, headers=sent)


def withdraw(event_id: str = "a", correction_id: str = "c", **more: Any) -> dict[str, Any]:
    return {"correction_id": correction_id, "event_id": event_id, "kind": "withdraw", "reason": "a test", **more}


def amend(event_id: str = "a", correction_id: str = "c", **more: Any) -> dict[str, Any]:
    return {**withdraw(event_id, correction_id), "kind": "amend", **more}


def count_now(database_url: str) -> None:
    engine = make_engine(database_url)
    with Session(engine) as session:
        while roll_up(session).more:
            session.commit()
        session.commit()
    engine.dispose()


@pytest.fixture
def reported(door: Door, database_url: str) -> Door:
    """Three events of north's and one of south's, which has the id of one of them."""
    door.post(report([event("a", image_count=100), event("b", image_count=50), event("c", model="mystery")]))
    door.post(report([event("a", image_count=7), event("south", image_count=7)]), "south")
    count_now(database_url)
    return door


def counted(door: Door, database_url: str, licensee: str = "north") -> int:
    count_now(database_url)
    return sum(row["image_count"] for row in door.get("/v1/usage", licensee).json()["usage"])


def test_a_correction_counts_once_however_often_it_is_sent(reported: Door, database_url: str) -> None:
    first = send(reported, amend(image_count=80, reference="T-1"))
    assert first.status_code == 200, first.text
    [result] = first.json()["results"]
    made = result["correction"]
    assert result["status"] == "accepted" and made["actor"].startswith("key ") and made["actor"].endswith("(test)")
    assert (made["image_count_before"], made["image_delta"], made["image_count_after"]) == (100, -20, 80)
    again = send(reported, amend(image_count=80, reference="T-1"), "backfill")  # another key of the same licensee
    assert again.json()["results"] == [{**result, "status": "duplicate"}]
    other = send(reported, amend(image_count=81, reference="T-1"))
    assert (other.status_code, other.json()["code"]) == (409, "correction_id_reused")
    assert counted(reported, database_url) == 130
    assert counted(reported, database_url, "south") == 14


def test_each_of_a_list_is_answered_alone_and_in_order(reported: Door, database_url: str) -> None:
    body = {
        "corrections": [
            amend("a", "1", image_delta=-30),
            withdraw("a", "2"),
            withdraw("nowhere", "3"),
            withdraw("south", "4"),
            amend("b", "5", image_count="12"),
            amend("b", "6", image_count=60, image_delta=10),
            withdraw("b", "1"),
            {"correction_id": "7"},
            17,
            amend("b", "8", image_count=60),
        ]
    }
    response = send(reported, body)
    assert response.status_code == 200, response.text
    results = response.json()["results"]
    assert [(each["correction_id"], each["status"], each["code"]) for each in results] == [
        ("1", "accepted", None),
        ("2", "accepted", None),
        ("3", "rejected", "unknown_event"),
        ("4", "rejected", "unknown_event"),
        ("5", "rejected", "invalid_image_count"),
        ("6", "rejected", "image_count_or_delta"),
        ("1", "conflict", "correction_id_reused"),
        ("7", "rejected", "missing_field"),
        (None, "rejected", "invalid_correction"),
        ("8", "accepted", None),
    ]
    assert all(len(each["message"]) > 20 for each in results if each["code"])
    assert results[2]["message"] == results[3]["message"], "nobody learns of another's events"
    assert counted(reported, database_url) == 60
    assert counted(reported, database_url, "south") == 14
    again = send(reported, body).json()["results"]
    assert [each["status"] for each in again if each["correction"]] == ["duplicate"] * 3
    assert counted(reported, database_url) == 60


WRONG: list[tuple[Any, int, str]] = [
    (withdraw("nowhere"), 404, "unknown_event"),
    (amend(image_delta=-101), 422, "below_zero"),
    (amend(image_count=100), 422, "no_change"),
    (amend(), 422, "image_count_or_delta"),
    (withdraw(image_count=0), 422, "image_count_not_wanted"),
    (withdraw(reason=""), 422, "invalid_reason"),
    (withdraw(reason=" "), 422, "invalid_reason"),
    (withdraw(reason="two\nlines"), 422, "invalid_reason"),
    (withdraw(reference=None), 422, "invalid_reference"),
    (withdraw(licensee_id=2), 422, "unknown_field"),
    ({**withdraw(), "kind": "erase"}, 422, "invalid_kind"),
    ({"corrections": []}, 422, "invalid_corrections"),
    ({"corrections": [withdraw()] * 1001}, 422, "invalid_corrections"),
    ({"corrections": [withdraw()], "reason": "x"}, 422, "unknown_field"),
    ([], 422, "invalid_corrections"),
]


def test_what_is_wrong_alone_is_a_problem_that_says_what_to_change(reported: Door, database_url: str) -> None:
    for body, status, code in WRONG:
        for path in ("", "/preview"):
            response = send(reported, body, path=path)
            assert (response.status_code, response.json()["code"]) == (status, code), response.text
            assert len(response.json()["detail"]) > 20
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM usage_corrections").fetchone() == (0,)


NUMBERS = ["1.0", "1.5", "1e3", "1e400", "NaN", "true", "null", '"12"', "1_000", "１２", str(2**31), str(2**63),
           "-" + "9" * 5000, "[]", "{}", "01"]  # fmt: skip
STRINGS = ['""', json.dumps("x" * 256), '"\\u0000"', '"\\ud800"', '"a\\u202eb"', '"a "', '"a\\n"', "1", "null", "[]"]
STRUCTURES = [b"", b"[" * 100_000, b'{"corrections":' + b"[" * 100_000, b'{"corrections":[' + b"[" * 99_999, b"{",
              bytes(range(256)), b"\xff", b'{"corrections":[],"corrections":[1]}', b" " * (10 << 20),
              b'{"correction_id":' * 50_000]  # fmt: skip


def hostile_bodies() -> list[bytes]:
    good = {name: json.dumps(value) for name, value in amend(image_delta=-1).items()}
    bodies = list(STRUCTURES)
    for field, literals in (
        ("image_delta", NUMBERS),
        ("image_count", NUMBERS),
        ("event_id", STRINGS),
        ("correction_id", STRINGS),
        ("reason", [s for s in STRINGS if len(s) < 200]),
        ("reference", STRINGS),
        ("kind", STRINGS),
    ):
        for literal in literals:
            fields = {**good, field: literal}
            if field == "image_count":
                del fields["image_delta"]
            bodies.append(("{" + ",".join(f'"{k}":{v}' for k, v in fields.items()) + "}").encode())
    plain = json.dumps(amend(image_delta=-1))
    bodies += [f"{plain[:-1]},{more}}}".encode() for more in ('"event_id":"b"', '"image_delta":-1', '"":""', '"x":{}')]
    return bodies


def test_hostile_bodies_are_refused_with_a_code_and_a_sentence_and_change_nothing(
    reported: Door, database_url: str
) -> None:
    failures = []
    for body in hostile_bodies():
        listed = b'{"corrections":[%s]}' % body
        for sent, path in ((body, ""), (body, "/preview"), (listed, "")):
            response = send(reported, sent, path=path)
            answer = response.json()
            if response.status_code == 200:  # one of a list, refused alone
                answer = answer["results"][0]
                fair = sent is listed and answer["status"] == "rejected" and len(answer["message"]) > 10
            else:
                fair = 400 <= response.status_code < 500 and len(answer["detail"]) > 10
            if not fair or not answer["code"]:
                failures.append((sent[:100], path, response.status_code, response.text[:200]))
    assert failures == []
    assert send(reported, withdraw(), **{"Content-Type": "text/plain"}).status_code == 415
    assert send(reported, withdraw(), **{"Authorization": "Bearer pmk_x"}).status_code == 401
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM usage_corrections").fetchone() == (0,)
    for params in ({"period": "2026"}, {"period": ""}, {"after": "x"}, {"after": '["2026-01-01","c"]'}, {"limit": "0"},
                   {"event_id": "\x00"}):  # fmt: skip
        assert reported.get("/v1/corrections", **params).status_code == 422, params


def test_the_preview_says_what_the_close_then_writes_and_stores_nothing(reported: Door, database_url: str) -> None:
    month = Period.month_of(TODAY.date())
    asked = {"corrections": [amend("a", "1", image_count=40), withdraw("b", "2"), withdraw("c", "3")]}
    found = send(reported, asked, path="/preview").json()
    assert [each["status"] for each in found["results"]] == ["accepted"] * 3
    assert found["held"] == ["c"]
    assert [(each["model"], each["image_delta"]) for each in found["counts"]] == [("sd-1", -110)]
    [invoice] = found["invoices"]
    assert (invoice["agreement"], invoice["period"], invoice["currency"]) == ("deal-north", month.name, "USD")
    assert (invoice["total_before"], invoice["total_after"], invoice["difference"]) == ("1.50", "0.40", "-1.10")
    [line] = invoice["changes"]
    assert (line["subject"], line["image_delta"], line["amount_before"], line["amount_after"]) == (
        "sd-1",
        -110,
        "1.50",
        "0.40",
    )
    assert reported.get("/v1/corrections").json() == {"corrections": [], "next": None}
    assert send(reported, asked).status_code == 200
    count_now(database_url)
    engine = make_engine(database_url)
    with Session(engine) as session:
        agreement_id = session.scalars(select(Agreement.id).where(Agreement.slug == "deal-north")).one()
        assert [str(line.money.amount) for line in preview(session, agreement_id, month)] == ["0.40"]
    engine.dispose()
    again = send(reported, asked, path="/preview").json()
    assert [each["status"] for each in again["results"]] == ["duplicate"] * 3
    assert (again["counts"], again["invoices"]) == ([], [])


def test_corrections_are_listed_by_event_and_month_in_pages_to_their_own_licensee_alone(
    reported: Door, database_url: str
) -> None:
    for n in range(3):
        send(reported, amend("a", f"c{n}", image_delta=-1, reason=f"reason {n}"))
    send(reported, withdraw("b", "d", reference="T-9"))
    send(reported, withdraw("a", "c0"), "south")
    rows = reported.get("/v1/corrections").json()["corrections"]
    assert [(row["correction_id"], row["event_id"], row["image_count_after"]) for row in rows] == [
        ("c0", "a", 99),
        ("c1", "a", 98),
        ("c2", "a", 97),
        ("d", "b", 0),
    ]
    assert (rows[3]["reference"], rows[3]["model"], rows[3]["kind"]) == ("T-9", "sd-1", "withdraw")
    paged: list[str] = []
    mark: str | None = None
    while True:
        page = reported.get("/v1/corrections", limit="2", **({"after": mark} if mark else {})).json()
        paged += [row["correction_id"] for row in page["corrections"]]
        mark = page["next"]
        if not mark:
            break
    assert paged == ["c0", "c1", "c2", "d"]

    def ids(**params: str) -> list[str]:
        return [row["correction_id"] for row in reported.get("/v1/corrections", **params).json()["corrections"]]

    assert ids(event_id="b") == ["d"]
    assert ids(period=f"{TODAY:%Y-%m}") == ["c0", "c1", "c2", "d"]
    assert ids(period="2020-01") == []
    assert [row["image_count_before"] for row in reported.get("/v1/corrections", "south").json()["corrections"]] == [7]


def test_old_usage_comes_in_with_a_permission_and_its_reason_and_is_billed_and_explained_as_an_adjustment(
    reported: Door, database_url: str
) -> None:
    """The other way to put old months right: what was never reported at all."""
    ago = timedelta(days=100)
    old = report([event("old", image_count=250, occurred_at=stamp(ago))])
    assert reported.post(old).json()["results"][0]["code"] == "timestamp_too_far_in_past"
    assert reported.post({**old, "report_id": "backfill"}, "backfill").json()["results"][0]["status"] == "accepted"
    count_now(database_url)
    with psycopg.connect(database_url) as connection:
        why = connection.execute("SELECT backfill_reason FROM meter_keys WHERE backfill_from IS NOT NULL").fetchone()
    assert why == ("the meter was away",)
    engine = make_engine(database_url)
    with Session(engine) as session:
        lines = explain_draft(session, "deal-north", Period.month_of(TODAY.date()))["lines"]
    engine.dispose()
    month = Period.month_of((TODAY - ago).date())
    [adjustment] = [line for line in lines if line["adjustment"]]
    assert adjustment["description"] == f"Adjustment to {month.name}: Images by sd-1"
    assert (adjustment["image_count"], adjustment["amount"]) == (250, "2.50")
    assert send(reported, amend("old", "c", image_count=249)).json()["results"][0]["status"] == "accepted"


def test_the_document_describes_the_body_by_the_type_that_decodes_it(door: Door) -> None:
    document = door.client.get("/openapi.json").json()
    for path in ("/v1/corrections", "/v1/corrections/preview"):
        operation = document["paths"][path]["post"]
        one, many = operation["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
        assert one["additionalProperties"] is False and one["required"] == [
            "correction_id",
            "event_id",
            "kind",
            "reason",
        ]
        assert many["properties"]["corrections"]["maxItems"] == 1000
        assert {"400", "401", "404", "409", "413", "415", "422"} <= set(operation["responses"])
    from core.usage.corrections.correction import Order, read_corrections

    for example in EXAMPLES.values():
        orders, _ = read_corrections(json.dumps(example["value"]).encode())
        assert all(isinstance(order, Order) for order in orders)
