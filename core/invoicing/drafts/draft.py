"""Writes the draft of a period: its lines, tax and total, and whether it is held, released or approved."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session

from core.actors import Actor
from core.invoicing.drafts.bill import Bill
from core.invoicing.drafts.bounds import BY_HAND, reasons_of
from core.invoicing.drafts.checks import hold_reasons
from core.invoicing.drafts.invoice import Billed, DraftLine
from core.invoicing.drafts.tax import tax_groups
from core.invoicing.life.acts import note
from core.invoicing.life.approve import mark_held, released_codes
from core.invoicing.life.snapshot import counted_with
from core.invoicing.tables import BillingRunItem, Invoice, InvoiceEvent, InvoiceLine
from core.kill_points import kill_point
from core.money import Money, plain, total
from core.period import Period
from core.rating.rate import LineKey


def write_draft(
    session: Session,
    bill: Bill,
    period: Period,
    draft: Invoice | None,
    *,
    lines: Sequence[DraftLine],
    billed: Mapping[LineKey, Billed],
    by: Actor,
) -> Invoice:
    """Puts the lines on the period's draft. A negative total makes it a credit note; a broken bound holds it."""
    currency = bill.account.currency
    net = total([line.money for line in lines], currency)
    tax = sum(group.tax_minor for group in tax_groups((line.tax, line.money.minor) for line in lines))
    amount = Money(currency, net.minor + tax)
    counted = counted_with(session, bill, period)
    rows = [_row(number, line) for number, line in enumerate(lines, start=1)]
    lines_hash = hash_of_lines(rows, amount)
    reasons = hold_reasons(session, bill, period, lines=lines, billed=billed, total=amount)
    if draft is None:  # all of a new draft goes to the database at once
        draft = _empty_draft(bill, period)
    else:
        draft.lines.clear()
        session.flush()
    draft.kind = "credit_note" if amount.minor < 0 else "regular"
    draft.total_minor, draft.tax_minor = amount.minor, tax
    draft.closed_at, draft.closed_by = func.now(), by.name
    draft.closed_with = counted
    draft.lines.extend(rows)
    _judge(session, draft, lines_hash, reasons, by)
    return draft


def discard(session: Session, draft: Invoice) -> None:
    """Takes back a draft that has nothing left to say. One that something was done with is emptied and stays."""
    if session.scalar(select(exists().where(InvoiceEvent.invoice_id == draft.id))):
        draft.lines.clear()
        draft.total_minor = draft.tax_minor = 0
        draft.kind, draft.lines_hash, draft.closed_with = "regular", None, None
        mark_held(draft, tuple(one for one in reasons_of(draft.hold_reasons) if one.code == BY_HAND))
        session.flush()
        return
    named = update(BillingRunItem).where(BillingRunItem.invoice_id == draft.id)
    session.execute(named.values(invoice_id=None))
    session.delete(draft)
    session.flush()


def hash_of_lines(lines: Sequence[InvoiceLine], amount: Money) -> str:
    """What a draft asks for, as one hash: whoever approves or releases it does so for just these lines."""
    content = [
        [
            *(line.no, line.kind, line.subject, line.service_start.isoformat(), line.service_end.isoformat()),
            *(line.part, line.description, line.image_count, line.unit, line.amount_minor, line.price_id),
            *(line.tax_category, plain(line.tax_rate), line.adjustment),
        ]
        for line in lines
    ]
    canonical = json.dumps([str(amount), *content], separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _judge(session: Session, draft: Invoice, lines_hash: str, reasons: tuple[Any, ...], by: Actor) -> None:
    """Decides whether the draft is held, and writes down what this changes. A person's own hold stays until released;
    a release or an approval stays while the lines do.
    """
    same = draft.lines_hash == lines_hash
    approved_by = draft.approved_by if draft.status == "approved" else None
    held_before = {reason["code"] for reason in draft.hold_reasons} if draft.status == "held" else set()
    released = released_codes(session, draft, lines_hash) if reasons and draft.lines_hash else frozenset()
    by_hand = tuple(one for one in reasons_of(draft.hold_reasons) if one.code == BY_HAND)
    still = (*(reason for reason in reasons if reason.code not in released), *by_hand)
    draft.lines_hash = lines_hash
    mark_held(draft, still)
    if same and approved_by and not still:
        draft.status, draft.approved_by = "approved", approved_by
    session.add(draft)
    session.flush()
    kill_point("after_lines_before_total")
    codes = [reason.code for reason in still]
    if still and not (same and set(codes) == held_before):
        note(session, draft, "held", by, detail={"codes": codes, "lines_hash": lines_hash})
    elif approved_by and draft.status != "approved":
        note(session, draft, "reopened", by, detail={"lines_hash": lines_hash, "approved_by": approved_by})


def _empty_draft(bill: Bill, period: Period) -> Invoice:
    return Invoice(
        agreement_id=bill.agreement.id,
        licensor_id=bill.account.licensor_id,
        licensee_id=bill.account.licensee_id,
        kind="regular",
        status="draft",
        hold_reasons=[],
        period_start=period.start,
        period_end=period.end,
        currency=bill.account.currency,
        lines=[],
    )


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
        tax_category=line.tax.category,
        tax_rate=line.tax.rate,
    )
