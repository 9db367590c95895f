"""What callers ask of payments. Run it through a licensee's eyes and it answers with that licensee's alone."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.invoicing.tables import Invoice
from core.money import Money
from core.payments.apply import sources
from core.payments.tables import GatewayStep, Payment, PaymentAllocation, PaymentRefund
from core.registry.tables import Licensee, Licensor


@dataclass(frozen=True, slots=True)
class Listed:
    """A payment with what became of it."""

    payment: Payment
    licensee: str
    applied: Money
    refunded: Money
    to: tuple[str, ...]

    @property
    def left(self) -> Money:
        return Money(self.payment.currency, self.payment.amount_minor) - self.applied - self.refunded


def paid_minor(session: Session, invoice_ids: Collection[int]) -> dict[int, int]:
    """What payments and credit have settled of each invoice, less what was released, in minor units."""
    rows = session.execute(
        select(PaymentAllocation.invoice_id, func.sum(PaymentAllocation.amount_minor))
        .where(PaymentAllocation.invoice_id.in_(invoice_ids))
        .group_by(PaymentAllocation.invoice_id)
    )
    paid = {invoice_id: int(minor) for invoice_id, minor in rows}
    return {invoice_id: paid.get(invoice_id, 0) for invoice_id in invoice_ids}


def payments(
    session: Session, *, licensee: str | None = None, after: int = 0, limit: int = 100, with_rest: bool = False
) -> list[Listed]:
    """Payments in the order in which they were recorded, a page of at most `limit` that begins after the id `after`;
    `with_rest` leaves out those that are used up."""
    applied = (
        select(func.coalesce(func.sum(PaymentAllocation.amount_minor), 0))
        .where(PaymentAllocation.payment_id == Payment.id)
        .scalar_subquery()
    )
    refunded = (
        select(func.coalesce(func.sum(PaymentRefund.amount_minor), 0))
        .where(PaymentRefund.payment_id == Payment.id)
        .scalar_subquery()
    )
    asked = (
        select(Payment, Licensee.slug, applied, refunded)
        .join(Licensee, Licensee.id == Payment.licensee_id)
        .where(Payment.id > after)
        .order_by(Payment.id)
        .limit(limit)
    )
    if licensee is not None:
        asked = asked.where(Licensee.slug == licensee)
    if with_rest:
        asked = asked.where(Payment.amount_minor > applied + refunded)
    rows = session.execute(asked).all()
    numbers = _numbers_of(session, [payment.id for payment, *_ in rows])
    return [
        Listed(
            payment,
            slug,
            Money(payment.currency, int(used)),
            Money(payment.currency, int(returned)),
            numbers.get(payment.id, ()),
        )
        for payment, slug, used, returned in rows
    ]


def rest_of(session: Session, licensor_id: int, licensee_id: int) -> list[tuple[str, Money]]:
    """What is left to be used of an account's payments and credit notes, by item."""
    return [(source.item, source.left) for source in sources(session, licensor_id, licensee_id)]


def steps(session: Session, *, states: Collection[str], limit: int = 200) -> list[dict[str, Any]]:
    """Steps of the gateway outbox in these states, oldest first."""
    rows = session.execute(
        select(GatewayStep, Invoice.number, Licensor.slug, Licensee.slug)
        .join(Licensor, Licensor.id == GatewayStep.licensor_id)
        .join(Licensee, Licensee.id == GatewayStep.licensee_id)
        .outerjoin(Invoice, Invoice.id == GatewayStep.invoice_id)
        .where(GatewayStep.state.in_(states))
        .order_by(GatewayStep.id)
        .limit(limit)
    )
    return [
        {
            "id": step.id,
            "licensor": licensor,
            "licensee": licensee,
            "invoice": number,
            "step": step.kind,
            "state": step.state,
            "attempts": step.attempts,
            "error": step.error,
        }
        for step, number, licensor, licensee in rows
    ]


def _numbers_of(session: Session, payment_ids: Collection[int]) -> dict[int, tuple[str, ...]]:
    """The invoices that each payment settles something of now."""
    rows = session.execute(
        select(PaymentAllocation.payment_id, Invoice.number)
        .join(Invoice, Invoice.id == PaymentAllocation.invoice_id)
        .where(PaymentAllocation.payment_id.in_(payment_ids))
        .group_by(PaymentAllocation.payment_id, Invoice.number)
        .having(func.sum(PaymentAllocation.amount_minor) > 0)
        .order_by(Invoice.number)
    )
    found: dict[int, tuple[str, ...]] = {}
    for payment_id, number in rows:
        if payment_id is not None and number is not None:
            found[payment_id] = (*found.get(payment_id, ()), number)
    return found
