"""Issuing: the draft gets its number, is frozen with a hash over its content, and enters the books, in one transaction.

The number comes last, from the locked row of its series, so that the lock is short and a failure leaves no gap. The PDF
is made afterwards, from the frozen snapshot, by a step that can be repeated.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.actors import SYSTEM, Actor
from core.agreements.tables import Agreement
from core.audit.record import lock_logs
from core.database import among
from core.errors import Conflict, NotAllowed
from core.invoicing.drafts.bill import Bill, contract_of, load_bill
from core.invoicing.drafts.extras import in_force_on_last_day
from core.invoicing.life.acts import Note, limits_of, locked, note_many
from core.invoicing.life.snapshot import content_hash, snapshot_of
from core.invoicing.life.stands import name_of, stand
from core.invoicing.life.status import demand
from core.invoicing.tables import Invoice, InvoiceLine, NumberSeries
from core.kill_points import kill_point
from core.ledger.post import post_many
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


def issue_locked(session: Session, invoice: Invoice, by: Actor) -> Invoice:
    """The same for a draft that this transaction has locked."""
    _demand_issuable(session, invoice, by)
    approval = needs_person(session, [invoice], by).get(invoice.id)
    if approval is not None:
        raise NotAllowed("second_person_needed", approval)
    issue_many(session, [(invoice, _bill_of(session, invoice))], by)
    return invoice


def issue_many(session: Session, drafts: Sequence[tuple[Invoice, Bill]], by: Actor = SYSTEM) -> None:
    """Numbers and freezes drafts that this transaction has locked or just written, in their order and with as many
    statements as one. `bill` is what each was written from. The caller has asked `needs_person` and found nobody; the
    database looks once more in any case. Where one cannot be issued none is.
    """
    freezing = []
    for invoice, bill in drafts:
        _demand_issuable(session, invoice, by)
        days = in_force_on_last_day(bill.contract, invoice.period_end).payment_days
        freezing.append(Freezing(invoice, bill, days))
    number_and_freeze(session, freezing, by)


def needs_person(session: Session, invoices: Sequence[Invoice], by: Actor = SYSTEM) -> dict[int, str]:
    """Why `by` cannot issue some of these drafts before somebody else has approved them, by their ids."""
    limits = limits_of(session, invoices)
    found = {}
    for invoice in invoices:
        limit = limits[invoice.id]
        if limit is None or abs(invoice.total_minor) <= limit:
            continue
        total = Money(invoice.currency, invoice.total_minor)
        if invoice.status != "approved":
            found[invoice.id] = (
                f"{name_of(invoice)} asks for {total}, above the limit for one person: it has to be approved first"
            )
        elif invoice.approved_by == by.name:
            found[invoice.id] = (
                f"you approved this yourself: {total} is above the limit for one person, so somebody else must issue it"
            )
    return found


def _demand_issuable(session: Session, invoice: Invoice, by: Actor) -> None:
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


@dataclass(frozen=True, slots=True)
class Freezing:
    """A draft that may be issued, what it was written from, and the days in which it is to be paid."""

    invoice: Invoice
    bill: Bill
    payment_days: int


def number_and_freeze(session: Session, drafts: Sequence[Freezing], by: Actor) -> None:
    """Everything that issuing does, for invoices whose lines and totals stand and that may be issued.

    Of several licensors one after the other, always in the same order.
    """
    by_licensor: dict[int, list[Freezing]] = {}
    for each in drafts:
        by_licensor.setdefault(each.invoice.licensor_id, []).append(each)
    lock_logs(session, by_licensor)  # before the series: see core/audit
    for licensor_id, theirs in sorted(by_licensor.items()):
        _freeze(session, licensor_id, theirs, by)


def _freeze(session: Session, licensor_id: int, drafts: Sequence[Freezing], by: Actor) -> None:
    """Numbers, freezes, posts and notes the drafts of one licensor, whose log is locked."""
    licensees = select(Licensee).where(among(Licensee.id, {each.invoice.licensee_id for each in drafts}))
    parties = {licensee.id: licensee for licensee in session.scalars(licensees)}
    licensor, now = session.execute(select(Licensor, func.now()).where(Licensor.id == licensor_id)).one()
    named = [name_of(each.invoice) for each in drafts]
    numbers = _next_numbers(session, licensor, [SERIES[each.invoice.kind] for each in drafts])
    with session.no_autoflush:  # the database takes a number, a date and a snapshot together or not at all
        for each, number in zip(drafts, numbers, strict=True):
            _fill(session, each, number, now, by, licensor=licensor, licensee=parties[each.invoice.licensee_id])
    kill_point("after_number_before_commit")
    session.flush()
    entries = [(each.invoice.licensee_id, entry_of(session, each.invoice)) for each in drafts]
    post_many(session, licensor_id, entries)
    note_many(session, [_issued(each.invoice, name) for each, name in zip(drafts, named, strict=True)], by)


def _fill(
    session: Session, each: Freezing, number: str, now: datetime, by: Actor, *, licensor: Licensor, licensee: Licensee
) -> None:
    invoice, today = each.invoice, day_of(now, each.bill.account.zone)
    invoice.number, invoice.status, invoice.issued_at = number, "issued", now.astimezone(UTC)
    invoice.due_on = today if invoice.kind == "credit_note" else today + timedelta(days=each.payment_days)
    invoice.issued_by = by.name
    invoice.snapshot = snapshot_of(session, invoice, each.bill, each.payment_days, licensor=licensor, licensee=licensee)
    invoice.content_hash = content_hash(invoice.snapshot)
    invoice.closed_with = None  # it is in the snapshot now


def _issued(invoice: Invoice, draft_name: str) -> Note:
    detail = {
        "draft": draft_name,
        "number": invoice.number,
        "currency": invoice.currency,
        "total_minor": invoice.total_minor,
        "content_hash": invoice.content_hash,
        "approved_by": invoice.approved_by,
        "closed_by": invoice.closed_by,
    }
    return Note(invoice, "issued", detail)


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


def _next_numbers(session: Session, licensor: Licensor, series: Sequence[str]) -> list[str]:
    """The next numbers of the licensor, one of each series named, in their order: gapless, because a transaction that
    is rolled back gives them back.
    """
    last: dict[str, int] = {}
    for kind, many in sorted(Counter(series).items()):
        first = insert(NumberSeries).values(licensor_id=licensor.id, kind=kind, last_number=many)
        taken = first.on_conflict_do_update(
            index_elements=["licensor_id", "kind"], set_={"last_number": NumberSeries.last_number + many}
        ).returning(NumberSeries.last_number)
        last[kind] = session.execute(taken).scalar_one() - many
    numbers = []
    for kind in series:
        last[kind] += 1
        numbers.append(number_in(licensor.invoice_prefix, kind, last[kind]))
    return numbers
