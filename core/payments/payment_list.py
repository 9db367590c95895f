"""Payments and what is left to use, as lists show them: searched, filtered, sorted and paged in the database.

`payments_of` and `unused_of` are one statement each, without order or limit, for their licensor's eyes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Select, and_, case, func, literal, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from core.invoicing.tables import Invoice
from core.ledger.tables import Outstanding
from core.money import Money
from core.payments.tables import Payment, PaymentAllocation
from core.registry.tables import Licensee

_ITEM = func.concat("payment:", Payment.method, ":", Payment.reference)  # as `Payment.item`
REST = func.coalesce(-Outstanding.amount_minor, 0)
_settled = (
    select(PaymentAllocation.invoice_id)
    .where(PaymentAllocation.payment_id == Payment.id)
    .group_by(PaymentAllocation.invoice_id)
    .having(func.sum(PaymentAllocation.amount_minor) > 0)
    .correlate(Payment)
    .scalar_subquery()
)
PAYS = (
    select(func.string_agg(Invoice.number, aggregate_order_by(literal(", "), Invoice.id)))
    .where(Invoice.id.in_(_settled))
    .correlate(Payment)
    .scalar_subquery()
)
_IN_BOOKS = and_(
    Outstanding.licensor_id == Payment.licensor_id,
    Outstanding.book == "unapplied",
    Outstanding.item == _ITEM,
    Outstanding.currency == Payment.currency,
)


def payments_of(licensor_id: int) -> Select[Any]:
    """A licensor's payments with whose they are, what is left of them, and the invoices that they settle."""
    columns: tuple[Any, ...] = (
        Payment.id.label("id"),
        Payment.method.label("method"),
        Payment.reference.label("reference"),
        Payment.received_on.label("received_on"),
        Payment.currency.label("currency"),
        Payment.amount_minor.label("amount_minor"),
        Payment.payer.label("payer"),
        REST.label("rest_minor"),
        PAYS.label("pays"),
        Licensee.slug.label("licensee"),
        Licensee.name.label("licensee_name"),
    )
    return (
        select(*columns)
        .select_from(Payment)
        .join(Licensee, Licensee.id == Payment.licensee_id)
        .outerjoin(Outstanding, _IN_BOOKS)
        .where(Payment.licensor_id == licensor_id)
    )


def unused_of(licensor_id: int) -> Select[Any]:
    """Payments and credit notes with something left to use."""
    columns: tuple[Any, ...] = (
        Outstanding.item.label("item"),
        Outstanding.currency.label("currency"),
        (-Outstanding.amount_minor).label("rest_minor"),
        Licensee.id.label("licensee_id"),
        Licensee.slug.label("licensee"),
        Licensee.name.label("licensee_name"),
        Payment.id.label("payment_id"),
        Payment.reference.label("reference"),
    )
    return (
        select(*columns)
        .select_from(Outstanding)
        .join(Licensee, Licensee.id == Outstanding.licensee_id)
        .outerjoin(Payment, _IN_BOOKS)
        .where(Outstanding.licensor_id == licensor_id, Outstanding.book == "unapplied", Outstanding.amount_minor < 0)
    )


@dataclass(frozen=True, slots=True)
class Aged:
    """What a licensee owes in one currency by how long it has been due, and what of its money is not used yet."""

    licensee: str
    licensee_name: str
    not_due: Money
    to_30: Money
    to_60: Money
    to_90: Money
    over_90: Money
    unused: Money

    @property
    def receivable(self) -> Money:
        return self.not_due + self.to_30 + self.to_60 + self.to_90 + self.over_90

    @property
    def overdue(self) -> Money:
        return self.receivable - self.not_due


def ageing(session: Session, licensor_id: int, on: date) -> list[Aged]:
    """Receivables by age as the books stand, by licensee and currency, the most overdue first. One statement."""
    late = on - Invoice.due_on
    book = Outstanding.book == "receivable"

    def within(*which: Any) -> Any:
        return func.coalesce(func.sum(Outstanding.amount_minor).filter(book, *which), 0)

    ages: Mapping[str, Any] = {
        "not_due": within((late <= 0) | Invoice.due_on.is_(None)),
        "to_30": within(late.between(1, 30)),
        "to_60": within(late.between(31, 60)),
        "to_90": within(late.between(61, 90)),
        "over_90": within(late > 90),
        "unused": func.coalesce(-func.sum(Outstanding.amount_minor).filter(~book), 0),
    }
    asked = (
        select(Licensee.slug, Licensee.name, Outstanding.currency, *ages.values())
        .select_from(Outstanding)
        .join(Licensee, Licensee.id == Outstanding.licensee_id)
        .outerjoin(
            Invoice,
            and_(Invoice.licensor_id == Outstanding.licensor_id, Invoice.number == Outstanding.item, book),
        )
        .where(Outstanding.licensor_id == licensor_id)
        .group_by(Licensee.slug, Licensee.name, Outstanding.currency)
        .order_by(case((func.sum(Outstanding.amount_minor).filter(book, late > 0) > 0, 0), else_=1),
                  within(late > 0).desc(), Licensee.name)
    )  # fmt: skip
    return [
        Aged(slug, name, *(Money(currency, int(minor)) for minor in amounts))
        for slug, name, currency, *amounts in session.execute(asked)
    ]
