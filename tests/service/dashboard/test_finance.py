"""Invoices, the month's end and payments as pages: what they show and refuse, and how many statements it takes."""

import re
from decimal import Decimal

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from core.access.eyes import licensor_eyes
from core.invoicing.exports import ageing_rows
from core.invoicing.invoice_list import documents
from core.invoicing.life.claims import dispute, write_off
from core.invoicing.life.stands import stand
from core.invoicing.tables import Invoice, InvoiceEvent
from core.payments.payment_list import ageing
from core.payments.tables import BankRow, Payment
from core.registry.register import set_approval_limit
from core.registry.tables import Licensor
from tests.service.dashboard.people import FINANCE, ROOT, Dashboard, counting_queries
from tests.service.finance.house import LAST, TODAY

PAGES = ("/invoices", "/month-end", f"/month-end/{LAST.name}", "/payments", "/payments/bank", "/payments/credit",
         "/payments/ageing", "/payments/stripe")  # fmt: skip


def _names(dashboard: Dashboard) -> dict[str, str]:
    return dashboard.houses["guild"].names


def test_lists_narrow_search_and_sum_up(shared: Dashboard) -> None:
    names = _names(shared)
    everything = shared.get("/invoices", FINANCE["viewer"]).text
    assert names["invoice"] in everything and names["draft"] in everything and "Totals of what is shown" in everything
    drafts = shared.get("/invoices", FINANCE["viewer"], standing="draft").text
    assert names["draft"] in drafts and names["invoice"] not in drafts
    found = shared.get("/invoices", FINANCE["viewer"], q=names["invoice"], period="", licensee="north").text
    assert names["invoice"] in found and names["spare"] not in found
    open_ = shared.get("/invoices", FINANCE["viewer"], standing="open").text
    assert "400.00" in open_ and names["draft"] not in open_  # of 500.00 a hundred is paid
    file = shared.get("/invoices", FINANCE["viewer"], format="csv").text
    assert names["invoice"] in file and "RVL" not in file
    assert "No entry fits" in shared.get("/invoices", FINANCE["viewer"], q="nothing like it").text


@pytest.mark.parametrize("address", PAGES)
def test_a_page_takes_as_many_statements_whatever_is_asked(shared: Dashboard, address: str) -> None:
    with counting_queries() as one:
        shared.get(address, FINANCE["viewer"], q="north")
    with counting_queries() as all_:
        shared.get(address, FINANCE["viewer"])
    assert len(all_) <= 12 and len(one) <= len(all_), "\n".join(all_)


def test_an_invoice_shows_its_lines_workings_payments_and_history(shared: Dashboard) -> None:
    names = _names(shared)
    with counting_queries() as sent:
        shown = shared.get(f"/invoices/{names['invoice']}", FINANCE["viewer"]).text
    assert len(sent) <= 24, "\n".join(sent)
    for words in ("Images by gd-1", "500.00", "400.00", "guild-payment-1", "<b>Issued</b>", "documents/pdf?show=1"):
        assert words in shown, words
    assert "Void" not in shown.split("<main")[1] and "Write off" not in shown  # a viewer may not
    workings = shared.get(f"/invoices/{names['invoice']}/lines/1", FINANCE["viewer"]).text
    assert "50\N{NARROW NO-BREAK SPACE}000 images" in workings or "50,000 images" in workings
    assert shared.get(f"/invoices/{names['invoice']}/lines/9", FINANCE["viewer"]).status_code == 404
    pdf = shared.get(f"/invoices/{names['invoice']}/documents/pdf?show=1", FINANCE["viewer"])
    assert pdf.headers["content-type"] == "application/pdf" and pdf.headers["content-disposition"].startswith("inline")
    assert shared.get("/invoices/GLD-999999", FINANCE["viewer"]).status_code == 404
    assert shared.get("/invoices/%00", FINANCE["viewer"]).status_code == 404


def test_where_an_invoice_stands_is_the_same_in_the_list_and_in_the_core(dashboard: Dashboard) -> None:
    names = _names(dashboard)
    with Session(dashboard.engine) as session:
        dispute(session, names["invoice"], ROOT, "not our images")
        write_off(session, names["spare"], ROOT, "they are gone")
        session.commit()
        licensor = session.scalars(select(Licensor.id).filter_by(slug="guild")).one()
        invoices = list(
            session.scalars(select(Invoice).filter_by(licensor_id=licensor).options(defer(Invoice.snapshot)))
        )
        stands = stand(session, invoices)
        listed = {row.id: row for row in session.execute(documents(licensor))}
        assert {id_: each.word for id_, each in stands.items()} == {id_: row.standing for id_, row in listed.items()}
        assert {id_: each.left for id_, each in stands.items()} == {id_: row.left_minor for id_, row in listed.items()}
        assert {"disputed", "uncollectible", "draft"} <= {row.standing for row in listed.values()}
        with licensor_eyes(session, licensor) as eyes:
            aged = [
                (each.licensee, each.receivable.amount, each.unused.amount) for each in ageing(eyes, licensor, TODAY)
            ]
            rows = [(row[0], Decimal(str(row[7])), -Decimal(str(row[8]))) for row in ageing_rows(eyes, licensor, TODAY)]
        assert sorted(aged) == sorted(rows)


def test_two_people_are_needed_above_the_limit_and_the_page_says_so(dashboard: Dashboard) -> None:
    draft, admin, approver = _names(dashboard)["draft"], FINANCE["admin"], FINANCE["approver"]
    with Session(dashboard.engine) as session:
        set_approval_limit(session, "guild", None, 1_00)
        session.commit()
    page = f"/month-end/{LAST.name}"
    assert "needs approval" in dashboard.get(page, approver).text
    assert dashboard.post(f"/invoices/{draft}/close", {}, approver).status_code == 303
    assert "You closed this, and it is above 1.00 USD" in dashboard.get(page, approver).text
    refused = dashboard.post(f"/invoices/{draft}/approve", {}, approver)
    assert refused.status_code == 403 and "somebody else must approve it" in refused.text
    assert dashboard.post(f"/invoices/{draft}/approve", {}, admin).status_code == 303
    assert "You approved this, and it is above 1.00 USD" in dashboard.get(page, admin).text
    assert "Issue all that are ready" not in dashboard.get(page, admin).text
    shown = dashboard.get(page, approver).text
    seen = re.search(r'name="seen" value="(\w+)"', shown)
    assert "Issue all that are ready" in shown and seen is not None
    for who, said in ((admin, {"seen": seen[1]}), (admin, {"ids": draft[6:]}), (approver, {"seen": "something else"})):
        dashboard.post(f"{page}/issue", said, who)  # who approved it; and somebody who saw something else
        assert _of(dashboard, draft).status == "approved"
    assert dashboard.post(f"{page}/issue", {"seen": seen[1]}, approver).status_code == 303
    assert _of(dashboard, draft).status == "issued"


def test_an_act_takes_a_reason_and_keeps_what_was_typed(dashboard: Dashboard) -> None:
    names, clerk, approver = _names(dashboard), FINANCE["clerk"], FINANCE["approver"]
    assert dashboard.post(f"/invoices/{names['draft']}/hold", {"reason": ""}, clerk).status_code == 422
    dashboard.post(f"/invoices/{names['draft']}/hold", {"reason": "counts look odd"}, clerk)
    assert "counts look odd" in dashboard.get(f"/month-end/{LAST.name}", clerk).text
    moved = dashboard.get("/month-end", clerk, state="held")
    assert moved.headers["location"] == f"/month-end/{LAST.name}?state=held"
    assert dashboard.post(f"/invoices/{names['draft']}/release", {"reason": "x"}, clerk).status_code == 403
    dashboard.post(f"/invoices/{names['draft']}/release", {"reason": "looked at"}, approver)
    assert [each.reason for each in _of(dashboard, names["draft"], events=True)] == ["counts look odd", "looked at"]
    asked = {"step": "show", "line_1": "50.00", "reason": "goodwill"}
    effect = dashboard.post(f"/invoices/{names['invoice']}/credit", asked, approver).text
    assert "Credit note over" in effect and "goodwill" in effect and _of(dashboard, names["invoice"]).status == "issued"
    too_much = dashboard.post(f"/invoices/{names['invoice']}/credit", {**asked, "line_1": "5000"}, approver)
    assert too_much.status_code == 409 and "left to credit" in too_much.text and 'value="5000"' in too_much.text
    made = dashboard.post(f"/invoices/{names['invoice']}/credit", {**asked, "step": "do"}, approver)
    assert made.headers["location"] == "/invoices/GLD-CN-000001"
    assert "350.00" in dashboard.get(f"/invoices/{names['invoice']}", clerk).text
    voided = {"reason": "wrong month", "anew": "on"}
    shown = dashboard.get(f"/invoices/{names['spare']}/void", approver).text
    assert "Nothing would change" in shown
    anew = dashboard.post(f"/invoices/{names['spare']}/void", voided, approver)
    assert re.fullmatch(r"/invoices/draft-\d+", anew.headers["location"])
    assert _of(dashboard, names["spare"]).status == "void"


def test_payments_are_recorded_matched_released_and_refunded(dashboard: Dashboard) -> None:
    names, clerk = _names(dashboard), FINANCE["clerk"]
    begun = dashboard.get(f"/payments/new?invoice={names['spare']}", clerk).text
    assert 'value="1000.00"' in begun and names["spare"] in begun
    asked = {"amount": "1000.00", "currency": "USD", "received_on": TODAY.isoformat(), "payer": "x",
             "reference": f"for {names['spare']}", "step": "propose"}  # fmt: skip
    proposed = dashboard.post("/payments/new", asked, clerk).text
    assert "Certain: the reference names it" in proposed and 'value="guild-only" selected' in proposed
    wrong = dashboard.post("/payments/new", {**asked, "step": "record", "amount": "12.345"}, clerk)
    assert wrong.status_code == 422 and "USD has 2 decimals" in wrong.text
    said = {**asked, "step": "record", "licensee": "guild-only", "invoices": names["spare"]}
    paid = dashboard.post("/payments/new", said, clerk).headers["location"]
    assert names["spare"] in dashboard.get(paid, clerk).text
    assert "paid" in dashboard.get("/invoices", clerk, q=names["spare"]).text
    bank = f"date,amount,payer,reference\n{TODAY},400.00,North,{names['invoice']}\n".encode()
    upload = {"name": "b-2", "currency": "USD", "step": "look"}
    looked = dashboard.post("/payments/bank", upload, clerk, files={"file": ("b.csv", bank, "text/csv")})
    assert "In this file" in looked.text and names["invoice"] in looked.text
    with Session(dashboard.engine) as session:
        assert session.scalars(select(BankRow).filter_by(payer="North")).all() == []
    content = re.search(r'name="content" value="([^"]+)"', looked.text)
    assert content is not None
    dashboard.post("/payments/bank", {**upload, "step": "take", "content": content[1]}, clerk)
    with Session(dashboard.engine) as session:
        row = session.scalars(select(BankRow).filter_by(payer="North")).one().id
    confirmed = dashboard.post(f"/payments/bank/{row}/confirm", {}, clerk)
    assert confirmed.status_code == 303
    with Session(dashboard.engine) as session:
        assert session.scalars(select(Payment).filter_by(payer="North")).one().amount_minor == 400_00
    back = {"reason": "another invoice"}
    released = f"/payments/applications/{names['application_id']}/release"
    assert dashboard.post(released, back, clerk).status_code == 303
    payment = f"/payments/{names['payment_id']}"
    refund = {"amount": "300.00", "on": TODAY.isoformat(), "reference": "r-1", "reason": "sent twice"}
    assert dashboard.post(f"{payment}/refund", refund, clerk).status_code == 403
    assert dashboard.post(f"{payment}/refund", refund, FINANCE["approver"]).status_code == 303
    assert "sent twice" in dashboard.get(payment, clerk).text


def test_a_run_is_asked_for_followed_stopped_and_resumed(dashboard: Dashboard) -> None:
    clerk = FINANCE["clerk"]
    tried = dashboard.get(f"/month-end/{LAST.name}/dry-run", clerk).text
    assert "guild-solo" in tried and "40 % less than in" in tried
    made = dashboard.post("/month-end/runs", {"period": LAST.name}, clerk).headers["location"]
    shown = dashboard.get(made, clerk).text
    assert "0 of 2" in shown and 'hx-trigger="every 2s"' in shown
    assert dashboard.post(f"{made}/stop", {}, clerk).status_code == 303
    assert "Stopped by clerk@guild.example" in dashboard.get(made, clerk).text
    dashboard.post(f"{made}/resume", {}, clerk)
    assert 'hx-trigger="every 2s"' in dashboard.get(made, clerk).text
    future = dashboard.post("/month-end/runs", {"period": "2999-01"}, clerk)
    assert future.headers["location"] == "/month-end"


def _of(dashboard: Dashboard, name: str, *, events: bool = False) -> Invoice | list[InvoiceEvent]:
    which = Invoice.id == int(name[6:]) if name.startswith("draft-") else Invoice.number == name
    with Session(dashboard.engine) as session:
        found = session.scalars(select(Invoice).where(which)).one()
        if not events:
            return found
        return list(session.scalars(select(InvoiceEvent).filter_by(invoice_id=found.id).order_by(InvoiceEvent.id)))
