"""What people and machines are shown of agreements: plain JSON values, terms in words beside terms in full.

Run it through a licensee's eyes and it answers with that licensee's alone.
"""

from datetime import date
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.agreements.plain_words import versions_in_words
from core.agreements.queries import agreement_events, agreement_versions, cover_of, today_in
from core.agreements.sign import signed_by
from core.agreements.status import status_on
from core.agreements.tables import Agreement, AgreementEvent, Amendment
from core.agreements.terms import terms_document
from core.errors import NotFound
from core.period import Period
from core.registry.tables import Account, Licensee, Licensor

_WITH_PARTIES = (
    select(Agreement, Account, Licensor.slug, Licensee.slug)
    .join(Account, Account.id == Agreement.account_id)
    .join(Licensor, Licensor.id == Account.licensor_id)
    .join(Licensee, Licensee.id == Account.licensee_id)
)


def agreement_summaries(
    session: Session, *, licensee: str | None = None, drafts: bool = True, after: str = "", limit: int = 1000
) -> list[dict[str, Any]]:
    """Agreements by slug, a page of at most `limit` that begins after the slug `after`."""
    asked = _WITH_PARTIES.where(Agreement.slug > after).order_by(Agreement.slug).limit(limit)
    if licensee is not None:
        asked = asked.where(Licensee.slug == licensee)
    if not drafts:
        asked = asked.where(Agreement.status != "draft")
    return [
        _summary(session, agreement, account, (licensor, licensee_slug))
        for agreement, account, licensor, licensee_slug in session.execute(asked)
    ]


def agreement_content(session: Session, slug: str, *, drafts: bool = True) -> dict[str, Any]:
    """One agreement: dates, signatures and other events, covered days, and its terms as they hold, run by run."""
    found = session.execute(_WITH_PARTIES.where(Agreement.slug == slug)).one_or_none()
    if found is None or (found[0].status == "draft" and not drafts):
        raise NotFound("unknown_agreement", f"there is no agreement called {slug}")
    agreement, account, licensor, licensee = found
    versions = agreement_versions(session, agreement.id)
    hashes = list(
        session.scalars(
            select(Amendment.document_hash).where(Amendment.agreement_id == agreement.id).order_by(Amendment.number)
        )
    )
    days = Period(agreement.starts_on, agreement.ended_on or agreement.ends_on)
    return {
        **_summary(session, agreement, account, (licensor, licensee)),
        "signed_by": sorted(signed_by(session, agreement)),
        "versions": [
            {
                "amendment": version.amendment,
                **_days(version.days),
                "in_words": [{"heading": p.heading, "sentences": list(p.sentences)} for p in version.passages],
                "terms": terms_document(versions[version.amendment][1]),
                "document_hash": hashes[version.amendment],
            }
            for version in versions_in_words(days, versions)
        ],
        "covers": [{"model": model, **_days(run)} for model, run in cover_of(session, agreement.id)],
        "events": [_event(event) for event in agreement_events(session, agreement.id)],
    }


def _summary(session: Session, agreement: Agreement, account: Account, parties: tuple[str, str]) -> dict[str, Any]:
    return {
        "slug": agreement.slug,
        "name": agreement.name,
        "status": status_on(agreement.status, agreement.ends_on, today_in(session, account.zone)),
        "licensor": parties[0],
        "licensee": parties[1],
        "currency": account.currency,
        "zone": account.zone,
        "starts_on": agreement.starts_on.isoformat(),
        "ends_on": agreement.ends_on.isoformat(),
        "ended_on": _iso(agreement.ended_on),
        "signed_at": agreement.signed_at.isoformat() if agreement.signed_at else None,
    }


def _event(event: AgreementEvent) -> dict[str, Any]:
    return {
        "kind": event.kind,
        "party": event.party,
        "signer": event.signer,
        "signed_on": event.signed_on.isoformat(),
        "effective_on": event.effective_on.isoformat(),
        "ends_on": _iso(event.ends_on),
        "amendment": event.amendment_number,
        "reason": event.reason,
        "document_hash": event.document_hash,
        "paper_hash": event.paper_hash,
        "recorded_at": event.recorded_at.isoformat(),
    }


def _days(days: Period) -> dict[str, str]:
    return {"starts_on": days.start.isoformat(), "ends_on": days.end.isoformat()}


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
