"""POST /v1/quotes: what it answers, to whom, and how it refuses hostile bodies."""

import json
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from core.database import make_engine
from core.period import Period
from core.usage.counts.rollup import roll_up
from service.routes.quotes import EXAMPLES, TERMS
from tests.door import Door, event, report, stamp

INLINE = {"terms": TERMS, "starts_on": "2026-01-01", "ends_on": "2027-01-01"}


def ask(door: Door, body: Any, licensee: str | None = "north", **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **headers}
    if licensee:
        sent["Authorization"] = f"Bearer {door.keys[licensee]}"
    return door.client.post("/v1/quotes", content=content, headers=sent)


def answer(door: Door, body: Any, licensee: str = "north") -> dict[str, Any]:
    response = ask(door, body, licensee)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def test_the_worked_numbers_come_out_over_http(door: Door) -> None:
    found = answer(door, {**INLINE, "images": 30_000_000})
    assert (found["total"], found["shortfall"], found["effective_unit_rate"]) == ("588000.00", "168000.00", "19.6")
    assert [line["amount"] for line in found["lines"]] == ["420000.00", "168000.00"]
    assert found["break_even"]["images"] == 42_000_000
    assert answer(door, {**INLINE, "images": 50_000_000})["total"] == "700000.00"
    assert answer(door, {**INLINE, "images": 42_000_000, "rate": "16"})["total"] == "672000.00"


def test_a_table_a_floor_a_forecast_and_a_comparison_are_answered(door: Door) -> None:
    found = answer(door, EXAMPLES["volume"]["value"])
    assert found["pass_through_floor"]["price"] == "37"
    assert [[cell["total"] for cell in row["cells"]] for row in found["table"]["rows"]] == [
        ["504000.00", "504000.00", "600000.00"],
        ["588000.00", "588000.00", "700000.00"],
        ["672000.00", "672000.00", "800000.00"],
    ]
    forecast = answer(door, {**INLINE, "forecast": {"monthly": 1_000_000, "growth": "3%"}})
    assert sum(month["images"] for month in forecast["months"]) == forecast["images"] == 14_192_030
    listed = answer(door, {**INLINE, "forecast": {"listed": {"2026-12": 42_000_000}}})
    assert listed["total"] == "588000.00"
    without = {key: value for key, value in TERMS.items() if key != "commitments"}
    two = [{"name": "with a floor", **INLINE}, {"name": "without", **INLINE, "terms": without, "rate": "20"}]
    compared = answer(door, {"offers": two, "images": 30_000_000})
    assert [offer["total"] for offer in compared["offers"]] == ["588000.00", "600000.00"]
    assert compared["comparison"]["crossovers"][0]["images"] == 29_400_001  # 588,000 / 0.02, and one


def test_the_callers_agreement_is_quoted_with_changes(door: Door) -> None:
    assert answer(door, {"agreement": "deal-north", "images": 1000})["total"] == "10.00"
    changed = {"agreement": "deal-north", "images": 1000, "set": {"fees[0].schedule.rate": "0.02"}}
    assert answer(door, changed)["total"] == "20.00"
    floor = [{"name": "floor", "kind": "images", "quantity": 5000, "period": "month"}]
    assert answer(door, {**changed, "set": {"commitments": floor}})["total"] == "50.00"


def test_recorded_usage_is_the_callers_own_and_own_terms_differ_by_nothing(door: Door, database_url: str) -> None:
    door.post(report([event("a", image_count=1000), event("b", image_count=17)]))
    door.post(report([event("a", image_count=5)]), licensee="south")
    count_now(database_url)
    month = Period.month_of(datetime.now(UTC).date()).name
    usage = {"usage": {"from": month, "to": month}}
    found = answer(door, {"agreement": "deal-north", **usage})
    assert found["shadow"]["licensee"] == "north"
    assert found["shadow"]["total"] == {"billed": "0.00", "due": "10.17", "offered": "10.17", "difference": "0.00"}
    dearer = answer(door, {"agreement": "deal-north", "rate": "0.02", **usage})
    assert dearer["shadow"]["total"]["difference"] == "10.17"
    assert [line["offered_images"] for line in dearer["shadow"]["lines"]] == [1017]
    assert answer(door, {"agreement": "deal-south", **usage}, "south")["images"] == 5
    inline = {**INLINE, "usage": {**usage["usage"], "count_as": {"sd-1": "meridian-3"}}}
    assert answer(door, inline, "south")["images"] == 5


def count_now(database_url: str) -> None:
    from sqlalchemy.orm import Session

    engine = make_engine(database_url)
    with Session(engine) as session:
        while roll_up(session).more:
            pass
        session.commit()
    engine.dispose()


def test_another_licensees_agreement_does_not_exist(door: Door) -> None:
    month = {"usage": {"from": "2026-01", "to": "2026-01"}}
    for body in ({"agreement": "deal-south", "images": 1}, {"agreement": "deal-south", **month}):
        response = ask(door, body)
        assert (response.status_code, response.json()["code"]) == (404, "unknown_agreement")
    unknown = ask(door, {"agreement": "nothing-at-all", "images": 1})
    assert (
        unknown.json()["detail"].replace("nothing-at-all", "deal-south")
        == ask(door, {"agreement": "deal-south", "images": 1}).json()["detail"]
    )


def test_a_licensee_named_in_the_body_is_refused(door: Door) -> None:
    for key in ("licensee", "licensee_id", "usage_of"):
        response = ask(door, {"agreement": "deal-north", "images": 1, key: "south"})
        assert (response.status_code, response.json()["code"]) == (422, "invalid_quote")
    within = {"from": "2026-01", "to": "2026-01", "licensee": "south"}
    assert ask(door, {"agreement": "deal-north", "usage": within}).status_code == 422


def test_without_a_key_nothing_is_read(door: Door) -> None:
    assert ask(door, b"[" * 100_000, licensee=None).status_code == 401
    assert ask(door, {**INLINE, "images": 1}, licensee=None).headers["www-authenticate"]


def test_nothing_is_written(door: Door, database_url: str) -> None:
    import psycopg

    def state() -> list[tuple]:
        with psycopg.connect(database_url) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            return [connection.execute(f"SELECT count(*), '{name}' FROM {name}").fetchone() for (name,) in tables]

    before = state()
    month = Period.month_of(datetime.now(UTC).date()).name
    answer(door, {**INLINE, "images": 1})
    answer(door, {"agreement": "deal-north", "usage": {"from": month, "to": month}})
    assert state() == before


GOOD: dict[str, Any] = {**INLINE, "images": 1}


def bodies() -> Iterator[tuple[str, Any]]:
    """Hostile and wrong bodies, named."""
    yield from broken_bodies()
    yield from contradictory_bodies()
    yield from wrong_values()
    yield from too_much()


def broken_bodies() -> Iterator[tuple[str, Any]]:
    good = GOOD
    yield "empty", b""
    yield "not JSON", b"images=1"
    yield "binary", bytes(range(256))
    yield "not UTF-8", '{"images": "é"}'.encode("latin-1")
    yield "depth", b"[" * 100_000
    yield "depth of objects", b'{"a":' * 50_000
    yield "depth that closes", b'{"terms":' + b"[" * 500 + b"]" * 500 + b"}"
    yield "a list", b"[]"
    yield "a number", b"1"
    yield "null", b"null"
    yield "NaN", json.dumps(good).replace(": 1}", ": NaN}").encode()
    yield "Infinity", json.dumps(good).replace(": 1}", ": Infinity}").encode()
    yield "a key twice", json.dumps(good)[:-1].encode() + b', "images": 2}'
    yield "a key twice inside", json.dumps({**good, "over": "month"}).replace('"unit"', '"currency"').encode()
    yield "endless digits", b'{"images": ' + b"9" * 5000 + b"}"


def contradictory_bodies() -> Iterator[tuple[str, Any]]:
    good = GOOD
    yield "nothing", {}
    yield "no images", INLINE
    yield "unknown key", {**good, "__class__": "x"}
    yield "terms and agreement", {**good, "agreement": "deal-north"}
    yield "agreement and days", {"agreement": "deal-north", "starts_on": "2026-01-01", "images": 1}
    yield "no days", {"terms": TERMS, "images": 1}
    yield "days the wrong way", {**good, "starts_on": "2028-01-01"}
    yield "images and usage", {**good, "usage": {"from": "2026-01", "to": "2026-02"}}
    yield "usage and a table", {**INLINE, "usage": {"from": "2026-01", "to": "2026-02"}, "table": {}}
    yield "empty offers", {"offers": [], "images": 1}
    yield "offers beside terms", {**good, "offers": [{"name": "a", **INLINE}]}
    yield "offers of the same name", {"offers": [{"name": "a", **INLINE}, {"name": "a", **INLINE}], "images": 1}
    yield "offers without a name", {"offers": [INLINE], "images": 1}
    yield "51 offers", {"offers": [{"name": str(n), **INLINE} for n in range(51)], "images": 1}
    yield "currencies mixed", {
        "offers": [{"name": "a", **INLINE}, {"name": "b", **INLINE, "terms": {"currency": "EUR", "fees": [
            {"name": "x", "models": ["m"], "schedule": {"kind": "flat", "rate": "1"}}]}}], "images": 1}  # fmt: skip
    yield "too long a term", {**good, "ends_on": "2200-01-01"}
    yield "the last year", {**good, "starts_on": "9998-01-01", "ends_on": "9999-01-01"}
    yield "too wide a table", {**good, "table": {"rates": ["1"] * 21, "volumes": list(range(10))}}
    yield "a thousand volumes", {**good, "table": {"volumes": list(range(1000))}}
    yield "a rate for nothing", {**INLINE, "images": 1, "rate": "0"}
    yield "hostile slug", {"agreement": "' OR 1=1 --", "images": 1}
    yield "NUL slug", {"agreement": "deal\x00", "images": 1}
    yield "agreement list", {"agreement": ["deal-north"], "images": 1}


def wrong_values() -> Iterator[tuple[str, Any]]:
    good = GOOD
    for value in (-1, 1.5, True, "1", None, 10**16, [], {}):
        yield f"images {value!r}", {**INLINE, "images": value}
    for value in ("year", "", 1, None):
        yield f"over {value!r}", {**good, "over": value}
    for rate in (14.5, "1e3", "-1", "NaN", None, [], "9" * 50):
        yield f"rate {rate!r}", {**good, "rate": rate}
    for change in ({"x": 1}, {"fees[0].schedule.rate": 1.5}, {"fees[9].name": "x"}, {"": 1}, [], {"fees": []},
                   {"commitments[0].quantity": "x"}, {"a" * 5000: 1}, {"fees[0]": None}):  # fmt: skip
        yield f"set {str(change)[:40]}", {**good, "set": change}
    yield "effective outside", {**good, "set": {"payment_days": 5}, "effective_on": "2030-01-01"}
    yield "effective alone", {**good, "effective_on": "2026-02-01"}
    for forecast in ({}, {"monthly": -1}, {"monthly": 1, "growth": 3}, {"monthly": 1, "growth": "-100%"},
                     {"monthly": 1, "images": 1}, {"monthly": 10**14, "growth": "9999%"}, {"listed": {}},
                     {"listed": {"2026-13": 1}}, {"listed": {"2030-01": 1}}, {"listed": {"2026-01": 1}, "months": 2},
                     {"monthly": 1, "months": 401}, {"monthly": 1, "season": [1] * 11}, {"monthly": 1, "season": "x"},
                     {"monthly": 1, "season": [0] * 12}, {"monthly": 1, "months": 13}, 1, []):  # fmt: skip
        yield f"forecast {str(forecast)[:40]}", {**INLINE, "forecast": forecast}
    for usage in ({}, {"from": "2026-01"}, {"from": "2026-02", "to": "2026-01"}, {"from": "x", "to": "y"},
                  {"from": "0001-01", "to": "2026-01"}, {"from": "2026-01", "to": "2026-02", "count_as": {"A": "b"}},
                  {"from": "2026-01\x00", "to": "2026-02"}, []):  # fmt: skip
        yield f"usage {str(usage)[:40]}", {**INLINE, "usage": usage}
    for floor in ({"free_share": "100%"}, {"free_share": 40}, {"margin": "-1%"}, {"credit": "BUZZ"}, {"worth": "1"},
                  {"decimals": 7}, {"free_share": "4e1%"}, []):  # fmt: skip
        yield f"floor {floor}", {**good, "floor": floor}
    yield "a floor of nothing", {**INLINE, "images": 0, "floor": {}}
    for place, value in (("currency", "usd"), ("currency", None), ("fees", []), ("unit", "X" * 100), ("colour", "red"),
                         ("commitments", [{}]), ("payment_days", 10**30)):  # fmt: skip
        terms = deepcopy(TERMS)
        terms[place] = value  # type: ignore[assignment]
        yield f"terms {place} {str(value)[:20]}", {**good, "terms": terms}


def too_much() -> Iterator[tuple[str, Any]]:
    good = GOOD
    many = [{"name": f"f{n}", "models": [f"m{n}"], "schedule": {"kind": "flat", "rate": "1"}} for n in range(101)]
    yield "101 fees", {**good, "terms": {**TERMS, "fees": many, "commitments": []}}
    tiers = [*({"up_to": n, "rate": "1"} for n in range(1, 102)), {"rate": "1"}]
    tiered = {"name": "t", "models": ["m"], "schedule": {"kind": "graduated", "tiers": tiers}}
    yield "101 tiers", {**good, "terms": {**TERMS, "fees": [tiered], "commitments": []}}
    models = [{"name": "g", "models": [f"m{n}" for n in range(201)], "schedule": {"kind": "flat", "rate": "1"}}]
    yield "201 models", {**good, "terms": {**TERMS, "fees": models}}
    wide = [{**models[0], "models": [f"m{n}" for n in range(200)]}]
    heavy = {**good, "ends_on": "2055-01-01", "terms": {**TERMS, "fees": wide}}
    yield "too much work", heavy
    yield "too large", b'{"terms": "' + b"x" * (300 * 1024) + b'"}'


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_hostile_bodies_are_refused_with_a_code_and_a_sentence(door: Door) -> None:
    failures = []
    for name, body in bodies():
        response = ask(door, body)
        problem = response.json()
        fair = (
            response.status_code in (400, 413, 415, 422)
            and response.headers["content-type"] == "application/problem+json"
            and problem.get("code")
            and 10 < len(problem.get("detail", "")) < 2000
        )
        if not fair:
            failures.append((name, response.status_code, response.text[:200]))
    assert failures == []
    assert answer(door, {**INLINE, "images": 1})["images"] == 1


def test_a_wrong_content_type_is_refused(door: Door) -> None:
    response = ask(door, {**INLINE, "images": 1}, **{"Content-Type": "text/plain"})
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_content_type")


def test_a_refusal_names_the_place(door: Door) -> None:
    terms = deepcopy(TERMS)
    terms["fees"][0]["schedule"]["rate"] = 14.5  # type: ignore[index]
    problem = ask(door, {**INLINE, "terms": terms, "images": 1}).json()
    assert (problem["code"], problem["path"]) == ("invalid_terms", "terms.fees[0].schedule.rate")
    problem = ask(door, {"offers": [{"name": "a", **INLINE, "colour": 1}], "images": 1}).json()
    assert (problem["code"], problem["path"]) == ("invalid_quote", "offers[0].colour")


def test_the_document_describes_it_with_examples_that_are_answered(door: Door) -> None:
    operation = door.client.get("/openapi.json").json()["paths"]["/v1/quotes"]["post"]
    assert operation["security"] == [{"meterKey": []}]
    content = operation["requestBody"]["content"]["application/json"]
    assert content["schema"]["additionalProperties"] is False
    for example in content["examples"].values():
        body = json.loads(json.dumps(example["value"]).replace("our-deal", "deal-north"))
        if "set" in body:
            body["set"] = {"payment_days": 10}
        for offer in body.get("offers", []):
            if "terms" in offer:
                offer["terms"]["fees"][0]["models"] = ["sd-1"]
        assert ask(door, body).status_code == 200, ask(door, body).text


def test_an_invoice_is_explained_to_its_licensee_alone(door: Door, database_url: str) -> None:
    from sqlalchemy import select
    from sqlalchemy.orm import Session

    from core.agreements.tables import Agreement
    from core.invoicing.drafts.close import close
    from core.invoicing.life.issue import issue

    last = Period.month_of(Period.month_of(datetime.now(UTC).date()).start.replace(day=1))
    last = Period.month_of(last.start.replace(day=1).fromordinal(last.start.toordinal() - 1))
    when = datetime(last.start.year, last.start.month, 15, 12, tzinfo=UTC)
    ago = datetime.now(UTC) - when
    assert door.post(report([event("a", image_count=250, occurred_at=stamp(ago))]), "backfill").status_code == 200
    count_now(database_url)
    engine = make_engine(database_url)
    with Session(engine) as session:
        agreement = session.scalars(select(Agreement).where(Agreement.slug == "deal-north")).one()
        closed = close(session, agreement.id, last)
        assert closed.invoice is not None
        number = issue(session, closed.invoice.id).number
        session.commit()
    engine.dispose()
    found = door.get(f"/v1/invoices/{number}/explain", line="1")
    assert found.status_code == 200, found.text
    [line] = found.json()["lines"]
    assert line["counts"]["days"] == [{"day": f"{when:%Y-%m-%d}", "image_count": 250}]
    assert line["amount"] == "2.50"
    assert door.get(f"/v1/invoices/{number}/explain", licensee="south").status_code == 404
    assert door.get(f"/v1/invoices/{number}/explain", line="9").json()["code"] == "line_not_found"
    assert door.get(f"/v1/invoices/{number}/explain", line="0").status_code == 422
    own = answer(door, {"agreement": "deal-north", "usage": {"from": last.name, "to": last.name}})
    assert own["shadow"]["total"] == {"billed": "2.50", "due": "0.00", "offered": "2.50", "difference": "0.00"}
