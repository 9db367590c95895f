"""A dry run: what each agreement would be asked for a month, beside what it was asked for the month before."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.invoicing.runs.previews import Previewed, preview_run
from core.invoicing.tables import Invoice
from core.money import Money
from core.period import Period
from core.registry.tables import Licensor


@dataclass(frozen=True, slots=True)
class MonthDiff:
    """One agreement: last month's document, what this month comes to, and the change in minor units."""

    found: Previewed
    last: Money

    @property
    def change(self) -> Money:
        return self.found.after - self.last


def month_diff(session: Session, period: Period) -> Iterator[MonthDiff]:
    """Every agreement in turn, those without a document in either month included. Roll up first. Nothing is written."""
    before = Period.month_of(period.start - timedelta(days=1))
    asked = (
        select(Invoice.agreement_id, func.sum(Invoice.total_minor))
        .where(
            Invoice.period_start == before.start,
            Invoice.corrects_invoice_id.is_(None),
            Invoice.status != "void",
        )
        .group_by(Invoice.agreement_id)
    )
    last = {agreement_id: int(minor) for agreement_id, minor in session.execute(asked)}
    for licensor_id in session.scalars(select(Licensor.id).order_by(Licensor.id)).all():
        for found in preview_run(session, period, licensor_id, limit=2**31):
            yield MonthDiff(found, Money(found.after.currency, last.get(found.agreement_id, 0)))
