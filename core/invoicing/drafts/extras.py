"""What is owed beside the terms' fees: interest on what was paid late, and amounts the parties agreed on later.

Both become owed lines with keys of their own, so that closing bills them by difference like everything else: once, and
taken back when a late payment turns out to have been in time or the invoice behind it is voided.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from sqlalchemy import ScalarSelect, func, select
from sqlalchemy.orm import Session

from core.actors import Actor
from core.agreements.queries import agreement_named, today_in
from core.agreements.terms import Terms
from core.audit.record import record
from core.database import among
from core.errors import InvalidInput
from core.invoicing.drafts.bill import Bill
from core.invoicing.drafts.interest import interest_on, open_runs, workings_of
from core.invoicing.life.status import reason_of
from core.invoicing.tables import AgreedAdjustment, Invoice, InvoiceLine
from core.ledger.balances import reductions
from core.money import Money, exponent
from core.period import Period
from core.rating.rate import Contract, LineKey, RatedLine
from core.registry.tables import Account

KINDS = ("interest", "adjustment")
MAX_DESCRIPTION = 255
MAX_MINOR = 10**15


@dataclass(slots=True)
class Extras:
    """What extra lines are made from: agreed adjustments, and the invoices that fell due with what was taken off them
    on each day.
    """

    agreed: list[AgreedAdjustment] = field(default_factory=list)
    late: list["Late"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Late:
    """An invoice whose due day is over: what bears interest of it, and what was taken off it on which day."""

    number: str
    due_on: date
    period_end: date
    base_minor: int
    taken: Mapping[date, int]


def read_extras(session: Session, bills: Collection[Bill], until: date) -> dict[int, Extras]:
    """What the extra lines of many bills are made from, by the agreement's id."""
    found = {bill.agreement.id: Extras() for bill in bills}
    asked = (
        select(AgreedAdjustment)
        .where(among(AgreedAdjustment.agreement_id, found), AgreedAdjustment.service_end <= until)
        .order_by(AgreedAdjustment.id)
    )
    for row in session.scalars(asked):
        found[row.agreement_id].agreed.append(row)
    by_licensor: dict[int, list[int]] = {}
    for bill in bills:
        if any(terms.late_interest for _, terms in bill.contract.versions):
            by_licensor.setdefault(bill.account.licensor_id, []).append(bill.agreement.id)
    for licensor_id, ids in by_licensor.items():
        for agreement_id, late in _late(session, licensor_id, ids, until):
            found[agreement_id].late.append(late)
    return found


def extra_lines(bill: Bill, extras: Extras, until: date) -> list[RatedLine]:
    """Interest for every month that is over by `until`, and agreed adjustments of days before it."""
    return [*_agreed(bill, extras.agreed), *_interest(bill, extras.late, until)]


def adjust(
    session: Session,
    agreement_slug: str,
    period: Period,
    amount_minor: int,
    *,
    description: str,
    by: Actor,
    reason: str,
) -> AgreedAdjustment:
    """Writes down an amount agreed for days that are over, below zero if it is given back. The next close bills it, as
    a line that names its period.
    """
    by.demand("approver", "agree on an adjustment")
    said = description.strip()
    if not said or len(said) > MAX_DESCRIPTION or not said.isprintable():
        raise InvalidInput(
            "bad_description", f"say on one line of at most {MAX_DESCRIPTION} characters what the amount is for"
        )
    if not amount_minor or abs(amount_minor) > MAX_MINOR:
        raise InvalidInput("bad_amount", "an adjustment is an amount above or below zero")
    agreement = agreement_named(session, agreement_slug)
    account = session.get_one(Account, agreement.account_id)
    if period.end > today_in(session, account.zone) + timedelta(days=1):
        raise InvalidInput("period_not_over", f"{period.name} is not over: an adjustment is for days that are")
    made = AgreedAdjustment(
        agreement_id=agreement.id,
        service_start=period.start,
        service_end=period.end,
        description=said,
        amount_minor=amount_minor,
        actor=by.name,
        reason=reason_of(reason),
    )
    session.add(made)
    session.flush()
    detail = {"period": period.name, "amount_minor": amount_minor, "currency": account.currency, "reason": made.reason}
    subject = f"agreement {agreement.slug}"
    record(session, account.licensor_id, by, "adjustment.agreed", subject=subject, detail=detail)
    return made


def _agreed(bill: Bill, agreed: Sequence[AgreedAdjustment]) -> Iterator[RatedLine]:
    for row in agreed:
        money = Money(bill.account.currency, row.amount_minor)
        key = LineKey("adjustment", "", Period(row.service_start, row.service_end), f"agreed-{row.id}")
        yield _line(key, f"{row.description} (agreed)", money, Fraction(money.amount), ())


def _late(
    session: Session, licensor_id: int, agreement_ids: Collection[int], until: date
) -> Iterator[tuple[int, Late]]:
    """The invoices of agreements of one licensor that fell due before `until`."""
    asked = (
        select(
            *(Invoice.agreement_id, Invoice.number, Invoice.due_on, Invoice.period_end, Invoice.total_minor),
            _own_interest(),
        )
        .where(
            among(Invoice.agreement_id, agreement_ids),
            Invoice.status == "issued",
            Invoice.kind == "regular",
            Invoice.corrects_invoice_id.is_(None),
            Invoice.due_on < until,
        )
        .order_by(Invoice.id)
    )
    rows = session.execute(asked).all()
    taken = reductions(session, licensor_id, [row.number for row in rows]) if rows else {}
    for agreement_id, number, due_on, period_end, total_minor, own_interest in rows:
        base = total_minor - int(own_interest)  # simple interest bears none itself
        yield agreement_id, Late(number, due_on, period_end, base, taken[number])


def _interest(bill: Bill, late: Sequence[Late], until: date) -> Iterator[RatedLine]:
    """A line for each invoice and month in which something was open after its due day."""
    currency, scale = bill.account.currency, 10 ** exponent(bill.account.currency)
    for of in late:
        percent = in_force_on_last_day(bill.contract, of.period_end).late_interest
        if not percent or of.base_minor <= 0:
            continue
        for month in Period(of.due_on, until).months():
            if month.end > until:
                break
            service = Period(max(of.due_on, month.start), month.end)
            runs = open_runs(of.base_minor, of.due_on, of.taken, service)
            if runs:
                exact = interest_on(runs, percent) / scale
                money = Money.rounded(exact, currency)
                key = LineKey("interest", of.number, service, "")
                steps = workings_of(runs, percent, currency, scale)
                yield _line(key, f"Interest on invoice {of.number}, due {of.due_on}", money, exact, steps)


def in_force_on_last_day(contract: Contract, until: date) -> Terms:
    """The terms in force on the last day that an invoice up to `until` is about."""
    last_day = min(until, contract.in_force.end) - timedelta(days=1)
    number = next(number for days, number in contract.amendments if last_day in days)
    return contract.versions[number][1]


def _own_interest() -> ScalarSelect[Any]:
    lines = select(func.coalesce(func.sum(InvoiceLine.amount_minor), 0)).where(
        InvoiceLine.invoice_id == Invoice.id, InvoiceLine.kind == "interest"
    )
    return lines.correlate(Invoice).scalar_subquery()


def _line(
    key: LineKey, description: str, money: Money, exact: Fraction, steps: tuple[dict[str, object], ...]
) -> RatedLine:
    rounded = {
        "step": "round",
        "rule": "half up, once",
        "amount": f"{money.amount:f}",
        "currency": money.currency,
    }
    return RatedLine(
        key=key,
        description=description,
        image_count=0,
        unit=money.currency,
        unit_price=None,
        unit_amount=exact,
        conversion_rate=Decimal(1),
        money=money,
        price_id="",
        workings=(*steps, rounded) if steps else (),
        days=key.service,
        models=(),
    )
