"""What a change of an agreement would change on the next invoice, before anybody signs it.

The change is really made, by the verb that would make it, in a savepoint that is rolled back; the lines are those that
`close` itself would write, before and after. So a preview cannot say anything else than what the close then does, and
it refuses what signing would refuse.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.agreements.queries import agreement_named, today_in
from core.invoicing.drafts.close import preview
from core.invoicing.drafts.invoice import DraftLine
from core.invoicing.tables import Invoice
from core.money import Money, total
from core.period import Period
from core.rating.rate import LineKey
from core.registry.tables import Account


@dataclass(frozen=True, slots=True)
class LineChange:
    """One line of the next invoice: as it would be without the change (None: not there), and with it."""

    key: LineKey
    before: DraftLine | None
    after: DraftLine | None
    currency: str

    @property
    def description(self) -> str:
        """What the line says; of a line that the change takes away, what it would have said."""
        return self._shown.description

    @property
    def adjustment(self) -> bool:
        """Whether it repairs another period than the invoice's own; its description then names the period."""
        return self._shown.adjustment

    @property
    def image_count(self) -> int:
        return (self.after.image_count if self.after else 0) - (self.before.image_count if self.before else 0)

    @property
    def money(self) -> Money:
        nothing = Money(self.currency, 0)
        return (self.after.money if self.after else nothing) - (self.before.money if self.before else nothing)

    @property
    def _shown(self) -> DraftLine:
        shown = self.after or self.before
        assert shown is not None  # noqa: S101 - a change has one side at least
        return shown


@dataclass(frozen=True, slots=True)
class InvoiceDiff:
    """The invoice of a period without and with a change, and the lines in which the two differ."""

    period: Period
    currency: str
    before: tuple[DraftLine, ...]
    after: tuple[DraftLine, ...]
    changes: tuple[LineChange, ...]

    @property
    def total_before(self) -> Money:
        return total([line.money for line in self.before], self.currency)

    @property
    def total_after(self) -> Money:
        return total([line.money for line in self.after], self.currency)

    @property
    def money(self) -> Money:
        """By how much the invoice changes."""
        return self.total_after - self.total_before


def preview_change(
    session: Session, agreement_slug: str, change: Callable[[], object], period: Period | None = None
) -> InvoiceDiff:
    """What a change would change on the invoice of a period, by default the next one to be closed.

    `change` is a call of a verb of `core/agreements/amend.py` in this session. Nothing of it remains. Roll up first.
    """
    agreement = agreement_named(session, agreement_slug)
    currency = session.get_one(Account, agreement.account_id).currency
    month = period or next_period(session, agreement_slug)
    before = preview(session, agreement.id, month)
    trial = session.begin_nested()
    try:
        change()
        session.flush()
        after = preview(session, agreement.id, month)
    finally:
        trial.rollback()
    return InvoiceDiff(month, currency, tuple(before), tuple(after), tuple(line_changes(before, after, currency)))


def line_changes(before: Sequence[DraftLine], after: Sequence[DraftLine], currency: str) -> Iterator[LineChange]:
    """The lines in which two invoices differ, period by period."""
    old = {line.key: line for line in before}
    new = {line.key: line for line in after}
    for key in sorted(old.keys() | new.keys(), key=_by_period):
        change = LineChange(key, old.get(key), new.get(key), currency)
        if change.before is None or change.after is None or _differ(change.before, change.after):
            yield change


def next_period(session: Session, agreement_slug: str) -> Period:
    """The month that is closed next: after the last that was issued, else the present one, not before the first."""
    agreement = agreement_named(session, agreement_slug)
    issued: date | None = session.scalar(
        select(func.max(Invoice.period_end)).where(Invoice.agreement_id == agreement.id, Invoice.status == "issued")
    )
    if issued:
        return Period.month_of(issued)
    zone = session.get_one(Account, agreement.account_id).zone
    return Period.month_of(max(agreement.starts_on, today_in(session, zone)))


def _by_period(key: LineKey) -> tuple[object, ...]:
    return key.service.end, key.kind == "shortfall", key.subject, key.part, key.kind, key.service.start


def _differ(one: DraftLine, other: DraftLine) -> bool:
    """A line that says and costs the same may have come to it by other workings."""
    return (one.image_count, one.money, one.unit_price, one.description) != (
        other.image_count,
        other.money,
        other.unit_price,
        other.description,
    )
