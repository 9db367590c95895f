"""The outbox on bad days: one live Stripe invoice for one of ours, with our total, whatever fails."""

import random
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import select

from core.errors import Conflict, NotAllowed
from core.payments.collect import plan
from core.payments.queries import steps
from core.payments.reconcile import pause, resume
from core.payments.tables import GatewayPace
from tests.core.payments.test_outbox import later, states, there, work_to_the_end
from tests.fakes.stripe_server import StripeServer
from tests.fakes.stripe_server.faults import FAULTS
from tests.fakes.till import APPROVER, CLERK, Outbox, Till

CALLS = {
    "customer": "POST /v1/customers",
    "create": "POST /v1/invoices",
    "lines": "POST /v1/invoices/*/add_lines",
    "check": "GET /v1/invoices/*",
    "finalise": "POST /v1/invoices/*/finalize",
    "send": "POST /v1/invoices/*/send",
}


def cases(*fast: tuple[str, str], kinds: Iterable[str], faults: Iterable[str]) -> list[Any]:
    """Every kind of call with every fault; those that are not `fast` take minutes together."""
    every = [(kind, fault) for kind in kinds for fault in faults]
    return [pytest.param(*each, marks=[] if each in fast else [pytest.mark.slow]) for each in every]


@pytest.mark.parametrize(
    ("kind", "fault"),
    cases(
        ("create", "reply_lost"), ("create", "500_after"), ("lines", "dropped"),
        kinds=CALLS, faults=FAULTS,
    ),
)  # fmt: skip
def test_a_call_that_fails_in_any_way_is_made_once_in_effect(
    till: Till, server: StripeServer, outbox: Outbox, kind: str, fault: str
) -> None:
    till.by_stripe()
    invoice = till.invoice(100_00, tax=19_00)
    server.faults.slow_seconds = 0
    server.faults.next(CALLS[kind], fault)
    work_to_the_end(till, server, outbox)
    [out] = there(server, invoice)
    assert (out["status"], out["total"], len(out["lines"]["data"])) == ("open", 119_00, 2)
    assert len(server.account.customers) == 1
    assert server.account.sent == [out["id"]]
    assert {state for _, state in states(till.session)} == {"done"}


@pytest.mark.parametrize(
    ("kind", "fault"),
    cases(
        ("create", "reply_lost"), ("create", "dropped"),
        kinds=("customer", "create", "lines", "finalise", "send"), faults=("reply_lost", "dropped"),
    ),
)  # fmt: skip
def test_a_retry_that_comes_a_day_late_looks_before_it_does_anything(
    till: Till, server: StripeServer, outbox: Outbox, kind: str, fault: str
) -> None:
    till.by_stripe()
    invoice = till.invoice(100_00)
    server.faults.next(CALLS[kind], fault)
    outbox.work()
    later(till.session, server, timedelta(hours=25))
    work_to_the_end(till, server, outbox)
    assert len(server.account.customers) == 1
    [out] = there(server, invoice)
    assert (out["status"], out["total"], len(out["lines"]["data"])) == ("open", 100_00, 1)
    assert server.account.sent == [out["id"]]


@pytest.mark.parametrize("done", [4, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 1, 2, 3, 5, 6))])
def test_a_voided_invoice_is_void_there_however_far_it_had_come(
    till: Till, server: StripeServer, outbox: Outbox, done: int
) -> None:
    till.by_stripe()
    invoice = till.invoice(100_00)
    outbox.plan()
    for _ in range(done):
        outbox.step()
    till.void(invoice)
    work_to_the_end(till, server, outbox)
    assert there(server, invoice) == []
    assert steps(till.session, states=("waiting", "stopped")) == []
    assert outbox.reconcile().differences == 0


@pytest.mark.parametrize(
    "fault", ["reply_lost", *(pytest.param(each, marks=pytest.mark.slow) for each in ("500_after", "dropped", "500"))]
)
def test_an_invoice_voided_while_nobody_knows_whether_it_was_made_is_looked_for(
    till: Till, server: StripeServer, outbox: Outbox, fault: str
) -> None:
    till.by_stripe()
    invoice = till.invoice(100_00)
    outbox.plan()
    outbox.step()
    server.faults.next("POST /v1/invoices", fault)
    assert outbox.step() == "create!"
    till.void(invoice)
    work_to_the_end(till, server, outbox)
    assert there(server, invoice) == []
    assert server.account.sent == []


def test_workers_that_are_told_to_slow_down_all_do(till: Till, server: StripeServer, outbox: Outbox) -> None:
    till.by_stripe()
    till.invoice(1_00)
    till.invoice(2_00)
    server.faults.retry_after = 30
    server.faults.next("POST /v1/customers", "429")
    assert outbox.work() == ["customer!"]
    assert outbox.step() is None  # nobody calls, also for the other invoice
    calls = len(server.requests)
    assert outbox.work() == []
    assert len(server.requests) == calls
    waits = till.session.scalar(select(GatewayPace.not_before - GatewayPace.filled_at))
    assert waits is not None
    assert timedelta(seconds=25) < waits < timedelta(seconds=35)
    later(till.session, server, timedelta(seconds=30))
    work_to_the_end(till, server, outbox)


@pytest.mark.slow
def test_the_wrong_key_waits_for_people_and_loses_nothing(till: Till, server: StripeServer, outbox: Outbox) -> None:
    till.by_stripe()
    invoice = till.invoice(1_00)
    server.api_key = "sk_test_rotated"
    assert outbox.work() == ["customer!"]
    [waiting, *_] = steps(till.session, states=("waiting",))
    assert "does not let us in" in waiting["error"]
    again = Outbox(outbox.engine, server)
    later(till.session, server, timedelta(hours=1))
    work_to_the_end(till, server, again)
    assert len(there(server, invoice)) == 1


def test_a_paused_outbox_sends_nothing_and_resumes_only_when_compared(
    till: Till, server: StripeServer, outbox: Outbox
) -> None:
    session = till.session
    till.by_stripe()
    invoice = till.invoice(1_00)
    pause(session, CLERK, "restored from Tuesday's backup")
    session.commit()
    calls = len(server.requests)
    assert outbox.work() == []
    assert len(server.requests) == calls
    with pytest.raises(NotAllowed):
        resume(session, CLERK, "it looks fine")
    with pytest.raises(Conflict, match="compare with Stripe first"):
        resume(session, APPROVER, "it looks fine")
    outbox.reconcile()
    resume(session, APPROVER, "compared")
    session.commit()
    with pytest.raises(Conflict):
        resume(session, APPROVER, "again")
    work_to_the_end(till, server, outbox)
    assert len(there(server, invoice)) == 1


def test_after_a_restore_what_was_done_is_found_and_not_done_again(
    till: Till, server: StripeServer, outbox: Outbox, owner_url: str
) -> None:
    session = till.session
    till.by_stripe()
    invoice = till.invoice(100_00)
    outbox.work()
    [out] = there(server, invoice)
    server.customer_pays(out["id"])
    session.rollback()
    with psycopg.connect(owner_url) as owner:  # as a backup from before the first step would have it
        owner.execute("SET session_replication_role = replica")
        owner.execute("UPDATE gateway_customers SET gateway_id = NULL")
        owner.execute("DELETE FROM gateway_invoices; DELETE FROM gateway_steps")
    server.account.advance(timedelta(days=3))
    plan(session)
    pause(session, CLERK, "restored")
    session.commit()
    outbox.reconcile()
    resume(session, APPROVER, "compared")
    session.commit()
    work_to_the_end(till, server, outbox)
    assert [each["id"] for each in there(server, invoice)] == [out["id"]]
    assert len(server.account.customers) == 1
    assert till.left(invoice) == [0]
    outbox.reconcile()
    assert outbox.reconcile().differences == 0


@pytest.mark.slow
def test_a_number_that_stripe_knows_with_another_content_stops_the_step(
    till: Till, server: StripeServer, outbox: Outbox, owner_url: str
) -> None:
    session = till.session
    till.by_stripe()
    invoice = till.invoice(100_00)
    outbox.work()
    for each in there(server, invoice):
        each["metadata"]["perimage_content"] = "of an invoice that the restore has lost"
    session.rollback()
    with psycopg.connect(owner_url) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute("DELETE FROM gateway_invoices; DELETE FROM gateway_steps")
    pause(session, CLERK, "restored")
    plan(session)
    resume(session, APPROVER, "I know what I do", anyway=True)
    session.commit()
    outbox.work()
    [stopped] = steps(session, states=("stopped",))
    assert (stopped["step"], "another content" in stopped["error"]) == ("create", True)
    assert len(there(server, invoice)) == 1


def random_fates(dice: random.Random, calls: int) -> list[str | None]:
    return [dice.choice(FAULTS) if dice.random() < 0.4 else None for _ in range(calls)]


def storm(till: Till, server: StripeServer, outbox: Outbox, seed: int) -> None:
    """Invoices, voids, credits and payments while four of ten calls fail and time jumps: in the end all is exact."""
    dice = random.Random(seed)
    server.faults.slow_seconds, server.faults.retry_after = 0, 1
    till.by_stripe()
    till.by_stripe("south", collection="charge_automatically")
    invoices, credited, paid, voided = [], Counter(), Counter(), set()
    for n in range(dice.randint(2, 4)):
        tax = dice.choice([0, 190])
        invoices.append(
            till.invoice(1000 * (n + 1), dice.choice([7, -7]), licensee=dice.choice(["north", "south"]), tax=tax)
        )
    server.faults.script(iter(random_fates(dice, dice.randint(20, 60))))
    for _ in range(dice.randint(3, 8)):
        outbox.work()
        later(till.session, server, dice.choice([timedelta(minutes=3), timedelta(hours=2), timedelta(hours=26)]))
        invoice = dice.choice(invoices)
        happens = dice.randrange(4)
        live = [each for each in there(server, invoice) if each["status"] == "open"]
        if happens == 0 and invoice not in voided and not live and not credited[invoice.id] and not paid[invoice.id]:
            till.void(invoice)
            voided.add(invoice)
        elif happens == 1 and invoice not in voided and credited[invoice.id] + 100 < 900:
            till.invoice(-100, note_for=invoice)
            credited[invoice.id] += 100
        elif happens == 2 and live:
            amount = dice.randint(1, live[0]["amount_remaining"])
            server.customer_pays(live[0]["id"], amount)
            paid[invoice.id] += amount
    server.faults.clear()
    for each in server.account.customers:
        server.account.cards[each] = "declined"
    work_to_the_end(till, server, outbox)
    outbox.reconcile()
    work_to_the_end(till, server, outbox)
    stopped = steps(till.session, states=("stopped",))
    assert {step["step"] for step in stopped} <= {"collect"}, stopped
    for invoice in invoices:
        live = there(server, invoice)
        if invoice in voided:
            assert live == []
            continue
        [out] = live
        assert out["total"] == invoice.total_minor
        assert out["status"] in ("open", "paid")
        notes = [each["amount"] for each in server.account.credit_notes.values() if each["invoice"] == out["id"]]
        assert sum(notes) == credited[invoice.id]
        booked = sum(
            each["amount_paid"] for each in server.account.invoice_payments.values() if each["invoice"] == out["id"]
        )
        assert booked == paid[invoice.id]
        assert till.left(invoice) == [max(0, invoice.total_minor - credited[invoice.id] - booked)]
    outbox.reconcile()
    # A customer that has no card yet cannot be charged, and that is all there is to see.
    assert [each.detail for each in _differences(till) if each.kind != "stopped"] == []


def _differences(till: Till) -> list:
    from core.payments.reconcile import open_differences

    return open_differences(till.session)


@pytest.mark.parametrize("seed", [1])
def test_whatever_fails_there_is_one_invoice_for_each_of_ours_and_each_payment_counts_once(
    till: Till, server: StripeServer, outbox: Outbox, seed: int
) -> None:
    storm(till, server, outbox, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 60))
def test_whatever_fails_in_many_more_ways(till: Till, server: StripeServer, outbox: Outbox, seed: int) -> None:
    storm(till, server, outbox, seed)
