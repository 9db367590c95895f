"""What people must be told: notices, where they are delivered to, each delivery and each attempt at one."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, Integer, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from core.database import Base


class Notice(Base):
    """Something that people must be told, found once. Append-only; `key` says what it is about, with its period.

    `message_id` goes with every delivery of it and never changes, so that a receiver knows a repeat. `for_licensee`
    says whether the licensee may see it, too.
    """

    __tablename__ = "notices"
    __table_args__ = (
        UniqueConstraint("licensor_id", "kind", "key"),
        UniqueConstraint("message_id"),
        CheckConstraint("kind <> '' AND key <> '' AND message_id <> ''", name="said"),
        Index("ix_notices_licensee", "licensee_id", "id"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    licensor_id: Mapped[int] = mapped_column(ForeignKey("licensors.id"))
    licensee_id: Mapped[int | None] = mapped_column(ForeignKey("licensees.id"))
    kind: Mapped[str]
    key: Mapped[str]
    message_id: Mapped[str]
    for_licensee: Mapped[bool]
    data: Mapped[dict[str, Any]]
    told_at: Mapped[datetime] = mapped_column(server_default=func.now())


class WebhookEndpoint(Base):
    """An address that is told by webhook: the licensor's own, or one licensee's, who hears of nobody else.

    `kinds` empty means all of them. The secret signs each delivery and is therefore kept as it is; until `former_until`
    the one before it signs, too. `give_ups` counts deliveries given up since the last one that arrived.
    """

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        CheckConstraint("url <> '' AND secret LIKE 'whsec\\_%'", name="said"),
        CheckConstraint("give_ups >= 0", name="give_ups"),
        CheckConstraint("active OR off_reason <> ''", name="off_reason"),
        Index("ix_webhook_endpoints_licensor", "licensor_id"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    licensor_id: Mapped[int] = mapped_column(ForeignKey("licensors.id"))
    licensee_id: Mapped[int | None] = mapped_column(ForeignKey("licensees.id"))
    url: Mapped[str]
    secret: Mapped[str]
    former_secret: Mapped[str] = mapped_column(server_default="")
    former_until: Mapped[datetime | None]
    kinds: Mapped[list[str]] = mapped_column(server_default="{}")
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    off_reason: Mapped[str] = mapped_column(server_default="")
    give_ups: Mapped[int] = mapped_column(Integer, server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Delivery(Base):
    """One notice on its way to one endpoint or e-mail address: the row is the work.

    `attempts` counts for ever; those up to `attempts_before` were made before somebody asked for a replay.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'delivered', 'given_up')", name="state"),
        CheckConstraint("(endpoint_id IS NULL) = (address <> '')", name="target"),
        CheckConstraint("attempts >= attempts_before AND attempts_before >= 0", name="attempts"),
        Index(
            "uq_deliveries_endpoint",
            "notice_id",
            "endpoint_id",
            unique=True,
            postgresql_where=text("endpoint_id IS NOT NULL"),
        ),
        Index("uq_deliveries_address", "notice_id", "address", unique=True, postgresql_where=text("address <> ''")),
        Index("ix_deliveries_waiting", "next_attempt_at", postgresql_where=text("state = 'waiting'")),
        Index(
            "ix_deliveries_target",
            "endpoint_id",
            "address",
            "leased_until",
            postgresql_where=text("state = 'waiting'"),
        ),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    notice_id: Mapped[int] = mapped_column(ForeignKey("notices.id"))
    endpoint_id: Mapped[int | None] = mapped_column(ForeignKey("webhook_endpoints.id"))
    address: Mapped[str] = mapped_column(server_default="")
    language: Mapped[str] = mapped_column(server_default="en")
    locale: Mapped[str] = mapped_column(server_default="")
    state: Mapped[str] = mapped_column(server_default="waiting")
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    attempts_before: Mapped[int] = mapped_column(Integer, server_default="0")
    next_attempt_at: Mapped[datetime]
    leased_until: Mapped[datetime | None]
    last_status: Mapped[int | None] = mapped_column(Integer)
    last_said: Mapped[str] = mapped_column(server_default="")
    finished_at: Mapped[datetime | None]

    @property
    def channel(self) -> str:
        return "email" if self.address else "webhook"


class DeliveryAttempt(Base):
    """The delivery log: what came of one attempt. Append-only; one whose worker died has no row."""

    __tablename__ = "delivery_attempts"
    __table_args__ = (
        UniqueConstraint("delivery_id", "number"),
        CheckConstraint("result IN ('delivered', 'failed', 'refused', 'gone')", name="result"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    delivery_id: Mapped[int] = mapped_column(ForeignKey("deliveries.id"))
    number: Mapped[int] = mapped_column(Integer)
    result: Mapped[str]
    status: Mapped[int | None] = mapped_column(Integer)
    said: Mapped[str] = mapped_column(server_default="")
    took_ms: Mapped[int] = mapped_column(Integer)
    attempted_at: Mapped[datetime]


class NoticeLook(Base):
    """When an agreement's commitments and caps were last looked at, and up to when what had come in was counted."""

    __tablename__ = "notice_looks"
    agreement_id: Mapped[int] = mapped_column(ForeignKey("agreements.id"), primary_key=True)
    looked_at: Mapped[datetime]
    counted_until: Mapped[datetime]
