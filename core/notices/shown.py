"""Notices and deliveries as lists that people search, sort and page through: queries without order or limit.

Through a licensor's eyes they give that licensor's alone. What is counted for a row is worked out for the rows of the
page only.
"""

from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from core.errors import NotFound
from core.notices.tables import Delivery, Notice, WebhookEndpoint
from core.registry.tables import Licensee


def notices_asked() -> Select[Any]:
    """id, told_at, kind, data, licensee slug and name, and how many deliveries went, arrived and were given up."""

    def how_many(*states: str) -> Any:
        asked = select(func.count()).select_from(Delivery).where(Delivery.notice_id == Notice.id)
        return (asked.where(Delivery.state.in_(states)) if states else asked).correlate(Notice).scalar_subquery()

    return (
        select(
            *(Notice.id, Notice.told_at, Notice.kind, Notice.data, Notice.message_id),
            Licensee.slug.label("licensee"), Licensee.name.label("licensee_name"), how_many().label("sent"),
            how_many("delivered").label("arrived"), how_many("given_up").label("given_up"),
        )
        .outerjoin(Licensee, Licensee.id == Notice.licensee_id)
    )  # fmt: skip


def deliveries_asked() -> Select[Any]:
    """A delivery's columns by name, with the kind and moment of its notice and where it goes. No secret among them."""
    return (
        select(
            *(Delivery.id, Delivery.notice_id, Delivery.endpoint_id, Delivery.state, Delivery.attempts),
            *(Delivery.next_attempt_at, Delivery.last_status, Delivery.last_said, Delivery.finished_at),
            *(Notice.kind, Notice.told_at, Notice.message_id, Notice.data),
            func.coalesce(WebhookEndpoint.url, Delivery.address).label("to"),
            WebhookEndpoint.active.label("endpoint_active"),
        )
        .join(Notice, Notice.id == Delivery.notice_id)
        .outerjoin(WebhookEndpoint, WebhookEndpoint.id == Delivery.endpoint_id)
    )  # fmt: skip


def one_delivery(session: Session, delivery_id: int) -> Any:
    """One of these rows. Raises NotFound."""
    found = session.execute(deliveries_asked().where(Delivery.id == delivery_id)).one_or_none()
    if found is None:
        raise NotFound("delivery_not_found", f"there is no delivery {delivery_id}")
    return found


def one_notice(session: Session, notice_id: int) -> Any:
    """One notice as the list has it. Raises NotFound."""
    found = session.execute(notices_asked().where(Notice.id == notice_id)).one_or_none()
    if found is None:
        raise NotFound("notice_not_found", f"there is no notice {notice_id}")
    return found
