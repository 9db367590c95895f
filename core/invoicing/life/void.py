"""Voiding an issued document on which nothing was paid or credited, so that its period can be closed and issued anew.

The number stays, marked void; the books are reversed by a further entry. What was billed by it counts as not billed
from then on: the next close of its period makes it again, as it would be today.
"""

from sqlalchemy.orm import Session

from core.actors import Actor
from core.errors import Conflict
from core.invoicing.drafts.close import preview
from core.invoicing.drafts.invoice import DraftLine
from core.invoicing.life.acts import Act, begin_named, demand_asked, note
from core.invoicing.life.stands import find_invoice
from core.invoicing.tables import Invoice
from core.ledger.post import post, posted
from core.ledger.posting import voided
from core.period import Period


def void(session: Session, number: str, by: Actor, reason: str) -> Invoice:
    """Voids an issued invoice or credit note. Refused once anything was paid, credited, applied or refunded."""
    act = begin_named(session, number, "void", by, reason)
    _demand_untouched(act)
    asked = demand_asked(session, act, act.invoice.total_minor)
    invoice = act.invoice
    invoice.status = "void"
    session.flush()
    issued = posted(session, invoice.licensor_id, f"issue:{invoice.number}")
    post(session, invoice.licensor_id, invoice.licensee_id, voided(invoice.number or "", issued))
    detail = {"total_minor": invoice.total_minor, "currency": invoice.currency}
    note(session, invoice, "voided", by, reason=act.reason, detail=detail, answers=asked.id if asked else None)
    return invoice


def preview_reissue(session: Session, number: str) -> list[DraftLine]:
    """The lines that closing the period again would write if this invoice were void. Nothing of it remains; roll up
    first.
    """
    invoice = find_invoice(session, number)
    if invoice.status != "issued" or invoice.corrects_invoice_id is not None:
        raise Conflict("not_reissued", f"{number} is not an issued invoice of a period: there is nothing to make anew")
    trial = session.begin_nested()
    try:
        invoice.status = "void"
        session.flush()
        return preview(session, invoice.agreement_id, Period(invoice.period_start, invoice.period_end))
    finally:
        trial.rollback()


def _demand_untouched(act: Act) -> None:
    """Standing alone does not say it: a disputed invoice may have been paid in part, a credit note used in part."""
    stands, number = act.stands, act.invoice.number
    if stands.paid or stands.credited or stands.written_off:
        instead = "some of it was used" if act.invoice.kind == "credit_note" else "credit the rest instead"
        raise Conflict("cannot_void", f"cannot void it ({number}): something was paid or credited; {instead}")
