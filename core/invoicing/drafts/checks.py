"""What the safety bounds look at when a draft is made: earlier totals, reporting days, counts, other agreements."""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from core.agreements.tables import Agreement
from core.database import among
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
    nothing_to_estimate_from,
    repeated_keys,
)
from core.invoicing.drafts.estimates import NOTHING, unknown_in
from core.invoicing.drafts.extras import in_force_on_last_day
from core.invoicing.drafts.invoice import Billed, DraftLine
from core.invoicing.tables import Invoice, InvoiceLine
from core.money import Money
from core.period import Period
from core.rating.line import COUNTED
from core.rating.rate import LineKey
from core.usage.reporting.days import agreement_days, expecting


@dataclass(slots=True)
class Around:
    """What stands around a draft: the totals of the agreement's last invoices, the period's days without a report where
    that matters, and the images that other agreements of the account bill.
    """

    trailing: list[int] = field(default_factory=list)
    silent: list[date] = field(default_factory=list)
    others: list[BilledDays] = field(default_factory=list)


def look_around(session: Session, bills: Collection[Bill], period: Period) -> dict[int, Around]:
    """What stands around the drafts of many bills, by the agreement's id; of agreements of different accounts."""
    found = {bill.agreement.id: Around() for bill in bills}
    for agreement_id, total_minor in _trailing_totals(session, found, period):
        found[agreement_id].trailing.append(total_minor)
    for agreement_id, days in _beside(session, found, period):
        found[agreement_id].others.append(days)
    for bill in bills:
        found[bill.agreement.id].silent = _silent_days(session, bill, period)
    return found


def hold_reasons(
    bill: Bill,
    period: Period,
    around: Around,
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
        above_trailing_median(total, around.trailing),
        missing_days(around.silent),
        nothing_to_estimate_from(unknown_in(bill, period)),
        repeated_keys([(key.kind, key.subject, key.service.name, key.part) for key in (line.key for line in lines)]),
        duplicate_lines(_with_own(lines, around.others)),
        counts_differ(on_lines, counted_images(bill, period.end)),
    )


def counted_images(bill: Bill, until: date) -> int:
    """The images that the lines up to `until` must add up to: those of models with a fee on their day, in months that
    are over. Added up from the daily counts, past rating.
    """
    over = [cell for service, cells in bill.contract.months if service.end <= until for cell in cells]
    starts = [cell.days.start for cell in over]
    by_terms = {id(cell.terms): frozenset(cell.terms.models) for cell in over}
    models = [by_terms[id(cell.terms)] for cell in over]
    images = 0
    for (model, day), count in bill.counts.items():
        place = bisect_right(starts, day) - 1
        if place >= 0 and day < over[place].days.end and model in models[place]:
            images += count
    return images


def days_counted(workings: Sequence[Mapping[str, Any]], service: Period) -> Period:
    """The days whose images a line counts: its price segment, as its workings say, or its service period."""
    for row in workings:
        if row.get("step") == "count":
            return Period(date.fromisoformat(row["from"]), date.fromisoformat(row["until"]))
    return service


def _trailing_totals(session: Session, agreement_ids: Collection[int], period: Period) -> Iterator[tuple[int, int]]:
    """What each agreement's last invoices before this period asked for."""
    place = func.row_number().over(partition_by=Invoice.agreement_id, order_by=Invoice.period_start.desc())
    earlier = (
        select(Invoice.agreement_id, Invoice.total_minor, place.label("place"))
        .where(
            among(Invoice.agreement_id, agreement_ids),
            Invoice.status == "issued",
            Invoice.kind == "regular",
            Invoice.corrects_invoice_id.is_(None),
            Invoice.period_start < period.start,
        )
        .subquery()
    )
    asked = select(earlier.c.agreement_id, earlier.c.total_minor).where(earlier.c.place <= MOST_TRAILING)
    yield from ((agreement_id, total_minor) for agreement_id, total_minor in session.execute(asked))


def _silent_days(session: Session, bill: Bill, period: Period) -> list[date]:
    """Days of the period without a report, where the terms say that an invoice then waits, and not how to estimate
    them.
    """
    shared = bill.contract.in_force.overlap(period)
    if shared is None or in_force_on_last_day(bill.contract, period.end).missing_days != "hold":
        return []
    days = agreement_days(session, expecting(session, bill.agreement.slug), shared)
    ruled = (bill.estimates or NOTHING).ruled
    return [day.day for day in days if day.state in ("missing", "open") and day.day not in ruled]


def _with_own(lines: Sequence[DraftLine], others: Sequence[BilledDays]) -> list[BilledDays]:
    """The draft's own plain lines of images, and what other agreements of the account bill for the same subjects."""
    own = [
        BilledDays(line.key.kind, line.key.subject, days_counted(line.workings, line.key.service), "")
        for line in lines
        if not line.adjustment and line.key.kind in COUNTED and line.image_count > 0
    ]
    same = {(one.kind, one.subject) for one in own}
    return [*own, *(other for other in others if (other.kind, other.subject) in same)]


def _beside(session: Session, agreement_ids: Collection[int], period: Period) -> Iterator[tuple[int, BilledDays]]:
    """The images that other agreements of each agreement's account bill for days of the period."""
    own = aliased(Agreement)
    key = (InvoiceLine.kind, InvoiceLine.subject, InvoiceLine.service_start, InvoiceLine.service_end, InvoiceLine.part)
    asked = (
        select(own.id, Agreement.slug, *key, func.max(InvoiceLine.id))
        .select_from(own)
        .join(Agreement, (Agreement.account_id == own.account_id) & (Agreement.id != own.id))
        .join(Invoice, Invoice.agreement_id == Agreement.id)
        .join(InvoiceLine, InvoiceLine.invoice_id == Invoice.id)
        .where(
            among(own.id, agreement_ids),
            Invoice.status != "void",
            Invoice.corrects_invoice_id.is_(None),  # they bear credits alone
            InvoiceLine.kind.in_(COUNTED),
            InvoiceLine.service_start < period.end,
            InvoiceLine.service_end > period.start,
        )
        .group_by(own.id, Agreement.slug, *key)
        .having(func.sum(InvoiceLine.image_count) > 0)
    )
    rows = session.execute(asked).all()
    asked_workings = select(InvoiceLine.id, InvoiceLine.workings).where(
        among(InvoiceLine.id, [row[-1] for row in rows])
    )
    last: dict[int, list[dict[str, Any]]] = dict(session.execute(asked_workings).all()) if rows else {}
    for agreement_id, slug, kind, subject, start, end, _, line_id in rows:
        days = days_counted(last[line_id], Period(start, end))
        yield agreement_id, BilledDays(kind, subject, days, f"agreement {slug}")
