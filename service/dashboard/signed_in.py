"""Who looks at a page: a person of a licensor's or of a licensee's, by the session in the cookie; and their eyes.

Page modules take one of the annotated names at the end. `Viewer`, `Clerk`, `Approver` and `Admin` are finance people
with at least that role; `PortalViewer` and `PortalManager` are people of a licensee. `FinanceEyes` and `PortalEyes` are
database sessions that see what is theirs and can change nothing. Whose it is always comes from the session.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from core.access.eyes import licensor_eyes
from core.access.people import actor_of
from core.access.sessions import SignedIn, signed_in
from core.actors import Actor, LicenseeActor, Role
from core.database import licensee_eyes
from core.errors import NotAllowed, NotFound, PerimageError
from service.dashboard.browser import UNSAFE, cookie, demand_csrf

COOKIE = "perimage"


class NotSignedIn(PerimageError):  # noqa: N818 - as in core/errors.py
    """Nobody is signed in with this browser, or not any more."""

    def __init__(self) -> None:
        super().__init__("unauthenticated", "sign in first")


@dataclass(frozen=True, slots=True)
class FinancePerson:
    """Somebody of a licensor's."""

    user_id: int
    email: str
    name: str
    role: Role
    licensor_id: int
    licensor: str  # the slug
    party: str  # what the licensor is called
    actor: Actor
    session_id: int
    csrf_secret: bytes
    side: Literal["finance"] = "finance"

    def may(self, least: Role) -> bool:
        """Whether to show what takes this role. The verb asks again."""
        return self.actor.may(least)


@dataclass(frozen=True, slots=True)
class LicenseePerson:
    """Somebody of a licensee's."""

    user_id: int
    email: str
    name: str
    role: Literal["viewer", "manager"]
    licensee_id: int
    licensee: str  # the slug
    party: str  # what the licensee is called
    actor: LicenseeActor
    session_id: int
    csrf_secret: bytes
    side: Literal["portal"] = "portal"

    def may(self, least: str) -> bool:
        return least == "viewer" or self.role == "manager"


Person = FinancePerson | LicenseePerson


def limits_of(request: Request) -> dict[str, timedelta]:
    """How long a session lasts: unused, and at the most."""
    settings = request.app.state.settings
    return {
        "idle": timedelta(minutes=settings.session_idle_minutes),
        "absolute": timedelta(hours=settings.session_hours),
    }


def somebody(request: Request) -> Person | None:
    """Whoever is signed in with this browser. An act must carry the session's CSRF token."""
    person = look_up(request)
    if person and request.method in UNSAFE:
        demand_csrf(person.csrf_secret, getattr(request.state, "csrf_sent", ""))
    return person


def look_up(request: Request) -> Person | None:
    """The same before the form was read. Asks the database once a request."""
    if not hasattr(request.state, "person"):
        request.state.person = None
        token = cookie(request, COOKIE)
        if token:
            with Session(request.app.state.finance_engine, expire_on_commit=False) as session:
                found = signed_in(session, token, **limits_of(request))
                session.commit()
            request.state.person = _as_person(found) if found else None
    person: Person | None = request.state.person
    return person


def anybody(request: Request) -> Person:
    """Somebody of either side."""
    person = somebody(request)
    if person is None:
        raise NotSignedIn
    return person


def _as_person(found: SignedIn) -> Person:
    user, actor = found.person, actor_of(found.person)
    named = (user.id, user.email, user.name)
    kept = (found.party_slug, found.party_name, actor, found.session_id, found.csrf_secret)
    if isinstance(actor, Actor):
        return FinancePerson(*named, actor.role, user.licensor_id, *kept)  # type: ignore[union-attr,arg-type]
    return LicenseePerson(*named, actor.role, user.licensee_id, *kept)  # type: ignore[union-attr,arg-type]


def _viewer(request: Request) -> FinancePerson:
    person = anybody(request)
    if not isinstance(person, FinancePerson):
        raise NotFound("unknown_page", "there is no such page in the portal")
    return person


def _at_least(least: Role) -> Callable[..., FinancePerson]:
    def check(person: Annotated[FinancePerson, Depends(_viewer)]) -> FinancePerson:
        person.actor.demand(least, "do this")
        return person

    return check


def _portal_viewer(request: Request) -> LicenseePerson:
    person = anybody(request)
    if not isinstance(person, LicenseePerson):
        raise NotFound("unknown_page", "the portal is for people of licensees")
    return person


def _portal_manager(person: Annotated[LicenseePerson, Depends(_portal_viewer)]) -> LicenseePerson:
    if not person.may("manager"):
        raise NotAllowed("role_too_low", "you may look here; to do this takes a manager", needed="manager")
    return person


def _finance_eyes(request: Request, person: Annotated[FinancePerson, Depends(_viewer)]) -> Iterator[Session]:
    with Session(request.app.state.finance_engine) as session, licensor_eyes(session, person.licensor_id) as seen:
        yield seen


def _portal_eyes(request: Request, person: Annotated[LicenseePerson, Depends(_portal_viewer)]) -> Iterator[Session]:
    with Session(request.app.state.finance_engine) as session, licensee_eyes(session, person.licensee_id) as seen:
        yield seen


_clerk, _approver, _admin = _at_least("clerk"), _at_least("approver"), _at_least("admin")
# Who gets through which dependency: side, and the role it takes. The tests' matrix reads it of every route.
LETS_IN: dict[Callable[..., object], tuple[str, str]] = {
    anybody: ("either", "viewer"),
    _viewer: ("finance", "viewer"),
    _clerk: ("finance", "clerk"),
    _approver: ("finance", "approver"),
    _admin: ("finance", "admin"),
    _portal_viewer: ("portal", "viewer"),
    _portal_manager: ("portal", "manager"),
}
Anybody = Annotated[Person, Depends(anybody)]
Viewer = Annotated[FinancePerson, Depends(_viewer)]
Clerk = Annotated[FinancePerson, Depends(_clerk)]
Approver = Annotated[FinancePerson, Depends(_approver)]
Admin = Annotated[FinancePerson, Depends(_admin)]
PortalViewer = Annotated[LicenseePerson, Depends(_portal_viewer)]
PortalManager = Annotated[LicenseePerson, Depends(_portal_manager)]
FinanceEyes = Annotated[Session, Depends(_finance_eyes)]
PortalEyes = Annotated[Session, Depends(_portal_eyes)]
