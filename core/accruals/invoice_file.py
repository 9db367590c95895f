"""Everything that hangs on one invoice beyond itself, for its page: documents, what settled it, notes, its statement.

Through the eyes of whoever asks. `invoice_file` makes six statements, whatever there is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from core.invoicing.tables import Invoice, InvoiceDocument
from core.money import Money
from core.payments.tables import Payment, PaymentAllocation
from core.period import Period
from core.statements.tables import Statement


@dataclass(frozen=True, slots=True)
class Settlement:
    """A part of an invoice that a payment or a credit note settled; below zero where that was undone."""

    id: int
    at: datetime
    amount: Money
    payment_id: int | None
    source: str  # the payment's reference, or the number of the credit note
    method: str  # bank, stripe, manual; or credit
    received_on: date | None
    actor: str
    reason: str
    released: bool  # undone by a further one


@dataclass(frozen=True, slots=True)
class Related:
    """Another document of the same agreement."""

    name: str
    status: str
    total: Money
    period: Period
    issued_at: datetime | None


@dataclass(frozen=True, slots=True)
class InvoiceFile:
    """What there is of an invoice. `documents`: when each kind was made."""

    documents: Mapping[str, datetime]
    settlements: tuple[Settlement, ...]
    notes: tuple[Related, ...]
    corrects: Related | None
    before: Related | None
    statement: int | None


def invoice_file(session: Session, invoice: Invoice) -> InvoiceFile:
    kinds = select(InvoiceDocument.kind, InvoiceDocument.made_at).where(InvoiceDocument.invoice_id == invoice.id)
    statement = (
        select(Statement.number)
        .where(
            Statement.licensee_id == invoice.licensee_id,
            Statement.licensor_id == invoice.licensor_id,
            Statement.period_start == invoice.period_start,
            Statement.period_end == invoice.period_end,
        )
        .order_by(Statement.revision.desc())
        .limit(1)
    )
    month_before = Period.month_of(invoice.period_start).months_before()
    before = _related(
        session,
        Invoice.agreement_id == invoice.agreement_id,
        Invoice.period_start == month_before.start,
        Invoice.corrects_invoice_id.is_(None),
        Invoice.status != "void",
    )
    corrects = _related(session, Invoice.id == invoice.corrects_invoice_id) if invoice.corrects_invoice_id else ()
    return InvoiceFile(
        documents={kind: made_at for kind, made_at in session.execute(kinds)},  # noqa: C416 - a Row is not a pair to the checker
        settlements=settlements_of(session, invoice),
        notes=_related(session, Invoice.corrects_invoice_id == invoice.id),
        corrects=next(iter(corrects), None),
        before=next(iter(before), None),
        statement=session.scalar(statement),
    )


def settlements_of(session: Session, invoice: Invoice) -> tuple[Settlement, ...]:
    """What settled an invoice, or of a credit note what it settled, in order. One statement."""
    undoing, other = aliased(PaymentAllocation), aliased(Invoice)
    is_note = invoice.kind == "credit_note"
    shown = PaymentAllocation.invoice_id if is_note else PaymentAllocation.credit_note_id
    of_this = PaymentAllocation.credit_note_id if is_note else PaymentAllocation.invoice_id
    rows = session.execute(
        select(PaymentAllocation, Payment, other.number, undoing.id)
        .outerjoin(Payment, Payment.id == PaymentAllocation.payment_id)
        .outerjoin(other, other.id == shown)
        .outerjoin(undoing, undoing.reverses_id == PaymentAllocation.id)
        .where(of_this == invoice.id)
        .order_by(PaymentAllocation.id)
    )
    return tuple(
        Settlement(
            id=row.id,
            at=row.allocated_at,
            amount=Money(invoice.currency, row.amount_minor),
            payment_id=row.payment_id,
            source=payment.reference if payment else number or "",
            method=payment.method if payment else "credit",
            received_on=payment.received_on if payment else None,
            actor=row.actor,
            reason=row.reason,
            released=undone is not None,
        )
        for row, payment, number, undone in rows
    )


def _related(session: Session, *which: object) -> tuple[Related, ...]:
    columns = (Invoice.id, Invoice.number, Invoice.status, Invoice.currency, Invoice.total_minor, Invoice.period_start,
               Invoice.period_end, Invoice.issued_at)  # fmt: skip
    rows = session.execute(select(*columns).where(*which).order_by(Invoice.id))  # type: ignore[arg-type]
    return tuple(
        Related(number or f"draft-{id_}", status, Money(currency, minor), Period(start, end), issued_at)
        for id_, number, status, currency, minor, start, end, issued_at in rows
    )
