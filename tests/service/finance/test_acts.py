"""Acts through the finance door: once in effect, by whom they are allowed to, and never an error of ours."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.access.keys import issue_machine_key, issue_user_key, revoke_finance_key
from core.access.tables import IdempotentRequest
from core.access.users import change_role, deactivate
from core.audit.record import verify_chain
from core.database import make_engine
from core.invoicing.tables import Invoice
from core.invoicing.verify import verify_invoices
from core.payments.tables import Payment
from core.payments.verify import verify_payments
from core.registry.tables import ApprovalLimit, Licensor
from tests.service.finance.house import LAST, ROLES, ROOT, TODAY, Finance
from tests.service.finance.test_leaks import BODIES, NAMED_IN_BODY, filled, operations

WHY = {"reason": "because"}
HOSTILE: list[Any] = [
    b"", b"{", b"null", b"[]", b'"text"', b"NaN", b'{"reason": NaN}', b'{"reason": 1e400}', b'{"reason": 1.0}',
    b'{"reason": "a", "reason": "b"}', b'{"reason": "\\ud800"}', b'{"reason": "\\u0000"}', b'{"reason": null}',
    b'{"reason": 12}', b'{"reason": ""}', b'{"reason": "   "}', b'{"reason": true, "amount": true}',
    b'{"reason": "x", "unknown": 1}', b"\xff\xfe", b"[" * 100_000, b'{"reason": ' + b"9" * 5000 + b"}",
    b'{"reason": "' + b"x" * 1_000_000 + b'"}', b" " * 2_000_000,
    '{"reason": "x", "amount": "１２", "line": 9007199254740993}'.encode(),
    b'{"reason": "x", "amount": "1e3", "period": "2026-13", "invoices": ["\' OR 1=1"], "licensee": "../"}',
    b'{"reason": "x", "amount": "999999999999999999.99", "line": 1, "agreed": -1, "on": "0000-00-00"}',
    b'{"reason": "x", "amount": "5.00", "period": "0001-01", "on": 1700000000, "received_on": "2026-02-30"}',
]  # fmt: skip


def session_of(database_url: str) -> Session:
    return Session(make_engine(database_url, pool_size=1))


def payment(reference: str, **more: Any) -> dict[str, Any]:
    body = {
        "licensee": "north",
        "amount": "10.00",
        "currency": "USD",
        "received_on": str(TODAY),
        "reference": reference,
    }
    return {**body, **more}


def test_twenty_equal_requests_at_once_have_one_effect_and_one_answer(finance: Finance, database_url: str) -> None:
    credit = f"/v1/finance/invoices/{finance.names()['spare']}/credit"
    body = {"reason": "goodwill", "amount": "5.00"}
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: finance.post(credit, body, "approver", key="one"), range(20)))
    assert {answer.status_code for answer in answers} == {201}, [answer.text for answer in answers]
    assert len({answer.content for answer in answers}) == 1
    assert sum("perimage-replayed" not in answer.headers for answer in answers) == 1
    with session_of(database_url) as session:
        notes = select(func.count()).select_from(Invoice).where(Invoice.corrects_invoice_id.is_not(None))
        assert session.scalar(notes) == 1
    # the same key for something else; the same request under no key, another key, or of somebody else
    assert finance.post(credit, body | {"amount": "6.00"}, "approver", key="one").status_code == 409
    other = finance.post(credit.replace("credit", "dispute"), WHY, "approver", key="one")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    assert finance.post(credit, body, "approver").json()["number"] != answers[0].json()["number"]
    assert finance.post(credit, body, "admin", key="one").json()["number"] != answers[0].json()["number"]
    spaced = finance.door.client.post(
        credit, content=b' { "amount":"5.00",  "reason":"goodwill"}',
        headers=finance.headers("approver") | {"Idempotency-Key": "one", "Content-Type": "application/json"},
    )  # fmt: skip
    assert spaced.content == answers[0].content
    with session_of(database_url) as session:
        assert [check.problems for check in verify_invoices(session)] == [()] * len(verify_invoices(session))
        assert [check.problems for check in verify_payments(session)] == [()] * len(verify_payments(session))
        for licensor in session.scalars(select(Licensor.id)):
            assert verify_chain(session, licensor)[1] == []


def test_the_answer_is_kept_with_its_effect_or_not_at_all(
    finance: Finance, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that cannot be kept takes its effect with it; a refusal is not kept, and may be sent again."""
    from service.routes.finance import door

    kept = door.keep

    def failing(session: Session, *said: Any) -> None:
        kept(session, *said)
        raise RuntimeError("the machine dies here")

    with monkeypatch.context() as patched:
        patched.setattr(door, "keep", failing)
        assert finance.post("/v1/finance/payments", payment("p-1"), key="k").status_code == 500
    with session_of(database_url) as session:
        assert session.scalar(select(func.count()).select_from(Payment).filter_by(reference="p-1")) == 0
        assert session.scalar(select(func.count()).select_from(IdempotentRequest)) == 0
    refused = finance.post("/v1/finance/payments", payment("p-1", amount="10.001"), key="k")
    assert refused.status_code == 422
    made = finance.post("/v1/finance/payments", payment("p-1"), key="k")
    assert made.status_code == 201, made.text
    assert finance.post("/v1/finance/payments", payment("p-1"), key="k").headers["perimage-replayed"] == "true"


def test_a_key_is_worth_what_its_owner_is_at_that_moment(finance: Finance, database_url: str) -> None:
    me = "/v1/finance/me"
    assert finance.get(me, "clerk").json()["role"] == "clerk"
    with session_of(database_url) as session:
        spare = issue_user_key(session, "clerk@guild.example", ROOT, scopes=["payments"])
        erp = issue_machine_key(session, "guild", ROOT, machine="erp", role="clerk", scopes=["payments"])
        change_role(session, "clerk@guild.example", ROOT, "viewer")
        session.commit()
    finance.houses["guild"].keys |= {"spare": spare, "erp": erp}
    assert finance.get(me, "clerk").json()["role"] == "viewer"
    assert finance.get("/v1/finance/payments", "spare").json()["needed"] == "read"
    assert finance.post("/v1/finance/payments", payment("p-2"), "spare").json()["needed"] == "clerk"
    assert finance.post("/v1/finance/payments", payment("p-2"), "erp").json()["recorded_by"] == "machine:erp"
    with session_of(database_url) as session:
        revoke_finance_key(session, erp.split("_")[1], ROOT)
        deactivate(session, "clerk@guild.example", ROOT)
        session.commit()
    ended = time.monotonic()
    for role in ("erp", "spare", "clerk"):
        answer = finance.get(me, role)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert time.monotonic() - ended < 5
    wrong = [spare[:-1] + "x", "pfk_x", "x", finance.houses["guild"].keys["admin"].replace("pfk", "pmk")]
    for text in wrong:
        headers = {"Authorization": f"Bearer {text}"}
        assert finance.door.client.get(me, headers=headers).status_code == 401
    revoked = finance.post(f"/v1/finance/keys/{finance.names()['public_id']}/revoke").json()
    assert revoked["revoked_at"] and finance.get(me).status_code == 401


# The least role for each act; where a person needs no role above it, `viewer`.
LEAST = {
    "clerk": {
        *("finance_hold_invoice", "finance_dispute_invoice", "finance_ask_for", "finance_close_agreement"),
        *("finance_record_one_payment", "finance_apply_payment", "finance_release_application"),
        *("finance_apply_payments_of_licensee", "finance_confirm_bank_row", "finance_set_bank_row_aside"),
        *("finance_import_bank_statement", "finance_make_statement", "finance_request_billing_run"),
        *("finance_stop_billing_run", "finance_resume_billing_run", "finance_send_webhook_test"),
        *("finance_replay_missed_notices", "finance_replay_notice_delivery"),
    },
    "approver": {
        *("finance_release_invoice", "finance_approve_invoice", "finance_issue_invoice", "finance_void_invoice"),
        *("finance_credit_invoice", "finance_write_off_invoice", "finance_write_back_invoice"),
        *("finance_settle_invoice_dispute", "finance_add_adjustment", "finance_settle_statement_dispute"),
        "finance_refund_payment",
    },
    "admin": {
        "finance_revoke_key",
        "finance_add_webhook_endpoint",
        "finance_change_webhook_endpoint",
        "finance_switch_webhook_endpoint_off",
        "finance_switch_webhook_endpoint_on",
        "finance_rotate_webhook_secret",
    },
    "viewer": {"finance_reconcile_totals"},
}
MORE = {
    "finance_request_billing_run": {"period": LAST.name},
    "finance_import_bank_statement": {"name": "new", "content": "date,amount\n2026-11-03,5.00\n"},
}


def test_every_act_takes_its_role_and_its_scope(finance: Finance, database_url: str) -> None:
    names, document = finance.names(), finance.door.client.get("/openapi.json").json()
    bodies = BODIES | NAMED_IN_BODY | MORE
    below: list[str] = []
    for path, method, operation in operations(document):
        name, url = operation["operationId"], filled(path, names, operation["operationId"])
        if method == "get":
            continue
        least = next(role for role, acts in LEAST.items() if name in acts)
        body = bodies[name] and {k: "north" if k == "licensee" else v for k, v in bodies[name].items()}
        without = finance.post(url, body, "machine")
        assert (without.status_code, without.json()["code"]) == (403, "scope_missing"), (name, without.text)
        for role in ROLES[: ROLES.index(least)]:
            answer = finance.post(url, body, role)
            if (answer.status_code, answer.json().get("needed")) != (403, least):
                below.append(f"{name} as {role}: {answer.status_code} {answer.text[:200]}")
        allowed = finance.post(url, body, least)
        assert allowed.status_code < 500 and allowed.json().get("code") != "role_too_low", (name, allowed.text)
    assert below == []
    run = finance.post("/v1/finance/runs", {"period": LAST.name, "issue": True}, "clerk")
    assert run.json()["needed"] == "approver"


def test_above_the_limit_it_takes_two(finance: Finance, database_url: str) -> None:
    with session_of(database_url) as session:
        licensor = session.scalars(select(Licensor.id).filter_by(slug="guild")).one()
        session.add(ApprovalLimit(licensor_id=licensor, second_person_above_minor=100_00))
        session.commit()
    draft, spare = (f"/v1/finance/invoices/{finance.names()[name]}" for name in ("draft", "spare"))
    assert finance.post(f"{draft}/issue", None, "approver").json()["code"] == "second_person_needed"
    assert finance.post(f"{draft}/approve", None, "approver").json()["standing"] == "approved"
    assert finance.post(f"{draft}/issue", None, "approver").json()["code"] == "second_person_needed"
    issued = finance.post(f"{draft}/issue", None, "admin").json()
    assert (issued["standing"], issued["approved_by"]) == ("issued", "approver@guild.example")
    assert finance.post(f"{spare}/void", WHY, "approver").json()["code"] == "second_person_needed"
    assert finance.post(f"{spare}/ask", WHY | {"verb": "void"}, "clerk").status_code == 200
    assert finance.post(f"{spare}/void", WHY, "approver").json()["standing"] == "void"
    done = finance.get("/v1/finance/audit", subject=f"invoice {finance.names()['spare']}").json()["entries"]
    assert [entry["action"] for entry in done[-2:]] == ["invoice.asked", "invoice.voided"]


def test_a_hostile_body_is_a_problem_and_changes_nothing(finance: Finance, owner_url: str) -> None:
    from tests.service.finance.test_leaks import state_of

    names, document = finance.names(), finance.door.client.get("/openapi.json").json()
    headers = finance.headers("viewer") | {"Content-Type": "application/json"}  # good bodies are refused as well
    before, wrong = state_of(owner_url), []
    for path, method, operation in operations(document):
        if method == "get":
            continue
        url = filled(path, names, operation["operationId"])
        for body in HOSTILE[:: 1 if "credit" in path or path.endswith("payments") else 4]:
            answer = finance.door.client.post(url, content=body, headers=headers)
            good = 400 <= answer.status_code < 500 and answer.headers["content-type"] == "application/problem+json"
            if not good or not answer.json()["detail"]:
                wrong.append(f"{url} {body[:40]!r}: {answer.status_code} {answer.text[:300]}")
    for url in ("invoices/GLD-999", "invoices/draft-99999999999999999999", "payments/9223372036854775807", "runs/x"):
        assert finance.get(f"/v1/finance/{url}").status_code in (404, 422)
    for query in ("after=x", "after=[null]", "after=[99999999999999999999]", "limit=0", "limit=1e3", "period=2026-00"):
        for url in ("invoices", "payments", "audit", "runs"):
            answer = finance.door.client.get(f"/v1/finance/{url}?{query}", headers=headers)
            if answer.status_code >= 500:
                wrong.append(f"{url}?{query}: {answer.text[:300]}")
    assert wrong == []
    assert state_of(owner_url) == before
