"""Acting from a page: one verb of the core, one transaction, one commit."""

import logging
from collections.abc import Callable
from typing import TypeVar

from fastapi import Request
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from core.errors import Conflict

T = TypeVar("T")
log = logging.getLogger("perimage.dashboard")
_AGAIN = {"40001", "40P01", "23505"}  # not serializable, a deadlock, a key that somebody took at the same moment
_TRIES = 3


def act(request: Request, verb: Callable[[Session], T], *, snapshot: bool = False) -> T:
    """Calls `verb` with a session that may write, and commits. `snapshot`: one state of the database throughout.

    What it returns stays readable. An act that met another one is tried three times, then refused as a conflict.
    """
    for left in reversed(range(_TRIES)):
        try:
            with Session(request.app.state.finance_engine, expire_on_commit=False) as session:
                if snapshot:
                    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
                done = verb(session)
                session.commit()
                return done
        except DBAPIError as error:
            if left and getattr(error.orig, "sqlstate", None) in _AGAIN:
                continue
            if isinstance(error, IntegrityError):
                log.info("refused by the database: %s", error.orig)
                raise Conflict(
                    "contradicts_what_stands", "somebody changed this at the same moment: look, and try again"
                ) from None
            raise
    raise AssertionError  # the last try returns or raises
