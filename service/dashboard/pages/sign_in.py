"""Signing in with a password, and out again."""

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from core.access.people import sign_in_person
from core.access.sessions import Person as User
from core.access.sessions import end_session, open_session
from core.access.tables import FinanceUser
from core.access.throttle import demand_patience, forgive, note_try
from core.errors import PerimageError
from service.dashboard.acting import act
from service.dashboard.browser import demand_private_line, drop_cookie, own_address, put_cookie
from service.dashboard.door import page_router
from service.dashboard.form import WHOLE_FORM, Filled, Form
from service.dashboard.rendering import page
from service.dashboard.signed_in import COOKIE, Anybody, look_up
from service.problems import said_of

router = page_router()


@router.get("/sign-in")
def sign_in(request: Request) -> Response:
    """The form; whoever is signed in goes on."""
    person = look_up(request)
    if person is not None:
        return RedirectResponse(home_of(person.side), 303)
    demand_private_line(request)
    return sign_in_form(request, None)


@router.post("/sign-in")
def sign_in_with_password(request: Request, form: Filled) -> Response:
    """A session for whoever knows the password. A try is counted before the password is looked at."""
    demand_private_line(request)
    email, password = form.said("email")[:400], form.said("password")[:1_000]
    client = request.client.host if request.client else ""
    try:
        act(request, lambda session: note_try(session, email, client))
        user = act(request, lambda session: _checked(session, email, password, client))
    except PerimageError as error:
        said = said_of(error)
        form.refuse(WHOLE_FORM, said.sentence)
        form.status = 422 if said.status == 403 else said.status
        return sign_in_form(request, form)
    return signed_in_as(request, user, form.said("next"))


@router.post("/sign-out")
def sign_out(request: Request, person: Anybody) -> Response:
    """Ends the session here and now."""
    act(request, lambda session: end_session(session, person.session_id, "signed out"))
    response = RedirectResponse("/sign-in?out=1", 303)
    drop_cookie(request, response, COOKIE)
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


def signed_in_as(request: Request, user: User, following: str = "") -> Response:
    """Opens a session under a token of its own, ends the one that this browser had, and leads on."""
    before = look_up(request)

    def open_anew(session: Session) -> str:
        if before is not None:
            end_session(session, before.session_id, "signed in anew")
        return open_session(session, user, request.headers.get("user-agent", "")).token

    token = act(request, open_anew)
    wanted = own_address(following)
    side = "finance" if isinstance(user, FinanceUser) else "portal"
    response = RedirectResponse(home_of(side) if wanted == "/" else wanted, 303)
    put_cookie(request, response, COOKIE, token)
    return response


def home_of(side: str) -> str:
    return "/" if side == "finance" else "/portal"


def _checked(session: Session, email: str, password: str, client: str) -> User:
    demand_patience(session, email, client)
    user = sign_in_person(session, email, password)
    forgive(session, email)
    return user


def sign_in_form(request: Request, form: Form | None) -> Response:
    """The form, with what was wrong the last time."""
    settings = request.app.state.settings
    following = form.said("next") if form else request.query_params.get("next", "")
    return page(
        request, "sign_in/sign_in.html", status=form.status if form else 200, title="Sign in", form=form,
        following=own_address(following), out="out" in request.query_params, by_oidc=bool(settings.oidc_issuer),
    )  # fmt: skip
