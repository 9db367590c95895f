"""What the papers of an issued item are about: the invoice, and the account and month of which a statement is made."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.agreements.tables import Agreement
from core.invoicing.tables import BillingRun, BillingRunItem
from core.period import Period
from core.registry.tables import Account, Licensee, Licensor


@dataclass(frozen=True, slots=True)
class Papers:
    """An item's invoice, the parties of its account, its month, and when the run was asked for."""

    invoice_id: int
    licensor_id: int
    licensor: str
    licensee_id: int
    licensee: str
    period: Period
    asked_at: datetime


def papers_of(session: Session, run_id: int, agreement_id: int) -> Papers | None:
    """None where the item is not issued, or has all its papers."""
    asked = (
        select(BillingRunItem.invoice_id, Licensor, Licensee, BillingRun)
        .join(BillingRun, BillingRun.id == BillingRunItem.run_id)
        .join(Agreement, Agreement.id == BillingRunItem.agreement_id)
        .join(Account, Account.id == Agreement.account_id)
        .join(Licensor, Licensor.id == Account.licensor_id)
        .join(Licensee, Licensee.id == Account.licensee_id)
        .where(
            BillingRunItem.run_id == run_id,
            BillingRunItem.agreement_id == agreement_id,
            BillingRunItem.state == "issued",
            BillingRunItem.finished_at.is_(None),
            BillingRunItem.invoice_id.is_not(None),
        )
    )
    row = session.execute(asked).one_or_none()
    if row is None:
        return None
    invoice_id, licensor, licensee, run = row
    return Papers(
        invoice_id or 0,
        licensor.id,
        licensor.slug,
        licensee.id,
        licensee.slug,
        Period(run.period_start, run.period_end),
        run.requested_at,
    )
