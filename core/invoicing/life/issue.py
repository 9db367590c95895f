"""Issuing: the draft gets its number, is frozen with a hash over its content, and enters the books, in one transaction.

The number comes last, from the locked row of its series, so that the lock is short and a failure leaves no gap. The PDF
is made afterwards, from the frozen snapshot, by a step that can be repeated.
"""

from datetime import UTC, timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.actors import SYSTEM, Actor
from core.agreements.tables import Agreement
from core.audit.record import lock_log
from core.errors import Conflict, NotAllowed
from core.invoicing.drafts.bill import Bill, contract_of, load_bill
from core.invoicing.drafts.extras import in_force_on_last_day
from core.invoicing.life.acts import above_limit, locked, note
from core.invoicing.life.snapshot import content_hash, snapshot_of
from core.invoicing.life.stands import name_of, stand
from core.invoicing.life.status import demand
from core.invoicing.tables import Invoice, InvoiceLine, NumberSeries
from core.kill_points import kill_point
from core.ledger.post import post
from core.ledger.posting import Entry, credit_note_issued, invoice_issued
from core.money import Money
from core.period import day_of
from core.registry.tables import Account, Licensee, Licensor

SERIES = {"regular": "invoice", "credit_note": "credit_note"}
_MARKS = {"invoice": "", "credit_note": "CN-"}


def issue(session: Session, invoice_id: int, by: Actor = SYSTEM) -> Invoice:
    """Numbers and freezes a draft. An invoice that is issued already is returned as it stands.

    Above the account's limit it must have been approved, and by somebody else than whoever issues it. A draft with a
    negative total becomes a credit note, numbered in its own series.
    """
    invoice = locked(session, invoice_id)
    return invoice if invoice.status == "issued" else issue_locked(session, invoice, by)


def issue_locked(
    session: Session, invoice: Invoice, by: Actor, bill: Bill | None = None, *, limit_is_kept: bool = False
) -> Invoice:
    """The same for a draft that this transaction has locked or just written; `bill` is what it was written from. With
    `limit_is_kept` the caller has asked `needs_person` already; the database looks once more in any case.
    """
    if invoice.status == "held":
        codes = ", ".join(reason["code"] for reason in invoice.hold_reasons) or invoice.hold_reason
        raise Conflict(
            "invoice_not_a_draft",
            f"{name_of(invoice)} is held ({codes}): only a draft can be issued, so release it with a reason first",
        )
    is_note = invoice.kind == "credit_note"
    demand("issue", stand(session, [invoice])[invoice.id].word, by, what=name_of(invoice), credit_note=is_note)
    if not invoice.lines:
        raise Conflict("nothing_to_issue", f"{name_of(invoice)} has no lines: close its period again")
    approval = None if limit_is_kept else needs_person(session, invoice, by)
    if approval is not None:
        raise NotAllowed("second_person_needed", approval)
    bill = bill or _bill_of(session, invoice)
    days = in_force_on_last_day(bill.contract, invoice.period_end).payment_days
    return number_and_freeze(session, invoice, bill, by, payment_days=days)


def needs_person(session: Session, invoice: Invoice, by: Actor = SYSTEM) -> str | None:
    """Why `by` cannot issue this draft before somebody else has approved it; None where nobody has to."""
    if not above_limit(session, invoice, invoice.total_minor):
        return None
    total = Money(invoice.currency, invoice.total_minor)
    if invoice.status != "approved":
        return f"{name_of(invoice)} asks for {total}, above the limit for one person: it has to be approved first"
    if invoice.approved_by == by.name:
        return f"you approved this yourself: {total} is above the limit for one person, so somebody else must issue it"
    return None


def number_and_freeze(session: Session, invoice: Invoice, bill: Bill, by: Actor, *, payment_days: int) -> Invoice:
    """Everything that issuing does, for an invoice whose lines and totals stand and that may be issued."""
    # Read at once, and held while they are asked for again by the snapshot.
    parties = select(Licensor, Licensee, func.now()).select_from(Licensor)
    parties = parties.join(Licensee, Licensee.id == invoice.licensee_id).where(Licensor.id == invoice.licensor_id)
    licensor, _licensee, now = session.execute(parties).one()
    today = day_of(now, bill.account.zone)
    draft_name = name_of(invoice)
    lock_log(session, invoice.licensor_id)  # before the series: see core/audit
    number = _next_number(session, licensor, SERIES[invoice.kind])
    with session.no_autoflush:  # the database takes a number, a date and a snapshot together or not at all
        invoice.number, invoice.status, invoice.issued_at = number, "issued", now.astimezone(UTC)
        invoice.due_on = today if invoice.kind == "credit_note" else today + timedelta(days=payment_days)
        invoice.issued_by = by.name
        invoice.snapshot = snapshot_of(session, invoice, bill, payment_days)
        invoice.content_hash = content_hash(invoice.snapshot)
        invoice.closed_with = None  # it is in the snapshot now
    kill_point("after_number_before_commit")
    post(session, invoice.licensor_id, invoice.licensee_id, entry_of(session, invoice))
    detail = {
        "draft": draft_name,
        "number": number,
        "currency": invoice.currency,
        "total_minor": invoice.total_minor,
        "content_hash": invoice.content_hash,
        "approved_by": invoice.approved_by,
        "closed_by": invoice.closed_by,
    }
    note(session, invoice, "issued", by, detail=detail)
    return invoice


def entry_of(session: Session, invoice: Invoice) -> Entry:
    """What a document writes into the books: what is earned, what is tax, and what is owed or to be used."""
    number = invoice.number or ""
    interest = Money(invoice.currency, sum(line.amount_minor for line in invoice.lines if _is_interest(session, line)))
    tax = Money(invoice.currency, invoice.tax_minor)
    fees = Money(invoice.currency, invoice.total_minor) - tax - interest
    if invoice.kind != "credit_note":
        return invoice_issued(number, fees, tax, interest)
    settles: dict[str, Money] = {}
    if invoice.corrects_invoice_id is not None:
        corrected = session.get_one(Invoice, invoice.corrects_invoice_id)
        left = max(0, stand(session, [corrected])[corrected.id].left)
        settles[corrected.number or ""] = Money(invoice.currency, min(left, -invoice.total_minor))
    return credit_note_issued(number, fees, tax, interest, settles=settles)


def number_in(prefix: str, series: str, place: int) -> str:
    """How a number is written: OWG-000001 for an invoice, OWG-CN-000001 for a credit note."""
    return f"{prefix}-{_MARKS[series]}{place:06d}"


def _bill_of(session: Session, invoice: Invoice) -> Bill:
    """The agreement, account and contract behind a draft; its counts are with the draft since it was closed."""
    agreement = session.get_one(Agreement, invoice.agreement_id)
    if invoice.closed_with is None:  # closed before drafts kept their counts
        return load_bill(session, agreement, until=invoice.period_end)
    account = session.get_one(Account, agreement.account_id, populate_existing=True)
    return Bill(agreement, account, contract_of(session, agreement), {})


def _is_interest(session: Session, line: InvoiceLine) -> bool:
    """Whether a line is interest, or a credit of some."""
    if line.corrects_line_id is None:
        return line.kind == "interest"
    return session.get_one(InvoiceLine, line.corrects_line_id).kind == "interest"


def _next_number(session: Session, licensor: Licensor, kind: str) -> str:
    """The next number of the licensor's series: gapless, because a rolled-back transaction gives it back."""
    first = insert(NumberSeries).values(licensor_id=licensor.id, kind=kind, last_number=1)
    taken = first.on_conflict_do_update(
        index_elements=["licensor_id", "kind"], set_={"last_number": NumberSeries.last_number + 1}
    ).returning(NumberSeries.last_number)
    return number_in(licensor.invoice_prefix, kind, session.execute(taken).scalar_one())
