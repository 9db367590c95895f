"""Whether this process lives, and whether it is of use."""

import asyncio
from typing import Any

import redis
from fastapi import APIRouter, Request
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import JSONResponse, Response

from migrations.upgrade import pending
from service.problems import problem

PATIENCE_SECONDS = 2
router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/readyz", summary="Can it do its work?", responses={503: {"description": "Something is missing."}})
async def readyz(request: Request) -> Response:
    """Asks the database, its schema, the intake writer and Redis; 503 with the names of those that are not ready."""
    state: Any = request.app.state
    checks = dict(
        zip(
            ("database", "redis"),
            await asyncio.gather(
                asyncio.to_thread(database_check, state.engine),
                asyncio.to_thread(redis_check, state.settings.redis_url),
            ),
            strict=True,
        )
    )
    checks["intake"] = "ok" if state.intake_queue.ready else "the writer has no connection"
    lacking = [f"{name}: {said}" for name, said in checks.items() if said != "ok"]
    if lacking:
        return problem(503, "not_ready", "; ".join(lacking), {"Retry-After": "1"}, checks=checks)
    return JSONResponse({"status": "ready", "checks": checks})


def database_check(engine: Engine) -> str:
    """`ok`, or what is wrong."""
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        return "the schema is not up to date: run perimage migrate" if pending(engine) else "ok"
    except (SQLAlchemyError, RuntimeError) as error:
        return str(error).splitlines()[0]


def redis_check(url: str) -> str:
    """`ok`, or what is wrong."""
    if not url:
        return "REDIS_URL is not set"
    try:
        with redis.Redis.from_url(
            url, socket_timeout=PATIENCE_SECONDS, socket_connect_timeout=PATIENCE_SECONDS
        ) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        return str(error).splitlines()[0]
    return "ok"
