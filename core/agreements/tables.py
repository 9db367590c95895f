"""What was agreed: units, agreements, their amendments and signatures, and which models they cover on which days."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Identity, SmallInteger, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import DATERANGE, ExcludeConstraint, Range
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.database import Base


class Unit(Base):
    """A platform credit in which fees are agreed, such as Buzz. Currencies need no row."""

    __tablename__ = "units"
    code: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    decimals: Mapped[int] = mapped_column(SmallInteger)


class Agreement(Base):
    """A contract of one account over a term `[starts_on, ends_on)` in days of the account's zone.

    `ended_on` is the first day after an early end, by termination or revocation. That a term is over by itself is not
    stored: `core/agreements/status.py` reads it off the calendar.
    """

    __tablename__ = "agreements"
    __table_args__ = (
        CheckConstraint("ends_on > starts_on AND ends_at > starts_at", name="term"),
        CheckConstraint("status IN ('draft', 'signed', 'terminated', 'revoked')", name="status"),
        CheckConstraint("(status = 'draft') = (signed_at IS NULL)", name="signature"),
        CheckConstraint(
            "(status IN ('terminated', 'revoked')) = (ended_on IS NOT NULL) "
            "AND (ended_on IS NULL) = (ended_at IS NULL) "
            "AND (ended_on IS NULL OR ended_on > starts_on AND ended_on < ends_on)",
            name="early_end",
        ),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    starts_on: Mapped[date]
    ends_on: Mapped[date]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    status: Mapped[str]
    signed_at: Mapped[datetime | None]
    ended_on: Mapped[date | None]
    ended_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    amendments: Mapped[list["Amendment"]] = relationship(order_by="Amendment.number", back_populates="agreement")


class Amendment(Base):
    """The whole terms from `effective_on` on. Number 0 is the contract as first signed; none is ever edited."""

    __tablename__ = "amendments"
    __table_args__ = (UniqueConstraint("agreement_id", "number"), CheckConstraint("number >= 0", name="number"))
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    agreement_id: Mapped[int] = mapped_column(ForeignKey("agreements.id"))
    number: Mapped[int]
    effective_on: Mapped[date]
    terms: Mapped[dict[str, Any]]
    document_hash: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    agreement: Mapped[Agreement] = relationship(back_populates="amendments")


class AgreementEvent(Base):
    """One side's signature under one act: the contract, an amendment, an extension, an early end. Append-only.

    `effective_on` is the first day on which the act changes anything; of an extension, the day on which the term would
    have ended, and `ends_on` the new end. `amendment_number` is the last amendment that stood once the act was done.
    `document_hash` is over our canonical JSON of what was signed, `paper_hash` over the file that people signed.
    """

    __tablename__ = "agreement_events"
    __table_args__ = (
        CheckConstraint("kind IN ('signed', 'amended', 'extended', 'terminated', 'revoked')", name="kind"),
        CheckConstraint("party IN ('licensor', 'licensee')", name="party"),
        CheckConstraint("kind <> 'revoked' OR party = 'licensor'", name="revoker"),
        CheckConstraint("signer <> ''", name="signer"),
        CheckConstraint(
            "(kind = 'extended') = (ends_on IS NOT NULL) AND (ends_on IS NULL OR ends_on > effective_on)",
            name="extension",
        ),
        CheckConstraint("kind NOT IN ('terminated', 'revoked') OR reason <> ''", name="reason"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    agreement_id: Mapped[int] = mapped_column(ForeignKey("agreements.id"), index=True)
    kind: Mapped[str]
    party: Mapped[str]
    signer: Mapped[str]
    signed_on: Mapped[date]
    effective_on: Mapped[date]
    ends_on: Mapped[date | None]
    amendment_number: Mapped[int]
    reason: Mapped[str] = mapped_column(server_default="")
    document_hash: Mapped[str]
    paper_hash: Mapped[str | None]
    recorded_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AgreementModel(Base):
    """A model covered by an agreement on a range of days. No two agreements of an account may cover the same day.

    A row whose cover was cut before it began has the empty range: it covers nothing, and stays as history.
    """

    __tablename__ = "agreement_models"
    __table_args__ = (
        ExcludeConstraint(
            ("account_id", "="), ("model_id", "="), ("days", "&&"), name="ex_agreement_models_overlap", using="gist"
        ),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    agreement_id: Mapped[int] = mapped_column(ForeignKey("agreements.id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    days: Mapped[Range[date]] = mapped_column(DATERANGE)
