"""A database session for the length of a command, which commits it itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@contextmanager
def open_session() -> Iterator["Session"]:
    """A session on the running stack or DATABASE_URL. What is not committed is undone."""
    from sqlalchemy.orm import Session

    from config.settings import settings
    from core.database import make_engine, refuse_unsafe_server
    from core.errors import Unavailable

    url = settings().database_url
    if not url:
        raise Unavailable("no_database", "no database: start `perimage up` or set DATABASE_URL")
    engine = make_engine(url, pool_size=1)
    refuse_unsafe_server(engine)
    try:
        with Session(engine) as session:
            yield session
    finally:
        engine.dispose()
