"""What a bill is made from: an agreement with its account, its contract as rating sees it, and its daily counts."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.agreements.queries import agreement_versions
from core.agreements.tables import Agreement, AgreementModel
from core.period import Period
from core.rating.rate import Contract
from core.registry.tables import Account, Model
from core.usage.tables import DailyCount


@dataclass(frozen=True, slots=True)
class Bill:
    """An agreement as rating and invoicing need it, loaded once."""

    agreement: Agreement
    account: Account
    contract: Contract
    counts: dict[tuple[str, date], int]


def load_bill(session: Session, agreement: Agreement, until: date) -> Bill:
    """The contract and the daily counts of its models, from its first day to `until`."""
    account = session.get_one(Account, agreement.account_id)
    return Bill(agreement, account, contract_of(session, agreement), counts_of(session, agreement, account, until))


def contract_of(session: Session, agreement: Agreement) -> Contract:
    """The agreement's term and every version of its terms, in the order in which they were signed."""
    term = Period(agreement.starts_on, agreement.ends_on)
    return Contract(term=term, versions=tuple(agreement_versions(session, agreement.id)))


def counts_of(session: Session, agreement: Agreement, account: Account, until: date) -> dict[tuple[str, date], int]:
    """Images by (model slug, day) of the models that the agreement covers, on the days on which it covers them."""
    rows = session.execute(
        select(Model.slug, DailyCount.day, func.sum(DailyCount.image_count))
        .join(Model, Model.id == DailyCount.model_id)
        .join(AgreementModel, AgreementModel.model_id == DailyCount.model_id)
        .where(
            AgreementModel.agreement_id == agreement.id,
            AgreementModel.days.contains(DailyCount.day),
            DailyCount.licensee_id == account.licensee_id,
            DailyCount.day < until,
        )
        .group_by(Model.slug, DailyCount.day)
    )
    return {(slug, day): int(count) for slug, day, count in rows}
