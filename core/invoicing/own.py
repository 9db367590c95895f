"""A licensee's issued invoices and credit notes with what is open of each, to be searched, sorted and paged.

`OWN_INVOICES` is one statement without order or limit, for a licensee's eyes: the database shows its own issued ones
and nobody else's. What a licensor thinks of an invoice beyond what it told (a write-off) is not to be seen here: then
nothing is left to pay, and it says `settled`. Amounts are in minor units.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Date, case, cast, exists, func, select
from sqlalchemy.orm import Session, aliased

from core.errors import NotFound
from core.invoicing.tables import Invoice, InvoiceDocument, InvoiceEvent
from core.ledger.tables import Outstanding
from core.money import Money
from core.registry.tables import Account, Licensor

STANDINGS = ("open", "partly paid", "overdue", "disputed", "settled", "credit left", "void")
_answer = aliased(InvoiceEvent)
_disputed = exists().where(
    InvoiceEvent.invoice_id == Invoice.id,
    InvoiceEvent.kind == "disputed",
    ~exists().where(_answer.answers_id == InvoiceEvent.id),
)
_today = cast(func.timezone(Account.zone, func.now()), Date)
LEFT = func.coalesce(func.abs(Outstanding.amount_minor), 0)
STANDING = case(
    (Invoice.status == "void", "void"),
    (_disputed, "disputed"),
    (LEFT == 0, "settled"),
    (Invoice.kind == "credit_note", "credit left"),
    (Invoice.due_on < _today, "overdue"),
    (Invoice.total_minor > LEFT, "partly paid"),
    else_="open",
)
OWED = case((Invoice.kind == "regular", LEFT), else_=0)
OWN_INVOICES = (
    select(
        Invoice.id,
        Invoice.number,
        Invoice.kind,
        Invoice.status,
        Invoice.licensor_id,
        Licensor.slug.label("licensor"),
        Licensor.name.label("licensor_name"),
        Invoice.period_start,
        Invoice.period_end,
        Invoice.currency,
        Invoice.net_minor,
        Invoice.tax_minor,
        Invoice.total_minor,
        OWED.label("owed_minor"),
        LEFT.label("left_minor"),
        Invoice.issued_at,
        Invoice.due_on,
        STANDING.label("standing"),
    )
    .join(Licensor, Licensor.id == Invoice.licensor_id)
    .join(Account, (Account.licensor_id == Invoice.licensor_id) & (Account.licensee_id == Invoice.licensee_id))
    .outerjoin(
        Outstanding,
        (Outstanding.licensor_id == Invoice.licensor_id)
        & (Outstanding.book == case((Invoice.kind == "credit_note", "unapplied"), else_="receivable"))
        & (Outstanding.item == Invoice.number),
    )
    .where(Invoice.number.is_not(None))
)


@dataclass(frozen=True, slots=True)
class Owing:
    """What is open with a licensor, and what of it is overdue, tax included."""

    open: Money
    open_count: int
    overdue: Money
    overdue_count: int


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that was told of an invoice: when, what, and what was said of it."""

    at: datetime
    kind: str
    reason: str
    detail: dict[str, Any]


def owing(session: Session, licensor_id: int, currency: str) -> Owing:
    """What is open with a licensor in the account's currency. One statement."""
    rows = OWN_INVOICES.where(Invoice.licensor_id == licensor_id, Invoice.currency == currency).subquery()
    late = rows.c.standing == "overdue"
    is_open = rows.c.owed_minor > 0
    asked = select(
        func.coalesce(func.sum(rows.c.owed_minor), 0),
        func.count().filter(is_open),
        func.coalesce(func.sum(rows.c.owed_minor).filter(late), 0),
        func.count().filter(is_open & late),
    )
    total, count, overdue, overdue_count = session.execute(asked).one()
    return Owing(Money(currency, int(total)), count, Money(currency, int(overdue)), overdue_count)


def own_invoice(session: Session, number: str) -> Any:
    """The row of one invoice. Raises NotFound."""
    found = session.execute(OWN_INVOICES.where(Invoice.number == number)).one_or_none()
    if found is None:
        raise NotFound("invoice_not_found", f"there is no invoice {number}")
    return found


def told_of(session: Session, invoice_id: int) -> list[Happened]:
    """What was told to the licensee of an invoice, in order."""
    asked = select(InvoiceEvent).where(InvoiceEvent.invoice_id == invoice_id).order_by(InvoiceEvent.id)
    return [Happened(each.recorded_at, each.kind, each.reason, each.detail) for each in session.scalars(asked)]


def kinds_of(session: Session, invoice_id: int) -> Sequence[str]:
    """Which documents of an invoice were made."""
    asked = select(InvoiceDocument.kind).where(InvoiceDocument.invoice_id == invoice_id)
    return session.scalars(asked.order_by(InvoiceDocument.kind)).all()
