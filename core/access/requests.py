"""Same request, same answer: what was answered under an idempotency key, kept in the transaction of its effect.

Requests of one key take turns by an advisory lock, which writes nothing: the verb that follows may want to be the first
to write in its transaction (`core/usage/corrections/correct.py`). Should two slip past each other, the primary key
refuses the second, and its effect with it.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, select, text, tuple_
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from core.access.tables import IdempotentRequest
from core.errors import Conflict, Unavailable

KEPT = timedelta(days=7)
_FORGET_AT_ONCE = 100
_LOCK_NOT_AVAILABLE = "55P03"
_TAKE_TURN = text("SELECT pg_advisory_xact_lock(hashtextextended(:said, 20261122))")


@dataclass(frozen=True, slots=True)
class Named:
    """A request that named itself: whose it is, its key, and the fingerprint of all that it asks."""

    licensor_id: int
    actor: str
    key: str
    fingerprint: bytes

    @property
    def place(self) -> tuple[int, str, str]:
        return self.licensor_id, self.actor, self.key


def answered(session: Session, request: Named) -> tuple[int, str] | None:
    """Status and body that the request was answered with before; None when it is new, and it is now our turn.

    Raises `Conflict` for a key that was used for another request, `Unavailable` while the same one is being worked on.
    """
    session.execute(text("SET LOCAL lock_timeout = '10s'"))
    try:
        session.execute(_TAKE_TURN, {"said": "|".join(map(str, request.place))})
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        session.rollback()
        raise Unavailable(
            "request_in_progress", "the same request is still being worked on: repeat it", retry_after=1
        ) from None
    session.execute(text("SET LOCAL lock_timeout TO DEFAULT"))
    kept = session.get(IdempotentRequest, request.place)
    if kept is None:
        return None
    if kept.fingerprint != request.fingerprint:
        raise Conflict(
            "idempotency_key_reused",
            "this Idempotency-Key was used for another request: take a new one for everything new",
        )
    return kept.status, kept.body


def keep(session: Session, request: Named, status: int, body: str) -> None:
    """Writes down what is about to be answered, with its effect; and forgets some of what is older than a week."""
    session.add(
        IdempotentRequest(
            licensor_id=request.licensor_id,
            actor=request.actor,
            key=request.key,
            fingerprint=request.fingerprint,
            status=status,
            body=body,
        )
    )
    session.flush()
    place = (IdempotentRequest.licensor_id, IdempotentRequest.actor, IdempotentRequest.key)
    old = (
        select(*place)
        .where(IdempotentRequest.kept_at < func.now() - KEPT)
        .limit(_FORGET_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    session.execute(
        delete(IdempotentRequest).where(tuple_(*place).in_(old)), execution_options={"synchronize_session": False}
    )
