"""The outbox on good days: what goes out, in which order, at which pace, and what stops it."""

import time
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core.errors import Conflict, NotFound
from core.invoicing.tables import Invoice
from core.payments.collect import retry, stop_collecting
from core.payments.gateway import INVOICE_MARK
from core.payments.outbox import Wait, claim, record
from core.payments.perform import Done, Work, perform
from core.payments.queries import steps
from core.payments.tables import GatewayInvoice, GatewayPace, GatewayStep
from tests.fakes.stripe_server import StripeServer
from tests.fakes.till import CLERK, LEASE, Outbox, Till

ALL_OUT = ["create", "lines", "check", "finalise", "send"]


def there(server: StripeServer, invoice: Invoice) -> list[dict]:
    """Everything at Stripe that carries the number of an invoice and is not void."""
    return server.account.live_invoices(**{INVOICE_MARK: invoice.number})


def later(session: Session, server: StripeServer, by: timedelta) -> None:
    """Time passes, for Stripe and for the steps: what was to wait has waited, what was leased is free."""
    server.account.advance(by)
    session.execute(
        update(GatewayStep)
        .where(GatewayStep.state == "waiting")
        .values(
            first_attempt_at=GatewayStep.first_attempt_at - by,
            not_before=GatewayStep.not_before - by,
            leased_until=GatewayStep.leased_until - by,
        )
    )
    session.execute(update(GatewayInvoice).values(leased_until=None))
    session.execute(update(GatewayPace).values(not_before=GatewayPace.filled_at))
    session.commit()


def work_to_the_end(till: Till, server: StripeServer, outbox: Outbox, rounds: int = 60) -> None:
    """Works until nothing waits any more, however often it has to wait."""
    for _ in range(rounds):
        outbox.work()
        if not steps(till.session, states=("waiting",)):
            till.session.rollback()
            return
        later(till.session, server, timedelta(hours=1))
    raise AssertionError(steps(till.session, states=("waiting", "stopped")))


def states(session: Session) -> list[tuple[str, str]]:
    session.rollback()
    return [(step.kind, step.state) for step in session.scalars(select(GatewayStep).order_by(GatewayStep.id))]


def test_an_issued_invoice_goes_out_with_its_lines_its_tax_and_our_number(
    till: Till, server: StripeServer, outbox: Outbox
) -> None:
    till.by_stripe()
    invoice = till.invoice(100_00, 25_50, -5_50, tax=22_80)
    assert outbox.work() == ["customer", *ALL_OUT]
    [out] = there(server, invoice)
    assert (out["status"], out["total"], out["number"]) == ("open", 142_80, invoice.number)
    assert [line["amount"] for line in out["lines"]["data"]] == [100_00, 25_50, -5_50, 22_80]
    assert out["auto_advance"] is False
    assert server.account.sent == [out["id"]]
    assert outbox.work() == []
    second = till.invoice(7_00)
    assert outbox.work() == ALL_OUT  # the customer is known
    assert len(there(server, second)) == 1


@pytest.mark.slow
def test_lines_go_to_the_invoices_own_id_in_parts_and_pending_items_stay_out(
    till: Till, server: StripeServer, outbox: Outbox
) -> None:
    till.by_stripe()
    till.invoice(1_00)
    outbox.work()
    [customer] = server.account.customers
    outbox.gateway._client.v1.invoice_items.create({"customer": customer, "amount": 999, "currency": "usd"})
    invoice = till.invoice(*range(1, 452))
    assert outbox.work() == ["create", "lines", "lines", "lines", "check", "finalise", "send"]
    [out] = there(server, invoice)
    assert (len(out["lines"]["data"]), out["total"]) == (451, sum(range(1, 452)))


@pytest.mark.slow
def test_only_invoices_issued_after_the_choice_and_with_something_to_pay_go_out(
    till: Till, server: StripeServer, outbox: Outbox
) -> None:
    before = till.invoice(1_00)
    till.by_stripe()
    nothing, credit = till.invoice(5, -5), till.invoice(-1_00)
    other = till.invoice(2_00, licensee="south")
    stop = till.invoice(3_00)
    stop_collecting(till.session, CLERK, till.licensor_id, till.licensee_id())
    till.session.commit()
    assert outbox.work() == []
    assert not any(there(server, each) for each in (before, nothing, credit, other, stop))


@pytest.mark.slow
def test_a_total_that_is_not_ours_is_never_finalised(till: Till, server: StripeServer, outbox: Outbox) -> None:
    till.by_stripe()
    invoice = till.invoice(100_00)
    outbox.plan()
    assert [outbox.step() for _ in range(3)] == ["customer", "create", "lines"]
    [out] = there(server, invoice)
    client = outbox.gateway._client
    client.v1.invoices.add_lines(out["id"], {"lines": [{"amount": 1, "description": "a penny for the guy"}]})
    assert outbox.step() == "check!"
    assert outbox.work() == []
    [stopped] = steps(till.session, states=("stopped",))
    assert "10001" in stopped["error"]
    assert "10000" in stopped["error"]
    assert there(server, invoice)[0]["status"] == "draft"
    with pytest.raises(NotFound):
        retry(till.session, CLERK, stopped["id"] + 1)
    retry(till.session, CLERK, stopped["id"])
    till.session.commit()
    assert outbox.work() == ["check!"]
    assert [step["step"] for step in steps(till.session, states=("stopped",))] == ["check"]


def test_a_draft_changed_between_the_comparison_and_the_finalising_is_seen(
    till: Till, server: StripeServer, outbox: Outbox
) -> None:
    till.by_stripe()
    invoice = till.invoice(100_00)
    outbox.plan()
    assert [outbox.step() for _ in range(4)] == ["customer", "create", "lines", "check"]
    [out] = there(server, invoice)
    outbox.gateway._client.v1.invoices.add_lines(out["id"], {"lines": [{"amount": 1}]})
    assert outbox.step() == "finalise!"
    assert there(server, invoice)[0]["status"] == "draft"


def test_a_currency_or_amount_that_stripe_cannot_hold_stops_before_anything_is_sent(
    session: Session, server: StripeServer, outbox: Outbox
) -> None:
    till = Till(session, currency="KWD")
    till.by_stripe()
    bad, good = till.invoice(5_124), till.invoice(5_120)
    outbox.work()
    assert there(server, bad) == []
    [stopped] = steps(session, states=("stopped",))
    assert (stopped["invoice"], stopped["step"]) == (bad.number, "create")
    assert "5.124 KWD" in stopped["error"]
    assert there(server, good)[0]["total"] == 5_120


@pytest.mark.parametrize(
    ("currency", "minor", "stripes"),
    [
        ("JPY", 1234, 1234),
        pytest.param("ISK", 500, 50_000, marks=pytest.mark.slow),
        pytest.param("MGA", 300, 3, marks=pytest.mark.slow),
    ],
)
def test_amounts_are_written_as_stripe_writes_them(
    session: Session, server: StripeServer, outbox: Outbox, *, currency: str, minor: int, stripes: int
) -> None:
    till = Till(session, currency=currency)
    till.by_stripe()
    invoice = till.invoice(minor)
    outbox.work()
    [out] = there(server, invoice)
    assert (out["status"], out["total"], out["currency"]) == ("open", stripes, currency.lower())
    server.customer_pays(out["id"])
    assert outbox.reconcile().differences == 1  # the payment, which the reading then records
    outbox.work()
    assert till.left(invoice) == [0]
    assert outbox.reconcile().differences == 0


@pytest.mark.slow
def test_a_card_is_charged_and_a_card_that_is_declined_holds_up_nothing(
    till: Till, server: StripeServer, outbox: Outbox
) -> None:
    till.by_stripe(collection="charge_automatically")
    invoice = till.invoice(100_00)
    outbox.plan()
    outbox.step()
    [customer] = server.account.customers
    server.account.cards[customer] = "declined"
    assert outbox.work() == ["create", "lines", "check", "finalise", "collect"]
    [collect] = [step for step in steps(till.session, states=("done",)) if step["step"] == "collect"]
    assert collect["error"] == "declined: Your card was declined."
    assert till.left(invoice) == [100_00]
    server.account.cards[customer] = "ok"
    second = till.invoice(50_00)
    outbox.work()
    assert there(server, second)[0]["status"] == "paid"
    assert till.left(invoice, second) == [100_00, 0]


def test_credit_notes_follow_their_invoice_and_a_lost_reply_credits_once(
    till: Till, server: StripeServer, outbox: Outbox
) -> None:
    till.by_stripe()
    invoice = till.invoice(100_00)
    outbox.work()
    till.invoice(-30_00, note_for=invoice)
    server.faults.next("POST /v1/credit_notes", "reply_lost")
    outbox.work()
    later(till.session, server, timedelta(hours=25))
    work_to_the_end(till, server, outbox)
    [note] = server.account.credit_notes.values()
    [out] = there(server, invoice)
    assert (note["amount"], out["amount_remaining"]) == (30_00, 70_00)
    server.customer_pays(out["id"])
    till.invoice(-20_00, note_for=invoice)  # of what is paid already
    outbox.work()
    assert sorted(each["post_payment_amount"] for each in server.account.credit_notes.values()) == [0, 20_00]


@pytest.mark.slow
def test_what_was_paid_elsewhere_is_asked_for_no_more(till: Till, server: StripeServer, outbox: Outbox) -> None:
    from core.payments.apply import apply_oldest_first
    from tests.core.payments.test_apply import pays

    till.by_stripe()
    invoice = till.invoice(100_00)
    outbox.work()
    pays(till, 100_00)
    apply_oldest_first(till.session, CLERK, till.licensor_id, till.licensee_id())
    till.session.commit()
    assert outbox.work() == ["mark_paid"]
    [out] = there(server, invoice)
    assert (out["status"], server.account.invoice_payments) == ("paid", {})
    assert outbox.reconcile().differences == 0
    assert till.left(invoice) == [0]


@pytest.mark.slow
def test_a_bucket_of_tokens_keeps_all_workers_together_below_the_rate(
    till: Till, server: StripeServer, outbox: Outbox
) -> None:
    till.by_stripe()
    for n in range(1, 6):
        till.invoice(n)
    outbox.plan()
    rate, began, calls = 4, time.monotonic(), 0
    while calls < 10:
        with Session(outbox.engine) as session:
            work = claim(session, LEASE, rate)
            session.commit()
            assert work is not None
        if isinstance(work, Wait):
            time.sleep(work.time.total_seconds())
            continue
        calls += 1
        with Session(outbox.engine) as session:
            record(session, work, perform(outbox.gateway, work))
            session.commit()
    assert time.monotonic() - began >= (10 - rate) / rate


def test_two_workers_never_hold_one_step_and_the_lanes_keep_their_order(till: Till, outbox: Outbox) -> None:
    till.by_stripe()
    till.invoice(1_00)
    till.invoice(2_00)
    outbox.plan()
    outbox.step()
    with Session(outbox.engine) as one, Session(outbox.engine) as two, Session(outbox.engine) as three:
        first = claim(one, LEASE, 1000)
        one.commit()
        second = claim(two, LEASE, 1000)
        two.commit()
        assert isinstance(first, Work)
        assert isinstance(second, Work)
        assert (first.kind, second.kind) == ("create", "create")
        assert first.number != second.number
        assert claim(three, LEASE, 1000) is None


@pytest.mark.slow
def test_who_slept_through_its_lease_makes_no_call(till: Till, server: StripeServer, outbox: Outbox) -> None:
    from core.payments.gateway import GatewayBusy

    till.by_stripe()
    till.invoice(1_00)
    outbox.plan()
    with Session(outbox.engine) as session:
        work = claim(session, timedelta(0), 1000)
        session.commit()
    assert isinstance(work, Work)
    calls = len(server.requests)
    with pytest.raises(GatewayBusy):
        perform(outbox.gateway, work)
    assert len(server.requests) == calls


@pytest.mark.slow
def test_a_second_object_for_a_step_is_refused_and_not_recorded(till: Till, outbox: Outbox) -> None:
    till.by_stripe()
    till.invoice(1_00)
    outbox.plan()
    outbox.step()
    with Session(outbox.engine) as session:
        work = claim(session, LEASE, 1000)
        assert isinstance(work, Work)
        record(session, work, Done("in_one"))
        session.commit()
        with pytest.raises(Conflict, match="in_two"):
            record(session, work, Done("in_two"))


def test_the_database_keeps_the_gateways_invoice_whoever_asks(till: Till, outbox: Outbox, owner_url: str) -> None:
    till.by_stripe()
    till.invoice(1_00)
    outbox.work()
    for statement in (
        "UPDATE gateway_invoices SET gateway_id = 'in_other'",
        "DELETE FROM gateway_invoices",
        "UPDATE gateway_customers SET gateway_id = NULL",
        "INSERT INTO gateway_steps (lane, licensor_id, licensee_id, invoice_id, kind, content) "
        "SELECT lane, licensor_id, licensee_id, invoice_id, kind, content FROM gateway_steps WHERE kind = 'create'",
    ):
        with pytest.raises(psycopg.Error), psycopg.connect(owner_url) as connection:
            connection.execute(statement)
