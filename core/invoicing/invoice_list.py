"""The invoices of a licensor as lists show them, to be searched, filtered, sorted and paged in the database.

`documents(licensor_id)` is one statement without order or limit; use it with that licensor's eyes. Where a document
stands is worked out here as `life/stands.py` does it, from what it is, its disputes and write-offs, and what the books
keep as open of it; a test holds the two together.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Date, Select, and_, case, cast, exists, func, select
from sqlalchemy.orm import Session, aliased

from core.agreements.tables import Agreement
from core.invoicing.tables import Invoice, InvoiceEvent
from core.ledger.tables import Outstanding
from core.money import Money
from core.period import Period
from core.registry.tables import Account, Licensee

TODAY = cast(func.timezone(Account.zone, func.now()), Date)  # in the zone of the invoice's account
LEFT = func.abs(func.coalesce(Outstanding.amount_minor, 0))  # to be paid; of a credit note: to be used
_ISSUED = Invoice.status == "issued"
_INVOICE = Invoice.kind == "regular"
_BOOK = case((_INVOICE, "receivable"), else_="unapplied")


def _unanswered(kind: str) -> ColumnElement[bool]:
    """Whether something of this kind happened to the invoice and nothing has answered it yet."""
    event, answer = aliased(InvoiceEvent), aliased(InvoiceEvent)
    return exists(
        select(event.id).where(
            event.invoice_id == Invoice.id,
            event.kind == kind,
            ~exists(select(answer.id).where(answer.answers_id == event.id)),
        )
    )


def _among(kind: str) -> ColumnElement[bool]:
    """The same for many invoices at a time: such events are few."""
    event, answer = aliased(InvoiceEvent), aliased(InvoiceEvent)
    return Invoice.id.in_(
        select(event.invoice_id).where(
            event.kind == kind, ~exists(select(answer.id).where(answer.answers_id == event.id))
        )
    )


DISPUTED = _unanswered("disputed")
WRITTEN_OFF = _unanswered("written_off")
LATE = and_(Invoice.total_minor > 0, Invoice.due_on < TODAY)
STANDING = case(
    (~_ISSUED, Invoice.status),
    (DISPUTED, "disputed"),
    (WRITTEN_OFF, "uncollectible"),
    (LEFT == 0, "paid"),
    (LATE, "overdue"),
    (func.abs(Invoice.total_minor) > LEFT, "partly_paid"),
    else_="issued",
)
# What a list can be narrowed to. "open" and "overdue" are about money, so a disputed invoice is among them.
STANDS: dict[str, ColumnElement[bool]] = {
    "open": and_(_ISSUED, _INVOICE, LEFT > 0),
    "overdue": and_(_ISSUED, _INVOICE, LEFT > 0, LATE),
    "partly_paid": and_(_ISSUED, LEFT > 0, func.abs(Invoice.total_minor) > LEFT),
    "disputed": and_(_ISSUED, _among("disputed")),
    "paid": and_(_ISSUED, LEFT == 0, ~_among("written_off")),
    "uncollectible": and_(_ISSUED, _among("written_off")),
    "draft": Invoice.status == "draft",
    "held": Invoice.status == "held",
    "approved": Invoice.status == "approved",
    "void": Invoice.status == "void",
}


def documents(licensor_id: int) -> Select[Any]:
    """Invoices and credit notes of a licensor with whose they are, what is left of them and where they stand."""
    columns: tuple[Any, ...] = (
        Invoice.id.label("id"),
        Invoice.number.label("number"),
        Invoice.kind.label("kind"),
        Invoice.status.label("status"),
        Invoice.period_start.label("period_start"),
        Invoice.issued_at.label("issued_at"),
        Invoice.due_on.label("due_on"),
        Invoice.currency.label("currency"),
        Invoice.net_minor.label("net_minor"),
        Invoice.total_minor.label("total_minor"),
        LEFT.label("left_minor"),
        STANDING.label("standing"),
        Licensee.slug.label("licensee"),
        Licensee.name.label("licensee_name"),
        Agreement.slug.label("agreement"),
    )
    return (
        select(*columns)
        .select_from(Invoice)  # always there: as outer joins they are left out where nobody asks for them
        .outerjoin(Agreement, Agreement.id == Invoice.agreement_id)
        .outerjoin(Account, Account.id == Agreement.account_id)
        .outerjoin(Licensee, Licensee.id == Invoice.licensee_id)
        .outerjoin(
            Outstanding,
            (Outstanding.licensor_id == Invoice.licensor_id)
            & (Outstanding.book == _BOOK)
            & (Outstanding.item == Invoice.number)
            & (Outstanding.currency == Invoice.currency),
        )
        .where(Invoice.licensor_id == licensor_id)
    )


@dataclass(frozen=True, slots=True)
class CurrencySum:
    """Documents of one currency: how many, what they ask for with tax, and what is still to be paid."""

    count: int
    total: Money
    left: Money


def sums_of(session: Session, asked: Select[Any]) -> list[CurrencySum]:
    """Sums over a selection of `documents`, by currency. One statement. Void ones ask for nothing, and what is left to
    be used of a credit note is owed to nobody by the licensee.
    """
    row = asked.order_by(None).subquery()
    owed = case((row.c.status == "void", 0), else_=row.c.total_minor)
    left = case((row.c.kind == "regular", row.c.left_minor), else_=-row.c.left_minor)
    rows = session.execute(
        select(row.c.currency, func.count(), func.sum(owed), func.sum(left))
        .group_by(row.c.currency)
        .order_by(func.count().desc(), row.c.currency)
    )
    return [
        CurrencySum(count, Money(currency, int(total)), Money(currency, int(rest)))
        for currency, count, total, rest in rows
    ]


def months_of(session: Session, licensor_id: int) -> list[Period]:
    """The months of which there are documents, the newest first, with those between. One statement."""
    first, last = session.execute(
        select(func.min(Invoice.period_start), func.max(Invoice.period_start)).where(Invoice.licensor_id == licensor_id)
    ).one()
    found: list[Period] = []
    day: date | None = last
    while day is not None and day >= first and len(found) < 120:
        found.append(Period.month_of(day))
        day = _month_before(day)
    return found


def _month_before(day: date) -> date:
    return date(day.year - (day.month == 1), 12 if day.month == 1 else day.month - 1, 1)
