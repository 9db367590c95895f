"""People of the licensees with which there is an account: the first manager is invited here, who invites the others."""

from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.access.administered import (
    Somebody,
    add_person_of,
    end_access,
    give_role,
    licensee_people,
    licensee_person,
    licensees_to_invite,
    looked_after_here,
    make_link,
    sign_out,
)
from core.access.people import LICENSEE_ROLES
from core.access.sessions import sessions_of
from core.access.tables import LicenseeUser
from service.dashboard.acting import act
from service.dashboard.form import Filled, Form
from service.dashboard.listing import Column, Filter, Listing
from service.dashboard.pages.settings.people import STATES
from service.dashboard.pages.settings.router import invitation_link, known_id, router, settings_page
from service.dashboard.rendering import after
from service.dashboard.signed_in import Admin, FinancePerson, limits_of

BASE = "/settings/licensee-people"
ROLES = {
    "manager": "manager: certifies, disputes, has keys, invites the others",
    "viewer": "viewer: looks",
}
PEOPLE_LIST = Listing(
    columns=(
        Column("licensee", "Licensee", lambda row: row.licensee_name, sort=True,
               href=lambda row: f"/licensees/{row.licensee}/contact", note=lambda row: row.licensee),
        Column("name", "Name", lambda row: row.name, sort=True, href=lambda row: f"{BASE}/{row.id}",
               note=lambda row: row.email),
        Column("role", "Role", lambda row: row.role, sort=True),
        Column("state", "State", lambda row: row.state, kind="badge", sort=True),
        Column("seen", "Last seen", lambda row: row.seen_at, kind="moment", sort=True, wide_only=True),
    ),
    filters=(
        Filter("role", "Role", tuple((role, role) for role in LICENSEE_ROLES), keep=lambda row, role: row.role == role),
        Filter("state", "State", STATES, keep=lambda row, state: row.state == state),
    ),
    search_label="Search by licensee, name or address",
    sort="licensee",
    file="licensee-people",
    label="People of licensees",
)  # fmt: skip


@router.get("/licensee-people")
def people_of_licensees(request: Request, person: Admin) -> Response:
    return _shown(request, person)


@router.post("/licensee-people")
def add_person_of_licensee(request: Request, person: Admin, form: Filled) -> Response:
    """Adds somebody. The link with which they set their password is on the page that answers, and nowhere else."""

    def add(session: Session) -> str:
        licensee_id = next(id_ for slug, _, id_ in licensees if slug == licensee)
        said = {"email": email, "name": name, "role": role}
        return add_person_of(session, person.licensor_id, licensee_id, person.actor, **said)

    licensees = act(request, lambda session: licensees_to_invite(session, person.licensor_id))
    with form:
        licensee = form.choice("licensee", [slug for slug, _, _ in licensees])
        email, name = form.text("email", most=190), form.text("name", most=200)
        role = form.choice("role", LICENSEE_ROLES)
        form.demand()
        token = act(request, add)
    if form.wrong:
        return _shown(request, person, form)
    return _shown(request, person, invited=(email, invitation_link(request, token)))


@router.get("/licensee-people/{person_id}")
def one_person_of_licensee(request: Request, person: Admin, person_id: int) -> Response:
    return _one(request, person, person_id)


@router.post("/licensee-people/{person_id}/role")
def change_role_at_licensee(request: Request, person: Admin, person_id: int, form: Filled) -> Response:
    user = _theirs(request, person, person_id)
    with form:
        role = form.choice("role", LICENSEE_ROLES)
        form.demand()
        act(request, lambda session: give_role(session, person.licensor_id, user, person.actor, role))
    if form.wrong:
        return _one(request, person, person_id, form)
    return after(request, f"{BASE}/{person_id}", f"{user.name} is now {role}.")


@router.post("/licensee-people/{person_id}/invite")
def invite_person_of_licensee(request: Request, person: Admin, person_id: int, form: Filled) -> Response:
    """Another link. Earlier links are dead."""
    user = _theirs(request, person, person_id)
    link = ""
    with form:
        found = act(request, lambda session: make_link(session, person.licensor_id, user, person.actor))
        link = invitation_link(request, found)
    return _one(request, person, person_id, form if form.wrong else None, link)


@router.post("/licensee-people/{person_id}/sign-out")
def sign_person_of_licensee_out(request: Request, person: Admin, person_id: int) -> Response:
    user = _theirs(request, person, person_id)
    ended = act(request, lambda session: sign_out(session, person.licensor_id, user, person.actor))
    return after(request, f"{BASE}/{person_id}", f"{ended} sessions ended." if ended else "Nobody was in.")


@router.post("/licensee-people/{person_id}/deactivate")
def deactivate_person_of_licensee(request: Request, person: Admin, person_id: int, form: Filled) -> Response:
    """Out at once and for good. The licensee's keys go on: they are the licensee's."""
    user = _theirs(request, person, person_id)
    with form:
        act(request, lambda session: end_access(session, person.licensor_id, user, person.actor))
    if form.wrong:
        return _one(request, person, person_id, form)
    return after(request, BASE, f"{user.name} is out, with every session.")


def _of(session: Session, person: FinancePerson, person_id: int) -> LicenseeUser:
    return licensee_person(session, person.licensor_id, known_id(person_id))


def _theirs(request: Request, person: FinancePerson, person_id: int) -> LicenseeUser:
    return act(request, lambda session: _of(session, person, person_id))


def _shown(
    request: Request, person: FinancePerson, form: Form | None = None, invited: tuple[str, str] | None = None
) -> Response:
    def read(session: Session) -> tuple[list[Somebody], Any]:
        return licensee_people(session, person.licensor_id), licensees_to_invite(session, person.licensor_id)

    everybody, licensees = act(request, read)
    listed = PEOPLE_LIST.of(request, everybody)
    if listed.wants_csv:
        return listed.csv()
    return settings_page(
        request, "licensee_people.html", person, "Licensees' people", status=form.status if form else 200, form=form,
        invited=invited, listed=listed, roles=list(ROLES.items()),
        licensees=[("", "Choose"), *((slug, name) for slug, name, _ in licensees)],
        chosen=request.query_params.get("licensee", ""),
    )  # fmt: skip


def _one(request: Request, person: FinancePerson, person_id: int, form: Form | None = None, link: str = "") -> Response:
    def read(session: Session) -> tuple[Any, list[Somebody], bool]:
        user = _of(session, person, person_id)
        shown = licensee_people(session, person.licensor_id, person_id)
        manages = looked_after_here(session, person.licensor_id, user.licensee_id)
        return sessions_of(session, user, **limits_of(request)) if manages else [], shown, manages

    sessions, [somebody], manages = act(request, read)
    return settings_page(
        request, "person.html", person, "Licensees' people", status=form.status if form else 200, form=form, link=link,
        somebody=somebody, sessions=sessions, roles=list(ROLES.items()), title=somebody.name, own=False,
        manages=manages, base=f"{BASE}/{person_id}", back=("Licensees' people", BASE),
    )  # fmt: skip
