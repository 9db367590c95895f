"""Drafts and signs agreements. A draft may change; what both sides have signed only changes by acts of `amend.py`.

Only signed agreements cover models: two drafts may stand side by side as alternatives. A signature counts for the very
text that was signed: a draft that is changed afterwards has to be signed again.
"""

from collections.abc import Sequence
from datetime import date

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.agreements.cover import claim
from core.agreements.coverage import covered_days
from core.agreements.documents import BOTH, Consent, Signature, agreement_document, document_hash
from core.agreements.queries import agreement_versions
from core.agreements.record import Held, Versions, consent_or_catalogue, hold, record, refuse_unsignable
from core.agreements.tables import Agreement, AgreementEvent, Amendment
from core.agreements.terms import Terms, terms_document
from core.errors import Conflict
from core.period import Period
from core.registry.tables import Account, Licensee, Licensor

Amendments = Sequence[tuple[date, Terms]]


def sign(
    session: Session,
    account: Account,
    slug: str,
    term: Period,
    terms: Terms,
    *,
    name: str = "",
    amendments: Amendments = (),
    consent: Consent | None = None,
) -> Agreement:
    """Writes down an agreement that both sides have signed, with the amendments already known.

    Refuses terms that could not be rated, and days on which another agreement of the account covers a model already.
    Without a `consent` both signatures stand as declared in the catalogue.
    """
    refuse_unsignable(session, account, term, [(term.start, terms), *amendments], signing=True)
    agreement = draft(session, account, slug, term, terms, name=name, amendments=amendments)
    return sign_draft(session, agreement.slug, consent)


def draft(
    session: Session,
    account: Account,
    slug: str,
    term: Period,
    terms: Terms,
    *,
    name: str = "",
    amendments: Amendments = (),
) -> Agreement:
    """Writes down an agreement that is not signed yet: it covers nothing, and bands may stand for prices."""
    versions = [(term.start, terms), *amendments]
    refuse_unsignable(session, account, term, versions, signing=False)
    starts_at, ends_at = term.bounds(account.zone)
    agreement = Agreement(
        account_id=account.id,
        slug=slug,
        name=name or slug,
        starts_on=term.start,
        ends_on=term.end,
        starts_at=starts_at,
        ends_at=ends_at,
        status="draft",
    )
    try:
        with session.begin_nested():
            session.add(agreement)
            session.flush()
    except IntegrityError as error:
        raise Conflict("already_registered", f"there is an agreement called {slug} already") from error
    write_versions(session, agreement, versions)
    return agreement


def redraft(
    session: Session, agreement_slug: str, term: Period, terms: Terms, amendments: Amendments = ()
) -> Agreement:
    """Replaces the term and all terms of a draft. Whoever signed the old text has not signed the new one."""
    held, _ = hold(session, agreement_slug, "redraft")
    agreement = held.agreement
    versions = [(term.start, terms), *amendments]
    refuse_unsignable(session, held.account, term, versions, signing=False)
    session.execute(delete(Amendment).where(Amendment.agreement_id == agreement.id))
    agreement.starts_on, agreement.ends_on = term.start, term.end
    agreement.starts_at, agreement.ends_at = term.bounds(held.account.zone)
    session.flush()
    write_versions(session, agreement, versions)
    return agreement


def sign_draft(session: Session, agreement_slug: str, consent: Consent | None = None) -> Agreement:
    """Signs a draft as it stands for both sides; from then on it covers its models. Signing twice is refused."""
    held, _ = hold(session, agreement_slug, "sign")
    given = consent_or_catalogue(consent, held.today)
    given.demand(*BOTH, act="an agreement")
    return _put_under(session, held, given)


def sign_as(session: Session, agreement_slug: str, signature: Signature, *, paper_hash: str | None = None) -> Agreement:
    """Signs a draft as it stands for one side. With the other side's signature under the same text it is signed."""
    held, _ = hold(session, agreement_slug, "sign")
    return _put_under(session, held, Consent((signature,), paper_hash=paper_hash))


def signed_by(session: Session, agreement: Agreement) -> frozenset[str]:
    """The sides whose signature stands under the text as it is now."""
    hash_now = _hash_of(session, agreement, agreement_versions(session, agreement.id))
    return frozenset(
        session.scalars(
            select(AgreementEvent.party).where(
                AgreementEvent.agreement_id == agreement.id,
                AgreementEvent.kind == "signed",
                AgreementEvent.document_hash == hash_now,
            )
        )
    )


def write_versions(session: Session, agreement: Agreement, versions: Versions, *, first_number: int = 0) -> Amendment:
    """Stores terms in their canonical form; the last row written."""
    amendment = None
    for number, (effective_on, terms) in enumerate(versions, start=first_number):
        document = terms_document(terms)
        amendment = Amendment(
            agreement_id=agreement.id,
            number=number,
            effective_on=effective_on,
            terms=document,
            document_hash=document_hash(document),
        )
        session.add(amendment)
    session.flush()
    session.expire(agreement, ["amendments"])
    assert amendment is not None, "an agreement has at least its first terms"  # noqa: S101
    return amendment


def _put_under(session: Session, held: Held, consent: Consent) -> Agreement:
    """Adds signatures; when both sides have signed the same text the agreement is signed and covers its models."""
    agreement, term = held.agreement, held.term
    versions = agreement_versions(session, agreement.id)
    refuse_unsignable(session, held.account, term, versions, signing=True)
    stood = signed_by(session, agreement)
    for party in sorted(stood & consent.parties):
        raise Conflict("already_signed", f"the {party} has signed this text of agreement {agreement.slug} already")
    complete = stood | consent.parties == set(BOTH)
    if complete:
        claim(session, agreement, covered_days(term, versions))
    record(
        session,
        held,
        "signed",
        consent,
        effective_on=term.start,
        amendment_number=len(versions) - 1,
        document_hash=_hash_of(session, agreement, versions),
    )
    if complete:
        agreement.status, agreement.signed_at = "signed", func.now()
        session.flush()
    return agreement


def _hash_of(session: Session, agreement: Agreement, versions: Versions) -> str:
    account = session.get_one(Account, agreement.account_id)
    parties = (
        session.get_one(Licensor, account.licensor_id).slug,
        session.get_one(Licensee, account.licensee_id).slug,
    )
    term = Period(agreement.starts_on, agreement.ends_on)
    return document_hash(agreement_document(agreement.slug, parties, account.zone, term, versions))
