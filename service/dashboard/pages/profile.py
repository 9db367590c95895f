"""One's own things, for people of either side: password, sessions, language and theme."""

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from core.access.people import change_own_password, find_person
from core.access.sessions import Person as User
from core.access.sessions import end_all, end_session, open_session, sessions_of
from core.errors import NotFound
from service.dashboard.acting import act
from service.dashboard.browser import drop_cookie, over_tls, put_cookie
from service.dashboard.door import page_router
from service.dashboard.form import Filled, Form
from service.dashboard.pages.welcome import new_password
from service.dashboard.rendering import THEMES, after, page
from service.dashboard.signed_in import COOKIE, Anybody, Person, limits_of
from service.dashboard.written import LANGUAGES

router = page_router("/profile")
_YEAR = 365 * 24 * 3600


@router.get("")
def profile(request: Request, person: Anybody) -> Response:
    return _shown(request, person, None)


@router.post("/password")
def change_password(request: Request, person: Anybody, form: Filled) -> Response:
    """Ends every session of the person's, and goes on in a new one."""

    def change(session: Session) -> str:
        user = _user(session, person)
        change_own_password(session, user, old, new)
        return open_session(session, user, request.headers.get("user-agent", "")).token

    with form:
        old, new = form.said("old")[:1_000], new_password(form)
        form.demand()
        token = act(request, change)
    if form.wrong:
        return _shown(request, person, form)
    response = RedirectResponse("/profile", 303)
    put_cookie(request, response, COOKIE, token)
    return response


@router.post("/sign-out-everywhere")
def sign_out_everywhere(request: Request, person: Anybody) -> Response:
    act(request, lambda session: end_all(session, _user(session, person), "signed out everywhere"))
    response = RedirectResponse("/sign-in?out=1", 303)
    drop_cookie(request, response, COOKIE)
    return response


@router.post("/sessions/{session_id}/end")
def end_one(request: Request, person: Anybody, session_id: int) -> Response:
    """Ends one of one's own sessions."""

    def end(session: Session) -> bool:
        return end_session(session, session_id, "signed out", of=_user(session, person))

    if not act(request, end):
        raise NotFound("unknown_session", "you have no such session, or it is over")
    return after(request, "/profile", "That session is over.")


@router.post("/look")
def change_look(request: Request, _person: Anybody, form: Filled) -> Response:
    """Theme and language, kept in this browser."""
    with form:
        theme = form.choice("theme", ("auto", *THEMES))
        language = form.choice("language", ("browser", *LANGUAGES))
        form.demand()
    if form.wrong:
        return _shown(request, _person, form)
    response = after(request, "/profile", "Kept in this browser.")
    for name, value in (("theme", theme), ("language", language)):
        response.set_cookie(
            f"perimage-{name}", value, max_age=_YEAR, path="/", secure=over_tls(request), samesite="lax"
        )
    return response


def _shown(request: Request, person: Person, form: Form | None) -> Response:
    with Session(request.app.state.finance_engine) as session:
        user = _user(session, person)
        return page(
            request, "profile/profile.html", status=form.status if form else 200, title="Your profile", form=form,
            sessions=sessions_of(session, user, **limits_of(request)), has_password=user.password_hash is not None,
            languages=[("browser", "As the browser says"), *LANGUAGES.items()],
            chosen_language=request.cookies.get("perimage-language", "browser"),
        )  # fmt: skip


def _user(session: Session, person: Person) -> User:
    user = find_person(session, person.email)
    if user is None:
        raise NotFound("unknown_user", "there is no such user any more")
    return user
