"""Nobody sees or touches what is another licensor's: a matrix over every finance route in the OpenAPI document."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.service.finance.house import LAST, MARKS, TODAY, Finance

WHY = {"reason": "because"}
# What is sent to each route that acts: good bodies, so that only whose it is decides.
BODIES: dict[str, Any] = {
    "finance_hold_invoice": WHY,
    "finance_release_invoice": WHY,
    "finance_approve_invoice": None,
    "finance_issue_invoice": None,
    "finance_void_invoice": WHY,
    "finance_credit_invoice": WHY,
    "finance_write_off_invoice": WHY,
    "finance_write_back_invoice": WHY,
    "finance_dispute_invoice": WHY,
    "finance_settle_invoice_dispute": WHY | {"outcome": "rejected"},
    "finance_ask_for": WHY | {"verb": "void"},
    "finance_close_agreement": {"period": LAST.name},
    "finance_add_adjustment": WHY | {"period": LAST.name, "amount": "5.00", "description": "extra"},
    "finance_settle_statement_dispute": WHY,
    "finance_apply_payments_of_licensee": None,
    "finance_apply_payment": {},
    "finance_refund_payment": WHY | {"amount": "1.00", "on": str(TODAY), "reference": "refund-1"},
    "finance_release_application": WHY,
    "finance_confirm_bank_row": {},
    "finance_set_bank_row_aside": WHY,
    "finance_revoke_key": None,
    "finance_stop_billing_run": None,
    "finance_resume_billing_run": None,
    "finance_change_webhook_endpoint": {"kinds": ["invoice.overdue"]},
    "finance_switch_webhook_endpoint_off": WHY,
    "finance_switch_webhook_endpoint_on": None,
    "finance_rotate_webhook_secret": None,
    "finance_send_webhook_test": None,
    "finance_replay_missed_notices": {"days": 3},
    "finance_replay_notice_delivery": None,
}
# Acts that name things in their body: their fields, by the name of what they name.
NAMED_IN_BODY: dict[str, dict[str, Any]] = {
    "finance_record_one_payment": {
        "licensee": "{licensee}", "amount": "1.00", "currency": "USD", "received_on": str(TODAY), "reference": "new-1",
    },
    "finance_make_statement": {"licensee": "{licensee}", "period": LAST.name},
    "finance_reconcile_totals": {"licensee": "{licensee}", "period": LAST.name, "rows": []},
    "finance_add_webhook_endpoint": {"licensee": "{licensee}", "url": "https://hooks.example.com/"},
}  # fmt: skip
ANYBODYS = {"finance_get_me", "finance_request_billing_run", "finance_import_bank_statement"}
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        if path.startswith("/v1/finance"):
            for method, operation in methods.items():
                yield path, method, operation


def filled(path: str, names: dict[str, str], operation: str = "") -> str:
    chosen = dict(names)
    if operation == "finance_settle_statement_dispute" or "statements" in path:
        chosen["licensee"] = "north"
    for name, value in chosen.items():
        path = path.replace(f"{{{name}}}", value)
    assert "{" not in path, path
    return path


def state_of(owner_url: str) -> dict[str, int]:
    """How many rows each table has, and the hash of its content."""
    with psycopg.connect(owner_url) as owner:
        tables = [name for (name,) in owner.execute(TABLES)]
        return {
            name: owner.execute(
                f"SELECT coalesce(sum(hashtextextended(t::text, 0)), 0)::text FROM {name} AS t"
            ).fetchone()[0]  # type: ignore[index]
            for name in tables
        }


@pytest.fixture
def document(finance: Finance) -> dict[str, Any]:
    found: dict[str, Any] = finance.door.client.get("/openapi.json").json()
    return found


def test_the_matrix_knows_every_act(document: dict[str, Any]) -> None:
    acts = {each["operationId"] for _, method, each in operations(document) if method == "post"}
    assert acts == set(BODIES) | set(NAMED_IN_BODY) | {each for each in ANYBODYS if "get" not in each}


@pytest.mark.parametrize(("house", "other"), [("guild", "rival"), ("rival", "guild")])
def test_no_route_shows_or_changes_anything_of_another_licensor(
    finance: Finance, document: dict[str, Any], owner_url: str, house: str, other: str
) -> None:
    theirs, leaks, seen = finance.names(other), [], 0
    before = state_of(owner_url)
    for path, method, operation in operations(document):
        name, with_names = operation["operationId"], "{" in path
        if method == "get" and not with_names:
            by_month = any(each["name"] == "period" for each in operation.get("parameters", []))
            query = {"period": theirs["before"]} if by_month else {}
            for asked in ({}, query):
                answer = finance.get(path, "admin", house, **asked)
                assert answer.status_code == 200, (name, answer.text)
                leaks += [(name, mark) for mark in MARKS[other] if mark in answer.text]
                seen += any(mark in answer.text for mark in MARKS[house])
        elif with_names and "{agreement}" not in path and "statements/" in path:
            continue  # the account is named, never the licensor: see below
        elif with_names:
            url = filled(path, theirs, name)
            params = {"period": theirs["before"]} if name == "finance_get_licensee_usage" else {}
            if method == "get":
                answer = finance.get(url, "admin", house, **params)
            else:
                answer = finance.post(url, BODIES[name], "admin", house)
            if answer.status_code != 404:
                leaks.append((name, f"{answer.status_code} {answer.text}"))
        elif name in NAMED_IN_BODY:
            body = json.loads(json.dumps(NAMED_IN_BODY[name]).replace("{licensee}", theirs["licensee"]))
            answer = finance.post(path, body, "admin", house)
            if answer.status_code != 404:
                leaks.append((name, f"{answer.status_code} {answer.text}"))
    assert leaks == []
    assert seen > 15, "the matrix has to see something of its own house"
    assert state_of(owner_url) == before


def test_the_same_requests_about_ones_own_things_are_not_refused_as_unknown(
    finance: Finance, document: dict[str, Any]
) -> None:
    unknown = []
    for path, method, operation in operations(document):
        name = operation["operationId"]
        url = filled(path, finance.names(), name)
        if method == "get":
            asked = {"finance_get_licensee_usage": "period", "finance_get_statement_proof": "event_id"}.get(name)
            found = {"period": finance.names()["before"], "event_id": finance.names()["event_id"]}
            answer = finance.get(url, "admin", **({asked: found[asked]} if asked else {}))
            assert answer.status_code == 200, (name, answer.text)
        elif "{" in path and name != "finance_revoke_key":
            answer = finance.post(url, BODIES[name])
        else:
            continue
        if answer.status_code == 404 or answer.status_code >= 500:
            unknown.append((name, answer.text))
    assert unknown == []


def test_a_statement_of_a_shared_licensee_is_the_callers_own(finance: Finance) -> None:
    """Both have a statement 1 of `north`."""
    for house, other in (("guild", "rival"), ("rival", "guild")):
        content = finance.get("/v1/finance/statements/north/1", house=house).json()["statement"]
        assert content["licensor"] == house
        assert not any(mark in json.dumps(content["counts"]) for mark in MARKS[other])
        [disputed] = finance.get("/v1/finance/statements/north/1/disputes", house=house).json()["disputes"]
        assert disputed["reason"] == f"{house} test"


def test_an_invoice_of_another_licensor_cannot_be_named_in_a_body(finance: Finance, owner_url: str) -> None:
    ours, theirs = finance.names(), finance.names("rival")
    before = state_of(owner_url)
    body = {"licensee": "north", "amount": "1.00", "currency": "USD", "received_on": str(TODAY), "reference": "x"}
    asked = [
        ("/v1/finance/payments", body | {"invoices": [theirs["invoice"]]}),
        (f"/v1/finance/payments/{ours['payment_id']}/apply", {"invoice": theirs["invoice"]}),
        (f"/v1/finance/bank-rows/{ours['row_id']}/confirm", {"licensee": "north", "invoices": [theirs["invoice"]]}),
        (f"/v1/finance/bank-rows/{ours['row_id']}/confirm", {"licensee": theirs["licensee"], "invoices": []}),
    ]
    for path, sent in asked:
        answer = finance.post(path, sent)
        assert answer.status_code == 404, answer.text
    assert state_of(owner_url) == before


def test_a_run_is_over_ones_own_agreements(finance: Finance) -> None:
    run = finance.post("/v1/finance/runs", {"period": LAST.name}).json()
    assert {item["agreement"] for item in run["items"]} == {"guild-deal", "guild-solo"}
    dry = finance.post("/v1/finance/runs", {"period": LAST.name, "dry_run": True}).json()
    assert {item["agreement"]: item["total"] for item in dry["items"]} == {
        "guild-deal": "300.00", "guild-solo": "600.00"
    }  # fmt: skip
    assert finance.get(f"/v1/finance/runs/{run['id']}", house="rival").status_code == 404
