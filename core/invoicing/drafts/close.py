"""Closing a period: from daily counts and terms to the draft of one agreement's invoice.

The agreement's row is locked, so closes of one agreement take turns. A draft is made anew each time; an issued invoice
stands, and what came in after it waits for the next period's invoice as an adjustment.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.actors import SYSTEM, Actor
from core.agreements.tables import Agreement
from core.audit.record import record
from core.errors import Conflict, NotFound
from core.invoicing.drafts.bill import Bill, load_bill
from core.invoicing.drafts.draft import discard, write_draft
from core.invoicing.drafts.extras import extra_lines
from core.invoicing.drafts.invoice import Billed, DraftLine, difference, taxed
from core.invoicing.drafts.tax import TaxRate
from core.invoicing.life.stands import name_of
from core.invoicing.life.status import MOVES
from core.invoicing.tables import Invoice, InvoiceLine
from core.kill_points import kill_point
from core.period import Period
from core.rating.rate import LineKey, owed
from core.registry.billing import treatment_of
from core.registry.tables import Account


@dataclass(frozen=True, slots=True)
class Closed:
    """The outcome of a close: the invoice that stands for the period, if any, whether this close wrote it, and then
    what it was written from.
    """

    invoice: Invoice | None
    wrote: bool
    bill: Bill | None = None


def close(session: Session, agreement_id: int, period: Period, by: Actor = SYSTEM) -> Closed:
    """Writes, or writes anew, the draft of an agreement for a period that is over. Twice is once.

    A draft that breaks a safety bound is held; one that somebody released or approved stays so while its lines do.
    """
    move = MOVES["close"]
    by.demand(move.least, "close a period", system_may=move.system)
    agreement, account, now = _locked(session, agreement_id)
    # Locked too: another run may be issuing it, and what it is decides whether we may write it anew.
    standing = _standing_invoice(session, agreement_id, period, lock=True)
    if standing and standing.status == "issued":
        return Closed(standing, wrote=False)
    _demand_over(now, period, account.zone)
    bill = load_bill(session, agreement, until=period.end)
    billed = _billed(session, bill, period, leaving_out=standing)
    lines = _due(session, bill, period, billed)
    kill_point("after_rating_before_lines")
    if not lines:
        if standing:
            discard(session, standing)
        return Closed(None, wrote=False)
    draft = write_draft(session, bill, period, standing, lines=lines, billed=billed, by=by)
    if by.is_person:  # the clock's own closes are in the runs; a draft is nobody's invoice yet
        detail = {"period": period.name, "total_minor": draft.total_minor, "lines_hash": draft.lines_hash}
        subject = f"invoice {name_of(draft)}"
        record(session, draft.licensor_id, by, "invoice.closed", subject=subject, detail=detail)
    return Closed(draft, wrote=True, bill=bill)


def preview(session: Session, agreement_id: int, period: Period) -> list[DraftLine]:
    """The lines that closing now would write, without writing them; the period need not be over."""
    agreement = session.get_one(Agreement, agreement_id)
    standing = _standing_invoice(session, agreement_id, period)
    if standing and standing.status == "issued":
        return []
    return due_lines(session, load_bill(session, agreement, until=period.end), period, leaving_out=standing)


def due_lines(session: Session, bill: Bill, period: Period, leaving_out: Invoice | None) -> list[DraftLine]:
    """What is owed up to the end of the period, minus what stands on other invoices."""
    return _due(session, bill, period, _billed(session, bill, period, leaving_out))


def agreements_to_close(session: Session, period: Period) -> list[int]:
    """The signed agreements that began before the period's end: usage may still arrive late for an old one."""
    began = select(Agreement.id).where(Agreement.status != "draft", Agreement.starts_on < period.end)
    return list(session.scalars(began.order_by(Agreement.id)))


def demand_that_it_is_over(session: Session, period: Period, zone: str) -> None:
    """Refuses a period whose last day in `zone` has not ended yet by the database's clock."""
    _demand_over(session.execute(select(func.now())).scalar_one(), period, zone)


def _demand_over(now: datetime, period: Period, zone: str) -> None:
    ends_at = period.bounds(zone)[1]
    if now < ends_at:
        raise Conflict(
            "period_not_over", f"{period.name} ends at {ends_at:%Y-%m-%d %H:%M} UTC: close it then, or preview it now"
        )


def _locked(session: Session, agreement_id: int) -> tuple[Agreement, Account, datetime]:
    """The agreement, kept from other closes, its account, and the time."""
    row = (
        select(Agreement, Account, func.now())
        .join(Account, Account.id == Agreement.account_id)
        .where(Agreement.id == agreement_id, Agreement.status != "draft")
        .with_for_update(key_share=True, of=Agreement)
    )
    found = session.execute(row).one_or_none()
    if found is None:
        raise NotFound("agreement_not_found", f"there is no signed agreement with id {agreement_id}")
    agreement, account, now = found
    return agreement, account, now


def _standing_invoice(session: Session, agreement_id: int, period: Period, *, lock: bool = False) -> Invoice | None:
    """The period's own document, whether an invoice or, with a negative total, a credit note."""
    asked = select(Invoice).where(
        Invoice.agreement_id == agreement_id,
        Invoice.period_start == period.start,
        Invoice.corrects_invoice_id.is_(None),
        Invoice.status != "void",
    )
    if lock:
        asked = asked.with_for_update().execution_options(populate_existing=True)
    return session.scalars(asked).one_or_none()


def _due(session: Session, bill: Bill, period: Period, billed: Mapping[LineKey, Billed]) -> list[DraftLine]:
    lines = [*owed(bill.contract, bill.counts, period.end), *extra_lines(session, bill, period.end)]
    treatment = treatment_of(bill.account)
    due = difference(lines, billed, period, bill.account.currency)
    return taxed(due, billed, TaxRate(treatment.category, treatment.rate))


def _billed(session: Session, bill: Bill, period: Period, leaving_out: Invoice | None) -> dict[LineKey, Billed]:
    """What stands on other invoices for each key that is due by the period's end. A credit that was given on a line is
    not in it: what was owed stays billed, and the licensee need not pay it.
    """
    lines = session.scalars(
        select(InvoiceLine)
        .join(Invoice)
        .where(
            Invoice.agreement_id == bill.agreement.id,
            Invoice.status != "void",
            Invoice.id != (leaving_out.id if leaving_out else 0),
            InvoiceLine.kind != "credit",
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
            tax=TaxRate(same[-1].tax_category, Decimal(same[-1].tax_rate).normalize() + 0),
        )
        for key, same in by_key.items()
        if key.due_on <= period.end
    }
