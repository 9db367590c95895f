"""Changes what is signed, by new facts only: amendments, extensions, terminations, revocations.

Every act is recorded with its signatures, its first day and the hash of what was signed. What was billed otherwise
comes out of the next close by difference; see it beforehand with `core/invoicing/what_if/amendment_preview.py`.
"""

from datetime import date

from sqlalchemy.orm import Session

from core.agreements.cover import claim, cut
from core.agreements.coverage import covered_days
from core.agreements.documents import (
    BOTH,
    Consent,
    amendment_document,
    document_hash,
    ending_document,
    extension_document,
)
from core.agreements.queries import agreement_versions
from core.agreements.record import Held, consent_or_catalogue, hold, record, refuse_unsignable
from core.agreements.sign import write_versions
from core.agreements.signable import cover_change
from core.agreements.tables import Agreement, Amendment
from core.agreements.terms import Terms
from core.errors import Conflict, InvalidInput
from core.period import Period, day_start


def amend(
    session: Session, agreement_slug: str, effective_on: date, terms: Terms, consent: Consent | None = None
) -> Amendment:
    """Adds the next amendment to a signed agreement: the whole terms from `effective_on` on.

    It may lie in the past: what was billed otherwise comes out as adjustments. It replaces every earlier version that
    would begin on or after its day. Models it adds are covered from its day on; those it leaves out no longer are, and
    another agreement may cover them.
    """
    held, _ = hold(session, agreement_slug, "amend")
    given = consent_or_catalogue(consent, held.today)
    given.demand(*BOTH, act="an amendment")
    before = agreement_versions(session, held.agreement.id)
    after = [*before, (effective_on, terms)]
    refuse_unsignable(session, held.account, held.term, after, signing=True, ended_on=held.agreement.ended_on)
    added, lost = cover_change(held.in_force, before, after)
    claim(session, held.agreement, added)
    number = len(before)
    amendment = write_versions(session, held.agreement, after[number:], first_number=number)
    record(
        session,
        held,
        "amended",
        given,
        effective_on=effective_on,
        amendment_number=number,
        document_hash=document_hash(amendment_document(agreement_slug, number, effective_on, terms)),
    )
    if lost:
        cut(session, held.agreement, effective_on, lost)
    return amendment


def extend(session: Session, agreement_slug: str, ends_on: date, consent: Consent | None = None) -> Agreement:
    """Lets the term end later, under the terms in force on its last day; also after it has ended.

    Promises made for the term as it stood stay with its days (`extension.py`).
    """
    held, status = hold(session, agreement_slug, "extend")
    given = consent_or_catalogue(consent, held.today)
    given.demand(*BOTH, act="an extension")
    agreement, stood = held.agreement, held.term.end
    if ends_on <= stood:
        raise InvalidInput(
            "not_an_extension",
            f"agreement {agreement_slug} runs to {stood} already: write a later day, or terminate it",
        )
    versions = agreement_versions(session, agreement.id)
    longer = Period(agreement.starts_on, ends_on)
    refuse_unsignable(session, held.account, longer, versions, signing=True)
    tail = Period(stood, ends_on)
    new = covered_days(longer, versions)
    claim(session, agreement, {model: both for model, runs in new.items() if (both := _within(runs, tail))})
    record(
        session,
        held,
        "extended",
        given,
        effective_on=stood,
        ends_on=ends_on,
        amendment_number=len(versions) - 1,
        document_hash=document_hash(extension_document(agreement_slug, stood, ends_on)),
    )
    agreement.status, agreement.ends_on, agreement.ends_at = status, ends_on, day_start(ends_on, held.account.zone)
    session.flush()
    return agreement


def terminate(session: Session, agreement_slug: str, on: date, consent: Consent) -> Agreement:
    """Ends an agreement before its term is over, by one side or both; `on` is the first day no longer covered.

    Running commitments are prorated or due in full, as the terms say.
    """
    held, status = hold(session, agreement_slug, "terminate")
    if not consent.signatures:
        raise InvalidInput("signature_missing", "a termination needs the signature of the side that terminates")
    return _end(session, held, status, on, consent)


def revoke(session: Session, agreement_slug: str, on: date, consent: Consent) -> Agreement:
    """Withdraws the licence from a day on: usage from then on is unlicensed, held at intake, counted as evidence."""
    held, status = hold(session, agreement_slug, "revoke")
    if consent.parties != {"licensor"}:
        raise InvalidInput("signature_missing", "a licence is revoked by the licensor alone")
    return _end(session, held, status, on, consent)


def _end(session: Session, held: Held, status: str, on: date, consent: Consent) -> Agreement:
    agreement, in_force = held.agreement, held.in_force
    if not consent.reason.strip():
        raise InvalidInput("reason_missing", "say why: the reason is kept with the agreement")
    if not in_force.start < on < in_force.end:
        raise Conflict(
            "ends_outside_term",
            f"agreement {agreement.slug} runs from {in_force.start} to {in_force.end} (exclusive): it can end early on "
            "a day between the two",
        )
    record(
        session,
        held,
        status,
        consent,
        effective_on=on,
        amendment_number=len(agreement_versions(session, agreement.id)) - 1,
        document_hash=document_hash(ending_document(agreement.slug, status, on, consent.reason.strip())),
    )
    cut(session, agreement, on)
    agreement.status, agreement.ended_on, agreement.ended_at = status, on, day_start(on, held.account.zone)
    session.flush()
    return agreement


def _within(runs: list[Period], days: Period) -> list[Period]:
    return [both for run in runs if (both := run.overlap(days))]
