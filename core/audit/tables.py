"""Who did what, when and why: an append-only log for each licensor, chained by hashes, and the end of each chain."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.database import Base


class AuditEntry(Base):
    """One act. `hash` is over its content and `previous_hash`, so nothing before it can change unseen.

    That a hash is followed by one entry only, and that sequence numbers are taken once, is for the database to say.
    """

    __tablename__ = "audit_log"
    __table_args__ = (
        UniqueConstraint("licensor_id", "previous_hash"),
        UniqueConstraint("licensor_id", "sequence"),
        UniqueConstraint("licensor_id", "hash"),
        CheckConstraint("sequence > 0", name="sequence"),
        CheckConstraint("hash ~ '^[0-9a-f]{64}$' AND previous_hash ~ '^[0-9a-f]{64}$'", name="hashes"),
        CheckConstraint("actor <> '' AND action <> ''", name="said"),
        Index("ix_audit_log_subject", "licensor_id", "subject"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    licensor_id: Mapped[int] = mapped_column(ForeignKey("licensors.id"))
    sequence: Mapped[int]
    actor: Mapped[str]
    role: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    detail: Mapped[dict[str, Any]]
    recorded_at: Mapped[datetime]
    previous_hash: Mapped[str]
    hash: Mapped[str]


class AuditHead(Base):
    """The end of a licensor's chain: locked by whoever adds to it, and moved one entry at a time (trigger)."""

    __tablename__ = "audit_heads"
    licensor_id: Mapped[int] = mapped_column(ForeignKey("licensors.id"), primary_key=True)
    sequence: Mapped[int]
    hash: Mapped[str]
