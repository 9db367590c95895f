"""The HTTP door: puts the rooms together.

uvicorn --factory service.app:create_app
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError

from config.settings import Settings
from config.settings import settings as our_settings
from core import kill_points
from core.database import make_engine, refuse_unsafe_server
from service import openapi, problems
from service.caller import Callers
from service.catalogue import Catalogue
from service.intake_queue import IntakeQueue
from service.limits import RateLimit
from service.routes import agreements, explain, health, invoices, quotes, usage

API_VERSION = "1.0"  # of the addresses and shapes, not of the package


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application. It opens nothing until it is started, and starts even where the database is still away."""
    settings = settings or our_settings()
    kill_points.arm(settings.kill_point)
    app = FastAPI(
        title="Perimage",
        version=API_VERSION,
        summary="Per-image licence fees: report usage, read counts and invoices.",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.settings = settings
    problems.install(app)
    app.router.routes.append(usage.REPORTS_ROUTE)
    for room in (usage, agreements, invoices, explain, quotes, health):
        app.include_router(room.router)
    app.openapi = lambda: openapi.describe(app)  # type: ignore[method-assign]
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Opens what the routes work with, and closes it again once every report that waits is written and answered."""
    state = app.state
    state.engine = make_engine(state.settings.database_url)
    refuse_unsafe_server(state.engine)
    state.callers = Callers(state.engine)
    state.rate_limit = RateLimit()
    state.catalogue = Catalogue(state.engine)
    state.intake_queue = IntakeQueue(state.settings.database_url)
    await state.intake_queue.start()
    with contextlib.suppress(SQLAlchemyError):  # a database that is away is awaited
        await state.catalogue.look()
    freshness = asyncio.create_task(state.catalogue.keep_fresh())
    try:
        yield
    finally:
        freshness.cancel()
        await state.intake_queue.stop()
        state.engine.dispose()
