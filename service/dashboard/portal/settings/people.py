"""The licensee's people: invited by a link, given a role, deactivated. A manager does it, never to themselves."""

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.access.invitations import invite
from core.access.people import (
    LICENSEE_ROLES,
    add_licensee_user,
    change_licensee_role,
    deactivate_licensee_user,
)
from core.access.tables import LicenseeUser
from core.errors import Conflict, NotFound
from service.dashboard.acting import act
from service.dashboard.form import Filled, Form
from service.dashboard.listing import Column, Filter, Listing
from service.dashboard.portal.settings.router import own_address, router, settings_page
from service.dashboard.rendering import after
from service.dashboard.signed_in import LicenseePerson, PortalEyes, PortalManager, PortalViewer

_COLUMNS = (
    LicenseeUser.id, LicenseeUser.name, LicenseeUser.email, LicenseeUser.role, LicenseeUser.active,
    LicenseeUser.created_at,
)  # fmt: skip
ROLES = (("viewer", "Viewer: looks at everything"), ("manager", "Manager: certifies, reports, issues keys"))
PEOPLE = Listing(
    columns=(
        Column("name", "Name", lambda row: row.name, sort=(LicenseeUser.name, LicenseeUser.id),
               note=lambda row: row.email),
        Column("role", "Role", lambda row: row.role, sort=LicenseeUser.role),
        Column("active", "State", lambda row: "active" if row.active else "deactivated", kind="badge",
               sort=LicenseeUser.active),
        Column("added", "Added", lambda row: row.created_at, kind="moment", sort=LicenseeUser.created_at,
               wide_only=True),
        Column("act", "", lambda _row: "", kind="custom", export=False),
    ),
    search=(LicenseeUser.name, LicenseeUser.email),
    search_label="Search people",
    filters=(Filter("state", "State", (("active", "Active"), ("deactivated", "Deactivated")), default="active",
                    where=lambda word: LicenseeUser.active.is_(word == "active")),),
    sort="name", file="people", label="People", empty="Nobody yet",
)  # fmt: skip


@router.get("/people")
def portal_people(request: Request, person: PortalViewer, eyes: PortalEyes) -> Response:
    return _shown(request, person, eyes, None)


@router.post("/people")
def invite_colleague(request: Request, person: PortalManager, eyes: PortalEyes, form: Filled) -> Response:
    """Adds somebody, and shows the link by which they set a password, this once."""
    link = ""
    with form:
        email, name = form.text("email", most=190), form.text("name", most=200)
        role = form.choice("role", LICENSEE_ROLES, "viewer")
        form.demand()

        def verb(session: Session) -> str:
            made = add_licensee_user(session, person.licensee_id, person.actor, email=email, name=name, role=role)
            return invite(session, made, person.actor)

        link = f"{own_address(request)}/welcome/{act(request, verb)}"
    return _shown(request, person, eyes, form if form.wrong else None, link=link, who=form.said("email"))


@router.post("/people/{licensee_user_id}/invite")
def invite_again(request: Request, person: PortalManager, eyes: PortalEyes, licensee_user_id: int) -> Response:
    """Another link for somebody, such as one who forgot the password. Earlier links are dead."""
    found = _colleague(eyes, person, licensee_user_id)

    def verb(session: Session) -> str:
        return invite(session, session.get_one(LicenseeUser, found.id), person.actor)

    link = f"{own_address(request)}/welcome/{act(request, verb)}"
    return _shown(request, person, eyes, None, link=link, who=found.email)


@router.post("/people/{licensee_user_id}/role")
def change_colleague(
    request: Request, person: PortalManager, eyes: PortalEyes, licensee_user_id: int, form: Filled
) -> Response:
    found = _colleague(eyes, person, licensee_user_id)
    with form:
        _not_oneself(person, found.id)
        role = form.choice("role", LICENSEE_ROLES)
        form.demand()
        act(
            request,
            lambda session: change_licensee_role(session, person.licensee_id, found.email, person.actor, role=role),
        )
    if form.wrong:
        return _shown(request, person, eyes, form)
    return after(request, "/portal/settings/people", f"{found.name} is a {role} from the next click on.")


@router.post("/people/{licensee_user_id}/deactivate")
def deactivate_colleague(
    request: Request, person: PortalManager, eyes: PortalEyes, licensee_user_id: int, form: Filled
) -> Response:
    found = _colleague(eyes, person, licensee_user_id)
    with form:
        _not_oneself(person, found.id)
        act(
            request,
            lambda session: deactivate_licensee_user(session, person.licensee_id, found.email, person.actor),
        )
    if form.wrong:
        return _shown(request, person, eyes, form)
    return after(request, "/portal/settings/people", f"{found.name} is out, and signed out everywhere.")


def _not_oneself(person: LicenseePerson, user_id: int) -> None:
    """So that there is always a manager left."""
    if person.user_id == user_id:
        raise Conflict("yourself", "another manager has to do this: nobody changes or ends their own access")


def _colleague(eyes: Session, person: LicenseePerson, user_id: int) -> LicenseeUser:
    asked = select(*_COLUMNS).where(LicenseeUser.licensee_id == person.licensee_id, LicenseeUser.id == user_id)
    found = eyes.execute(asked).one_or_none() if 0 < user_id < 2**63 else None
    if found is None:
        raise NotFound("unknown_user", "there is no such person of yours")
    return found  # type: ignore[return-value]


def _shown(
    request: Request, person: LicenseePerson, eyes: Session, form: Form | None, *, link: str = "", who: str = ""
) -> Response:
    listed = PEOPLE.read(request, eyes, select(*_COLUMNS).where(LicenseeUser.licensee_id == person.licensee_id))
    if listed.wants_csv:
        return listed.csv()
    return settings_page(
        request, "people.html", "People", status=form.status if form else 200, form=form, listed=listed, link=link,
        who=who, roles=ROLES,
    )  # fmt: skip
