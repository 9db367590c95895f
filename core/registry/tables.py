"""Who and what exists: licensors, licensees, their accounts, models and their lineage, meter keys."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, LargeBinary, Numeric, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from core.database import Base


class Party:
    """What an invoice prints of either side."""

    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    address: Mapped[list[str]] = mapped_column(server_default="{}")
    email: Mapped[str] = mapped_column(server_default="")
    tax_id: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Licensor(Party, Base):
    """Who owns models and asks for fees."""

    __tablename__ = "licensors"
    __table_args__ = (CheckConstraint("colour ~ '^(#[0-9a-f]{6})?$' AND accent ~ '^(#[0-9a-f]{6})?$'", name="colours"),)
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    invoice_prefix: Mapped[str] = mapped_column(unique=True)
    colour: Mapped[str] = mapped_column(server_default="")
    accent: Mapped[str] = mapped_column(server_default="")
    logo_sha256: Mapped[str | None] = mapped_column(ForeignKey("pictures.sha256"))


class StoredPicture(Base):
    """A logo that was ever declared, by the hash of its bytes. Append-only: issued invoices name it by this hash."""

    __tablename__ = "pictures"
    __table_args__ = (
        CheckConstraint("sha256 = encode(sha256(content), 'hex')", name="hash"),
        CheckConstraint("octet_length(content) BETWEEN 1 AND 204800", name="size"),
        CheckConstraint("media_type IN ('image/png', 'image/svg+xml')", name="media_type"),
    )
    sha256: Mapped[str] = mapped_column(primary_key=True)
    media_type: Mapped[str]
    content: Mapped[bytes] = mapped_column(LargeBinary)
    kept_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Licensee(Party, Base):
    """A platform that hosts models and reports images."""

    __tablename__ = "licensees"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)


class Account(Base):
    """The pair of a licensor and a licensee. Its zone and currency are fixed for good.

    How it is billed (`core/registry/billing.py`) may change at any time; issued invoices keep what they were issued
    with.
    """

    __tablename__ = "accounts"
    __table_args__ = (
        UniqueConstraint("licensee_id", "licensor_id"),
        CheckConstraint("language IN ('en', 'de', 'ja')", name="language"),
        CheckConstraint("tax_category IN ('standard', 'reverse_charge', 'exempt', 'outside')", name="tax_category"),
        CheckConstraint(
            "tax_rate BETWEEN 0 AND 100 AND (tax_rate = 0 OR tax_category = 'standard')", name="tax_rate"
        ),  # NaN is above every number
        CheckConstraint("tax_category NOT IN ('reverse_charge', 'exempt') OR tax_sentence <> ''", name="tax_sentence"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    licensor_id: Mapped[int] = mapped_column(ForeignKey("licensors.id"))
    licensee_id: Mapped[int] = mapped_column(ForeignKey("licensees.id"))
    zone: Mapped[str]
    currency: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    language: Mapped[str] = mapped_column(server_default="en")
    locale: Mapped[str] = mapped_column(server_default="en")
    e_invoice: Mapped[bool] = mapped_column(server_default="false")
    contacts: Mapped[list[dict[str, Any]]] = mapped_column(server_default="[]")
    purchase_order: Mapped[str] = mapped_column(server_default="")
    payment_terms: Mapped[str] = mapped_column(server_default="")
    bank: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    tax_category: Mapped[str] = mapped_column(server_default="outside")
    tax_rate: Mapped[Decimal] = mapped_column(Numeric(7, 4), server_default="0")
    tax_sentence: Mapped[str] = mapped_column(server_default="")


class ApprovalLimit(Base):
    """Above this amount, in minor units of the account's currency, invoices, credits and the like need two people.

    One for the licensor (no account), and one for each account that has its own. Licensees never see them.
    """

    __tablename__ = "approval_limits"
    __table_args__ = (
        CheckConstraint("second_person_above_minor >= 0", name="limit"),
        Index("uq_approval_limits_licensor", "licensor_id", unique=True, postgresql_where=text("account_id IS NULL")),
        Index("uq_approval_limits_account", "account_id", unique=True, postgresql_where=text("account_id IS NOT NULL")),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    licensor_id: Mapped[int] = mapped_column(ForeignKey("licensors.id"))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"))
    second_person_above_minor: Mapped[int]


class Model(Base):
    """An AI image model, base or derivative. `owes` says which fees an image made with it is counted for."""

    __tablename__ = "models"
    __table_args__ = (CheckConstraint("owes IN ('own', 'base', 'both')", name="owes"),)
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    licensor_id: Mapped[int] = mapped_column(ForeignKey("licensors.id"))
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    kind: Mapped[str]
    owes: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ModelBase(Base):
    """One edge of the lineage: a derivative and a model it was made from. A merge has several."""

    __tablename__ = "model_bases"
    __table_args__ = (CheckConstraint("model_id <> base_id", name="not_itself"),)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"), primary_key=True)
    base_id: Mapped[int] = mapped_column(ForeignKey("models.id"), primary_key=True)


class ModelName(Base):
    """A name by which platforms report a model: its slug, its AIR, any other agreed alias."""

    __tablename__ = "model_names"
    name: Mapped[str] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))


class MeterKey(Base):
    """A licensee's credential for reporting. The secret is shown once and kept only as a hash."""

    __tablename__ = "meter_keys"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    licensee_id: Mapped[int] = mapped_column(ForeignKey("licensees.id"))
    public_id: Mapped[str] = mapped_column(unique=True)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)
    label: Mapped[str]
    backfill_from: Mapped[date | None]
    backfill_reason: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
