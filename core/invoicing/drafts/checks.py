"""What the safety bounds look at when a draft is made: earlier totals, reporting days, counts, other agreements."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.agreements.tables import Agreement
from core.invoicing.drafts.bill import Bill
from core.invoicing.drafts.bounds import (
    MOST_TRAILING,
    BilledDays,
    HoldReason,
    above_trailing_median,
    counts_differ,
    duplicate_lines,
    found,
    missing_days,
    negative_total,
    repeated_keys,
)
from core.invoicing.drafts.extras import in_force_on_last_day
from core.invoicing.drafts.invoice import Billed, DraftLine
from core.invoicing.tables import Invoice, InvoiceLine
from core.money import Money
from core.period import Period
from core.rating.line import COUNTED
from core.rating.rate import LineKey
from core.usage.reporting.days import agreement_days, expecting


def hold_reasons(
    session: Session,
    bill: Bill,
    period: Period,
    *,
    lines: Sequence[DraftLine],
    billed: Mapping[LineKey, Billed],
    total: Money,
) -> tuple[HoldReason, ...]:
    """Every reason for which a person should look at a draft before it is issued."""
    on_lines = sum(line.image_count for line in lines if line.key.kind in COUNTED)
    on_lines += sum(before.image_count for key, before in billed.items() if key.kind in COUNTED)
    return found(
        negative_total(total),
        above_trailing_median(total, _trailing_totals(session, bill, period)),
        missing_days(_silent_days(session, bill, period)),
        repeated_keys([(key.kind, key.subject, key.service.name, key.part) for key in (line.key for line in lines)]),
        duplicate_lines(_beside(session, bill, lines)),
        counts_differ(on_lines, counted_images(bill, period.end)),
    )


def counted_images(bill: Bill, until: date) -> int:
    """The images that the lines up to `until` must add up to: those of models with a fee on their day, in months that
    are over. Added up from the daily counts, past rating.
    """
    models_on: dict[date, frozenset[str]] = {}
    for service, cells in bill.contract.months:
        if service.end > until:
            break
        for cell in cells:
            models = frozenset(cell.terms.models)
            models_on.update(dict.fromkeys(cell.days.each_day(), models))
    nothing: frozenset[str] = frozenset()
    return sum(images for (model, day), images in bill.counts.items() if model in models_on.get(day, nothing))


def days_counted(workings: Sequence[Mapping[str, Any]], service: Period) -> Period:
    """The days whose images a line counts: its price segment, as its workings say, or its service period."""
    for row in workings:
        if row.get("step") == "count":
            return Period(date.fromisoformat(row["from"]), date.fromisoformat(row["until"]))
    return service


def _trailing_totals(session: Session, bill: Bill, period: Period) -> list[int]:
    """What the agreement's last invoices before this period asked for."""
    asked = (
        select(Invoice.total_minor)
        .where(
            Invoice.agreement_id == bill.agreement.id,
            Invoice.status == "issued",
            Invoice.kind == "regular",
            Invoice.period_start < period.start,
        )
        .order_by(Invoice.period_start.desc())
        .limit(MOST_TRAILING)
    )
    return list(session.scalars(asked))


def _silent_days(session: Session, bill: Bill, period: Period) -> list[date]:
    """Days of the period without a report, where the terms say that an invoice then waits."""
    shared = bill.contract.in_force.overlap(period)
    if shared is None or in_force_on_last_day(bill.contract, period.end).missing_days != "hold":
        return []
    days = agreement_days(session, expecting(session, bill.agreement.slug), shared)
    return [day.day for day in days if day.state in ("missing", "open")]


def _beside(session: Session, bill: Bill, lines: Sequence[DraftLine]) -> list[BilledDays]:
    """The draft's own plain lines of images, and what other agreements of the account bill for the same subjects and
    days.
    """
    own = [
        BilledDays(line.key.kind, line.key.subject, days_counted(line.workings, line.key.service), "")
        for line in lines
        if not line.adjustment and line.key.kind in COUNTED and line.image_count > 0
    ]
    if not own:
        return []
    asked = (
        select(
            Agreement.slug,
            InvoiceLine.kind,
            InvoiceLine.subject,
            InvoiceLine.service_start,
            InvoiceLine.service_end,
            InvoiceLine.part,
            func.max(InvoiceLine.id),
        )
        .join(Invoice, Invoice.id == InvoiceLine.invoice_id)
        .join(Agreement, Agreement.id == Invoice.agreement_id)
        .where(
            Invoice.licensor_id == bill.account.licensor_id,
            Invoice.licensee_id == bill.account.licensee_id,
            Invoice.agreement_id != bill.agreement.id,
            Invoice.status != "void",
            InvoiceLine.kind.in_({one.kind for one in own}),
            InvoiceLine.subject.in_({one.subject for one in own}),
            InvoiceLine.service_start < max(one.days.end for one in own),
            InvoiceLine.service_end > min(one.days.start for one in own),
        )
        .group_by(
            Agreement.slug,
            InvoiceLine.kind,
            InvoiceLine.subject,
            InvoiceLine.service_start,
            InvoiceLine.service_end,
            InvoiceLine.part,
        )
        .having(func.sum(InvoiceLine.image_count) > 0)
    )
    rows = session.execute(asked).all()
    asked_workings = select(InvoiceLine.id, InvoiceLine.workings).where(InvoiceLine.id.in_([row[-1] for row in rows]))
    last: dict[int, list[dict[str, Any]]] = dict(session.execute(asked_workings).all()) if rows else {}
    others = [
        BilledDays(kind, subject, days_counted(last[line_id], Period(start, end)), f"agreement {slug}")
        for slug, kind, subject, start, end, _, line_id in rows
    ]
    return own + others
