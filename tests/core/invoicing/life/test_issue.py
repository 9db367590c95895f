"""Issuing: gapless numbers, frozen invoices, balanced books, and a document that is made once."""

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg
import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from core.invoicing.documents import make_document
from core.invoicing.life.issue import issue
from core.invoicing.life.snapshot import content_hash
from core.invoicing.tables import Invoice
from core.invoicing.verify import verify_invoices
from core.ledger.balances import balances
from core.money import Money
from core.period import Period
from tests.core.invoicing.drafts.test_close import close_month, issue_month
from tests.trade import Trade, flat

OCTOBER = Period.month("2026-10")


def drafts(session: Session, trade: Trade, how_many: int) -> list[int]:
    for n in range(how_many):
        trade.agreement(f"deal-{n}", fees=[flat("sd-1", "0.01")], licensee=f"platform-{n}")
        trade.use("sd-1", 100 + n, "2026-10-03T00:00Z", licensee=f"platform-{n}")
    from core.agreements.tables import Agreement

    return [
        closed.invoice.id
        for agreement in session.scalars(select(Agreement).order_by(Agreement.id)).all()
        if (closed := close_month(session, agreement, OCTOBER)).invoice
    ]


def test_an_issued_invoice_has_a_number_a_due_day_a_hash_and_a_place_in_the_books(
    session: Session, trade: Trade
) -> None:
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")], payment_days=14)
    trade.use("sd-1", 12345, "2026-10-03T00:00Z")
    invoice = issue_month(session, agreement, OCTOBER)
    assert invoice.number == "GLD-000001"
    assert invoice.issued_at is not None
    assert invoice.due_on is not None
    assert (invoice.due_on - invoice.issued_at.date()).days == 14
    assert invoice.snapshot is not None
    assert invoice.content_hash == content_hash(invoice.snapshot)
    assert invoice.snapshot["total"] == "123.45"
    assert balances(session, trade.licensor.id, trade.licensee("north").id) == {
        ("receivable", "USD"): Money("USD", 12345),
        ("licence_fees", "USD"): Money("USD", -12345),
    }
    assert [check.problems for check in verify_invoices(session)] == [()] * 6


def test_issuing_twice_returns_the_same_invoice(session: Session, trade: Trade) -> None:
    [id_] = drafts(session, trade, 1)
    first = issue(session, id_).number
    session.commit()
    assert issue(session, id_).number == first


def test_sixty_issued_at_once_with_a_third_rolled_back_leave_no_gap(
    session: Session, engine: Engine, trade: Trade
) -> None:
    ids = drafts(session, trade, 20)
    dice = random.Random(7)
    tries = [(id_, dice.random() < 1 / 3) for id_ in ids for _ in range(3)]
    dice.shuffle(tries)

    def attempt(what: tuple[int, bool]) -> None:
        id_, fails = what
        with Session(engine) as own:
            issue(own, id_)
            own.rollback() if fails else own.commit()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(attempt, tries))
    session.expire_all()
    issued = session.scalars(select(Invoice.number).where(Invoice.status == "issued").order_by(Invoice.number)).all()
    assert issued == [f"GLD-{n:06d}" for n in range(1, len(issued) + 1)]
    assert len(issued) == len({id_ for id_, fails in tries if not fails})


TAMPERING = {
    "the total is raised": "UPDATE invoices SET total_minor = total_minor + 1",
    "the snapshot is rewritten": "UPDATE invoices SET snapshot = '{}'",
    "the number is changed": "UPDATE invoices SET number = 'GLD-000099'",
    "the status goes back": "UPDATE invoices SET status = 'draft'",
    "the invoice is deleted": "DELETE FROM invoices",
    "the invoices are truncated": "TRUNCATE invoices CASCADE",
    "a line is changed": "UPDATE invoice_lines SET amount_minor = 0",
    "a line is deleted": "DELETE FROM invoice_lines",
    "a line is added": """INSERT INTO invoice_lines (invoice_id, no, kind, subject, service_start, service_end, part,
        adjustment, description, image_count, unit, unit_amount, amount_minor, price_id, workings)
        SELECT invoice_id, 99, kind, subject, service_start, service_end, 'x', adjustment, description, 1, unit, 1, 1,
        price_id, workings FROM invoice_lines""",
    "the lines are truncated": "TRUNCATE invoice_lines",
    "the document is replaced": "UPDATE invoice_documents SET content = ''",
    "the books are changed": "UPDATE postings SET amount_minor = 0",
    "half an entry is added": """INSERT INTO postings (transaction_id, book, currency, amount_minor)
        SELECT id, 'receivable', 'USD', 5 FROM ledger_transactions""",
}


@pytest.mark.parametrize("how", TAMPERING)
def test_an_issued_invoice_cannot_be_tampered_with_even_by_the_owner(
    session: Session, trade: Trade, owner_url: str, how: str
) -> None:
    [id_] = drafts(session, trade, 1)
    issue(session, id_)
    session.commit()
    make_document(session, id_)
    session.commit()
    with pytest.raises(psycopg.Error), psycopg.connect(owner_url) as connection:
        connection.execute(TAMPERING[how])
    assert [check.problems for check in verify_invoices(session)] == [()] * 6


def test_the_application_cannot_even_try_to_change_the_books(session: Session) -> None:
    for table in ("postings", "ledger_transactions", "usage_events", "usage_reports", "invoice_documents"):
        with pytest.raises(DBAPIError, match="permission denied"):
            session.connection().exec_driver_sql(f"DELETE FROM {table}")
        session.rollback()


def test_the_document_is_made_once_and_kept(session: Session, trade: Trade) -> None:
    [id_] = drafts(session, trade, 1)
    with suppress(Exception):
        make_document(session, id_)
    session.rollback()
    issue(session, id_)
    session.commit()
    first = make_document(session, id_)
    session.commit()
    assert first.content.startswith(b"%PDF-")
    assert make_document(session, id_).sha256 == first.sha256
    assert session.scalar(select(func.count()).select_from(Invoice)) == 1
