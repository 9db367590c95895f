"""Webhooks of the gateway: each is taken once, in the transaction of its effect.

What an event says about its object is not believed, for events come late, twice and out of order. Its effect is the
wish to read the object again; who reads it is the worker. An event of an invoice that is not ours, or of a kind that
has nothing to do with invoices, is kept without an effect.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.errors import InvalidInput
from core.kill_points import kill_point
from core.payments.outbox import want_refresh
from core.payments.tables import GatewayEvent, GatewayInvoice

_EVENT_ID = re.compile(r"evt_[A-Za-z0-9_]{1,250}", re.ASCII)
_OBJECT_ID = re.compile(r"[a-z]{1,20}_[A-Za-z0-9_]{1,250}", re.ASCII)
_KIND = re.compile(r"[a-z0-9_.]{1,100}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Event:
    """What we take from an event: its identity, and which invoice it is about."""

    id: str
    kind: str
    invoice_gateway_id: str | None


def parse_event(body: bytes) -> Event:
    """The event in a body whose signature was verified. Raises `InvalidInput`."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidInput("invalid_json", "the body is not JSON: send the event as Stripe made it") from None
    if not isinstance(said, dict):
        raise InvalidInput("not_an_event", "the body is not an event of Stripe's")
    id_, kind = said.get("id"), said.get("type")
    if not isinstance(id_, str) or not isinstance(kind, str) or not _is(id_, _EVENT_ID) or not _is(kind, _KIND):
        raise InvalidInput("not_an_event", "an event of Stripe's has an id that begins with evt_, and a type")
    data = said.get("data")
    about = data.get("object") if isinstance(data, dict) else None
    return Event(id_, kind, _invoice_of(about) if isinstance(about, dict) else None)


def take(session: Session, event: Event) -> bool:
    """Takes an event with its effect. False for one that was taken before: nothing happens then."""
    known = insert(GatewayEvent).values(
        event_id=event.id, kind=event.kind, object_id=event.invoice_gateway_id, effect=_effect(session, event)
    )
    taken = session.execute(known.on_conflict_do_nothing().returning(GatewayEvent.event_id)).scalar_one_or_none()
    if taken is None:
        return False
    kill_point("after_event_before_effect")
    invoice_id = _ours(session, event)
    if invoice_id is not None:
        want_refresh(session, invoice_id)
    return True


def _effect(session: Session, event: Event) -> str:
    if event.invoice_gateway_id is None:
        return "none: not about an invoice"
    return "read again" if _ours(session, event) is not None else "none: not an invoice of ours"


def _ours(session: Session, event: Event) -> int | None:
    if event.invoice_gateway_id is None:
        return None
    return session.scalar(
        select(GatewayInvoice.invoice_id).where(GatewayInvoice.gateway_id == event.invoice_gateway_id)
    )


def _invoice_of(about: dict[str, Any]) -> str | None:
    """The invoice that an object is, or belongs to."""
    found = about.get("id") if about.get("object") == "invoice" else about.get("invoice")
    if isinstance(found, dict):
        found = found.get("id")
    return found if _is(found, _OBJECT_ID) else None


def _is(said: Any, pattern: re.Pattern[str]) -> bool:
    return isinstance(said, str) and pattern.fullmatch(said) is not None
