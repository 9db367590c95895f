"""Images that were counted on days on which no agreement covers their model: evidence, owed by nobody's terms.

They stay counted, whatever becomes of the agreement, and are billed by difference if one is signed for those days.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from core.agreements.tables import AgreementModel
from core.registry.tables import Account, Model
from core.usage.tables import DailyCount


@dataclass(frozen=True, slots=True)
class UnlicensedUsage:
    """Images by a model on uncovered days of an account, the first of these days and the last."""

    model: str
    first_day: date
    last_day: date
    image_count: int


def unlicensed_usage(session: Session, account_id: int, models: Collection[str] | None = None) -> list[UnlicensedUsage]:
    """By model, what an account's licensee has reported on days that no agreement of the account covers."""
    covered = exists().where(
        AgreementModel.account_id == Account.id,
        AgreementModel.model_id == DailyCount.model_id,
        AgreementModel.days.contains(DailyCount.day),
    )
    asked = (
        select(Model.slug, func.min(DailyCount.day), func.max(DailyCount.day), func.sum(DailyCount.image_count))
        .join(Model, Model.id == DailyCount.model_id)
        .join(Account, (Account.licensee_id == DailyCount.licensee_id) & (Account.licensor_id == Model.licensor_id))
        .where(Account.id == account_id, ~covered)
        .group_by(Model.slug)
        .having(func.sum(DailyCount.image_count) > 0)
        .order_by(Model.slug)
    )
    if models is not None:
        asked = asked.where(Model.slug.in_(models))
    return [UnlicensedUsage(slug, first, last, int(images)) for slug, first, last, images in session.execute(asked)]
