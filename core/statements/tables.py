"""What both sides attest: statements as they were signed, and what was said of them. All of it is append-only."""

from datetime import date, datetime

from sqlalchemy import (
    CheckConstraint,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from core.database import Base

_STATEMENT = ["statements.licensee_id", "statements.licensor_id", "statements.number"]
_OF = ["licensee_id", "licensor_id", "number"]


class Statement(Base):
    """One statement of an account, the bytes that were signed, and its link to the one before.

    Statements of an account are numbered from 1 on. A period whose counts changed gets a further one, `revision` up.
    `xid`: what transactions before it wrote is in the statement.
    """

    __tablename__ = "statements"
    __table_args__ = (
        ForeignKeyConstraint(_OF[:2], ["accounts.licensee_id", "accounts.licensor_id"]),
        UniqueConstraint("licensee_id", "licensor_id", "previous_hash"),
        UniqueConstraint("licensee_id", "licensor_id", "hash"),
        UniqueConstraint(*_OF[:2], "period_start", "period_end", "revision", name="uq_statements_period"),
        CheckConstraint("(number = 1) = (previous_hash IS NULL)", name="chain"),
        CheckConstraint("number >= 1 AND revision >= 1 AND (revision = 1) = (replaces IS NULL)", name="place"),
        CheckConstraint("period_end > period_start", name="period"),
    )  # fmt: skip
    licensee_id: Mapped[int] = mapped_column(primary_key=True)
    licensor_id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    period_start: Mapped[date]
    period_end: Mapped[date]
    revision: Mapped[int] = mapped_column(Integer)
    replaces: Mapped[int | None] = mapped_column(Integer)
    content: Mapped[bytes] = mapped_column(LargeBinary)
    hash: Mapped[str]
    previous_hash: Mapped[str | None]
    key_id: Mapped[str]
    signature: Mapped[bytes] = mapped_column(LargeBinary)
    xid: Mapped[int]
    made_at: Mapped[datetime]


class StatementChunk(Base):
    """The root over a run of a statement's events, and the id of the first of them."""

    __tablename__ = "statement_chunks"
    __table_args__ = (ForeignKeyConstraint(_OF, _STATEMENT),)
    licensee_id: Mapped[int] = mapped_column(primary_key=True)
    licensor_id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    place: Mapped[int] = mapped_column(Integer, primary_key=True)
    first_event_id: Mapped[str]
    size: Mapped[int] = mapped_column(Integer)
    root: Mapped[bytes] = mapped_column(LargeBinary)


class Certification(Base):
    """The licensee's word that a statement is right."""

    __tablename__ = "certifications"
    __table_args__ = (
        ForeignKeyConstraint(_OF, _STATEMENT),
        CheckConstraint("length(btrim(actor)) > 0", name="actor"),
    )
    licensee_id: Mapped[int] = mapped_column(primary_key=True)
    licensor_id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    actor: Mapped[str]
    note: Mapped[str | None]
    certified_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Dispute(Base):
    """One line of a statement that the licensee says is wrong: the images of a model on a day, of a plan or of all."""

    __tablename__ = "disputes"
    __table_args__ = (
        ForeignKeyConstraint(_OF, _STATEMENT),
        Index("uq_disputes_line", "licensee_id", "licensor_id", "number", "model", "day", text("coalesce(plan, '')"),
              text("(plan IS NULL)"), unique=True),
        CheckConstraint("stated >= 0 AND claimed >= 0 AND stated <> claimed", name="images"),
        CheckConstraint("length(btrim(actor)) > 0 AND length(btrim(reason)) > 0", name="said"),
    )  # fmt: skip
    licensee_id: Mapped[int] = mapped_column(primary_key=True)
    dispute_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    licensor_id: Mapped[int]
    number: Mapped[int] = mapped_column(Integer)
    model: Mapped[str]
    day: Mapped[date]
    plan: Mapped[str | None]
    stated: Mapped[int]
    claimed: Mapped[int]
    reason: Mapped[str]
    actor: Mapped[str]
    opened_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Settlement(Base):
    """How a dispute ended: agreed at a number of images, which became corrections, or rejected."""

    __tablename__ = "settlements"
    __table_args__ = (
        ForeignKeyConstraint(["licensee_id", "dispute_id"], ["disputes.licensee_id", "disputes.dispute_id"]),
        CheckConstraint("outcome IN ('agreed', 'rejected')", name="outcome"),
        CheckConstraint("(outcome = 'agreed') = (agreed IS NOT NULL)", name="agreed"),
        CheckConstraint("agreed >= 0 AND length(btrim(actor)) > 0 AND length(btrim(reason)) > 0", name="said"),
    )  # fmt: skip
    licensee_id: Mapped[int] = mapped_column(primary_key=True)
    dispute_id: Mapped[int] = mapped_column(primary_key=True)
    outcome: Mapped[str]
    agreed: Mapped[int | None]
    reason: Mapped[str]
    actor: Mapped[str]
    settled_at: Mapped[datetime] = mapped_column(server_default=func.now())
