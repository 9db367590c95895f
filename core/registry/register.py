"""Enters parties, accounts, models and meter keys. Only contact details, names and a key's end can change later.

Everything takes many entries at once and writes them in a few statements, however many there are.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

from sqlalchemy import String, any_, cast, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.errors import Conflict, InvalidInput, NotFound
from core.money import exponent
from core.period import zone_of
from core.registry.billing import Billing
from core.registry.brand import Brand
from core.registry.entries import AccountEntry, Contact, LicenseeEntry, LicensorEntry, ModelEntry
from core.registry.keys import new_key
from core.registry.queries import lineage
from core.registry.tables import (
    Account,
    ApprovalLimit,
    Licensee,
    Licensor,
    MeterKey,
    Model,
    ModelBase,
    ModelName,
    StoredPicture,
)
from core.registry.tax_ids import check_tax_id

MAX_NOTE = 255
Slugged = type[Licensor] | type[Licensee] | type[Model]
_CALLED: dict[Any, str] = {Licensor: "licensor", Licensee: "licensee", Model: "model"}


def add_licensors(session: Session, entries: Sequence[LicensorEntry]) -> None:
    """Enters licensors. A slug or an invoice prefix that is taken is a conflict."""
    rows = [{"slug": e.slug, "invoice_prefix": e.invoice_prefix, **_contact(e.contact)} for e in entries]
    _insert(session, Licensor, rows)
    for entry in entries:
        if entry.second_person_above_minor is not None:
            set_approval_limit(session, entry.slug, None, entry.second_person_above_minor)
        if entry.brand is not None:
            change_brand(session, entry.slug, entry.brand)


def add_licensees(session: Session, entries: Sequence[LicenseeEntry]) -> None:
    """Enters licensees."""
    _insert(session, Licensee, [{"slug": e.slug, **_contact(e.contact)} for e in entries])


def add_accounts(session: Session, entries: Sequence[AccountEntry]) -> None:
    """Opens accounts between parties that exist. At most one for each pair."""
    licensors = ids(session, Licensor, {e.licensor for e in entries})
    licensees = ids(session, Licensee, {e.licensee for e in entries})
    for entry in entries:
        zone_of(entry.zone)
        exponent(entry.currency)
    _insert(
        session,
        Account,
        [
            {
                "licensor_id": licensors[e.licensor],
                "licensee_id": licensees[e.licensee],
                "zone": e.zone,
                "currency": e.currency,
                **(e.billing or Billing()).columns(),
            }
            for e in entries
        ],
    )
    for entry in entries:
        if entry.second_person_above_minor is not None:
            set_approval_limit(session, entry.licensor, entry.licensee, entry.second_person_above_minor)


def change_billing(session: Session, licensor: str, licensee: str, billing: Billing) -> None:
    """Changes how an account is billed from now on."""
    session.execute(
        update(Account).where(Account.id == _account_id(session, licensor, licensee)).values(**billing.columns())
    )


def set_approval_limit(session: Session, licensor: str, licensee: str | None, above_minor: int | None) -> None:
    """Says above which amount two people are needed: for one account, or for all of a licensor's that have no limit of
    their own. None takes the limit away.
    """
    licensor_id = ids(session, Licensor, {licensor})[licensor]
    account_id = None if licensee is None else _account_id(session, licensor, licensee)
    session.execute(
        delete(ApprovalLimit).where(
            ApprovalLimit.licensor_id == licensor_id, ApprovalLimit.account_id.is_not_distinct_from(account_id)
        )
    )
    if above_minor is not None:
        row = {"licensor_id": licensor_id, "account_id": account_id, "second_person_above_minor": above_minor}
        session.execute(insert(ApprovalLimit), [row])


def change_brand(session: Session, slug: str, brand: Brand) -> None:
    """Changes how a licensor's invoices look from the next issue on. The logo's bytes are kept for good."""
    logo = brand.logo
    if logo is not None:
        row = {"sha256": logo.sha256, "media_type": logo.media_type, "content": logo.content}
        session.execute(postgresql.insert(StoredPicture).values(**row).on_conflict_do_nothing())
    look = {"colour": brand.colour, "accent": brand.accent, "logo_sha256": logo.sha256 if logo else None}
    session.execute(update(Licensor).where(Licensor.slug == slug).values(**look))


def _account_id(session: Session, licensor: str, licensee: str) -> int:
    licensor_id, licensee_id = (
        ids(session, Licensor, {licensor})[licensor],
        ids(session, Licensee, {licensee})[licensee],
    )
    found = session.scalar(
        select(Account.id).where(Account.licensor_id == licensor_id, Account.licensee_id == licensee_id)
    )
    if found is None:
        raise NotFound("not_registered", f"there is no account of {licensor} with {licensee}")
    return found


def add_models(session: Session, entries: Sequence[ModelEntry]) -> None:
    """Enters models with their names and the models they were made from, which may be among the entries.

    Refuses what `Lineage` refuses: cycles, a model that would owe nothing, a name of two models.
    """
    licensors = ids(session, Licensor, {e.licensor for e in entries})
    _insert(
        session,
        Model,
        [
            {"slug": e.slug, "name": e.name, "licensor_id": licensors[e.licensor], "kind": e.kind, "owes": e.owes}
            for e in entries
        ],
    )
    models = ids(session, Model, {e.slug for e in entries}.union(*(e.bases for e in entries)))
    edges = [{"model_id": models[e.slug], "base_id": models[base]} for e in entries for base in sorted(e.bases)]
    _insert(session, ModelBase, edges)
    _insert(
        session,
        ModelName,
        [{"name": name, "model_id": models[e.slug]} for e in entries for name in sorted(e.names | {e.slug})],
    )
    lineage(session)


def add_names(session: Session, names: Mapping[str, str]) -> None:
    """Adds names by which platforms may report models: AIR or alias to slug. A name never moves to another model."""
    models = ids(session, Model, set(names.values()))
    _insert(session, ModelName, [{"name": name, "model_id": models[slug]} for name, slug in names.items()])
    lineage(session)


def change_contact(session: Session, party: type[Licensor] | type[Licensee], slug: str, contact: Contact) -> None:
    """Changes the contact details that `contact` says something about."""
    check_tax_id(contact.tax_id or "")
    found = session.execute(update(party).where(party.slug == slug).values(**contact.said()).returning(party.id))
    if found.first() is None:
        raise NotFound("not_registered", f"there is no {_CALLED[party]} called {slug}")


def rename_models(session: Session, names: Mapping[str, str]) -> None:
    """Changes what models are called on paper: slug to name. Slugs never change."""
    if not names:
        return
    models = ids(session, Model, names.keys())
    session.execute(update(Model), [{"id": models[slug], "name": name} for slug, name in names.items()])


def issue_key(
    session: Session,
    licensee_slug: str,
    label: str,
    backfill_from: date | None = None,
    backfill_reason: str | None = None,
    *,
    expires_at: datetime | None = None,
) -> str:
    """Makes a meter key for a licensee and returns its text, which nobody can read again.

    `backfill_from` lets the key report usage as old as that day, and needs a reason, which is kept. Several keys of a
    licensee may live at once, so that one can be replaced without a pause.
    """
    if (backfill_from is None) != (not (backfill_reason or "").strip()):
        raise InvalidInput(
            "backfill_reason", "a permission to report old usage needs both the first day allowed and a reason"
        )
    if not all(text.isprintable() and len(text) <= MAX_NOTE for text in (label, backfill_reason or "")):
        raise InvalidInput("bad_note", f"a label or reason is one line of at most {MAX_NOTE} printable characters")
    licensee_id = ids(session, Licensee, {licensee_slug})[licensee_slug]
    key = new_key()
    _insert(
        session,
        MeterKey,
        [
            {
                "licensee_id": licensee_id,
                "public_id": key.public_id,
                "secret_hash": key.secret_hash,
                "label": label,
                "backfill_from": backfill_from,
                "backfill_reason": (backfill_reason or "").strip() or None,
                "expires_at": expires_at,
            }
        ],
    )
    return key.text


def revoke_key(session: Session, public_id: str) -> None:
    """Ends a key. Revoking twice keeps the first time; a revoked key never lives again."""
    found = session.execute(
        update(MeterKey)
        .where(MeterKey.public_id == public_id)
        .values(revoked_at=func.coalesce(MeterKey.revoked_at, func.now()))
        .returning(MeterKey.id)
    )
    if found.first() is None:
        raise NotFound("unknown_key", f"there is no meter key with the public id {public_id}")


def ids(session: Session, table: Slugged, slugs: Iterable[str]) -> dict[str, int]:
    """The ids of rows by slug; refuses one that does not exist."""
    wanted = set(slugs)
    any_wanted = any_(cast(sorted(wanted), ARRAY(String)))
    found = dict(session.execute(select(table.slug, table.id).where(table.slug == any_wanted)).all())
    for missing in sorted(wanted - found.keys()):
        raise NotFound("not_registered", f"there is no {_CALLED[table]} called {missing}")
    return found


def _contact(contact: Contact) -> dict[str, Any]:
    """The columns of a new party; what the contact leaves out is empty."""
    check_tax_id(contact.tax_id or "")
    return {"address": [], "email": "", "tax_id": "", **contact.said()}


def _insert(session: Session, table: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        with _refusing_duplicates(session):
            session.execute(insert(table), list(rows))


@contextmanager
def _refusing_duplicates(session: Session) -> Iterator[None]:
    """Turns a broken unique key into a refusal that names it, and leaves the transaction usable."""
    try:
        with session.begin_nested():
            yield
    except IntegrityError as error:
        said = getattr(getattr(error.orig, "diag", None), "message_detail", None) or str(error.orig)
        raise Conflict("already_registered", f"this is registered already: {said}") from error
