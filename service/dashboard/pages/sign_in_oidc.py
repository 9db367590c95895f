"""Signing in at the organisation's own provider (`oidc.py`)."""

import hmac

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from core.access.people import find_person
from core.errors import NotAllowed, NotFound, PerimageError
from service.dashboard.browser import cookie, demand_private_line, drop_cookie, own_address, put_cookie
from service.dashboard.door import page_router
from service.dashboard.form import WHOLE_FORM, Form
from service.dashboard.oidc import Going, Provider, new_going
from service.dashboard.pages.sign_in import sign_in_form, signed_in_as

router = page_router("/sign-in/oidc")
GOING = "perimage-oidc"
_GOING_SECONDS = 600


@router.get("")
def sign_in_by_oidc(request: Request) -> Response:
    """Sends somebody to the provider."""
    demand_private_line(request)
    _demand_provider(request)
    going = new_going(own_address(request.query_params.get("next")))
    try:
        address = Provider(request.app.state.settings).address(going, _back(request))
    except PerimageError as error:
        return _refused(request, error)
    response = RedirectResponse(address, 303)
    put_cookie(request, response, GOING, going.kept(), _GOING_SECONDS)
    return response


@router.get("/back")
def back_from_oidc(request: Request) -> Response:
    """Somebody comes back with a code. Only the browser that was sent may bring it."""
    demand_private_line(request)
    _demand_provider(request)
    asked = request.query_params
    try:
        going = Going.of(cookie(request, GOING))
        if going is None or not hmac.compare_digest(going.state.encode(), asked.get("state", "").encode()):
            raise NotAllowed("oidc_refused", "this sign-in was not begun in this browser, or too long ago: start again")
        if asked.get("error") or not asked.get("code"):
            raise NotAllowed("oidc_refused", "your organisation did not sign you in")
        provider = Provider(request.app.state.settings)
        if asked.get("iss", provider.server_metadata["issuer"]) != provider.server_metadata["issuer"]:
            raise NotAllowed("oidc_refused", "this answer comes from another sign-in service: start again")
        email = provider.email(going, asked["code"], _back(request))
        with Session(request.app.state.finance_engine) as session:
            user = find_person(session, email)
            if user is None or not user.active:
                raise NotAllowed("oidc_refused", "nobody has been added under your e-mail address here: ask an admin")
            session.expunge(user)
    except PerimageError as error:
        return _refused(request, error)
    response = signed_in_as(request, user, going.following)
    drop_cookie(request, response, GOING)
    return response


def _demand_provider(request: Request) -> None:
    if not request.app.state.settings.oidc_issuer:
        raise NotFound("unknown_page", "this installation has no sign-in by an organisation")


def _back(request: Request) -> str:
    """Where the provider sends people back to, which it has to know."""
    told: str = request.app.state.settings.service_url
    base = told.rstrip("/") or f"{request.url.scheme}://{request.headers.get('host', '')}"
    return f"{base}/sign-in/oidc/back"


def _refused(request: Request, error: PerimageError) -> Response:
    form = Form({"next": request.query_params.get("next", "")})
    form.refuse(WHOLE_FORM, error.sentence)
    form.status = 422 if isinstance(error, NotAllowed) else 503
    response = sign_in_form(request, form)
    drop_cookie(request, response, GOING)
    return response
