"""A licensor's own entry in the registry, changed by its admins: what its documents print, how they look, and above
which amounts two people are needed. The registry trusts its caller; here is who may, and what the audit log says of it.
"""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.actors import Actor
from core.audit.record import record
from core.errors import InvalidInput, NotFound
from core.money import exponent
from core.registry.brand import Brand
from core.registry.entries import Contact
from core.registry.pictures import Picture
from core.registry.register import change_brand, change_contact, set_approval_limit
from core.registry.tables import Account, ApprovalLimit, Licensee, Licensor, StoredPicture

MAX_LINES, MAX_LINE = 8, 200


def change_own_contact(session: Session, licensor_id: int, by: Actor, contact: Contact) -> None:
    """Name, address, e-mail and tax id as the next invoice prints them; issued ones keep theirs."""
    by.demand("admin", "change what invoices print of the licensor")
    house = session.get_one(Licensor, licensor_id)
    lines = contact.address or ()
    if not contact.name.strip():
        raise InvalidInput("bad_name", "a name is needed: it stands on every invoice", field="name")
    if len(lines) > MAX_LINES or any(len(line) > MAX_LINE for line in lines):
        raise InvalidInput("bad_address", f"at most {MAX_LINES} lines of {MAX_LINE} characters", field="address")
    changed = {
        name: {"before": _plain(getattr(house, name)), "after": _plain(value)}
        for name, value in contact.said().items()
        if getattr(house, name) != value
    }
    if changed:
        change_contact(session, Licensor, house.slug, contact)
        record(session, licensor_id, by, "licensor.changed", f"licensor {house.slug}", changed)


def change_own_brand(session: Session, licensor_id: int, by: Actor, brand: Brand) -> None:
    """Colours and logo, from the next issue on."""
    by.demand("admin", "change how documents look")
    house = session.get_one(Licensor, licensor_id)
    before = {"colour": house.colour, "accent": house.accent, "logo": house.logo_sha256 or ""}
    after = {"colour": brand.colour, "accent": brand.accent, "logo": brand.logo.sha256 if brand.logo else ""}
    changed = {name: {"before": before[name], "after": after[name]} for name in before if before[name] != after[name]}
    if changed:
        change_brand(session, house.slug, brand)
        record(session, licensor_id, by, "licensor.brand_changed", f"licensor {house.slug}", changed)


def own_logo(session: Session, licensor_id: int) -> Picture | None:
    """The logo that the next document has."""
    asked = (
        select(StoredPicture)
        .join(Licensor, Licensor.logo_sha256 == StoredPicture.sha256)
        .where(Licensor.id == licensor_id)
    )
    found = session.scalars(asked).one_or_none()
    return Picture(found.sha256, found.media_type, found.content) if found else None


def change_own_limit(
    session: Session, licensor_id: int, by: Actor, licensee: str | None, above_minor: int | None
) -> None:
    """Above which amount two people are needed: for one account, or for all that have none of their own (None)."""
    by.demand("admin", "change an approval limit")
    house = session.get_one(Licensor, licensor_id)
    account, before = _limit_now(session, licensor_id, licensee)
    if above_minor is not None and above_minor < 0:
        raise InvalidInput("bad_limit", "a limit is 0 or more", field="amount")
    if before == above_minor:
        return
    set_approval_limit(session, house.slug, licensee, above_minor)
    detail: dict[str, Any] = {"before_minor": before, "above_minor": above_minor}
    if account is not None:
        detail |= {"currency": account.currency, "decimals": exponent(account.currency)}
    subject = f"licensee {licensee}" if licensee else f"licensor {house.slug}"
    record(session, licensor_id, by, "approval_limit.changed", subject, detail)


def _limit_now(session: Session, licensor_id: int, licensee: str | None) -> tuple[Account | None, int | None]:
    account = None
    if licensee is not None:
        of_both = select(Account).join(Licensee, Licensee.id == Account.licensee_id)
        of_both = of_both.where(Account.licensor_id == licensor_id, Licensee.slug == licensee)
        account = session.scalars(of_both).one_or_none()
        if account is None:
            raise NotFound("unknown_licensee", f"you have no account with a licensee called {licensee}")
    asked = select(ApprovalLimit.second_person_above_minor).where(
        ApprovalLimit.licensor_id == licensor_id,
        ApprovalLimit.account_id.is_not_distinct_from(account.id if account else None),
    )
    return account, session.scalar(asked)


def _plain(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list | tuple) else str(value)
