"""What is claimed about an issued invoice: the licensee disputes it, or nobody expects it to be paid any more.

None of it changes the invoice. A dispute that is agreed leads to a correction or a credit of its own; a write-off only
tells the books what to expect, and can be taken back.
"""

from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.actors import Actor
from core.invoicing.life.acts import begin_named, demand_asked, note
from core.invoicing.tables import InvoiceEvent
from core.ledger.post import post
from core.ledger.posting import written_back, written_off
from core.money import Money

Outcome = Literal["agreed", "rejected", "withdrawn"]


def dispute(session: Session, number: str, by: Actor, reason: str) -> InvoiceEvent:
    """Writes down that the licensee disputes an invoice, and why. One dispute is open at a time."""
    act = begin_named(session, number, "dispute", by, reason)
    return note(session, act.invoice, "disputed", by, reason=act.reason, detail={"left_minor": act.stands.left})


def settle_dispute(session: Session, number: str, by: Actor, outcome: Outcome, reason: str) -> InvoiceEvent:
    """Ends the open dispute. One that was agreed is made good by a credit or a correction, which is another act."""
    act = begin_named(session, number, "settle_dispute", by, reason)
    return note(
        session,
        act.invoice,
        "dispute_settled",
        by,
        reason=act.reason,
        detail={"outcome": outcome},
        answers=act.stands.dispute_id,
    )


def write_off(session: Session, number: str, by: Actor, reason: str) -> InvoiceEvent:
    """Gives up what is left of an invoice. It stays owed by law; the books no longer expect it."""
    act = begin_named(session, number, "write_off", by, reason)
    invoice, left = act.invoice, act.stands.left
    asked = demand_asked(session, act, left)
    times = _times(session, invoice.id, "written_off") + 1
    entry = written_off(number, times, Money(invoice.currency, left))
    post(session, invoice.licensor_id, invoice.licensee_id, entry)
    detail = {"amount_minor": left, "currency": invoice.currency}
    answers = asked.id if asked else None
    return note(session, invoice, "written_off", by, reason=act.reason, detail=detail, answers=answers)


def write_back(session: Session, number: str, by: Actor, reason: str) -> InvoiceEvent:
    """Takes a write-off back: the books expect the money again, for instance because some came."""
    act = begin_named(session, number, "write_back", by, reason)
    invoice = act.invoice
    times = _times(session, invoice.id, "written_off")
    entry = written_back(number, times, Money(invoice.currency, act.stands.written_off))
    post(session, invoice.licensor_id, invoice.licensee_id, entry)
    last = session.scalar(
        select(func.max(InvoiceEvent.id)).where(
            InvoiceEvent.invoice_id == invoice.id, InvoiceEvent.kind == "written_off"
        )
    )
    detail = {"amount_minor": act.stands.written_off, "currency": invoice.currency}
    return note(session, invoice, "written_back", by, reason=act.reason, detail=detail, answers=last)


def _times(session: Session, invoice_id: int, kind: str) -> int:
    asked = select(func.count()).where(InvoiceEvent.invoice_id == invoice_id, InvoiceEvent.kind == kind)
    return session.scalar(asked) or 0
