"""The licensor's own people: invited by a link, given roles, signed out, deactivated. For admins."""

from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.access.administered import Somebody, end_access, give_role, own_people, own_person, sign_out
from core.access.invitations import invite
from core.access.sessions import sessions_of
from core.access.tables import FinanceUser
from core.access.users import add_user
from core.actors import PEOPLE
from service.dashboard.acting import act
from service.dashboard.form import Filled, Form
from service.dashboard.listing import Column, Filter, Listing
from service.dashboard.pages.settings.router import invitation_link, known_id, router, settings_page
from service.dashboard.rendering import after
from service.dashboard.signed_in import Admin, FinancePerson, limits_of

ROLES = {
    "viewer": "viewer: looks",
    "clerk": "clerk: prepares and issues",
    "approver": "approver: decides what needs a second person",
    "admin": "admin: may do everything",
}
STATES = (("active", "Active"), ("invited", "Invited"), ("deactivated", "Deactivated"))
PEOPLE_LIST = Listing(
    columns=(
        Column("name", "Name", lambda row: row.name, sort=True, href=lambda row: f"/settings/people/{row.id}",
               note=lambda row: row.email),
        Column("role", "Role", lambda row: row.role, sort=True),
        Column("state", "State", lambda row: row.state, kind="badge", sort=True),
        Column("seen", "Last seen", lambda row: row.seen_at, kind="moment", sort=True, wide_only=True),
        Column("since", "Added", lambda row: row.created_at, kind="moment", sort=True, wide_only=True),
    ),
    filters=(
        Filter("role", "Role", tuple((role, role) for role in PEOPLE), keep=lambda row, role: row.role == role),
        Filter("state", "State", STATES, keep=lambda row, state: row.state == state),
    ),
    search_label="Search by name or address",
    sort="name",
    file="people",
    label="People",
)  # fmt: skip


@router.get("/people")
def people(request: Request, person: Admin) -> Response:
    return _shown(request, person)


@router.post("/people")
def add_person(request: Request, person: Admin, form: Filled) -> Response:
    """Adds somebody. The link with which they set their password is on the page that answers, and nowhere else."""

    def add(session: Session) -> str:
        user = add_user(session, person.licensor, person.actor, email=email, name=name, role=role)
        return invite(session, user, person.actor)

    with form:
        email, name = form.text("email", most=190), form.text("name", most=200)
        role = form.choice("role", PEOPLE)
        form.demand()
        token = act(request, add)
    if form.wrong:
        return _shown(request, person, form)
    return _shown(request, person, invited=(email, invitation_link(request, token)))


@router.get("/people/{user_id}")
def one_person(request: Request, person: Admin, user_id: int) -> Response:
    return _one(request, person, user_id)


@router.post("/people/{user_id}/role")
def change_role_of(request: Request, person: Admin, user_id: int, form: Filled) -> Response:
    """Another role, from the next request on; keys of theirs change with it."""
    user = _own(request, person, user_id)
    with form:
        role = form.choice("role", PEOPLE)
        form.demand()
        act(request, lambda session: give_role(session, person.licensor_id, user, person.actor, role))
    if form.wrong:
        return _one(request, person, user_id, form)
    return after(request, f"/settings/people/{user_id}", f"{user.name} is now {role}.")


@router.post("/people/{user_id}/invite")
def invite_person(request: Request, person: Admin, user_id: int, form: Filled) -> Response:
    """Another link, for who lost the first one or forgot their password. Earlier links are dead."""
    _own(request, person, user_id)
    link = ""
    with form:
        found = act(request, lambda session: invite(session, _of(session, person, user_id), person.actor))
        link = invitation_link(request, found)
    return _one(request, person, user_id, form if form.wrong else None, link)


@router.post("/people/{user_id}/sign-out")
def sign_person_out(request: Request, person: Admin, user_id: int) -> Response:
    """Ends every session of theirs."""
    ended = act(request, lambda session: _sign_out(session, person, user_id))
    return after(request, f"/settings/people/{user_id}", f"{ended} sessions ended." if ended else "Nobody was in.")


@router.post("/people/{user_id}/deactivate")
def deactivate_person(request: Request, person: Admin, user_id: int, form: Filled) -> Response:
    """Out at once and for good, with every session and key."""
    user = _own(request, person, user_id)
    with form:
        act(request, lambda session: end_access(session, person.licensor_id, user, person.actor))
    if form.wrong:
        return _one(request, person, user_id, form)
    return after(request, "/settings/people", f"{user.name} is out, with every session and key.")


def _of(session: Session, person: FinancePerson, user_id: int) -> FinanceUser:
    return own_person(session, person.licensor_id, known_id(user_id))


def _sign_out(session: Session, person: FinancePerson, user_id: int) -> int:
    return sign_out(session, person.licensor_id, _of(session, person, user_id), person.actor)


def _own(request: Request, person: FinancePerson, user_id: int) -> FinanceUser:
    return act(request, lambda session: _of(session, person, user_id))


def _shown(
    request: Request, person: FinancePerson, form: Form | None = None, invited: tuple[str, str] | None = None
) -> Response:
    listed = PEOPLE_LIST.of(request, act(request, lambda session: own_people(session, person.licensor_id)))
    if listed.wants_csv:
        return listed.csv()
    return settings_page(
        request, "people.html", person, "People", status=form.status if form else 200, form=form, invited=invited,
        listed=listed, roles=list(ROLES.items()),
    )  # fmt: skip


def _one(request: Request, person: FinancePerson, user_id: int, form: Form | None = None, link: str = "") -> Response:
    def read(session: Session) -> tuple[Any, list[Somebody]]:
        user = _of(session, person, user_id)
        return sessions_of(session, user, **limits_of(request)), own_people(session, person.licensor_id, user_id)

    sessions, [somebody] = act(request, read)
    return settings_page(
        request, "person.html", person, "People", status=form.status if form else 200, form=form, link=link,
        somebody=somebody, sessions=sessions, roles=list(ROLES.items()), title=somebody.name,
        own=somebody.email == person.email, manages=True, base=f"/settings/people/{user_id}",
        back=("People", "/settings/people"),
    )  # fmt: skip
