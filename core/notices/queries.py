"""What callers ask of notices and deliveries. Through a licensee's eyes there are its own notices and no deliveries."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.notices.tables import Delivery, DeliveryAttempt, Notice, WebhookEndpoint
from core.registry.tables import Licensee


@dataclass(frozen=True, slots=True)
class EndpointShown:
    """A webhook endpoint without its secret. `kinds` empty means all; with a licensee it hears of that one alone."""

    id: int
    licensee: str | None
    url: str
    kinds: list[str]
    active: bool
    off_reason: str
    give_ups: int
    created_at: datetime


def endpoints_shown(session: Session, endpoint_id: int | None = None) -> list[EndpointShown]:
    """Endpoints, oldest first, or one of them. Of no column that these eyes may not see."""
    end = WebhookEndpoint
    asked = (
        select(
            *(end.id, Licensee.slug, end.url, end.kinds, end.active, end.off_reason, end.give_ups, end.created_at),
        )
        .outerjoin(Licensee, Licensee.id == end.licensee_id)
        .order_by(end.id)
    )
    if endpoint_id is not None:
        asked = asked.where(end.id == endpoint_id)
    return [EndpointShown(*row) for row in session.execute(asked)]


def notices(
    session: Session, *, kind: str | None = None, before: int | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """Notices, newest first, a page of at most `limit` that begins below the id `before`."""
    asked = select(Notice).order_by(Notice.id.desc()).limit(limit)
    if kind is not None:
        asked = asked.where(Notice.kind == kind)
    if before is not None:
        asked = asked.where(Notice.id < before)
    return [
        {"id": row.id, "told_at": _iso(row.told_at), "kind": row.kind, "message_id": row.message_id, "data": row.data}
        for row in session.scalars(asked)
    ]


def deliveries(
    session: Session,
    *,
    states: Collection[str] = (),
    endpoint_id: int | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Deliveries, newest first, a page of at most `limit` that begins below the id `before`."""
    asked = (
        select(Delivery, Notice.kind, Notice.message_id, WebhookEndpoint.url)
        .join(Notice, Notice.id == Delivery.notice_id)
        .outerjoin(WebhookEndpoint, WebhookEndpoint.id == Delivery.endpoint_id)
        .order_by(Delivery.id.desc())
        .limit(limit)
        .execution_options(populate_existing=True)
    )
    if states:
        asked = asked.where(Delivery.state.in_(states))
    if endpoint_id is not None:
        asked = asked.where(Delivery.endpoint_id == endpoint_id)
    if before is not None:
        asked = asked.where(Delivery.id < before)
    return [
        {
            "id": row.id,
            "kind": kind,
            "message_id": message_id,
            "channel": row.channel,
            "to": url or row.address,
            "state": row.state,
            "attempts": row.attempts,
            "next": _iso(row.next_attempt_at) if row.state == "waiting" else None,
            "status": row.last_status,
            "said": row.last_said,
        }
        for row, kind, message_id, url in session.execute(asked)
    ]


def deliveries_about(session: Session, kind: str, keys: Collection[str]) -> list[dict[str, Any]]:
    """How notices of one kind about these things were delivered, oldest first, with the key of each. One statement."""
    asked = (
        select(Notice.key, Delivery.id, Delivery.address, Delivery.state, Delivery.last_said, WebhookEndpoint.url)
        .join(Delivery, Delivery.notice_id == Notice.id)
        .outerjoin(WebhookEndpoint, WebhookEndpoint.id == Delivery.endpoint_id)
        .where(Notice.kind == kind, Notice.key.in_(keys))
        .order_by(Delivery.id)
    )
    return [
        {"key": key, "id": id_, "to": url or address, "state": state, "said": said}
        for key, id_, address, state, said, url in session.execute(asked)
    ]


def attempts(session: Session, delivery_id: int) -> list[dict[str, Any]]:
    """The log of one delivery, oldest first."""
    asked = select(DeliveryAttempt).where(DeliveryAttempt.delivery_id == delivery_id).order_by(DeliveryAttempt.number)
    return [
        {
            "attempt": row.number,
            "at": _iso(row.attempted_at),
            "result": row.result,
            "status": row.status,
            "took_ms": row.took_ms,
            "said": row.said,
        }
        for row in session.scalars(asked)
    ]


def _iso(when: Any) -> str:
    return str(when.isoformat(timespec="seconds"))
