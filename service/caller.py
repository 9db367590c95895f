"""Who calls: a bearer meter key, and the licensee it belongs to. The licensee never comes from anywhere else.

A key is looked up once and believed for two seconds, so a revocation is seen well within five. Wrong keys are
remembered as well, so that guessing costs the database nothing.
"""

import asyncio
import time
from datetime import UTC, date, datetime
from typing import Annotated, NamedTuple

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from core.errors import NotAllowed
from core.registry.keys import parse_key, same_secret
from core.registry.queries import meter_key
from core.registry.tables import Licensee

BELIEVED_SECONDS = 2.0
REMEMBERED = 10_000
UNAUTHENTICATED = "send a live meter key: Authorization: Bearer pmk_..."


class Caller(NamedTuple):
    """A licensee, by one of its keys."""

    licensee_id: int
    key_id: int
    backfill_from: date | None
    licensee: str  # its slug


class _Known(NamedTuple):
    """What the database said of a public id, and until when we believe it. No caller: there is no such live key."""

    until: float
    secret_hash: bytes = b""
    caller: Caller | None = None
    expires_at: datetime | None = None

    @property
    def is_over(self) -> bool:
        return self.expires_at is not None and self.expires_at <= datetime.now(UTC)


class Callers:
    """The callers of this process. `find` is for the event loop; the database is asked in a thread."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Task[_Known]] = {}

    async def find(self, credentials: str) -> Caller:
        """The caller with these credentials; raises NotAllowed, in the same words whatever is wrong with them."""
        parsed = parse_key(credentials)
        if parsed is None:
            raise NotAllowed("unauthenticated", UNAUTHENTICATED)
        public_id, secret = parsed
        known = await self._believed(public_id)
        if known.caller is None or not same_secret(secret, known.secret_hash) or known.is_over:
            raise NotAllowed("unauthenticated", UNAUTHENTICATED)
        return known.caller

    async def find_live(self, public_id: str) -> Caller:
        """The caller with this key, for somebody of the licensee's who is signed in and needs no secret to use it."""
        known = await self._believed(public_id)
        if known.caller is None or known.is_over:
            raise NotAllowed("key_ended", "this key was revoked or is expired: choose another one")
        return known.caller

    async def _believed(self, public_id: str) -> _Known:
        known = self._known.get(public_id)
        if known is None or known.until < time.monotonic():
            known = await self._ask(public_id)
        return known

    async def _ask(self, public_id: str) -> _Known:
        """Asks the database once, however many requests wait for the answer."""
        task = self._asking.get(public_id)
        if task is None:
            task = asyncio.create_task(asyncio.to_thread(self._look_up, public_id))
            self._asking[public_id] = task
            task.add_done_callback(lambda _: self._asking.pop(public_id, None))
        known = await asyncio.shield(task)
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[public_id] = known
        return known

    def _look_up(self, public_id: str) -> _Known:
        until = time.monotonic() + BELIEVED_SECONDS  # from before the look, so that belief never outlasts it
        with Session(self.engine) as session:
            key = meter_key(session, public_id)
            if key is None or key.revoked_at is not None:
                return _Known(until)
            licensee = session.get_one(Licensee, key.licensee_id)
            caller = Caller(key.licensee_id, key.id, key.backfill_from, licensee.slug)
            return _Known(until, key.secret_hash, caller, key.expires_at)


def credentials_of(scope_headers: list[tuple[bytes, bytes]]) -> str:
    """What a bare request carries as bearer credentials; empty when it carries none."""
    for name, value in scope_headers:
        if name == b"authorization":
            scheme, _, credentials = value.decode("latin-1").partition(" ")
            return credentials.strip() if scheme.lower() == "bearer" else ""
    return ""


_bearer = HTTPBearer(
    scheme_name="meterKey", bearerFormat="pmk_<id>_<secret>", description="A licensee's meter key.", auto_error=False
)


async def _caller(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    callers: Callers = request.app.state.callers
    caller = await callers.find(credentials.credentials if credentials else "")
    request.app.state.rate_limit.take(caller.key_id)
    return caller


RequestCaller = Annotated[Caller, Depends(_caller)]
