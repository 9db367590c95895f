"""Estimates on a bill: which days nobody reported, and what earlier invoices assumed for them.

The rule is pure and rating's (`core/rating/estimate.py`). Here it is given what was reported, and its answer is put
beside the counts of a bill. It is worked out anew from the reports at every close, for every month of the agreement, so
that what should have been billed follows from what was reported alone; what an issued invoice assumed stands in its
snapshot.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.invoicing.drafts.bill import Bill
from core.invoicing.tables import Invoice
from core.period import Period
from core.rating.estimate import Estimated, Estimates, estimate, estimated_in
from core.usage.reporting.days import expecting, silence

NOTHING = Estimates()


def with_estimates(session: Session, bill: Bill, until: date) -> Bill:
    """The bill with the images of silent days before `until` estimated, where its terms have a rule for that.

    Until here its counts are what was reported; afterwards they are what is to be rated.
    """
    if bill.estimates is not None or not any(terms.estimate for _, terms in bill.contract.versions):
        return bill
    in_force = bill.contract.in_force
    if until <= in_force.start:
        return bill
    known = silence(session, expecting(session, bill.agreement.slug), Period(in_force.start, until))
    counted = {day for _, day in bill.counts}  # a preview's counts may know more than those that are rolled up
    silent = {day: models for day, models in known.silent.items() if day not in counted}
    found = estimate(bill.contract, bill.counts, known.expected, silent)
    return replace(bill, counts={**bill.counts, **found.images()}, estimates=found)


def assumed_before(session: Session, bill: Bill, period: Period) -> Sequence[Estimated]:
    """What the agreement's last invoice before a period assumed, for whatever month."""
    if bill.estimates is None:
        return ()
    kept = func.coalesce(Invoice.snapshot["estimates"], Invoice.closed_with["estimates"])
    rows = session.scalar(
        select(kept)
        .where(
            Invoice.agreement_id == bill.agreement.id,
            Invoice.status != "void",
            Invoice.corrects_invoice_id.is_(None),
            Invoice.period_start < period.start,
        )
        .order_by(Invoice.period_start.desc())
        .limit(1)
    )
    return estimated_in(rows or ())


def unknown_in(bill: Bill, period: Period) -> dict[str, list[date]]:
    """By model, the silent days of a period that nothing reported tells anything about."""
    unknown = (bill.estimates or NOTHING).unknown or {}
    found = {model: [day for day in days if day in period] for model, days in unknown.items()}
    return {model: days for model, days in found.items() if days}
