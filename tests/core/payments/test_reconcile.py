"""The daily comparison: each way to differ is a row, from when it is found until it is gone."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from core.payments.gateway import CONTENT_MARK, INVOICE_MARK, LICENSOR_MARK, GatewayError
from core.payments.reconcile import open_differences, reconciled_since
from core.payments.tables import GatewayDifference
from core.payments.verify import verify_payments
from tests.core.payments.test_apply import pays, settle
from tests.fakes.stripe_server import StripeServer, invoices
from tests.fakes.till import Outbox, Till


def found(till: Till, outbox: Outbox) -> list[tuple[str, str]]:
    """What a comparison finds now."""
    till.session.rollback()
    outbox.reconcile()
    till.session.rollback()
    return [(each.kind, each.subject) for each in open_differences(till.session)]


def out(till: Till, server: StripeServer, outbox: Outbox) -> tuple[str, dict]:
    """An invoice of 100.00 that is out: its number, and Stripe's."""
    till.by_stripe()
    number = till.invoice(100_00).number
    outbox.work()
    [there] = server.account.live_invoices(**{INVOICE_MARK: number})
    return number, there


def test_where_nothing_differs_nothing_is_written(till: Till, server: StripeServer, outbox: Outbox) -> None:
    out(till, server, outbox)
    assert found(till, outbox) == []
    assert reconciled_since(till.session, datetime.now(UTC) - timedelta(hours=1))
    assert till.session.scalar(select(func.count()).select_from(GatewayDifference)) == 0


def test_a_payment_whose_webhook_was_lost_is_found_recorded_and_then_no_difference(
    till: Till, server: StripeServer, outbox: Outbox
) -> None:
    number, there = out(till, server, outbox)
    server.customer_pays(there["id"])
    assert found(till, outbox) == [("paid", number)]
    assert verify_payments(till.session)[-1].problems
    outbox.work()
    assert found(till, outbox) == []
    [row] = till.session.scalars(select(GatewayDifference)).all()
    assert row.resolved_at is not None
    assert not verify_payments(till.session)[-1].problems


def test_two_live_invoices_for_one_number_are_seen(till: Till, server: StripeServer, outbox: Outbox) -> None:
    number, there = out(till, server, outbox)
    marks = {name: there["metadata"][name] for name in (INVOICE_MARK, LICENSOR_MARK, CONTENT_MARK)}
    with server.lock:
        invoices.create(server.account, {"customer": there["customer"], "metadata": marks})
    assert found(till, outbox) == [("duplicate", number)]


def test_an_invoice_with_our_mark_that_we_do_not_know_is_seen(till: Till, server: StripeServer, outbox: Outbox) -> None:
    _, there = out(till, server, outbox)
    marks = {INVOICE_MARK: "GLD-000777", LICENSOR_MARK: "guild"}
    others = {INVOICE_MARK: "ELSE-1", LICENSOR_MARK: "another installation"}
    with server.lock:
        for metadata in (marks, others, {}):
            invoices.create(server.account, {"customer": there["customer"], "metadata": metadata})
    assert found(till, outbox) == [("unknown_here", "GLD-000777")]


@pytest.mark.slow
def test_what_people_do_there_is_seen(till: Till, server: StripeServer, outbox: Outbox) -> None:
    number, there = out(till, server, outbox)
    with server.lock:
        invoices.void(server.account, there["id"])
    assert found(till, outbox) == [("status", number)]


@pytest.mark.slow
def test_what_was_paid_there_outside_stripe_is_seen(till: Till, server: StripeServer, outbox: Outbox) -> None:
    number, there = out(till, server, outbox)
    with server.lock:
        invoices.pay(server.account, there["id"], {"paid_out_of_band": True})
    assert found(till, outbox) == [("status", number)]
    invoice_id = open_differences(till.session)[0].invoice_id
    assert invoice_id is not None
    settle(till, pays(till, 100_00), number, 100_00)
    assert found(till, outbox) == []


def test_a_part_that_was_settled_before_stripe_asked_is_asked_for_there_still(
    till: Till, server: StripeServer, outbox: Outbox
) -> None:
    till.by_stripe()
    number = till.invoice(100_00).number
    settle(till, pays(till, 40_00), number, 40_00)  # refused from when Stripe is told of it: test_settled_on.py
    outbox.work()
    assert found(till, outbox) == [("remaining", number)]
    [row] = open_differences(till.session)
    assert row.detail == "6000 still open here, Stripe asks for 10000"


@pytest.mark.slow
def test_a_credit_note_made_there_is_seen(till: Till, server: StripeServer, outbox: Outbox) -> None:
    number, there = out(till, server, outbox)
    with server.lock:
        invoices.credit(server.account, {"invoice": there["id"], "amount": 1_00})
    assert found(till, outbox) == [("remaining", number)]


@pytest.mark.slow
def test_an_old_invoice_that_is_not_settled_is_read_on_its_own(
    till: Till, server: StripeServer, outbox: Outbox, owner_url: str
) -> None:
    import psycopg

    number, there = out(till, server, outbox)
    there["created"] -= 200 * 86400
    till.session.rollback()
    with psycopg.connect(owner_url) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute("UPDATE invoices SET issued_at = issued_at - interval '200 days'")
    server.customer_pays(there["id"])
    assert found(till, outbox) == [("paid", number)]
    outbox.work()
    assert found(till, outbox) == []
    with server.lock:
        del server.account.invoices[there["id"]]
    assert found(till, outbox) == []  # it is paid, and nobody asks any more


@pytest.mark.slow
def test_a_stopped_step_is_a_difference_until_it_is_seen_to(till: Till, server: StripeServer, outbox: Outbox) -> None:
    till.by_stripe()
    invoice = till.invoice(100_00)
    outbox.plan()
    for _ in range(3):
        outbox.step()
    [there] = server.account.live_invoices()
    with server.lock:
        invoices.add_lines(server.account, there["id"], {"lines": [{"amount": 1}]})
    outbox.work()
    assert found(till, outbox) == [("stopped", f"{invoice.number}:check")]
    till.void(invoice)
    outbox.work()
    assert found(till, outbox) == []


@pytest.mark.parametrize("fault", ["dropped", *(pytest.param(each, marks=pytest.mark.slow) for each in ("500", "429"))])
@pytest.mark.slow
def test_a_comparison_that_fails_halfway_changes_nothing(
    till: Till, server: StripeServer, outbox: Outbox, fault: str
) -> None:
    _, there = out(till, server, outbox)
    server.customer_pays(there["id"])
    server.faults.next("GET /v1/invoice_payments", fault)
    with pytest.raises(GatewayError):
        outbox.reconcile()
    assert open_differences(till.session) == []
    assert not reconciled_since(till.session, datetime.now(UTC) - timedelta(days=1))
