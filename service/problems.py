"""Every refusal of this door, as RFC 9457 problem details.

A problem has a `code` for machines, which is also the end of its `type`, and a sentence in `detail` that says what to
change. Nothing else leaves this door with a status of 400 or more, but for the compatible doors, which say the same in
the form of their own protocols (`service/compatible/door.py`).
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import Response

from core.errors import Conflict, InvalidInput, NotAllowed, NotFound, PerimageError, Unavailable

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:perimage:problem:"
STATUSES: Mapping[type[PerimageError], int] = {
    InvalidInput: 422,
    NotFound: 404,
    NotAllowed: 403,
    Conflict: 409,
    Unavailable: 503,
}
LOST = (OperationalError, InterfaceError, PoolTimeout)  # ways in which the database is away
# Refusals that HTTP has a status of its own for.
STATUS_OF_CODE = {
    "invalid_json": 400,
    "incomplete_body": 400,
    "unauthenticated": 401,
    "body_too_large": 413,
    "unsupported_content_type": 415,
    "unsupported_content_encoding": 415,
    "rate_limited": 429,
}
SCHEMA = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri", "examples": [TYPE + "report_id_reused"]},
        "title": {"type": "string", "examples": ["Conflict"]},
        "status": {"type": "integer", "examples": [409]},
        "detail": {"type": "string", "description": "A sentence for people that says what to change."},
        "code": {"type": "string", "description": "Stable, for machines.", "examples": ["report_id_reused"]},
        "id": {"type": "string", "description": "Of an error of ours; the log has it too."},
    },
}
log = logging.getLogger("perimage.service")


def problem(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None, **members: Any) -> Response:
    """A response that says no."""
    body = {"type": TYPE + code, "title": HTTPStatus(status).phrase, "status": status, "detail": detail, "code": code}
    content = msgspec.json.encode({**members, **body}, enc_hook=str)
    return Response(content, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


class Said(NamedTuple):
    """What went wrong with a request, whatever form it is told in."""

    status: int
    code: str
    sentence: str
    headers: Mapping[str, str]
    members: Mapping[str, Any]


def said_of(error: Exception) -> Said:
    """What to say of an exception, with the status that HTTP has for it. A failure of ours is logged under its id."""
    if isinstance(error, LOST):
        reason = error.orig if isinstance(error, DBAPIError) else error
        log.warning("the database is out of reach: %s", str(reason).strip())
        sentence = "the database is out of reach; try again later"
        return Said(503, "database_unavailable", sentence, {"Retry-After": "1"}, {})
    if not isinstance(error, PerimageError):
        failure = str(uuid4())
        log.error("failure %s", failure, exc_info=error)
        sentence = f"something failed on our side; quote {failure} when you ask about it"
        return Said(500, "internal_error", sentence, {}, {"id": failure})
    kind = next((kind for kind in STATUSES if isinstance(error, kind)), InvalidInput)
    status = STATUS_OF_CODE.get(error.code, STATUSES[kind])
    members = dict(error.detail)
    headers = {}
    if "retry_after" in members:
        headers["Retry-After"] = str(members.pop("retry_after"))
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="perimage"'
    return Said(status, error.code, error.sentence, headers, members)


def refusal(error: Exception) -> Response:
    """An exception as a problem."""
    said = said_of(error)
    return problem(said.status, said.code, said.sentence, said.headers, **said.members)


def install(app: FastAPI) -> None:
    """Makes every way a request can fail end in a problem."""
    app.add_exception_handler(PerimageError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    for lost in LOST:
        app.add_exception_handler(lost, _refused)
    app.add_exception_handler(DataError, _senseless)
    app.add_exception_handler(Exception, _failed)


async def _refused(_request: Request, error: Exception) -> Response:
    return refusal(error)


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    errors = [{"at": ".".join(map(str, each["loc"])), "message": each["msg"]} for each in error.errors()]
    sentence = "; ".join(f"{each['at']}: {each['message']}" for each in errors)
    return problem(422, "invalid_request", sentence, errors=errors)


async def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_").replace("-", "_")
    sentence = {
        404: "there is nothing at this address; /openapi.json lists what there is",
        405: "this address does not take that method; the Allow header lists those it takes",
    }.get(error.status_code, str(error.detail))
    return problem(error.status_code, code, sentence, error.headers)


async def _senseless(_request: Request, error: Exception) -> Response:
    """A value that no column can hold, such as a NUL in a name, can come from the request only."""
    log.info("a value the database cannot hold: %s", error)
    return problem(422, "invalid_request", "the request names a value that cannot exist, such as text with a NUL in it")


async def _failed(_request: Request, error: Exception) -> Response:
    """Our fault. The sender gets an id to quote; the log has the same id and the traceback."""
    response = refusal(error)
    # The server drops the connection after such an error, so say so, or the next request on it would be lost.
    response.headers["Connection"] = "close"
    return response
