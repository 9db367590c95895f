"""Reading an invoice again at the gateway, and recording what was paid there. A webhook only says that it is time to.

So the order of webhooks does not matter, nor how often they come: what is recorded is what the gateway has now, each of
its payments once, by its own id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.actors import SYSTEM
from core.invoicing.tables import Invoice
from core.ledger.balances import settled
from core.money import Money
from core.payments.apply import allocate, hold_account, record_payment, source_of_payment
from core.payments.gateway import Gateway, GatewayError, RemoteInvoice, RemotePayment, from_gateway, wait_before_next
from core.payments.outbox import Wait, see, take_token
from core.payments.tables import GatewayInvoice, Payment
from core.period import day_of
from core.registry.tables import Account


@dataclass(frozen=True, slots=True)
class Reading:
    """An invoice that is to be read, leased; `wanted_at` is the wish that the reading fulfils."""

    invoice_id: int
    gateway_id: str
    wanted_at: datetime


@dataclass(frozen=True, slots=True)
class Read:
    """What was read; no invoice where the gateway has none any more."""

    invoice: RemoteInvoice | None
    payments: Sequence[RemotePayment]


def claim_refresh(session: Session, lease: timedelta, calls_a_second: int) -> Reading | Wait | None:
    """Takes the lease of the next invoice that is to be read again."""
    mirror = session.scalars(
        select(GatewayInvoice)
        .where(
            GatewayInvoice.refresh_wanted_at <= func.clock_timestamp(),
            GatewayInvoice.gateway_id.is_not(None),
            func.coalesce(GatewayInvoice.leased_until, func.to_timestamp(0)) <= func.now(),
        )
        .order_by(GatewayInvoice.refresh_wanted_at)
        .limit(1)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if mirror is None or mirror.gateway_id is None or mirror.refresh_wanted_at is None:
        return None
    if wait := take_token(session, calls_a_second):
        return Wait(wait)
    mirror.leased_until = func.now() + lease
    session.flush()
    return Reading(mirror.invoice_id, mirror.gateway_id, mirror.refresh_wanted_at)


def read(gateway: Gateway, reading: Reading) -> Read:
    """The call. Payments are read after the invoice, so none that it counts is missed. Raises a `GatewayError`."""
    invoice = gateway.invoice(reading.gateway_id)
    return Read(invoice, gateway.payments_of(reading.gateway_id) if invoice is not None else ())


def record_reading(session: Session, reading: Reading, what: Read) -> list[Payment]:
    """Keeps what was read and records the payments that are new. A wish that came meanwhile stays a wish."""
    invoice = session.get_one(Invoice, reading.invoice_id)
    hold_account(session, invoice.licensor_id, invoice.licensee_id, [invoice.number or ""])
    new = [payment for each in what.payments if (payment := _record(session, invoice, each)) is not None]
    if what.invoice is not None:
        see(session, reading.invoice_id, what.invoice)
    mirror = session.get_one(GatewayInvoice, reading.invoice_id, with_for_update=True, populate_existing=True)
    if what.invoice is None:
        mirror.status = "gone"
    if mirror.refresh_wanted_at == reading.wanted_at:
        mirror.refresh_wanted_at = None
    mirror.leased_until = None
    session.flush()
    return new


def fail_reading(session: Session, reading: Reading, error: GatewayError) -> None:
    """Leaves the wish, for later."""
    mirror = session.get_one(GatewayInvoice, reading.invoice_id, with_for_update=True, populate_existing=True)
    wait = getattr(error, "wait", None) or wait_before_next(3)
    mirror.leased_until = func.now() + wait
    session.flush()


def _record(session: Session, invoice: Invoice, seen: RemotePayment) -> Payment | None:
    """A payment of the gateway's, once. It settles the invoice it was made for; what is too much stays unapplied."""
    known = select(Payment.id).filter_by(licensor_id=invoice.licensor_id, method="stripe", reference=seen.id)
    if session.scalar(known) is not None or seen.amount == 0:
        return None
    zone = session.scalar(
        select(Account.zone).filter_by(licensor_id=invoice.licensor_id, licensee_id=invoice.licensee_id)
    )
    amount = from_gateway(seen.amount, seen.currency)
    payment = record_payment(
        session,
        SYSTEM,
        licensor_id=invoice.licensor_id,
        licensee_id=invoice.licensee_id,
        amount=amount,
        received_on=day_of(seen.paid_at, zone or "UTC"),
        method="stripe",
        reference=seen.id,
        note=f"for {invoice.number}",
    )
    number = invoice.number or ""
    still_open = settled(session, invoice.licensor_id, [number])[number].left
    applied = min(amount.minor, still_open)
    if applied > 0 and invoice.status == "issued" and amount.currency == invoice.currency:
        allocate(session, SYSTEM, source_of_payment(session, payment.id), number, Money(amount.currency, applied))
    return payment
