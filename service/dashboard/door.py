"""The door of the pages: where a request comes from, how large it is, and that whatever goes wrong is a page.

Every router of the dashboard is made by `page_router`, so no page can be without it.
"""

import logging
import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from core.errors import InvalidInput, NotFound
from service.dashboard.browser import UNSAFE, demand_own_origin, dress
from service.dashboard.failures import failed_page
from service.dashboard.signed_in import NotSignedIn, look_up

log = logging.getLogger("perimage.dashboard")
MAX_FORM_BYTES = 1024 * 1024
MAX_FIELDS = 2_000
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?", re.IGNORECASE | re.ASCII)


class PageRoute(APIRoute):
    """Guards a page, and dresses what comes out of it."""

    max_bytes = MAX_FORM_BYTES

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                if not _HOST.fullmatch(request.headers.get("host", "")):
                    raise InvalidInput("bad_host", "the request does not say which host it is for")
                if request.method in UNSAFE:
                    if self.max_bytes > MAX_FORM_BYTES and await run_in_threadpool(look_up, request) is None:
                        raise NotSignedIn  # nobody else sends us large files
                    await _read_form(request, self.max_bytes)
                response = await handle(request)
            except Exception as error:  # noqa: BLE001, RUF100 - whatever it is, people get a page
                response = await run_in_threadpool(failed_page, request, _plain(error))
            dress(request, response)
            return response

        return guarded


def page_router(prefix: str = "", *, max_bytes: int = MAX_FORM_BYTES) -> APIRouter:
    """A room of pages. They are no part of the API, so its document does not name them."""
    kind = type("PageRoute", (PageRoute,), {"max_bytes": max_bytes})
    return APIRouter(
        prefix=prefix, route_class=kind, include_in_schema=False, default_response_class=Response,
        generate_unique_id_function=lambda route: f"page_{route.name}",
    )  # fmt: skip


async def _read_form(request: Request, max_bytes: int) -> None:
    """Reads the form once, within its bounds, and keeps the CSRF token that came with it."""
    demand_own_origin(request)
    length = request.headers.get("content-length", "")
    if not length.isascii() or not length.isdigit():
        raise InvalidInput("body_too_large", "a form has to say how long it is")
    if int(length) > max_bytes:
        raise InvalidInput("body_too_large", f"at most {max_bytes:,} bytes can be sent here")
    try:
        form = await request.form(max_files=20, max_fields=MAX_FIELDS, max_part_size=max_bytes)
    except HTTPException as error:
        raise InvalidInput("bad_form", "the form could not be read: open the page again and send it anew") from error
    sent = request.headers.get("x-csrf-token") or form.get("csrf")
    request.state.csrf_sent = sent if isinstance(sent, str) else ""


def _plain(error: Exception) -> Exception:
    """What the framework says of an address or a form, in our words."""
    if isinstance(error, RequestValidationError):
        if any(each["loc"][0] == "path" for each in error.errors()):
            return NotFound("unknown_page", "there is nothing at this address")
        said = "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())
        return InvalidInput("invalid_request", said)
    if isinstance(error, HTTPException) and error.status_code == 404:
        return NotFound("unknown_page", "there is nothing at this address")
    return error
