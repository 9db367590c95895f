"""What was agreed: units, agreements, their dated amendments, and which models they cover on which days."""

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
    """A contract of one account over a term `[starts_on, ends_on)` in days of the account's zone."""

    __tablename__ = "agreements"
    __table_args__ = (
        CheckConstraint("ends_on > starts_on AND ends_at > starts_at", name="term"),
        CheckConstraint("status IN ('draft', 'signed')", name="status"),
        CheckConstraint("(status = 'signed') = (signed_at IS NOT NULL)", name="signature"),
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


class AgreementModel(Base):
    """A model covered by an agreement on a range of days. No two agreements of an account may cover the same day."""

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
