"""What callers ask of the invoices. Run it through a licensee's eyes and it answers with that licensee's alone."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import NotFound
from core.invoicing.documents import document_of
from core.invoicing.tables import Invoice
from core.money import Money
from core.period import Period
from core.registry.tables import Licensee, Licensor


def invoices(
    session: Session, *, period: Period | None = None, after: str | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """Issued invoices by number, a page of at most `limit` that begins after the number `after`."""
    asked = (
        select(Invoice, Licensor.slug, Licensee.slug)
        .join(Licensor, Licensor.id == Invoice.licensor_id)
        .join(Licensee, Licensee.id == Invoice.licensee_id)
        .where(Invoice.number.is_not(None))
        .order_by(Invoice.number)
        .limit(limit)
    )
    if period is not None:
        asked = asked.where(Invoice.period_start == period.start, Invoice.period_end == period.end)
    if after is not None:
        asked = asked.where(Invoice.number > after)
    return [_summary(invoice, licensor, licensee) for invoice, licensor, licensee in session.execute(asked)]


def invoice_content(session: Session, number: str) -> dict[str, Any]:
    """The frozen content of an invoice with its present status and its hash."""
    invoice = _numbered(session, number)
    return {**(invoice.snapshot or {}), "status": invoice.status, "content_hash": invoice.content_hash}


def invoice_document(session: Session, number: str, kind: str) -> bytes:
    """A document (`core/invoicing/documents.py` has the kinds) as it was made and kept."""
    return document_of(session, _numbered(session, number), kind).content


def _numbered(session: Session, number: str) -> Invoice:
    found = session.scalars(select(Invoice).where(Invoice.number == number)).one_or_none()
    if found is None:
        raise NotFound("invoice_not_found", f"there is no invoice {number}")
    return found


def _summary(invoice: Invoice, licensor: str, licensee: str) -> dict[str, Any]:
    return {
        "number": invoice.number,
        "licensor": licensor,
        "licensee": licensee,
        "period": Period(invoice.period_start, invoice.period_end).name,
        "status": invoice.status,
        "currency": invoice.currency,
        "total": str(Money(invoice.currency, invoice.total_minor).amount),
        "issued_at": invoice.issued_at.isoformat() if invoice.issued_at else None,
        "due_on": invoice.due_on.isoformat() if invoice.due_on else None,
    }
