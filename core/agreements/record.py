"""What every act on an agreement shares: it is locked, judged against where the agreement stands, and recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.agreements.documents import Consent, declared_in_catalogue
from core.agreements.queries import agreement_named, today_in
from core.agreements.signable import Licensable, Parties, objections
from core.agreements.status import Act, Status, move, status_on
from core.agreements.tables import Agreement, AgreementEvent, Unit
from core.agreements.terms import Terms
from core.errors import Conflict, InvalidInput
from core.period import Period
from core.registry.lineage import owes_of
from core.registry.tables import Account, Licensee, Licensor, Model

Versions = Sequence[tuple[date, Terms]]


@dataclass(frozen=True, slots=True)
class Held:
    """An agreement kept from others until the transaction ends, with its account and today in the account's zone."""

    agreement: Agreement
    account: Account
    today: date

    @property
    def term(self) -> Period:
        return Period(self.agreement.starts_on, self.agreement.ends_on)

    @property
    def in_force(self) -> Period:
        """The days of the term that an early end leaves."""
        return Period(self.agreement.starts_on, self.agreement.ended_on or self.agreement.ends_on)


def hold(session: Session, slug: str, act: Act) -> tuple[Held, Status]:
    """Locks an agreement for an act; what its status will be. Refuses an act that is not possible where it stands."""
    agreement = agreement_named(session, slug)
    session.refresh(agreement, with_for_update=True)
    account = session.get_one(Account, agreement.account_id)
    today = today_in(session, account.zone)
    return Held(agreement, account, today), move(slug, status_on(agreement.status, agreement.ends_on, today), act)


def record(
    session: Session,
    held: Held,
    kind: str,
    consent: Consent,
    *,
    effective_on: date,
    amendment_number: int,
    document_hash: str,
    ends_on: date | None = None,
) -> None:
    """Adds a row for each signature beneath an act."""
    for signature in consent.signatures:
        if signature.signed_on > held.today + timedelta(days=1):  # it may be tomorrow where they signed
            raise InvalidInput(
                "invalid_signature", f"{signature.name} cannot have signed on {signature.signed_on}: that is to come"
            )
        session.add(
            AgreementEvent(
                agreement_id=held.agreement.id,
                kind=kind,
                party=signature.party,
                signer=signature.name.strip(),
                signed_on=signature.signed_on,
                effective_on=effective_on,
                ends_on=ends_on,
                amendment_number=amendment_number,
                reason=consent.reason.strip(),
                document_hash=document_hash,
                paper_hash=consent.paper_hash,
            )
        )
    session.flush()


def consent_or_catalogue(consent: Consent | None, today: date) -> Consent:
    """What was given, or that the catalogue declares both signatures."""
    return consent or declared_in_catalogue(today)


def refuse_unsignable(
    session: Session,
    account: Account,
    term: Period,
    versions: Versions,
    *,
    signing: bool,
    ended_on: date | None = None,
) -> None:
    """Refuses terms that could not be rated for this account, naming every place that is wrong."""
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
    found = objections(term, versions, parties, models, signing=signing, ended_on=ended_on)
    if found:
        sentence = "; ".join(f"{objection.path}: {objection.sentence}" for objection in found)
        raise Conflict("unsignable", sentence, path=found[0].path)
