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
from service import compatible, dashboard, openapi, problems
from service.caller import Callers
from service.catalogue import Catalogue
from service.finance_caller import BURST, REQUESTS_A_SECOND
from service.imports.taking_in import Uploads
from service.intake_queue import IntakeQueue
from service.limits import RateLimit
from service.routes import (
    agreements,
    corrections,
    events,
    explain,
    finance,
    health,
    imports,
    invoices,
    notices,
    possible_duplicates,
    quotes,
    reporting,
    reports,
    signing_keys,
    statements,
    stripe_webhooks,
    usage,
)
from service.signing import Signing

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
        generate_unique_id_function=lambda route: route.name,  # operation ids that a generated client can show
    )
    app.state.settings = settings
    problems.install(app)
    app.router.routes.append(usage.REPORTS_ROUTE)
    app.router.routes.extend(compatible.ROUTES)
    reported = (usage, reports, events, imports, reporting, possible_duplicates, corrections)
    read = (agreements, invoices, explain, quotes, statements, notices, signing_keys)
    for room in (*reported, *read, finance, stripe_webhooks, health):
        app.include_router(room.router)
    dashboard.install(app)
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
    state.finance_engine = make_engine(state.settings.database_url)  # its own: no export keeps a report waiting
    refuse_unsafe_server(state.finance_engine)
    state.finance_rate_limit = RateLimit(REQUESTS_A_SECOND, BURST)
    state.signing = Signing(state.settings)
    state.catalogue = Catalogue(state.engine)
    state.intake_queue = IntakeQueue(state.settings.database_url)
    state.uploads = Uploads()
    await state.intake_queue.start()
    with contextlib.suppress(SQLAlchemyError):  # a database that is away is awaited
        await state.catalogue.look()
    freshness = asyncio.create_task(state.catalogue.keep_fresh())
    publishing = asyncio.create_task(state.signing.publish(state.engine))
    try:
        yield
    finally:
        freshness.cancel()
        publishing.cancel()
        state.uploads.stop()
        await state.intake_queue.stop()
        state.finance_engine.dispose()
        state.engine.dispose()
