"""What callers ask of the agreements."""

import json
from collections.abc import Collection, Sequence
from datetime import date, datetime
from functools import lru_cache

from sqlalchemy import String, cast, func, select
from sqlalchemy.orm import Session

from core.agreements.coverage import AccountCalendar, Coverage
from core.agreements.extension import Extension, as_promised
from core.agreements.tables import Agreement, AgreementEvent, AgreementModel, Amendment
from core.agreements.terms import Terms, parse_terms
from core.database import among
from core.errors import Conflict, NotFound
from core.period import Period, day_of
from core.registry.tables import Account, Model

__all__ = [
    "AccountCalendar",
    "Coverage",
    "agreement_events",
    "agreement_named",
    "agreement_versions",
    "cover_of",
    "coverage",
    "promised",
    "promised_versions",
    "signed_agreements",
    "today_in",
    "versions_of",
]


def today_in(session: Session, zone: str) -> date:
    """Today in a zone, by the database's clock."""
    now: datetime = session.execute(select(func.now())).scalar_one()
    return day_of(now, zone)


def coverage(session: Session) -> Coverage:
    """All accounts and covered days as they stand in this transaction. Read it together with the lineage."""
    accounts = session.execute(select(Account.licensee_id, Account.licensor_id, Account.id, Account.zone))
    licensors = session.execute(select(Model.id, Model.licensor_id)).all()
    covered = session.execute(select(AgreementModel.account_id, AgreementModel.model_id, AgreementModel.days))
    return Coverage(
        {(licensee, licensor): AccountCalendar(id_, zone) for licensee, licensor, id_, zone in accounts},
        dict(licensors),
        [(account, model, _period(days.lower, days.upper)) for account, model, days in covered if not days.isempty],
    )


def agreement_versions(session: Session, agreement_id: int) -> list[tuple[date, Terms]]:
    """(effective day, terms) of the contract as first signed and of every amendment, in the order of their numbers.

    On each day the last of them that is effective by then is in force (`core.agreements.coverage.in_force`).
    """
    found = versions_of(session, [agreement_id])[agreement_id]
    if not found:
        raise NotFound("unknown_agreement", f"there is no agreement with the id {agreement_id}")
    return found


def versions_of(session: Session, agreement_ids: Collection[int]) -> dict[int, list[tuple[date, Terms]]]:
    """The same for many agreements at once, by id; one that does not exist has none."""
    rows = session.execute(
        select(Amendment.agreement_id, Amendment.effective_on, cast(Amendment.terms, String))
        .where(among(Amendment.agreement_id, agreement_ids))
        .order_by(Amendment.agreement_id, Amendment.number)
    )
    found: dict[int, list[tuple[date, Terms]]] = {id_: [] for id_ in agreement_ids}
    for agreement_id, effective_on, document in rows:
        found[agreement_id].append((effective_on, _terms(document)))
    return found


def promised_versions(session: Session, agreement_id: int) -> tuple[tuple[date, Terms], ...]:
    """The versions as rating must read them: promises over the term stay with the term that they were made for."""
    return promised(session, agreement_id, agreement_versions(session, agreement_id))


def promised(
    session: Session, agreement_id: int, versions: Sequence[tuple[date, Terms]]
) -> tuple[tuple[date, Terms], ...]:
    """The same for versions that were read already. Only promises over the term can be stretched by an extension."""
    if not any(commitment.period == "term" for _, terms in versions for commitment in terms.commitments):
        return tuple(versions)
    rows = session.execute(
        select(AgreementEvent.effective_on, AgreementEvent.amendment_number)
        .where(AgreementEvent.agreement_id == agreement_id, AgreementEvent.kind == "extended")
        .order_by(AgreementEvent.id)
    )
    extensions = [Extension(stood, last_version) for stood, last_version in rows]
    return as_promised(versions, extensions)


def agreement_events(session: Session, agreement_id: int) -> list[AgreementEvent]:
    """Every signature under an act on an agreement, in the order in which they were recorded."""
    events = select(AgreementEvent).where(AgreementEvent.agreement_id == agreement_id).order_by(AgreementEvent.id)
    return list(session.scalars(events))


def cover_of(session: Session, agreement_id: int) -> list[tuple[str, Period]]:
    """(model slug, days) that the agreement covers, by model and day; runs that touch stay as they were claimed."""
    rows = session.execute(
        select(Model.slug, AgreementModel.days)
        .join(Model, Model.id == AgreementModel.model_id)
        .where(AgreementModel.agreement_id == agreement_id, ~func.isempty(AgreementModel.days))
        .order_by(Model.slug, AgreementModel.days)
    )
    return [(slug, _period(days.lower, days.upper)) for slug, days in rows]


def signed_agreements(session: Session, touching: Period) -> list[Agreement]:
    """The agreements that were in force on a day of the period, in the order they were made."""
    ended_on = func.coalesce(Agreement.ended_on, Agreement.ends_on)
    return list(
        session.scalars(
            select(Agreement)
            .where(Agreement.status != "draft", Agreement.starts_on < touching.end, ended_on > touching.start)
            .order_by(Agreement.id)
        )
    )


def agreement_named(session: Session, slug: str) -> Agreement:
    """The agreement with this slug."""
    found = session.scalar(select(Agreement).where(Agreement.slug == slug))
    if found is None:
        raise NotFound("unknown_agreement", f"there is no agreement called {slug}")
    return found


@lru_cache(maxsize=4096)
def _terms(document: str) -> Terms:
    """Terms are values, and the same document is read many times in a month."""
    return parse_terms(json.loads(document))


def _period(start: date | None, end: date | None) -> Period:
    if start is None or end is None:
        raise Conflict("endless_coverage", "an agreement covers a model without an end: every term has one")
    return Period(start, end)
