"""Sessions of the worker: one engine a process, made after the fork."""

from functools import cache

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from config.settings import settings
from core.database import make_engine, refuse_unsafe_server


@cache
def _engine() -> Engine:
    engine = make_engine(settings().database_url)
    refuse_unsafe_server(engine)
    return engine


def new_session() -> Session:
    """A session of this process; the task that opens it commits it."""
    return Session(_engine())
