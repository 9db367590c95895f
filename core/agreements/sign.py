"""Drafts, signs and amends agreements. Drafts may change; what is signed only ever grows by amendments.

Only signed agreements cover models: two drafts may stand side by side as alternatives.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from hashlib import sha256
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.agreements.coverage import covered_days
from core.agreements.queries import agreement_named, agreement_versions
from core.agreements.signable import (
    Licensable,
    Parties,
    added_cover,
    lost_cover_sentence,
    objections,
    overlap_sentence,
)
from core.agreements.tables import Agreement, AgreementModel, Amendment, Unit
from core.agreements.terms import Terms, terms_document
from core.errors import Conflict
from core.period import Period
from core.registry.lineage import owes_of
from core.registry.register import ids
from core.registry.tables import Account, Licensee, Licensor, Model

Amendments = Sequence[tuple[date, Terms]]
Cover = dict[str, list[Period]]
OVERLAP = "ex_agreement_models_overlap"


def sign(
    session: Session,
    account: Account,
    slug: str,
    term: Period,
    terms: Terms,
    *,
    name: str = "",
    amendments: Amendments = (),
) -> Agreement:
    """Signs an agreement over `term`, in days of the account's zone, with the amendments already known.

    Refuses terms that could not be rated, and days on which another agreement of the account covers a model already.
    """
    versions = [(term.start, terms), *amendments]
    _refuse_unsignable(session, account, term, versions, signing=True)
    agreement = _write(session, account, slug, term, versions, name=name, signed=True)
    _cover(session, agreement, covered_days(term, versions))
    return agreement


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
    _refuse_unsignable(session, account, term, versions, signing=False)
    return _write(session, account, slug, term, versions, name=name, signed=False)


def redraft(
    session: Session, agreement_slug: str, term: Period, terms: Terms, amendments: Amendments = ()
) -> Agreement:
    """Replaces the term and all terms of a draft."""
    agreement, account = _locked(session, agreement_slug)
    if agreement.status != "draft":
        raise Conflict("already_signed", f"agreement {agreement_slug} is signed: change it by an amendment")
    versions = [(term.start, terms), *amendments]
    _refuse_unsignable(session, account, term, versions, signing=False)
    session.execute(delete(Amendment).where(Amendment.agreement_id == agreement.id))
    agreement.starts_on, agreement.ends_on = term.start, term.end
    agreement.starts_at, agreement.ends_at = term.bounds(account.zone)
    session.flush()
    _write_versions(session, agreement, versions)
    return agreement


def sign_draft(session: Session, agreement_slug: str) -> Agreement:
    """Signs a draft as it stands; from then on it covers its models. Signing twice is refused."""
    agreement, account = _locked(session, agreement_slug)
    if agreement.status != "draft":
        raise Conflict("already_signed", f"agreement {agreement_slug} is signed already")
    term = Period(agreement.starts_on, agreement.ends_on)
    versions = agreement_versions(session, agreement.id)
    _refuse_unsignable(session, account, term, versions, signing=True)
    _cover(session, agreement, covered_days(term, versions))
    agreement.status, agreement.signed_at = "signed", func.now()
    session.flush()
    return agreement


def amend(session: Session, agreement_slug: str, effective_on: date, terms: Terms) -> Amendment:
    """Adds the next amendment to a signed agreement: the whole terms from `effective_on` on.

    It may lie in the past: what was billed otherwise comes out as adjustments. It replaces every earlier version that
    would begin on or after its day. It may add models; taking one out is refused for now, since signed cover stays.
    """
    agreement, account = _locked(session, agreement_slug)
    if agreement.status != "signed":
        raise Conflict("not_signed", f"agreement {agreement_slug} is a draft: change its terms, then sign it")
    term = Period(agreement.starts_on, agreement.ends_on)
    before = agreement_versions(session, agreement.id)
    after = [*before, (effective_on, terms)]
    _refuse_unsignable(session, account, term, after, signing=True)
    added, lost = added_cover(term, before, after)
    for model, days in lost.items():
        raise Conflict("cover_lost", lost_cover_sentence(agreement_slug, model, days))
    _cover(session, agreement, added)
    return _write_versions(session, agreement, [(effective_on, terms)], first_number=len(before))


def document_hash(document: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of terms: keys sorted, no spaces, UTF-8; both sides can compute it."""
    return sha256(json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def _locked(session: Session, slug: str) -> tuple[Agreement, Account]:
    """The agreement, kept from others until the transaction ends, with its account."""
    agreement = agreement_named(session, slug)
    session.refresh(agreement, with_for_update=True)
    return agreement, session.get_one(Account, agreement.account_id)


def _refuse_unsignable(
    session: Session, account: Account, term: Period, versions: Amendments, *, signing: bool
) -> None:
    wanted = {model for _, terms in versions for model in terms.models}
    rows = session.execute(
        select(Model.slug, Licensor.slug, Model.owes)
        .join(Licensor, Licensor.id == Model.licensor_id)
        .where(Model.slug.in_(wanted))
    )
    parties = Parties(
        licensor=session.get_one(Licensor, account.licensor_id).slug,
        licensee=session.get_one(Licensee, account.licensee_id).slug,
        currency=account.currency,
        units=frozenset(session.scalars(select(Unit.code))),
    )
    models = {slug: Licensable(licensor, owes_of(owes)) for slug, licensor, owes in rows}
    found = objections(term, versions, parties, models, signing=signing)
    if found:
        sentence = "; ".join(f"{objection.path}: {objection.sentence}" for objection in found)
        raise Conflict("unsignable", sentence, path=found[0].path)


def _write(
    session: Session, account: Account, slug: str, term: Period, versions: Amendments, *, name: str, signed: bool
) -> Agreement:
    starts_at, ends_at = term.bounds(account.zone)
    agreement = Agreement(
        account_id=account.id,
        slug=slug,
        name=name or slug,
        starts_on=term.start,
        ends_on=term.end,
        starts_at=starts_at,
        ends_at=ends_at,
        status="signed" if signed else "draft",
        signed_at=func.now() if signed else None,
    )
    try:
        with session.begin_nested():
            session.add(agreement)
            session.flush()
    except IntegrityError as error:
        raise Conflict("already_registered", f"there is an agreement called {slug} already") from error
    _write_versions(session, agreement, versions)
    return agreement


def _write_versions(
    session: Session, agreement: Agreement, versions: Amendments, *, first_number: int = 0
) -> Amendment:
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


def _cover(session: Session, agreement: Agreement, cover: Cover) -> None:
    """Claims the days for the agreement; the database refuses a day that another one of the account holds."""
    models = ids(session, Model, cover)
    rows = [
        {
            "agreement_id": agreement.id,
            "account_id": agreement.account_id,
            "model_id": models[slug],
            "days": Range(days.start, days.end),
        }
        for slug, runs in cover.items()
        for days in runs
    ]
    if rows:
        with _naming_overlap(session, agreement, cover):
            session.execute(insert(AgreementModel), rows)


@contextmanager
def _naming_overlap(session: Session, agreement: Agreement, cover: Cover) -> Iterator[None]:
    try:
        with session.begin_nested():
            yield
    except IntegrityError as error:
        if getattr(getattr(error.orig, "diag", None), "constraint_name", None) != OVERLAP:
            raise
        raise _overlap(session, agreement, cover) from error


def _overlap(session: Session, agreement: Agreement, cover: Cover) -> Conflict:
    """The refusal that names the agreement, the model and the days in the way."""
    standing = session.execute(
        select(Agreement.slug, Model.slug, AgreementModel.days)
        .join(Agreement, Agreement.id == AgreementModel.agreement_id)
        .join(Model, Model.id == AgreementModel.model_id)
        .where(AgreementModel.account_id == agreement.account_id, Model.slug.in_(cover))
        .order_by(AgreementModel.id)
    )
    for other, model, days in standing:
        held = Period(days.lower, days.upper) if days.lower and days.upper else None
        for wanted in cover[model] if held else ():
            if held and (both := wanted.overlap(held)):
                return Conflict(
                    "agreements_overlap", overlap_sentence(agreement.slug, other, model, both), agreement=other
                )
    return Conflict("agreements_overlap", f"agreement {agreement.slug} overlaps another agreement of its account")
