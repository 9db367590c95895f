"""People on the word of a licensor's admin: its own, and those of licensees with which it has an account.

Verbs of `users.py` and `people.py` take an address and trust their caller; here somebody is found by id, and only where
the admin may reach them. The last admin stays, and nobody ends their own access: there must be a way back in.

A licensee that deals with other licensors as well looks after its own people once one of them came in: whoever could
let somebody in there would see what is the others'.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from core.access.invitations import invite
from core.access.people import add_licensee_user, change_licensee_role, deactivate_licensee_user, licensors_of
from core.access.sessions import Person, end_all
from core.access.tables import FinanceUser, Invitation, LicenseeUser, WebSession
from core.access.users import change_role, deactivate
from core.actors import Actor
from core.audit.record import lock_log, lock_logs, record
from core.errors import Conflict, NotFound
from core.registry.tables import Account, Licensee


@dataclass(frozen=True, slots=True)
class Somebody:
    """A person as they are shown. `seen_at` of the sessions that are still remembered; `invited_until` of a link that
    still waits to be used. `licensee` and `licensee_name` are empty for the licensor's own.
    """

    id: int
    email: str
    name: str
    role: str
    active: bool
    has_password: bool
    created_at: datetime
    licensee: str
    licensee_name: str
    seen_at: datetime | None
    invited_until: datetime | None

    @property
    def state(self) -> str:
        """`active`, `invited` (has a link and no password yet), `no password` (comes in otherwise), `deactivated`."""
        if not self.active:
            return "deactivated"
        if self.has_password:
            return "active"
        return "invited" if self.invited_until else "no password"


def own_people(session: Session, licensor_id: int, user_id: int | None = None) -> list[Somebody]:
    """A licensor's people, oldest first, or one of them. One statement."""
    asked = _shown(FinanceUser, WebSession.finance_user_id, Invitation.finance_user_id, "", "")
    asked = asked.where(FinanceUser.licensor_id == licensor_id).order_by(FinanceUser.id)
    if user_id is not None:
        asked = asked.where(FinanceUser.id == user_id)
    return [Somebody(*row) for row in session.execute(asked)]


def licensee_people(session: Session, licensor_id: int, user_id: int | None = None) -> list[Somebody]:
    """The people of every licensee with which a licensor has an account, by licensee, or one. One statement."""
    asked = (
        _shown(LicenseeUser, WebSession.licensee_user_id, Invitation.licensee_user_id, Licensee.slug, Licensee.name)
        .join(Licensee, Licensee.id == LicenseeUser.licensee_id)
        .join(Account, Account.licensee_id == Licensee.id)
        .where(Account.licensor_id == licensor_id)
    )
    if user_id is not None:
        asked = asked.where(LicenseeUser.id == user_id)
    return [Somebody(*row) for row in session.execute(asked.order_by(Licensee.name, Licensee.slug, LicenseeUser.id))]


def own_person(session: Session, licensor_id: int, user_id: int) -> FinanceUser:
    """One of a licensor's people. Raises NotFound."""
    asked = select(FinanceUser).where(FinanceUser.id == user_id, FinanceUser.licensor_id == licensor_id)
    found = session.scalars(asked).one_or_none()
    if found is None:
        raise NotFound("unknown_user", "there is no such person among yours")
    return found


def licensee_person(session: Session, licensor_id: int, user_id: int) -> LicenseeUser:
    """Somebody of a licensee with which the licensor has an account. Raises NotFound."""
    asked = (
        select(LicenseeUser)
        .join(Account, Account.licensee_id == LicenseeUser.licensee_id)
        .where(LicenseeUser.id == user_id, Account.licensor_id == licensor_id)
    )
    found = session.scalars(asked).one_or_none()
    if found is None:
        raise NotFound("unknown_user", "there is no such person of a licensee of yours")
    return found


def licensees_to_invite(session: Session, licensor_id: int) -> Sequence[tuple[str, str, int]]:
    """(slug, name, id) of every licensee with which there is an account, by name."""
    asked = select(Licensee.slug, Licensee.name, Licensee.id).join(Account, Account.licensee_id == Licensee.id)
    rows = session.execute(asked.where(Account.licensor_id == licensor_id).order_by(Licensee.name, Licensee.slug))
    return [(slug, name, id_) for slug, name, id_ in rows]


def looked_after_here(session: Session, licensor_id: int, licensee_id: int) -> bool:
    """Whether a licensor's admin may manage this licensee's people: it has no other licensor, or nobody came in yet."""
    others = select(Account.id).where(Account.licensee_id == licensee_id, Account.licensor_id != licensor_id)
    came_in = select(LicenseeUser.id).where(
        LicenseeUser.licensee_id == licensee_id, LicenseeUser.active, LicenseeUser.password_hash.is_not(None)
    )
    return not session.execute(select(others.exists() & came_in.exists())).scalar_one()


def add_person_of(
    session: Session, licensor_id: int, licensee_id: int, by: Actor, *, email: str, name: str, role: str
) -> str:
    """Adds somebody of a licensee's; the token of the link with which they set a password."""
    _demand_looked_after(session, licensor_id, licensee_id)
    said = {"email": email, "name": name, "role": role}
    return invite(session, add_licensee_user(session, licensee_id, by, **said, licensor_id=licensor_id), by)


def make_link(session: Session, licensor_id: int, user: Person, by: Actor) -> str:
    """The token of another link with which somebody sets a password; earlier ones are dead."""
    if isinstance(user, LicenseeUser):
        _demand_looked_after(session, licensor_id, user.licensee_id)
    return invite(session, user, by)


def give_role(session: Session, licensor_id: int, user: Person, by: Actor, role: str) -> None:
    """Another role, from the next request on. The last admin who may come in keeps theirs."""
    if isinstance(user, FinanceUser):
        by.demand("admin", "change a role")
        if role != "admin":
            _demand_another_admin(session, user)
        change_role(session, user.email, by, role)
    else:
        _demand_looked_after(session, licensor_id, user.licensee_id)
        change_licensee_role(session, user.licensee_id, user.email, by, role=role, licensor_id=licensor_id)


def end_access(session: Session, licensor_id: int, user: Person, by: Actor) -> None:
    """Deactivates for good, sessions and keys included."""
    by.demand("admin", "deactivate somebody")
    if user.email == by.name:
        raise Conflict("own_access", "nobody ends their own access: ask another admin to do it")
    if isinstance(user, FinanceUser):
        _demand_another_admin(session, user)
        deactivate(session, user.email, by)
    else:
        _demand_looked_after(session, licensor_id, user.licensee_id)
        deactivate_licensee_user(session, user.licensee_id, user.email, by, licensor_id)


def sign_out(session: Session, licensor_id: int, user: Person, by: Actor) -> int:
    """Ends every session of somebody's, who may sign in again at once; says how many."""
    by.demand("admin", "sign somebody out")
    if isinstance(user, LicenseeUser):
        _demand_looked_after(session, licensor_id, user.licensee_id)
    logs = licensors_of(session, user)
    lock_logs(session, logs)
    ended = end_all(session, user, "signed out everywhere")
    kind = "user" if isinstance(user, FinanceUser) else "licensee_user"
    for each in sorted(logs) if ended else ():
        record(session, each, by, f"{kind}.signed_out", f"user {user.email}", {"sessions": ended})
    return ended


def _demand_looked_after(session: Session, licensor_id: int, licensee_id: int) -> None:
    if not looked_after_here(session, licensor_id, licensee_id):
        raise Conflict("own_people", "this licensee has managers who look after its people: ask one of them")


def _demand_another_admin(session: Session, user: FinanceUser) -> None:
    """Raises Conflict where this is the last admin. Takes the log's turn first, so that two cannot go at once."""
    lock_log(session, user.licensor_id)
    admins = select(FinanceUser.id).where(
        FinanceUser.licensor_id == user.licensor_id, FinanceUser.role == "admin", FinanceUser.active
    )
    if set(session.scalars(admins)) == {user.id}:
        raise Conflict("last_admin", f"{user.email} is the last admin: make somebody else one first")


def _shown(of: Any, seen_by: Any, invites: Any, *party: Any) -> Select[Any]:
    """The columns of `Somebody`, of a table of people."""
    seen = select(func.max(WebSession.seen_at)).where(seen_by == of.id).correlate(of).scalar_subquery()
    waiting = (invites == of.id, Invitation.used_at.is_(None), Invitation.expires_at > func.now())
    link = select(func.max(Invitation.expires_at)).where(*waiting).correlate(of).scalar_subquery()
    named = (of.id, of.email, of.name, of.role, of.active, of.password_hash.is_not(None), of.created_at)
    return select(*named, *(func.coalesce(each, "") for each in party), seen, link)
