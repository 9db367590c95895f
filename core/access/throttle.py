"""How often somebody may try to sign in: counted for the address that is tried and for where the tries come from.

A try is written and committed before the password is looked at, so that a hundred at once are counted as a hundred.
"""

import hashlib
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from core.access.tables import SignInTry
from core.errors import Unavailable

WITHIN = timedelta(minutes=15)
OF_AN_ADDRESS, OF_A_CLIENT = 10, 50
_FORGET_AT_ONCE = 200


def note_try(session: Session, email: str, client: str) -> None:
    """Writes down that it is tried. Commit it, then ask `demand_patience`."""
    session.add_all([SignInTry(subject=_address(email)), SignInTry(subject=_client(client))])
    session.flush()
    old = (
        select(SignInTry.id)
        .where(SignInTry.tried_at < func.now() - WITHIN)
        .limit(_FORGET_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    session.execute(delete(SignInTry).where(SignInTry.id.in_(old)), execution_options={"synchronize_session": False})


def demand_patience(session: Session, email: str, client: str) -> None:
    """Raises `Unavailable`, which says how long to wait, after too many tries."""
    for subject, most in ((_address(email), OF_AN_ADDRESS), (_client(client), OF_A_CLIENT)):
        asked = (
            select(SignInTry.tried_at)
            .where(SignInTry.subject == subject, SignInTry.tried_at > func.now() - WITHIN)
            .order_by(SignInTry.tried_at.desc())
            .offset(most - 1)
            .limit(2)
        )
        tries: list[datetime] = list(session.scalars(asked))
        if len(tries) == 2:
            now = session.execute(select(func.now())).scalar_one()
            seconds = max(1, int((tries[0] + WITHIN - now).total_seconds()))
            minutes = -(-seconds // 60)
            said = "a minute" if minutes == 1 else f"{minutes} minutes"
            raise Unavailable(
                "rate_limited", f"too many tries to sign in: wait {said}, then try again", retry_after=seconds
            )


def forgive(session: Session, email: str) -> None:
    """Forgets the tries of an address, and of nothing else, once the password was right."""
    session.execute(
        delete(SignInTry).where(SignInTry.subject == _address(email)),
        execution_options={"synchronize_session": False},
    )


def _address(email: str) -> bytes:
    return hashlib.sha256(b"address " + email.strip().lower().encode("utf-8", "replace")).digest()


def _client(client: str) -> bytes:
    return hashlib.sha256(b"client " + client.encode("utf-8", "replace")).digest()
