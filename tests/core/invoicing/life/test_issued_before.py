"""What was issued before the life of an invoice was kept stays as it was, and can be paid, credited and voided."""

import json

import psycopg
from alembic import command
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.database import make_engine
from core.invoicing.life.credit import credit
from core.invoicing.life.snapshot import content_hash
from core.invoicing.life.stands import stand
from core.invoicing.life.void import void
from core.invoicing.tables import Invoice
from core.invoicing.verify import verify_invoices
from migrations.upgrade import alembic_config
from tests.core.agreements.test_signed_before import BEFORE, LET_GO
from tests.core.invoicing.people import ADA

SNAPSHOT = {"number": "GLD-000001", "total": "12.34", "lines": [], "subtotal": "12.34"}
ISSUED = """
WITH made AS (
    INSERT INTO invoices (agreement_id, licensor_id, licensee_id, period_start, period_end, status, currency,
                          total_minor)
    SELECT 1, 1, 1, make_date(2026, m, 1), make_date(2026, m + 1, 1), 'draft', 'USD', 1234 FROM generate_series(1, 2) m
    RETURNING id
)
INSERT INTO invoice_lines (invoice_id, no, kind, subject, service_start, service_end, part, adjustment, description,
                           image_count, unit, unit_amount, amount_minor, price_id, workings)
SELECT id, 1, 'usage', 'sd-1', '2026-01-01', '2026-02-01', '2026-01-01', false, 'Images', 1234, 'USD', 12.34, 1234,
       '0/F', '[]' FROM made;
UPDATE invoices SET status = 'issued', number = 'GLD-00000' || id, issued_at = '2026-03-01', due_on = '2026-04-01',
                    snapshot = %(snapshot)s, content_hash = %(hash)s;
INSERT INTO number_series VALUES (1, 'invoice', 2);
INSERT INTO ledger_transactions (licensor_id, licensee_id, reference, posted_at)
SELECT 1, 1, 'issue:' || number, issued_at FROM invoices;
INSERT INTO postings (transaction_id, book, currency, amount_minor)
SELECT id, book, 'USD', amount FROM ledger_transactions,
    (VALUES ('receivable', 1234), ('licence_fees', -1234)) AS legs (book, amount);
"""


def test_old_invoices_keep_their_content_and_get_the_whole_life(empty_database_url: str) -> None:
    for upto, statement, told in (("guards", BEFORE, None), ("imports", ISSUED, True)):
        command.upgrade(alembic_config(empty_database_url), upto)
        with psycopg.Connection.connect(empty_database_url, cursor_factory=psycopg.ClientCursor) as owner:
            given = {"snapshot": json.dumps(SNAPSHOT), "hash": content_hash(SNAPSHOT)}
            owner.execute(statement, given if told else None)
            owner.execute(LET_GO)
    command.upgrade(alembic_config(empty_database_url), "head")
    engine = make_engine(empty_database_url)
    with Session(engine) as session:
        assert [check.problems for check in verify_invoices(session)] == [()] * 6
        first, second = session.scalars(select(Invoice).order_by(Invoice.id)).all()
        assert (first.net_minor, first.tax_minor, first.total_minor) == (1234, 0, 1234)
        assert first.snapshot == SNAPSHOT
        assert stand(session, [first])[first.id].word == "overdue"
        note = credit(session, "GLD-000001", ADA, "goodwill")
        void(session, "GLD-000002", ADA, "twice")
        session.commit()
        words = {number: stand(session, [one])[one.id].word for number, one in (("1", first), ("2", second))}
        assert (words, note.number) == ({"1": "paid", "2": "void"}, "GLD-CN-000001")
        assert [check.problems for check in verify_invoices(session)] == [()] * 6
    engine.dispose()
