"""What people see when something is refused or fails: a sentence, what to do next, and a way back."""

from http import HTTPStatus

from fastapi import Request
from sqlalchemy.exc import DataError, IntegrityError
from starlette.responses import RedirectResponse, Response

from core.errors import Conflict, InvalidInput
from service.dashboard.browser import UNSAFE, own_address
from service.dashboard.rendering import page
from service.dashboard.signed_in import NotSignedIn, Person
from service.problems import said_of

_TITLES = {
    401: "Please sign in",
    403: "This is not for you",
    404: "There is nothing here",
    409: "That cannot be done now",
    413: "That is too large",
    422: "Something has to change first",
    429: "Not so fast",
    500: "Something failed on our side",
    503: "Not now",
}


def failed_page(request: Request, error: Exception) -> Response:
    """The page for a refusal or a failure; the way to sign in for somebody who has to."""
    if isinstance(error, NotSignedIn):
        return _to_sign_in(request)
    said = said_of(_told_by_the_database(error))
    # The person was looked up before, or the failure is that they could not be.
    person: Person | None = getattr(request.state, "person", None)
    values = {
        "title": _TITLES.get(said.status, HTTPStatus(said.status).phrase),
        "sentence": _as_sentence(said.sentence),
        "reference": said.members.get("id"),
        "back": _back(request),
        "status_code": said.status,
    }
    if "hx-request" in request.headers:
        return page(request, "refused_part.html", status=said.status, **values)
    template = "refused.html" if person else "refused_plain.html"
    response = page(request, template, status=said.status, **values)
    if "Retry-After" in said.headers:
        response.headers["Retry-After"] = said.headers["Retry-After"]
    return response


def _to_sign_in(request: Request) -> Response:
    query = request.scope["query_string"].decode("latin-1")
    asked = request.scope["path"] + (f"?{query}" if query else "")
    following = "" if request.method in UNSAFE or asked == "/" else f"?next={_quoted(own_address(asked))}"
    address = f"/sign-in{following}"
    if "hx-request" in request.headers:
        return Response(status_code=200, headers={"HX-Redirect": "/sign-in"})
    return RedirectResponse(address, 303)


def _quoted(text: str) -> str:
    from urllib.parse import quote  # noqa: PLC0415

    return quote(text, safe="/")


def _told_by_the_database(error: Exception) -> Exception:
    if isinstance(error, IntegrityError):
        return Conflict("contradicts_what_stands", "somebody changed this at the same moment: look, and try again")
    if isinstance(error, DataError):
        return InvalidInput(
            "invalid_request", "the form holds a value that cannot exist, such as text with a NUL in it"
        )
    return error


def _as_sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "!", "?")) else ".")


def _back(request: Request) -> str:
    """The page before, if it was one of ours; the front page otherwise."""
    before = request.headers.get("referer", "")
    ours = f"{request.scope['scheme']}://{request.headers.get('host', '')}/"
    here = request.scope["path"]
    if before.startswith(ours) and (request.method in UNSAFE or f"/{before.removeprefix(ours)}".split("?")[0] != here):
        return own_address("/" + before.removeprefix(ours))
    return "/"
