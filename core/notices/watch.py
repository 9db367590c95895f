"""The sweep over facts: finds what must be told and has no notice yet. No other slice knows that anybody watches.

Each kind is one small function that yields findings; what makes each of them told once is its key, not the sweep. So a
sweep may run twice, late, or beside another one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.notices import invoices, usage
from core.notices.kinds import Finding
from core.notices.tell import tell


@dataclass(frozen=True, slots=True)
class Watched:
    """What a sweep did: notices that are new, whether more wait, and agreements that could not be rated."""

    told: int
    more: bool = False
    unrated: list[str] = field(default_factory=list)


def watch(session: Session, *, mail: bool, now: datetime | None = None) -> Watched:
    """What may have changed since a moment ago: invoices issued and held, commitments and caps. Ask often.

    The caller commits, and asks again while there is more.
    """
    at = now or _now(session)
    told = _tell_all(session, invoices.issued(session, at), mail=mail)
    told += _tell_all(session, invoices.held(session, at), mail=mail)
    found, looked_at, unrated = usage.thresholds(session, at)
    told += tell(session, found, mail=mail)
    return Watched(told, more=looked_at == usage.LOOKS, unrated=unrated)


def watch_days(session: Session, *, mail: bool, now: datetime | None = None) -> Watched:
    """What changes with the day: invoices due soon and overdue, days without a report. Ask every hour."""
    at = now or _now(session)
    told = _tell_all(session, invoices.due_soon(session, at), mail=mail)
    told += _tell_all(session, invoices.overdue(session, at), mail=mail)
    told += _tell_all(session, usage.silent(session, at), mail=mail)
    return Watched(told)


def _tell_all(session: Session, pages: Iterator[list[Finding]], *, mail: bool) -> int:
    return sum(tell(session, page, mail=mail) for page in pages)


def _now(session: Session) -> datetime:
    now: datetime = session.execute(select(func.now())).scalar_one()
    return now
