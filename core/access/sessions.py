"""Browsers that are signed in: a 256-bit token in the cookie, its hash here, and an end that is seen at once.

A session is over when it was ended, when nobody used it for `idle`, or when it is older than `absolute`; and with the
person: whoever is deactivated is out at the next request. The database's clock decides.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from core.access.tables import FinanceUser, LicenseeUser, WebSession
from core.registry.tables import Licensee, Licensor

Person = FinanceUser | LicenseeUser
Why = Literal["signed out", "signed out everywhere", "password changed", "deactivated", "signed in anew"]
SEEN_EVERY = timedelta(minutes=1)  # so that looking at pages writes next to nothing
FORGOTTEN_AFTER = timedelta(days=30)
_FORGET_AT_ONCE = 100
_MAX_BROWSER = 80


class NewSession(NamedTuple):
    """What the door needs of a session that was just opened. The token is nowhere else."""

    id: int
    token: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Whoever a token is at this moment."""

    session_id: int
    csrf_secret: bytes
    person: Person
    party_slug: str
    party_name: str
    since: datetime

    @property
    def side(self) -> Literal["licensor", "licensee"]:
        return "licensor" if isinstance(self.person, FinanceUser) else "licensee"


def open_session(session: Session, person: Person, browser: str = "") -> NewSession:
    """Signs a person in with a token of its own, which no browser has had before. Forgets some of what is long over."""
    token = secrets.token_urlsafe(32)
    made = WebSession(token_hash=_hash(token), csrf_secret=secrets.token_bytes(32), browser=browser_in_short(browser))
    if isinstance(person, FinanceUser):
        made.finance_user_id = person.id
    else:
        made.licensee_user_id = person.id
    session.add(made)
    session.flush()
    _forget(session)
    return NewSession(made.id, token)


def signed_in(session: Session, token: str, *, idle: timedelta, absolute: timedelta) -> SignedIn | None:
    """Who this token is now, and notes that they were here; None when it is nobody's any more."""
    asked = (
        select(
            WebSession, FinanceUser, LicenseeUser,
            func.coalesce(Licensor.slug, Licensee.slug), func.coalesce(Licensor.name, Licensee.name),
            WebSession.seen_at < func.now() - SEEN_EVERY,
        )
        .outerjoin(FinanceUser, FinanceUser.id == WebSession.finance_user_id)
        .outerjoin(LicenseeUser, LicenseeUser.id == WebSession.licensee_user_id)
        .outerjoin(Licensor, Licensor.id == FinanceUser.licensor_id)
        .outerjoin(Licensee, Licensee.id == LicenseeUser.licensee_id)
        .where(
            WebSession.token_hash == _hash(token),
            WebSession.ended_at.is_(None),
            WebSession.seen_at > func.now() - idle,
            WebSession.created_at > func.now() - absolute,
            func.coalesce(FinanceUser.active, LicenseeUser.active),
        )
    )  # fmt: skip
    found = session.execute(asked).one_or_none()
    if found is None:
        return None
    row, finance, licensee, slug, name, long_ago = found
    if long_ago:
        session.execute(
            update(WebSession).where(WebSession.id == row.id, WebSession.ended_at.is_(None)).values(seen_at=func.now()),
            execution_options={"synchronize_session": False},
        )
    return SignedIn(row.id, row.csrf_secret, finance or licensee, slug, name, row.created_at)


def end_session(session: Session, session_id: int, why: Why, of: Person | None = None) -> bool:
    """Ends one session, if need be only one of this person's. False when there is none that goes on."""
    asked = update(WebSession).where(WebSession.id == session_id, WebSession.ended_at.is_(None))
    if of is not None:
        asked = asked.where(_whose(of))
    ended = session.execute(
        asked.values(ended_at=func.now(), ended_why=why).returning(WebSession.id),
        execution_options={"synchronize_session": False},
    )
    return ended.one_or_none() is not None


def end_all(session: Session, person: Person, why: Why, but: int | None = None) -> int:
    """Ends a person's sessions, all or all but one; says how many."""
    asked = update(WebSession).where(_whose(person), WebSession.ended_at.is_(None))
    if but is not None:
        asked = asked.where(WebSession.id != but)
    ended = session.execute(
        asked.values(ended_at=func.now(), ended_why=why).returning(WebSession.id),
        execution_options={"synchronize_session": False},
    )
    return len(ended.all())


def sessions_of(session: Session, person: Person, *, idle: timedelta, absolute: timedelta) -> list[WebSession]:
    """The sessions in which a person is signed in, the latest first."""
    asked = select(WebSession).where(
        _whose(person),
        WebSession.ended_at.is_(None),
        WebSession.seen_at > func.now() - idle,
        WebSession.created_at > func.now() - absolute,
    )
    return list(session.scalars(asked.order_by(WebSession.id.desc())))


def browser_in_short(text: str) -> str:
    """ "Chrome on Linux" of a User-Agent header: enough to know one's own again."""
    systems = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"),
               ("Mac OS X", "macOS"), ("Linux", "Linux"))  # fmt: skip
    browsers = (("Edg", "Edge"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"))
    browser = next((name for mark, name in browsers if mark in text), "")
    system = next((name for mark, name in systems if mark in text), "")
    if browser and system:
        return f"{browser} on {system}"
    plain = "".join(letter for letter in text if letter.isprintable() and not "\ud800" <= letter <= "\udfff")
    return plain[:_MAX_BROWSER] or "unknown browser"


def _whose(person: Person) -> ColumnElement[bool]:
    if isinstance(person, FinanceUser):
        return WebSession.finance_user_id == person.id
    return WebSession.licensee_user_id == person.id


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _forget(session: Session) -> None:
    """Some of the sessions that nobody will ask about any more."""
    old = (
        select(WebSession.id)
        .where(WebSession.created_at < func.now() - FORGOTTEN_AFTER)
        .limit(_FORGET_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    session.execute(delete(WebSession).where(WebSession.id.in_(old)), execution_options={"synchronize_session": False})
