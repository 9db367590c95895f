"""A stored agreement as an offer: what is to be tried out, changed and compared."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.agreements.queries import agreement_named, promised_versions
from core.agreements.tables import Agreement, Unit
from core.period import Period
from core.rating.offers import Offer, decimals_of
from core.registry.tables import Account, Licensor


def standing_offer(session: Session, slug: str) -> Offer:
    """The agreement with this slug as an offer, signed or not; its price may still be unsettled.

    Raises `NotFound`, also for an agreement that the session may not see.
    """
    return offer_of(session, agreement_named(session, slug))


def offer_of(session: Session, agreement: Agreement) -> Offer:
    """An agreement's term, all versions of its terms and its early end, for whoever wants to change them on paper."""
    account = session.get_one(Account, agreement.account_id)
    versions = promised_versions(session, agreement.id)
    return Offer(
        name=agreement.slug,
        recipient=session.get_one(Licensor, account.licensor_id).slug,
        term=Period(agreement.starts_on, agreement.ends_on),
        versions=versions,
        ended_on=agreement.ended_on,
        decimals=decimals_of(versions[0][1], credit_decimals(session)),
    )


def credit_decimals(session: Session) -> dict[str, int]:
    """The decimals of every platform credit, by its code."""
    return {unit.code: unit.decimals for unit in session.scalars(select(Unit))}
