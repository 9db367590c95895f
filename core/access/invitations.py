"""Invitations: a link with which a person sets a password once, so that nobody else ever knows it."""

import hashlib
import secrets
from datetime import timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from core.access.people import Acting, actor_of, licensors_of, put_password
from core.access.sessions import Person
from core.access.tables import FinanceUser, Invitation, LicenseeUser
from core.actors import Actor
from core.audit.record import record
from core.errors import InvalidInput, NotAllowed, NotFound

GOOD_FOR = timedelta(days=7)


def invite(session: Session, person: Person, by: Acting) -> str:
    """The token of a link with which this person may set a password within a week. Earlier links of theirs are dead.

    For an admin of the person's licensor, or somebody who may manage a licensee's people; whose they are is for the
    caller to have looked up.
    """
    if isinstance(by, Actor):
        by.demand("admin", "invite somebody")
    else:
        by.demand_manager("invite somebody")
        if isinstance(person, FinanceUser):
            raise NotAllowed("role_too_low", "only a licensor's admin invites its people")
    if not person.active:
        raise InvalidInput("user_inactive", f"{person.email} is deactivated: add somebody new instead")
    _spend(session, person)
    token = secrets.token_urlsafe(32)
    made = Invitation(token_hash=_hash(token), invited_by=by.name)
    made.expires_at = session.execute(select(func.now() + GOOD_FOR)).scalar_one()
    if isinstance(person, FinanceUser):
        made.finance_user_id = person.id
    else:
        made.licensee_user_id = person.id
    session.add(made)
    session.flush()
    for licensor_id in licensors_of(session, person):
        record(session, licensor_id, by, "user.invited", f"user {person.email}")
    return token


def invited(session: Session, token: str, *, lock: bool = False) -> Person:
    """Whom a link invites; refused in the same words whatever is wrong with it."""
    asked = (
        select(Invitation, FinanceUser, LicenseeUser)
        .outerjoin(FinanceUser, FinanceUser.id == Invitation.finance_user_id)
        .outerjoin(LicenseeUser, LicenseeUser.id == Invitation.licensee_user_id)
        .where(
            Invitation.token_hash == _hash(token),
            Invitation.used_at.is_(None),
            Invitation.expires_at > func.now(),
            func.coalesce(FinanceUser.active, LicenseeUser.active),
        )
    )
    if lock:
        asked = asked.with_for_update(of=Invitation)
    found = session.execute(asked).one_or_none()
    if found is None:
        raise NotFound("unknown_invitation", "this link was used, replaced or is over a week old: ask for another one")
    _, finance, licensee = found
    person: Person = finance or licensee
    return person


def accept(session: Session, token: str, password: str) -> Person:
    """Sets the password of the person whom a link invites, and uses the link up."""
    person = invited(session, token, lock=True)
    put_password(session, person, password, actor_of(person))
    _spend(session, person)
    return person


def _spend(session: Session, person: Person) -> None:
    whose = Invitation.finance_user_id if isinstance(person, FinanceUser) else Invitation.licensee_user_id
    session.execute(
        update(Invitation).where(whose == person.id, Invitation.used_at.is_(None)).values(used_at=func.now()),
        execution_options={"synchronize_session": False},
    )


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
