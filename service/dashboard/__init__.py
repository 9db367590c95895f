"""The licensor's dashboard and the licensee's portal: pages from templates, over the same core as the API.

Pages are found by being there: each module or folder in `pages/` and `portal/` has a `router`. See README.md.
"""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from types import ModuleType

from fastapi import APIRouter, FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from core.errors import NotFound
from service.dashboard import pages, portal, static
from service.dashboard.browser import dress
from service.dashboard.failures import failed_page
from service.dashboard.signed_in import look_up

_OF_MACHINES = ("/v1/", "/static/", "/.well-known/", "/openapi.json", "/healthz", "/readyz", "/metrics")


def routers() -> list[APIRouter]:
    """The routers of all pages."""
    return [module.router for folder in (pages, portal) for module in _modules(folder)]


def install(app: FastAPI) -> None:
    """Adds the pages to the application. Comes after `problems.install`: people get a page where machines get JSON."""
    for router in (static.router, *routers()):
        app.include_router(router)
    told = app.exception_handlers[HTTPException]
    app.add_exception_handler(HTTPException, _nothing_here(told))  # type: ignore[arg-type]


def _modules(folder: ModuleType) -> list[ModuleType]:
    names = sorted(found.name for found in pkgutil.iter_modules(folder.__path__) if not found.name.startswith("_"))
    return [importlib.import_module(f"{folder.__name__}.{name}") for name in names]


Handler = Callable[[Request, HTTPException], Awaitable[Response]]


def _nothing_here(told: Handler) -> Handler:
    """Nothing at an address that no machine asks for: a page that says so."""

    async def answer(request: Request, error: HTTPException) -> Response:
        wants_page = "text/html" in request.headers.get("accept", "") and request.method == "GET"
        if error.status_code != 404 or not wants_page or request.scope["path"].startswith(_OF_MACHINES):
            return await told(request, error)
        nothing = NotFound("unknown_page", "there is nothing at this address")
        response = await run_in_threadpool(_page_of_nothing, request, nothing)
        dress(request, response)
        return response

    return answer


def _page_of_nothing(request: Request, error: Exception) -> Response:
    try:
        look_up(request)
    except Exception:  # noqa: BLE001, RUF100 - without the database there still is nothing here
        request.state.person = None
    return failed_page(request, error)
