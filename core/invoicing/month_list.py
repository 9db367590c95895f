"""The month's end in figures: what became of each month's drafts, and one month's documents beside the month before.

`drafts_of(licensor_id)` is one statement without order or limit, for that licensor's eyes. What is missing to the issue
of a draft is worked out in the database as `life/issue.py` judges it: held, above the limit for one person, or ready.
"""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Date, Select, and_, case, cast, exists, func, or_, select, text
from sqlalchemy.orm import Session, aliased

from core.agreements.tables import Agreement
from core.invoicing.tables import BillingRun, BillingRunItem, Invoice, InvoiceDocument
from core.money import Money
from core.period import Period
from core.registry.tables import Account, ApprovalLimit, Licensee

_BEFORE = aliased(Invoice)
_OF_LICENSOR, _OF_ACCOUNT = aliased(ApprovalLimit), aliased(ApprovalLimit)
LIMIT = func.coalesce(_OF_ACCOUNT.second_person_above_minor, _OF_LICENSOR.second_person_above_minor)
ABOVE = func.coalesce(func.abs(Invoice.total_minor) > LIMIT, False)
BEING_MADE = Invoice.status.in_(("draft", "held", "approved"))
STATE = case(
    (Invoice.status == "held", "held"),
    (and_(Invoice.status == "draft", ABOVE), "needs approval"),
    (BEING_MADE, "ready"),
    else_=Invoice.status,
)
STATES = {
    "held": Invoice.status == "held",
    "approval": and_(Invoice.status == "draft", ABOVE),
    "ready": or_(Invoice.status == "approved", and_(Invoice.status == "draft", ~ABOVE)),
    "issued": Invoice.status == "issued",
}
CHANGE = Invoice.total_minor - func.coalesce(_BEFORE.total_minor, 0)


def drafts_of(licensor_id: int) -> Select[Any]:
    """A licensor's documents of months, whatever their state, each with its total of the month before."""
    month_before = cast(Invoice.period_start - text("INTERVAL '1 month'"), Date)
    columns = (
        Invoice.id.label("id"),
        Invoice.number.label("number"),
        Invoice.status.label("status"),
        STATE.label("state"),
        Invoice.period_start.label("period_start"),
        Invoice.currency.label("currency"),
        Invoice.total_minor.label("total_minor"),
        _BEFORE.total_minor.label("before_minor"),
        Invoice.hold_reasons.label("hold_reasons"),
        Invoice.closed_by.label("closed_by"),
        Invoice.approved_by.label("approved_by"),
        ABOVE.label("above"),
        LIMIT.label("limit_minor"),
        Licensee.slug.label("licensee"),
        Licensee.name.label("licensee_name"),
        Agreement.slug.label("agreement"),
    )
    return _judged(licensor_id, *columns).outerjoin(
        _BEFORE,
        (_BEFORE.agreement_id == Invoice.agreement_id)
        & (_BEFORE.period_start == month_before)
        & (_BEFORE.status != "void")
        & _BEFORE.corrects_invoice_id.is_(None),
    )


def _judged(licensor_id: int, *columns: Any) -> Select[Any]:
    """Documents of months beside the limits of their accounts."""
    return (
        select(*columns)
        .select_from(Invoice)  # always there: as outer joins they are left out where nobody asks for them
        .outerjoin(Agreement, Agreement.id == Invoice.agreement_id)
        .outerjoin(Account, Account.id == Agreement.account_id)
        .outerjoin(Licensee, Licensee.id == Invoice.licensee_id)
        .outerjoin(_OF_LICENSOR, (_OF_LICENSOR.licensor_id == licensor_id) & _OF_LICENSOR.account_id.is_(None))
        .outerjoin(_OF_ACCOUNT, _OF_ACCOUNT.account_id == Account.id)
        .where(Invoice.licensor_id == licensor_id, Invoice.corrects_invoice_id.is_(None), Invoice.status != "void")
    )


@dataclass
class Month:
    """A month's documents: how many stand in each state, and what they ask for before tax, by currency."""

    period: Period
    counts: dict[str, int] = field(default_factory=dict)
    net: dict[str, int] = field(default_factory=dict)

    @property
    def open(self) -> int:
        return sum(self.counts.get(state, 0) for state in ("draft", "held", "approved"))

    @property
    def issued(self) -> int:
        return self.counts.get("issued", 0)

    @property
    def sums(self) -> list[Money]:
        return [Money(currency, minor) for currency, minor in sorted(self.net.items())]


def months(session: Session, licensor_id: int) -> list[Month]:
    """Every month with documents, the newest first. One statement. Credit notes over other invoices are in the sums."""
    asked = (
        select(Invoice.period_start, Invoice.status, Invoice.currency, func.count(), func.sum(Invoice.net_minor))
        .where(Invoice.licensor_id == licensor_id, Invoice.status != "void")
        .group_by(Invoice.period_start, Invoice.status, Invoice.currency)
        .order_by(Invoice.period_start.desc(), Invoice.currency)
    )
    found: dict[Period, Month] = {}
    for start, status, currency, count, minor in session.execute(asked):
        month = found.setdefault(Period.month_of(start), Month(Period.month_of(start)))
        month.counts[status] = month.counts.get(status, 0) + count
        month.net[currency] = month.net.get(currency, 0) + int(minor)
    return list(found.values())


@dataclass(frozen=True, slots=True)
class StateSum:
    """Documents of a month in one state and currency."""

    state: str
    count: int
    total: Money


def states_of(session: Session, licensor_id: int, month: Period) -> list[StateSum]:
    """How many of a month's documents stand where, with their totals, tax included. One statement."""
    state = STATE.label("state")
    asked = (
        _judged(licensor_id, state, Invoice.currency, func.count(), func.sum(Invoice.total_minor))
        .where(Invoice.period_start == month.start)
        .group_by(state, Invoice.currency)
        .order_by(state, Invoice.currency)
    )
    return [
        StateSum(state, count, Money(currency, int(minor))) for state, currency, count, minor in session.execute(asked)
    ]


@dataclass(frozen=True, slots=True)
class Ready:
    """A draft that may be issued, and what it asks for."""

    id: int
    total: Money


def ready_for(session: Session, licensor_id: int, month: Period, by: str) -> list[Ready]:
    """The drafts of a month that this person may issue: ready, and above the limit not approved by the same person.
    One statement.
    """
    mine = and_(ABOVE, Invoice.approved_by == by)
    asked = _judged(licensor_id, Invoice.id, Invoice.currency, Invoice.total_minor)
    rows = session.execute(
        asked.where(Invoice.period_start == month.start, STATES["ready"], ~mine).order_by(Invoice.id)
    )
    return [Ready(id_, Money(currency, minor)) for id_, currency, minor in rows]


def failed_items(session: Session, month: Period, *, run_id: int | None = None) -> list[tuple[Any, ...]]:
    """(run, agreement, licensee's name and slug, error) of what failed in the last run of each agreement of a month."""
    last = (
        select(BillingRunItem.agreement_id, func.max(BillingRunItem.run_id).label("run_id"))
        .join(BillingRun, BillingRun.id == BillingRunItem.run_id)
        .where(BillingRun.period_start == month.start, BillingRun.period_end == month.end)
        .group_by(BillingRunItem.agreement_id)
        .subquery()
    )
    asked = (
        select(BillingRunItem.run_id, Agreement.slug, Licensee.name, Licensee.slug, BillingRunItem.error)
        .join(Agreement, Agreement.id == BillingRunItem.agreement_id)
        .join(Account, Account.id == Agreement.account_id)
        .join(Licensee, Licensee.id == Account.licensee_id)
        .join(last, (last.c.agreement_id == BillingRunItem.agreement_id) & (last.c.run_id == BillingRunItem.run_id))
        .where(BillingRunItem.state == "failed")
        .order_by(Licensee.name)
        .limit(200)
    )
    if run_id is not None:
        asked = asked.where(BillingRunItem.run_id == run_id)
    return [tuple(row) for row in session.execute(asked)]


def without_documents(session: Session, licensor_id: int, month: Period) -> list[int]:
    """Issued invoices of a month whose PDF is not made yet."""
    made = exists().where(InvoiceDocument.invoice_id == Invoice.id, InvoiceDocument.kind == "pdf")
    asked = select(Invoice.id).where(
        Invoice.licensor_id == licensor_id,
        Invoice.period_start == month.start,
        Invoice.status == "issued",
        ~made,
    )
    return list(session.scalars(asked.order_by(Invoice.id)))
