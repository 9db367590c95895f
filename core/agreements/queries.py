"""What callers ask of the agreements."""

from datetime import date

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.agreements.coverage import AccountCalendar, Coverage
from core.agreements.tables import Agreement, AgreementModel, Amendment
from core.agreements.terms import Terms, parse_terms
from core.errors import Conflict, NotFound
from core.period import Period
from core.registry.tables import Account, Model

__all__ = ["AccountCalendar", "Coverage", "agreement_named", "agreement_versions", "coverage", "signed_agreements"]


def coverage(session: Session) -> Coverage:
    """All accounts and covered days as they stand in this transaction. Read it together with the lineage."""
    accounts = session.execute(select(Account.licensee_id, Account.licensor_id, Account.id, Account.zone))
    licensors = session.execute(select(Model.id, Model.licensor_id)).all()
    covered = session.execute(select(AgreementModel.account_id, AgreementModel.model_id, AgreementModel.days))
    return Coverage(
        {(licensee, licensor): AccountCalendar(id_, zone) for licensee, licensor, id_, zone in accounts},
        dict(licensors),
        [(account_id, model_id, _period(days.lower, days.upper)) for account_id, model_id, days in covered],
    )


def agreement_versions(session: Session, agreement_id: int) -> list[tuple[date, Terms]]:
    """(effective day, terms) of the contract as first signed and of every amendment, in the order of their numbers.

    On each day the last of them that is effective by then is in force (`core.agreements.coverage.in_force`).
    """
    versions = session.execute(
        select(Amendment.effective_on, Amendment.terms)
        .where(Amendment.agreement_id == agreement_id)
        .order_by(Amendment.number)
    )
    found = [(effective_on, parse_terms(document)) for effective_on, document in versions]
    if not found:
        raise NotFound("unknown_agreement", f"there is no agreement with the id {agreement_id}")
    return found


def signed_agreements(session: Session, touching: Period) -> list[Agreement]:
    """The signed agreements whose term shares a day with the period, in the order they were made."""
    return list(
        session.scalars(
            select(Agreement)
            .where(Agreement.status == "signed", Agreement.starts_on < touching.end, Agreement.ends_on > touching.start)
            .order_by(Agreement.id)
        )
    )


def agreement_named(session: Session, slug: str) -> Agreement:
    """The agreement with this slug."""
    found = session.scalar(select(Agreement).where(Agreement.slug == slug))
    if found is None:
        raise NotFound("unknown_agreement", f"there is no agreement called {slug}")
    return found


def _period(start: date | None, end: date | None) -> Period:
    if start is None or end is None:
        raise Conflict("endless_coverage", "an agreement covers a model without an end: every term has one")
    return Period(start, end)
