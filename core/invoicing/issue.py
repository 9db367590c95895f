"""Issuing: the draft gets its number, is frozen with a hash over its content, and enters the books, in one transaction.

The number comes last, from the locked row of its series, so that the lock is short and a failure leaves no gap. The PDF
is made afterwards, from the frozen snapshot, by a step that can be repeated.
"""

import hashlib
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.agreements.tables import Agreement
from core.errors import Conflict, NotFound
from core.invoicing.bill import load_bill
from core.invoicing.document import TEMPLATE_VERSION, render_pdf
from core.invoicing.snapshot import content_hash, snapshot_of
from core.invoicing.tables import Invoice, InvoiceDocument, NumberSeries
from core.kill_points import kill_point
from core.ledger.post import post
from core.ledger.posting import invoice_issued
from core.money import Money
from core.period import day_of
from core.rating.rate import Contract
from core.registry.tables import Licensor


def issue(session: Session, invoice_id: int) -> Invoice:
    """Numbers and freezes a draft. An invoice that is issued already is returned as it stands."""
    invoice = session.scalars(
        select(Invoice).where(Invoice.id == invoice_id).with_for_update().execution_options(populate_existing=True)
    ).one_or_none()
    if invoice is None:
        raise NotFound("invoice_not_found", f"there is no invoice with id {invoice_id}")
    if invoice.status == "issued":
        return invoice
    if invoice.status != "draft":
        raise Conflict(
            "invoice_not_a_draft",
            f"the invoice is {invoice.status} ({invoice.hold_reason}): only a draft can be issued",
        )
    bill = load_bill(session, session.get_one(Agreement, invoice.agreement_id), until=invoice.period_end)
    now: datetime = session.execute(select(func.now())).scalar_one()
    payment_days = _payment_days(bill.contract, invoice.period_end)
    number = _next_number(session, session.get_one(Licensor, invoice.licensor_id))
    with session.no_autoflush:  # the database takes a number, a date and a snapshot together or not at all
        invoice.number, invoice.status, invoice.issued_at = number, "issued", now.astimezone(UTC)
        invoice.due_on = day_of(now, bill.account.zone) + timedelta(days=payment_days)
        invoice.snapshot = snapshot_of(session, invoice, bill, payment_days)
        invoice.content_hash = content_hash(invoice.snapshot)
    kill_point("after_number_before_commit")
    session.flush()
    total = Money(invoice.currency, invoice.total_minor)
    post(session, invoice.licensor_id, invoice.licensee_id, invoice_issued(number, total))
    return invoice


def make_document(session: Session, invoice_id: int) -> InvoiceDocument:
    """The PDF of an issued invoice, made from its snapshot once and kept; a repeat gives the one that was kept."""
    kept = session.get(InvoiceDocument, (invoice_id, "pdf"))
    if kept:
        return kept
    invoice = session.get_one(Invoice, invoice_id)
    if invoice.snapshot is None:
        raise Conflict("invoice_not_issued", "a document is made from an issued invoice; issue it first")
    content = render_pdf({**invoice.snapshot, "content_hash": invoice.content_hash})
    session.execute(
        insert(InvoiceDocument)
        .values(
            invoice_id=invoice_id,
            kind="pdf",
            template=TEMPLATE_VERSION,
            content=content,
            sha256=hashlib.sha256(content).hexdigest(),
        )
        .on_conflict_do_nothing()
    )
    return session.get_one(InvoiceDocument, (invoice_id, "pdf"))


def _payment_days(contract: Contract, until: date) -> int:
    """The days in which to pay, by the terms in force on the last day that the invoice is about."""
    last_day = min(until, contract.in_force.end) - timedelta(days=1)
    number = next(number for days, number in contract.amendments if last_day in days)
    return contract.versions[number][1].payment_days


def _next_number(session: Session, licensor: Licensor) -> str:
    """The next number of the licensor's series: gapless, because a rolled-back transaction gives it back."""
    series = {"licensor_id": licensor.id, "kind": "invoice"}
    session.execute(insert(NumberSeries).values(**series, last_number=0).on_conflict_do_nothing())
    row = session.scalars(select(NumberSeries).filter_by(**series).with_for_update()).one()
    row.last_number += 1
    return f"{licensor.invoice_prefix}-{row.last_number:06d}"
