"""Reads what stands and carries out a catalogue: everything in the caller's transaction, or a refusal and nothing."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from typing import Any

from sqlalchemy import insert, select, text, update
from sqlalchemy.orm import Session

from core.agreements.amend import amend, revoke, terminate
from core.agreements.documents import BOTH, Party, declared_in_catalogue
from core.agreements.sign import draft, redraft, sign, sign_draft
from core.agreements.signable import cover_change
from core.agreements.tables import Agreement, AgreementEvent, Amendment, Unit
from core.agreements.terms import Terms, parse_terms
from core.catalogue.compare import Changes, Step, compare
from core.catalogue.declare import AgreementEntry, Declared, EndsEarly, UnitEntry
from core.errors import Conflict
from core.period import Period
from core.registry import register
from core.registry.billing import Billing, billing_of
from core.registry.brand import Brand
from core.registry.entries import AccountEntry, Contact, LicenseeEntry, LicensorEntry, ModelEntry
from core.registry.lineage import owes_of
from core.registry.pictures import Picture
from core.registry.tables import (
    Account,
    ApprovalLimit,
    Licensee,
    Licensor,
    Model,
    ModelBase,
    ModelName,
    StoredPicture,
)

_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtext('perimage catalogue'))")

# Rows that the session has read before are read again, since another transaction may have changed them.
_FRESH = {"populate_existing": True}


def plan(session: Session, declared: Declared, today: date) -> Changes:
    """What applying the catalogue would do now. Reads only."""
    return compare(declared, standing(session), today)


def apply(session: Session, declared: Declared, today: date, *, shown: Changes | None = None) -> Changes:
    """Does what the catalogue declares, once at a time, and says what was done.

    Refuses if anything in it is refused, or if something was changed since the plan in `shown` was made: nothing is
    done that nobody has seen. If somebody else did all of it meanwhile, there is nothing left to do.
    """
    session.execute(_ONE_AT_A_TIME)
    changes = plan(session, declared, today)
    if shown is not None and changes.steps and changes != shown:
        raise Conflict("catalogue_moved", "something was changed since the plan was made: look at the new plan first")
    if changes.refused:
        first = changes.refused[0]
        raise Conflict("catalogue_refused", f"{first.path}: {first.sentence}", path=first.path)
    _carry_out(session, changes, today)
    return changes


def standing(session: Session) -> Declared:
    """Everything that stands, as the values a catalogue would declare it with."""
    licensors = {
        row.id: row for row in session.scalars(select(Licensor).order_by(Licensor.id).execution_options(**_FRESH))
    }
    licensees = {
        row.id: row for row in session.scalars(select(Licensee).order_by(Licensee.id).execution_options(**_FRESH))
    }
    brands = _brands(session, licensors.values())
    limits = {(row.licensor_id, row.account_id): row.second_person_above_minor for row in _limits(session)}
    accounts = {
        row.id: AccountEntry(
            licensors[row.licensor_id].slug,
            licensees[row.licensee_id].slug,
            row.currency,
            row.zone,
            None if billing_of(row) == Billing() else billing_of(row),
            limits.get((row.licensor_id, row.id)),
        )
        for row in session.scalars(select(Account).order_by(Account.id).execution_options(**_FRESH))
    }
    units = session.scalars(select(Unit).order_by(Unit.code).execution_options(**_FRESH))
    return Declared(
        licensors={
            r.slug: LicensorEntry(r.slug, _contact(r), r.invoice_prefix, limits.get((r.id, None)), brands[r.id])
            for r in licensors.values()
        },
        licensees={r.slug: LicenseeEntry(r.slug, _contact(r)) for r in licensees.values()},
        models=_models(session, {id_: licensor.slug for id_, licensor in licensors.items()}),
        units={unit.code: UnitEntry(unit.code, unit.name, unit.decimals) for unit in units},
        accounts={(account.licensor, account.licensee): account for account in accounts.values()},
        agreements=_agreements(session, accounts),
    )


def _limits(session: Session) -> Iterable[ApprovalLimit]:
    return session.scalars(select(ApprovalLimit).execution_options(**_FRESH))


def _brands(session: Session, licensors: Iterable[Licensor]) -> dict[int, Brand | None]:
    """How each licensor's documents look, without the bytes of its logo; None where nothing was ever said."""
    kinds: dict[str, str] = dict(session.execute(select(StoredPicture.sha256, StoredPicture.media_type)).all())
    found: dict[int, Brand | None] = {}
    for row in licensors:
        logo = Picture(row.logo_sha256, kinds[row.logo_sha256]) if row.logo_sha256 else None
        brand = Brand(row.colour, row.accent, logo)
        found[row.id] = None if brand == Brand() else brand
    return found


def _contact(party: Licensor | Licensee) -> Contact:
    return Contact(party.name, tuple(party.address), party.email, party.tax_id)


def _models(session: Session, licensors: dict[int, str]) -> dict[str, ModelEntry]:
    rows = list(session.scalars(select(Model).order_by(Model.id).execution_options(**_FRESH)))
    slugs = {row.id: row.slug for row in rows}
    bases: dict[int, set[str]] = defaultdict(set)
    for model_id, base_id in session.execute(select(ModelBase.model_id, ModelBase.base_id)):
        bases[model_id].add(slugs[base_id])
    names: dict[int, set[str]] = defaultdict(set)
    for name, model_id in session.execute(select(ModelName.name, ModelName.model_id)):
        names[model_id].add(name)
    return {
        row.slug: ModelEntry(
            row.slug,
            row.name,
            licensors[row.licensor_id],
            row.kind,
            owes_of(row.owes),
            frozenset(bases[row.id]),
            frozenset(names[row.id] - {row.slug}),
        )
        for row in rows
    }


def _agreements(session: Session, accounts: dict[int, AccountEntry]) -> dict[str, AgreementEntry]:
    versions: dict[int, list[tuple[date, Terms]]] = defaultdict(list)
    for agreement_id, effective_on, document in session.execute(
        select(Amendment.agreement_id, Amendment.effective_on, Amendment.terms).order_by(Amendment.number)
    ):
        versions[agreement_id].append((effective_on, parse_terms(document)))
    ends, former_ends = _ends(session)
    return {
        row.slug: AgreementEntry(
            row.slug,
            row.name,
            accounts[row.account_id].licensor,
            accounts[row.account_id].licensee,
            Period(row.starts_on, row.ends_on),
            tuple(versions[row.id]),
            draft=row.status == "draft",
            ends_early=ends.get((row.id, row.status)),
            former_ends=frozenset(former_ends[row.id]),
        )
        for row in session.scalars(select(Agreement).order_by(Agreement.id).execution_options(**_FRESH))
    }


def _ends(session: Session) -> tuple[dict[tuple[int, str], EndsEarly], dict[int, set[date]]]:
    """By agreement: how it ended early, by the status that this gave it; and the ends its term had before it grew."""
    ends: dict[tuple[int, str], EndsEarly] = {}
    former: dict[int, set[date]] = defaultdict(set)
    for event in session.scalars(select(AgreementEvent).where(AgreementEvent.kind != "signed")):
        if event.kind == "extended":
            former[event.agreement_id].add(event.effective_on)
        elif event.kind != "amended":
            known = ends.get((event.agreement_id, event.kind))
            by = "both" if known and known.by != event.party else event.party
            ends[event.agreement_id, event.kind] = EndsEarly(event.effective_on, event.kind, event.reason, by)
    return ends, former


def _carry_out(session: Session, changes: Changes, today: date) -> None:
    """In the order in which one thing needs another."""
    register.add_licensors(session, _new(changes, "licensor"))
    register.add_licensees(session, _new(changes, "licensee"))
    register.add_models(session, _new(changes, "model"))
    register.add_accounts(session, _new(changes, "account"))
    for party, kind in ((Licensor, "licensor"), (Licensee, "licensee")):
        for step in _altered(changes, kind):
            register.change_contact(session, party, step.key, step.after.contact)
    _billing(session, changes)
    models = _altered(changes, "model")
    register.rename_models(session, {s.key: s.after.name for s in models if s.after.name != s.before.name})
    register.add_names(session, {name: s.key for s in models for name in s.after.names - s.before.names})
    _units(session, changes)
    _carry_out_agreements(session, changes.of("agreement"), today)


def _new(changes: Changes, kind: str) -> list[Any]:
    return [step.after for step in changes.created if step.kind == kind]


def _altered(changes: Changes, kind: str) -> list[Step]:
    return [step for step in changes.changed if step.kind == kind]


def _billing(session: Session, changes: Changes) -> None:
    for step in _altered(changes, "account"):
        entry: AccountEntry = step.after
        if entry.billing is not None:
            register.change_billing(session, entry.licensor, entry.licensee, entry.billing)
        if entry.second_person_above_minor is not None:
            register.set_approval_limit(session, entry.licensor, entry.licensee, entry.second_person_above_minor)
    for step in _altered(changes, "licensor"):
        if step.after.second_person_above_minor is not None:
            register.set_approval_limit(session, step.key, None, step.after.second_person_above_minor)
        if step.after.brand is not None:
            register.change_brand(session, step.key, step.after.brand)


def _units(session: Session, changes: Changes) -> None:
    new = [{"code": unit.code, "name": unit.name, "decimals": unit.decimals} for unit in _new(changes, "unit")]
    if new:
        session.execute(insert(Unit), new)
    for step in _altered(changes, "unit"):
        session.execute(update(Unit).where(Unit.code == step.key).values(name=step.after.name))


def _carry_out_agreements(session: Session, steps: Iterable[Step], today: date) -> None:
    """Those that give days back come first: another agreement of the same file may want them."""
    accounts = {
        (licensor, licensee): account
        for account, licensor, licensee in session.execute(
            select(Account, Licensor.slug, Licensee.slug)
            .join(Licensor, Licensor.id == Account.licensor_id)
            .join(Licensee, Licensee.id == Account.licensee_id)
        )
    }
    for step in sorted(steps, key=_takes_days):
        after: AgreementEntry = step.after
        if step.before is None:
            write = draft if after.draft else sign
            account = accounts[after.licensor, after.licensee]
            (_, terms), *amendments = after.versions
            write(session, account, after.slug, after.term, terms, name=after.name or "", amendments=amendments)
            _end_early(session, after, today)
        else:
            _change_agreement(session, step.before, after, today)


def _takes_days(step: Step) -> bool:
    before: AgreementEntry | None = step.before
    if before is None or before.draft:
        return True
    if step.after.ends_early and step.after.ends_early != before.ends_early:
        return False
    versions = max(step.after.versions, before.versions, key=len)
    return not cover_change(before.in_force, before.versions, versions)[1]


def _change_agreement(session: Session, before: AgreementEntry, after: AgreementEntry, today: date) -> None:
    if after.name is not None and after.name != before.name:
        session.execute(update(Agreement).where(Agreement.slug == after.slug).values(name=after.name))
    if not before.draft:
        for effective_on, terms in after.versions[len(before.versions) :]:
            amend(session, after.slug, effective_on, terms, declared_in_catalogue(today))
        if before.ends_early is None or (after.ends_early and before.ends_early.kind != after.ends_early.kind):
            _end_early(session, after, today)
        return
    if (after.term, after.versions) != (before.term, before.versions):
        (_, terms), *amendments = after.versions
        redraft(session, after.slug, after.term, terms, amendments)
    if not after.draft:
        sign_draft(session, after.slug)
        _end_early(session, after, today)


def _end_early(session: Session, agreement: AgreementEntry, today: date) -> None:
    end = agreement.ends_early
    if end is None:
        return
    if end.kind == "revoked":
        revoke(session, agreement.slug, end.on, declared_in_catalogue(today, end.reason, parties=("licensor",)))
        return
    parties: tuple[Party, ...] = tuple(party for party in BOTH if end.by in (party, "both", None))
    terminate(session, agreement.slug, end.on, declared_in_catalogue(today, end.reason, parties=parties))
