"""Finance users: added, given roles, deactivated, signed in. Each act is in the audit log of their licensor."""

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.access.credentials import email_of
from core.access.passwords import fits, hash_of
from core.access.sessions import end_all
from core.access.tables import FinanceUser, PersonAddress
from core.actors import Actor, role_of
from core.audit.record import record
from core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from core.registry.register import ids
from core.registry.tables import Licensor

MAX_NAME = 200


def add_user(
    session: Session, licensor: str, by: Actor, *, email: str, name: str, role: str, password: str | None = None
) -> FinanceUser:
    """Adds a person to a licensor's finance people. Without a password there is no signing in, only keys."""
    by.demand("admin", "add a user")
    licensor_id = ids(session, Licensor, {licensor})[licensor]
    said = name_of(name)
    address = email_of(email)
    values = {
        "licensor_id": licensor_id,
        "email": address,
        "name": said,
        "role": role_of(role),
        "password_hash": None if password is None else hash_of(password),
    }
    if session.get(PersonAddress, address):
        raise _taken(address)
    made = session.scalar(insert(FinanceUser).values(**values).on_conflict_do_nothing().returning(FinanceUser.id))
    if made is None:
        raise _taken(address)
    record(session, licensor_id, by, "user.added", f"user {address}", {"name": said, "role": role})
    return session.get_one(FinanceUser, made)


def change_role(session: Session, email: str, by: Actor, role: str) -> FinanceUser:
    """Gives a user another role, which holds for the user's keys from the next request on."""
    by.demand("admin", "change a role")
    user = _locked(session, email)
    before, user.role = user.role, role_of(role)
    if before != user.role:
        session.flush()
        detail = {"before": before, "after": user.role}
        record(session, user.licensor_id, by, "user.role_changed", f"user {user.email}", detail)
    return user


def set_password(session: Session, email: str, by: Actor, password: str) -> FinanceUser:
    """Sets a password: one's own, or by an admin."""
    user = _locked(session, email)
    if by.name != user.email:
        by.demand("admin", "set somebody's password")
    user.password_hash = hash_of(password)
    session.flush()
    end_all(session, user, "password changed")
    record(session, user.licensor_id, by, "user.password_set", f"user {user.email}")
    return user


def deactivate(session: Session, email: str, by: Actor) -> FinanceUser:
    """Ends a user for good: out at once, no signing in, every key of the user's is dead. What the user did stays."""
    by.demand("admin", "deactivate a user")
    user = _locked(session, email)
    if user.active:
        user.active = False
        session.flush()
        end_all(session, user, "deactivated")
        record(session, user.licensor_id, by, "user.deactivated", f"user {user.email}")
    return user


def sign_in(session: Session, email: str, password: str) -> FinanceUser:
    """The active user with this address and password; refused in the same words, and time, whatever is wrong."""
    asked = select(FinanceUser).where(FinanceUser.email == email.strip().lower())
    user = None if "\x00" in email else session.scalars(asked).one_or_none()
    if not fits(password, user.password_hash if user else None) or user is None or not user.active:
        raise NotAllowed("wrong_credentials", "this address and password do not go together")
    return user


def users_of(session: Session, licensor_id: int) -> list[FinanceUser]:
    """A licensor's users, oldest first."""
    return list(session.scalars(select(FinanceUser).filter_by(licensor_id=licensor_id).order_by(FinanceUser.id)))


def user_named(session: Session, email: str) -> FinanceUser:
    """The user with this address. Raises `NotFound`."""
    return _found(session, email, lock=False)


def name_of(text: str) -> str:
    """What people call somebody."""
    said = text.strip()
    if not said or len(said) > MAX_NAME or not said.isprintable():
        raise InvalidInput("bad_name", f"a name is one line of 1 to {MAX_NAME} printable characters")
    return said


def _taken(email: str) -> Conflict:
    return Conflict("user_exists", f"{email} is taken: every person has one address of their own")


def _locked(session: Session, email: str) -> FinanceUser:
    return _found(session, email, lock=True)


def _found(session: Session, email: str, *, lock: bool) -> FinanceUser:
    asked = select(FinanceUser).where(FinanceUser.email == email_of(email))
    if lock:
        asked = asked.with_for_update().execution_options(populate_existing=True)
    user = session.scalars(asked).one_or_none()
    if user is None:
        raise NotFound("unknown_user", f"there is no user {email_of(email)}: see `perimage users list`")
    return user
