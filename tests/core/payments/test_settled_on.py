"""For which day a payment settles an invoice, and in which order those who record payments lock."""

import threading
from datetime import date, timedelta

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from core.errors import Conflict
from core.invoicing.tables import Invoice
from core.ledger.balances import reductions
from core.payments.apply import allocate, apply_oldest_first, hold_account, record_payment, release, source_of_payment
from core.payments.outbox import claim, record, see
from core.payments.perform import Done, Work
from core.payments.refresh import Reading, read
from tests.door import wait_until
from tests.fakes.till import CLERK, LEASE, Outbox, Till


def paid(till: Till, invoice: Invoice, minor: int, on: date, reference: str) -> int:
    """A payment that is heard of now, settled on an invoice; the id of its application."""
    money = till.money(minor)
    account = {"licensor_id": till.licensor_id, "licensee_id": till.licensee_id()}
    more = {"received_on": on, "method": "bank", "reference": reference}
    payment = record_payment(till.session, CLERK, **account, amount=money, **more)
    made = allocate(till.session, CLERK, source_of_payment(till.session, payment.id), invoice.number, money)
    till.session.commit()
    return made.id


def taken(till: Till, invoice: Invoice) -> dict[date, int]:
    found = reductions(till.session, till.licensor_id, [invoice.number])[invoice.number]
    return {day: minor for day, minor in found.items() if minor}


def test_a_payment_counts_from_the_day_the_money_was_there_whenever_it_is_heard_of(till: Till) -> None:
    invoice = till.invoice(100_00)
    issued = invoice.issued_at.date()
    came = issued + timedelta(days=3)
    first = paid(till, invoice, 60_00, came, "heard of late")
    paid(till, invoice, 5_00, issued - timedelta(days=40), "paid before there was an invoice")
    assert taken(till, invoice) == {came: 60_00, issued: 5_00}
    release(till.session, CLERK, first, "meant for another invoice")
    assert taken(till, invoice) == {issued: 5_00}  # as if it had never been settled so


def test_what_stripe_asks_for_is_settled_elsewhere_as_a_whole_or_not_at_all(till: Till, outbox: Outbox) -> None:
    till.by_stripe()
    invoice, account = till.invoice(100_00), (till.licensor_id, till.licensee_id())
    outbox.plan()
    with pytest.raises(Conflict, match="Stripe asks for the whole") as refused:
        paid(till, invoice, 60_00, invoice.issued_at.date(), "a part")
    assert refused.value.code == "asked_by_gateway"
    till.session.rollback()
    more = {"received_on": invoice.issued_at.date(), "method": "bank"}
    for minor in (60_00, 40_00):
        names = dict(zip(("licensor_id", "licensee_id"), account, strict=True))
        record_payment(till.session, CLERK, **names, amount=till.money(minor), reference=f"of {minor}", **more)
        made = apply_oldest_first(till.session, CLERK, *account)
        till.session.commit()
    assert [row.amount_minor for row in made] == [60_00, 40_00]


def test_a_step_and_a_reading_of_one_invoice_wait_for_each_other_and_not_in_a_circle(
    till: Till, outbox: Outbox, engine: Engine
) -> None:
    till.by_stripe()
    invoice = till.invoice(100_00)
    outbox.plan()
    for _ in range(4):  # customer, create, lines, check
        outbox.step()
    with Session(engine) as session:
        work = claim(session, LEASE, 1000)
        session.commit()
    assert isinstance(work, Work)
    assert work.kind == "finalise"
    seen = outbox.gateway.finalise(work.invoice_gateway_id or "", False, work.key or "")
    reading = Reading(invoice.id, seen.id, invoice.issued_at)
    found = read(outbox.gateway, reading).invoice
    assert found

    def do_record() -> None:
        with Session(engine) as other:
            record(other, work, Done(seen.id, seen))
            other.commit()
            done.append(True)

    done: list[bool] = []
    waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")

    def waiting() -> bool:
        with Session(engine) as watch:
            return bool(watch.scalar(waits))

    with Session(engine) as session:
        hold_account(session, till.licensor_id, till.licensee_id(), [invoice.number or ""])
        recording = threading.Thread(target=do_record)
        recording.start()
        wait_until(waiting)
        see(session, invoice.id, found)  # one of the two would be refused here
        session.commit()
    recording.join(20)
    assert done == [True]
