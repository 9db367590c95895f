"""Two licensors and three licensees with everything they have, and somebody of each kind who is signed in.

`Dashboard.get` and `post` are a browser without a screen: the session's cookie, the Origin and the CSRF token are sent
as a browser would.
"""

import base64
import hmac
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from sqlalchemy import Engine, event, select
from sqlalchemy.orm import Session

from core.access.people import add_licensee_user, find_person
from core.access.sessions import open_session
from core.access.tables import WebSession
from core.actors import Actor
from core.registry.tables import Account, Licensee
from tests.door import Door
from tests.service.finance.house import House

ROOT = Actor("root", "admin")
PASSWORD = "correct horse battery"
FINANCE = {role: f"{role}@guild.example" for role in ("viewer", "clerk", "approver", "admin")}
RIVALS_ADMIN = "admin@rival.example"
PORTAL = {role: f"{role}@north.example" for role in ("viewer", "manager")}  # of `north`, whom both licensors have
STRANGER = "manager@rival-only.example"  # of a licensee of the rival's
NOBODY = ""


def add_people(session: Session) -> None:
    """The licensees' people; the licensors' are there already."""
    for slug in ("north", "guild-only", "rival-only"):
        licensee = session.scalars(select(Licensee).filter_by(slug=slug)).one()
        licensor = session.scalars(
            select(Account.licensor_id).filter_by(licensee_id=licensee.id).order_by(Account.id).limit(1)
        ).one()
        for role in ("viewer", "manager"):
            add_licensee_user(
                session, licensee.id, ROOT, email=f"{role}@{slug}.example", name=f"The {role} of {slug}", role=role,
                licensor_id=licensor,
            )  # fmt: skip


@dataclass
class Dashboard:
    """A running service, what both houses have, and browsers without a screen."""

    door: Door
    houses: dict[str, House]
    engine: Engine
    owner_url: str
    _sessions: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    def token(self, who: str) -> str:
        """The session token of somebody, by e-mail address, who is signed in past the form."""
        return self._signed_in(who)[0]

    def csrf(self, who: str) -> str:
        secret = self._signed_in(who)[1]
        return base64.urlsafe_b64encode(hmac.digest(secret, b"csrf", "sha256")).decode().rstrip("=")

    def _signed_in(self, who: str) -> tuple[str, bytes]:
        if who not in self._sessions:
            with Session(self.engine) as session:
                person = find_person(session, who)
                assert person is not None, who
                made = open_session(session, person, "Mozilla/5.0 (X11; Linux x86_64) Chrome/150")
                secret = session.get_one(WebSession, made.id).csrf_secret
                session.commit()
            self._sessions[who] = (made.token, secret)
        return self._sessions[who]

    def forget(self, who: str) -> None:
        self._sessions.pop(who, None)

    def get(
        self, path: str, who: str = FINANCE["admin"], headers: Mapping[str, str] | None = None, **params: Any
    ) -> httpx.Response:
        return self.door.client.get(path, params=params or None, headers={**self._cookies(who), **(headers or {})})

    def post(
        self, path: str, fields: Mapping[str, Any] | None = None, who: str = FINANCE["admin"], **more: Any
    ) -> httpx.Response:
        """A form of ours that somebody sends. `headers` in `more` go before those of a browser."""
        said = {"csrf": self.csrf(who), **(fields or {})} if who else dict(fields or {})
        headers = {"Origin": self.door.address, **self._cookies(who), **more.pop("headers", {})}
        return self.door.client.post(path, data=said, headers=headers, **more)

    def _cookies(self, who: str) -> dict[str, str]:
        self.door.client.cookies.clear()  # what an answer set is for the test to look at, not to be sent again
        return {"Cookie": f"perimage={self.token(who)}"} if who else {}


_BY_ITSELF = "SELECT clock_timestamp(),"  # the service looks every second whether the catalogue has changed


def queries_of(ask: Callable[[], Any]) -> int:
    """How many statements a request takes."""
    with counting_queries() as sent:
        ask()
    return len(sent)


@contextmanager
def counting_queries() -> Iterator[list[str]]:
    """The statements that this process sends to its databases meanwhile, the service's among them.

    with counting_queries() as sent:
        shared.get("/licensees")
    assert len(sent) < 10, "\n".join(sent)
    """
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.lstrip().startswith(_BY_ITSELF):
            sent.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", note)
