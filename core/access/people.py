"""People of licensees, and what holds for people of either side: one address is one person, and one way in.

A finance admin adds the first manager of a licensee with which the licensor has an account; managers add the rest.
Since licensors rely on who certified a statement, each act here is in the log of every licensor of the licensee.
"""

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.access.credentials import email_of
from core.access.passwords import fits, hash_of
from core.access.sessions import Person, end_all
from core.access.tables import FinanceUser, LicenseeUser, PersonAddress
from core.access.users import name_of
from core.actors import Actor, LicenseeActor, Role, role_of
from core.audit.record import record
from core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from core.registry.tables import Account

LICENSEE_ROLES = ("viewer", "manager")  # lowest first
Acting = Actor | LicenseeActor


def sign_in_person(session: Session, email: str, password: str) -> Person:
    """The active person of either side with this address and password; refused in the same words and time."""
    person = find_person(session, email)
    if not fits(password, person.password_hash if person else None) or person is None or not person.active:
        raise NotAllowed("wrong_credentials", "this address and password do not go together")
    return person


def find_person(session: Session, email: str) -> Person | None:
    """Whoever has this address, active or not."""
    said = email.strip().lower()
    if "\x00" in said or any("\ud800" <= letter <= "\udfff" for letter in said):
        return None
    return session.scalars(select(FinanceUser).filter_by(email=said)).one_or_none() or (
        session.scalars(select(LicenseeUser).filter_by(email=said)).one_or_none()
    )


def actor_of(person: Person) -> Acting:
    """The person as somebody who acts."""
    if isinstance(person, FinanceUser):
        return Actor(person.email, role_of(person.role))
    return LicenseeActor(person.email, "manager" if person.role == "manager" else "viewer")


def add_licensee_user(
    session: Session, licensee_id: int, by: Acting, *, email: str, name: str, role: str, licensor_id: int | None = None
) -> LicenseeUser:
    """Adds a person to a licensee's, without a password: `invite` makes the link by which they set one.

    `licensor_id`: whose admin does it; None for a manager of this licensee.
    """
    licensors = _demand(session, licensee_id, by, licensor_id, "add somebody")
    values = {"licensee_id": licensee_id, "email": email_of(email), "name": name_of(name), "role": _role(role)}
    taken = Conflict("user_exists", f"{values['email']} is taken: every person has one address of their own")
    if session.get(PersonAddress, values["email"]):
        raise taken
    made = session.scalar(insert(LicenseeUser).values(**values).on_conflict_do_nothing().returning(LicenseeUser.id))
    if made is None:
        raise taken
    detail = {"name": values["name"], "role": role}
    for each in licensors:
        record(session, each, by, "licensee_user.added", f"user {values['email']}", detail)
    return session.get_one(LicenseeUser, made)


def change_licensee_role(
    session: Session, licensee_id: int, email: str, by: Acting, *, role: str, licensor_id: int | None = None
) -> LicenseeUser:
    """Gives a person of this licensee another role, from the next request on."""
    licensors = _demand(session, licensee_id, by, licensor_id, "change a role")
    user = _locked(session, licensee_id, email)
    before, user.role = user.role, _role(role)
    if before != user.role:
        session.flush()
        for each in licensors:
            detail = {"before": before, "after": user.role}
            record(session, each, by, "licensee_user.role_changed", f"user {user.email}", detail)
    return user


def deactivate_licensee_user(
    session: Session, licensee_id: int, email: str, by: Acting, licensor_id: int | None = None
) -> LicenseeUser:
    """Ends a person of this licensee for good: no signing in, and whoever is signed in is out."""
    licensors = _demand(session, licensee_id, by, licensor_id, "deactivate somebody")
    user = _locked(session, licensee_id, email)
    if user.active:
        user.active = False
        session.flush()
        end_all(session, user, "deactivated")
        for each in licensors:
            record(session, each, by, "licensee_user.deactivated", f"user {user.email}")
    return user


def licensee_users_of(session: Session, licensee_id: int) -> list[LicenseeUser]:
    """A licensee's people, oldest first."""
    return list(session.scalars(select(LicenseeUser).filter_by(licensee_id=licensee_id).order_by(LicenseeUser.id)))


def change_own_password(session: Session, person: Person, old: str, new: str) -> None:
    """Sets a new password for somebody who knows the old one, and ends all of their sessions: open one anew."""
    if person.password_hash is not None and not fits(old, person.password_hash):
        raise InvalidInput("wrong_password", "this is not your password now")
    put_password(session, person, new, actor_of(person))


def put_password(session: Session, person: Person, password: str, by: Acting) -> None:
    """Stores a password, ends the person's sessions, and records it."""
    person.password_hash = hash_of(password)
    session.add(person)
    session.flush()
    end_all(session, person, "password changed")
    for licensor_id in licensors_of(session, person):
        kind = "user" if isinstance(person, FinanceUser) else "licensee_user"
        record(session, licensor_id, by, f"{kind}.password_set", f"user {person.email}")


def licensors_of(session: Session, person: Person) -> list[int]:
    """In whose logs it stands what a person does with their own access."""
    if isinstance(person, FinanceUser):
        return [person.licensor_id]
    return _licensors(session, person.licensee_id)


def _demand(session: Session, licensee_id: int, by: Acting, licensor_id: int | None, what: str) -> list[int]:
    """The licensors of a licensee, for somebody who may manage its people."""
    licensors = _licensors(session, licensee_id)
    if isinstance(by, LicenseeActor):
        by.demand_manager(what)
    else:
        least: Role = "admin"
        by.demand(least, what)
        if licensor_id not in licensors:
            raise NotFound("unknown_licensee", "there is no such licensee with which you have an account")
    return licensors


def _licensors(session: Session, licensee_id: int) -> list[int]:
    asked = select(Account.licensor_id).where(Account.licensee_id == licensee_id).order_by(Account.licensor_id)
    return list(session.scalars(asked))


def _locked(session: Session, licensee_id: int, email: str) -> LicenseeUser:
    asked = select(LicenseeUser).filter_by(licensee_id=licensee_id, email=email_of(email)).with_for_update()
    user = session.scalars(asked, execution_options={"populate_existing": True}).one_or_none()
    if user is None:
        raise NotFound("unknown_user", f"there is no user {email_of(email)} of this licensee")
    return user


def _role(text: str) -> str:
    if text not in LICENSEE_ROLES:
        raise InvalidInput("unknown_role", f"a role of a licensee's people is viewer or manager, not {text!r}")
    return text
