"""The first password, by the link of an invitation."""

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.access.invitations import accept, invited
from service.dashboard.acting import act
from service.dashboard.browser import demand_private_line
from service.dashboard.door import page_router
from service.dashboard.form import Filled, Form
from service.dashboard.pages.sign_in import signed_in_as
from service.dashboard.rendering import page

router = page_router()


@router.get("/welcome/{token}")
def welcome(request: Request, token: str) -> Response:
    demand_private_line(request)
    return _form(request, token, None)


@router.post("/welcome/{token}")
def set_first_password(request: Request, token: str, form: Filled) -> Response:
    """Uses the link up, and signs the person in."""
    demand_private_line(request)
    with form:
        password = new_password(form)
        form.demand()
        user = act(request, lambda session: accept(session, token, password))
    if form.wrong:
        return _form(request, token, form)
    return signed_in_as(request, user)


def new_password(form: Form) -> str:
    """A password that was typed twice."""
    password = form.secret("password")
    if password != form.secret("again"):
        form.refuse("again", "this is not the same password")
    return password


def _form(request: Request, token: str, form: Form | None) -> Response:
    with Session(request.app.state.finance_engine) as session:
        user = invited(session, token)
        status = form.status if form else 200
        return page(request, "sign_in/welcome.html", status=status, title="Welcome", form=form, user=user, token=token)
