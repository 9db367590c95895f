"""The people of the tests about the life of an invoice, and a month billed by them."""

from sqlalchemy.orm import Session

from core.actors import Actor
from core.agreements.tables import Agreement
from core.invoicing.drafts.close import close
from core.invoicing.life.issue import issue
from core.invoicing.tables import Invoice
from core.ledger.post import post
from core.ledger.posting import payment_received
from core.money import Money
from core.period import Period
from core.usage.counts.rollup import roll_up

VERA = Actor("Vera", "viewer")
CLEO = Actor("Cleo", "clerk")
ADA = Actor("Ada", "approver")
BEN = Actor("Ben", "approver")
ROOT = Actor("Root", "admin")
AUGUST, SEPTEMBER, OCTOBER = (Period.month(f"2026-{month:02}") for month in (8, 9, 10))


def drafted(session: Session, agreement: Agreement, month: Period = OCTOBER, by: Actor = CLEO) -> Invoice:
    """The month's draft, closed anew."""
    session.commit()
    roll_up(session)
    invoice = close(session, agreement.id, month, by).invoice
    assert invoice is not None
    session.commit()
    return invoice


def issued(session: Session, agreement: Agreement, month: Period = OCTOBER) -> Invoice:
    """The month's invoice, issued by the machine."""
    invoice = issue(session, drafted(session, agreement, month).id)
    session.commit()
    return invoice


def pay(session: Session, invoice: Invoice, minor: int, reference: str = "1", on: object = None) -> None:
    """A payment of an invoice, as the payments slice will write it."""
    money = Money(invoice.currency, minor)
    entry = payment_received(reference, money, {invoice.number or "": money}, on=on)  # type: ignore[arg-type]
    post(session, invoice.licensor_id, invoice.licensee_id, entry)
    session.commit()
