"""Before an invoice is issued: a person holds it back, releases what was held, approves it."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.actors import Actor
from core.errors import Conflict, NotAllowed
from core.invoicing.drafts.bounds import BY_HAND, HoldReason, reasons_of
from core.invoicing.life.acts import Act, above_limit, begin, note
from core.invoicing.tables import Invoice, InvoiceEvent


def hold(session: Session, invoice_id: int, by: Actor, reason: str) -> Invoice:
    """Keeps a draft from being issued until somebody releases it, however often it is closed again."""
    act = begin(session, invoice_id, "hold", by, reason)
    reasons = (*reasons_of(act.invoice.hold_reasons), HoldReason(BY_HAND, f"{by.name}: {act.reason}"))
    mark_held(act.invoice, reasons)
    note(session, act.invoice, "held", by, reason=act.reason, detail=_held_detail(act.invoice))
    return act.invoice


def release(session: Session, invoice_id: int, by: Actor, reason: str) -> Invoice:
    """Lets a held draft be issued after all. It holds for these lines: a draft that changes is judged anew."""
    act = begin(session, invoice_id, "release", by, reason)
    detail = _held_detail(act.invoice)
    mark_held(act.invoice, ())
    note(
        session,
        act.invoice,
        "released",
        by,
        reason=act.reason,
        detail=detail,
        answers=_last(session, act.invoice, "held"),
    )
    return act.invoice


def approve(session: Session, invoice_id: int, by: Actor) -> Invoice:
    """Approves a draft as it is. Above the limit it takes another person than the one who closed it."""
    act = begin(session, invoice_id, "approve", by)
    _demand_lines(act)
    invoice = act.invoice
    if invoice.closed_by == by.name and above_limit(session, invoice, invoice.total_minor):
        raise NotAllowed(
            "second_person_needed", f"you closed this yourself: {act.money} is above the limit for one person, so "
            "somebody else must approve it"
        )  # fmt: skip
    invoice.status, invoice.approved_by = "approved", by.name
    session.flush()
    note(
        session, invoice, "approved", by, detail={"lines_hash": invoice.lines_hash, "total_minor": invoice.total_minor}
    )
    return invoice


def mark_held(invoice: Invoice, reasons: tuple[HoldReason, ...]) -> None:
    """Puts the reasons on a draft that is not issued; without any it is a plain draft. Either ends an approval."""
    invoice.status = "held" if reasons else "draft"
    invoice.hold_reasons = [reason.document() for reason in reasons]
    invoice.hold_reason = reasons[0].code if reasons else None
    invoice.approved_by = None


def released_codes(session: Session, invoice: Invoice) -> dict[str, frozenset[str]]:
    """The reasons that somebody has released, by the hash of the lines for which: it holds for just these."""
    rows = session.scalars(
        select(InvoiceEvent.detail).where(InvoiceEvent.invoice_id == invoice.id, InvoiceEvent.kind == "released")
    )
    found: dict[str, frozenset[str]] = {}
    for detail in rows:
        found[detail["lines_hash"]] = found.get(detail["lines_hash"], frozenset()) | frozenset(detail["codes"])
    return found


def _held_detail(invoice: Invoice) -> dict[str, object]:
    return {"codes": [reason["code"] for reason in invoice.hold_reasons], "lines_hash": invoice.lines_hash}


def _last(session: Session, invoice: Invoice, kind: str) -> int | None:
    """The newest event of a kind that nothing has answered yet."""
    answered = select(InvoiceEvent.answers_id).where(
        InvoiceEvent.invoice_id == invoice.id, InvoiceEvent.answers_id.is_not(None)
    )
    return session.scalar(
        select(InvoiceEvent.id)
        .where(InvoiceEvent.invoice_id == invoice.id, InvoiceEvent.kind == kind, InvoiceEvent.id.not_in(answered))
        .order_by(InvoiceEvent.id.desc())
        .limit(1)
    )


def _demand_lines(act: Act) -> None:
    if act.invoice.lines_hash is None or not act.invoice.lines:
        raise Conflict("nothing_to_issue", "this draft has no lines: close its period again")
