"""Payments and what they settled cannot be tampered with: not by the application, not by the owner of the tables."""

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tests.core.payments.test_apply import all_agree, pays, settle
from tests.fakes.till import Till

TAMPERING = {
    "a payment is raised": "UPDATE payments SET amount_minor = amount_minor + 1",
    "a payment is deleted": "DELETE FROM payments",
    "payments are truncated": "TRUNCATE payments CASCADE",
    "an application is changed": "UPDATE payment_allocations SET amount_minor = 1",
    "an application is deleted": "DELETE FROM payment_allocations",
    "a payment is used twice": """INSERT INTO payment_allocations (payment_id, invoice_id, amount_minor, actor)
        SELECT payment_id, (SELECT max(id) FROM invoices), amount_minor, 'x' FROM payment_allocations""",
    "an invoice is paid twice": """INSERT INTO payment_allocations (payment_id, invoice_id, amount_minor, actor)
        SELECT (SELECT max(id) FROM payments), invoice_id, 1, 'x' FROM payment_allocations""",
    "another's money is used": """INSERT INTO payment_allocations (payment_id, invoice_id, amount_minor, actor)
        SELECT id, (SELECT max(id) FROM invoices), 1, 'x' FROM payments WHERE licensee_id = 2""",
    "a reversal of another amount": """INSERT INTO payment_allocations
        (payment_id, invoice_id, amount_minor, reverses_id, actor)
        SELECT payment_id, invoice_id, -1, id, 'x' FROM payment_allocations""",
    "an application without an entry": """INSERT INTO payment_allocations (payment_id, invoice_id, amount_minor, actor)
        SELECT max(p.id), max(i.id), 1, 'x' FROM payments p, invoices i WHERE p.licensee_id = 1""",
    "a refund of what is used": """INSERT INTO payment_refunds (licensor_id, payment_id, amount_minor, refunded_on,
        reference, actor, reason) SELECT licensor_id, id, 1, received_on, 'x', 'x', 'x' FROM payments WHERE id = 1""",
    "a payment without an entry": """INSERT INTO payments
        (licensor_id, licensee_id, currency, amount_minor, received_on, method, reference, actor)
        SELECT licensor_id, licensee_id, currency, 1, received_on, method, 'x', 'x' FROM payments WHERE id = 1""",
}


def test_nothing_that_money_refers_to_can_be_tampered_with_even_by_the_owner(till: Till, owner_url: str) -> None:
    invoice, _ = till.invoice(100_00), till.invoice(200_00)
    settle(till, pays(till, 100_00), invoice.number, 100_00)
    pays(till, 7_00)
    pays(till, 9_00, licensee="south")
    for how, statement in TAMPERING.items():
        with psycopg.connect(owner_url) as connection:
            try:
                connection.execute(statement)
                connection.commit()
            except psycopg.Error:
                continue
        pytest.fail(f"{how}, and nothing stops it")
    all_agree(till.session)


@pytest.mark.slow
def test_the_application_cannot_even_try_to_change_what_was_paid(session: Session) -> None:
    for table in (
        "payments",
        "payment_allocations",
        "payment_refunds",
        "bank_rows",
        "bank_decisions",
        "gateway_events",
    ):
        with pytest.raises(DBAPIError, match="permission denied"):
            session.connection().exec_driver_sql(f"DELETE FROM {table}")
        session.rollback()
