"""Closing a period: from daily counts and terms to the draft of one agreement's invoice.

The agreement's row is locked, so closes of one agreement take turns. A draft is made anew each time; an issued invoice
stands, and what came in after it waits for the next period's invoice as an adjustment.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from core.agreements.tables import Agreement
from core.errors import Conflict, NotFound
from core.invoicing.bill import Bill, load_bill
from core.invoicing.invoice import Billed, DraftLine, difference
from core.invoicing.tables import BillingRunItem, Invoice, InvoiceLine
from core.kill_points import kill_point
from core.money import plain, total
from core.period import Period
from core.rating.rate import LineKey, owed


@dataclass(frozen=True, slots=True)
class Closed:
    """The outcome of a close: the invoice that stands for the period, if any, and whether this close wrote it."""

    invoice: Invoice | None
    wrote: bool


def close(session: Session, agreement_id: int, period: Period) -> Closed:
    """Writes, or writes anew, the draft of an agreement for a period that is over. Twice is once."""
    agreement = _locked(session, agreement_id)
    # Locked too: another run may be issuing it, and what it is decides whether we may write it anew.
    standing = _standing_invoice(session, agreement_id, period, lock=True)
    if standing and standing.status == "issued":
        return Closed(standing, wrote=False)
    bill = load_bill(session, agreement, until=period.end)
    demand_that_it_is_over(session, period, bill.account.zone)
    lines = due_lines(session, bill, period, leaving_out=standing)
    kill_point("after_rating_before_lines")
    if not lines:
        if standing:
            _discard(session, standing)
        return Closed(None, wrote=False)
    return Closed(_write_draft(session, bill, period, standing, lines), wrote=True)


def preview(session: Session, agreement_id: int, period: Period) -> list[DraftLine]:
    """The lines that closing now would write, without writing them; the period need not be over."""
    agreement = session.get_one(Agreement, agreement_id)
    standing = _standing_invoice(session, agreement_id, period)
    if standing and standing.status == "issued":
        return []
    return due_lines(session, load_bill(session, agreement, until=period.end), period, leaving_out=standing)


def due_lines(session: Session, bill: Bill, period: Period, leaving_out: Invoice | None) -> list[DraftLine]:
    """What is owed up to the end of the period, minus what stands on other invoices."""
    billed = _billed(session, bill.agreement.id, leaving_out)
    billed = {key: amount for key, amount in billed.items() if key.due_on <= period.end}
    return difference(owed(bill.contract, bill.counts, period.end), billed, period, bill.account.currency)


def agreements_to_close(session: Session, period: Period) -> list[int]:
    """The signed agreements that began before the period's end: usage may still arrive late for an old one."""
    began = select(Agreement.id).where(Agreement.status != "draft", Agreement.starts_on < period.end)
    return list(session.scalars(began.order_by(Agreement.id)))


def demand_that_it_is_over(session: Session, period: Period, zone: str) -> None:
    """Refuses a period whose last day in `zone` has not ended yet by the database's clock."""
    now: datetime = session.execute(select(func.now())).scalar_one()
    ends_at = period.bounds(zone)[1]
    if now < ends_at:
        raise Conflict(
            "period_not_over", f"{period.name} ends at {ends_at:%Y-%m-%d %H:%M} UTC: close it then, or preview it now"
        )


def _locked(session: Session, agreement_id: int) -> Agreement:
    row = select(Agreement).where(Agreement.id == agreement_id, Agreement.status != "draft")
    agreement = session.scalars(row.with_for_update(key_share=True)).one_or_none()
    if agreement is None:
        raise NotFound("agreement_not_found", f"there is no signed agreement with id {agreement_id}")
    return agreement


def _standing_invoice(session: Session, agreement_id: int, period: Period, *, lock: bool = False) -> Invoice | None:
    asked = select(Invoice).where(
        Invoice.agreement_id == agreement_id,
        Invoice.period_start == period.start,
        Invoice.kind == "regular",
        Invoice.status != "void",
    )
    if lock:
        asked = asked.with_for_update().execution_options(populate_existing=True)
    return session.scalars(asked).one_or_none()


def _billed(session: Session, agreement_id: int, leaving_out: Invoice | None) -> dict[LineKey, Billed]:
    lines = session.scalars(
        select(InvoiceLine)
        .join(Invoice)
        .where(
            Invoice.agreement_id == agreement_id,
            Invoice.status != "void",
            Invoice.id != (leaving_out.id if leaving_out else 0),
        )
        .order_by(InvoiceLine.id)
    )
    by_key: defaultdict[LineKey, list[InvoiceLine]] = defaultdict(list)
    for line in lines:
        service = Period(line.service_start, line.service_end)
        by_key[LineKey(kind=line.kind, subject=line.subject, service=service, part=line.part)].append(line)
    return {
        key: Billed(
            image_count=sum(line.image_count for line in same),
            unit_amount=sum((Fraction(line.unit_amount) for line in same), Fraction(0)),
            minor=sum(line.amount_minor for line in same),
            description=same[0].description,
            unit=same[0].unit,
        )
        for key, same in by_key.items()
    }


def _write_draft(
    session: Session, bill: Bill, period: Period, draft: Invoice | None, lines: list[DraftLine]
) -> Invoice:
    """Puts the lines on the period's draft. A negative total is held: it needs a credit note, not an invoice."""
    amount = total([line.money for line in lines], bill.account.currency)
    if draft is None:
        draft = Invoice(
            agreement_id=bill.agreement.id,
            licensor_id=bill.account.licensor_id,
            licensee_id=bill.account.licensee_id,
            kind="regular",
            period_start=period.start,
            period_end=period.end,
            currency=bill.account.currency,
        )
        session.add(draft)
    else:
        draft.lines.clear()
    draft.status, draft.hold_reason = ("held", "negative_total") if amount.minor < 0 else ("draft", None)
    draft.total_minor = amount.minor
    draft.closed_at = func.now()
    session.flush()
    draft.lines.extend(_row(number, line) for number, line in enumerate(lines, start=1))
    kill_point("after_lines_before_total")
    session.flush()
    return draft


def _discard(session: Session, draft: Invoice) -> None:
    """Removes a draft that has nothing left to say, also from the runs that led to it."""
    named = update(BillingRunItem).where(BillingRunItem.invoice_id == draft.id)
    session.execute(named.values(invoice_id=None))
    session.delete(draft)
    session.flush()


def _row(number: int, line: DraftLine) -> InvoiceLine:
    return InvoiceLine(
        no=number,
        kind=line.key.kind,
        subject=line.key.subject,
        service_start=line.key.service.start,
        service_end=line.key.service.end,
        part=line.key.part,
        adjustment=line.adjustment,
        description=line.description,
        image_count=line.image_count,
        unit=line.unit,
        unit_price=line.unit_price,
        unit_amount=Decimal(plain(line.unit_amount)),
        conversion_rate=line.conversion_rate,
        amount_minor=line.money.minor,
        price_id=line.price_id,
        workings=list(line.workings),
    )
