"""Writes the drafts of a period: their lines, tax and total, and whether each is held, released or approved."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session

from core.actors import Actor
from core.audit.record import lock_logs
from core.invoicing.drafts.bill import Bill
from core.invoicing.drafts.bounds import BY_HAND, HoldReason, reasons_of
from core.invoicing.drafts.checks import Around, hold_reasons, look_around
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


@dataclass(frozen=True, slots=True)
class Rated:
    """An agreement's bill for a period, rated: the draft that stands for it so far, what other invoices bill for each
    key, and the lines that are due beyond that.
    """

    bill: Bill
    standing: Invoice | None
    billed: Mapping[LineKey, Billed]
    lines: Sequence[DraftLine]


@dataclass(frozen=True, slots=True)
class _Said:
    """What writing a draft changed about it, to be written down once it has an id."""

    draft: Invoice
    kind: str
    detail: dict[str, Any]


def write_drafts(session: Session, rated: Sequence[Rated], period: Period, now: datetime, by: Actor) -> list[Invoice]:
    """Puts the lines on each period's draft, all with the same few statements. A negative total makes it a credit note;
    a broken bound holds it.
    """
    bills = [one.bill for one in rated]
    around = look_around(session, bills, period)
    counted = counted_with(session, bills, period)
    remade = [one.standing for one in rated if one.standing]
    released = {draft.id: _released(session, draft) for draft in remade}
    for draft in remade:
        draft.lines.clear()
    if remade:
        session.flush()
    drafts, said = [], []
    for one in rated:
        id_ = one.bill.agreement.id
        draft = one.standing or _empty_draft(one.bill, period)
        draft.closed_at, draft.closed_by = now, by.name
        draft.closed_with = counted[id_]
        found = _fill(draft, one, period, around[id_], released.get(draft.id, {}))
        if found is not None:
            said.append(found)
        drafts.append(draft)
    session.add_all(drafts)
    session.flush()
    kill_point("after_lines_before_total")
    if said:
        lock_logs(session, {draft.licensor_id for draft in drafts})  # those who issue them next need no other
    for each in said:
        note(session, each.draft, each.kind, by, detail=each.detail)
    return drafts


def _fill(
    draft: Invoice, one: Rated, period: Period, around: Around, released: Mapping[str, frozenset[str]]
) -> _Said | None:
    """Lines, tax and total of a draft, and whether it is held. Returns what this changed about it."""
    currency = one.bill.account.currency
    net = total([line.money for line in one.lines], currency)
    tax = sum(group.tax_minor for group in tax_groups((line.tax, line.money.minor) for line in one.lines))
    amount = Money(currency, net.minor + tax)
    rows = [_row(number, line) for number, line in enumerate(one.lines, start=1)]
    lines_hash = hash_of_lines(rows, amount)
    reasons = hold_reasons(one.bill, period, around, lines=one.lines, billed=one.billed, total=amount)
    draft.kind = "credit_note" if amount.minor < 0 else "regular"
    draft.total_minor, draft.tax_minor = amount.minor, tax
    draft.lines.extend(rows)
    return _judge(draft, lines_hash, [one for one in reasons if one.code not in released.get(lines_hash, ())])


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


def _judge(draft: Invoice, lines_hash: str, reasons: Sequence[HoldReason]) -> _Said | None:
    """Decides whether the draft is held, and says what this changes. A person's own hold stays until released;
    a release or an approval stays while the lines do.
    """
    same = draft.lines_hash == lines_hash
    approved_by = draft.approved_by if draft.status == "approved" else None
    held_before = {reason["code"] for reason in draft.hold_reasons} if draft.status == "held" else set()
    still = (*reasons, *(one for one in reasons_of(draft.hold_reasons) if one.code == BY_HAND))
    draft.lines_hash = lines_hash
    mark_held(draft, still)
    if same and approved_by and not still:
        draft.status, draft.approved_by = "approved", approved_by
    codes = [reason.code for reason in still]
    if still and not (same and set(codes) == held_before):
        return _Said(draft, "held", {"codes": codes, "lines_hash": lines_hash})
    if approved_by and draft.status != "approved":
        return _Said(draft, "reopened", {"lines_hash": lines_hash, "approved_by": approved_by})
    return None


def _released(session: Session, draft: Invoice) -> Mapping[str, frozenset[str]]:
    """The reasons that somebody has released, by the hash of the lines for which."""
    return released_codes(session, draft) if draft.lines_hash else {}


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
