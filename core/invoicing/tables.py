"""What is asked for: billing runs, invoices with their lines and documents, and the series that number them."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.database import Base


class NumberSeries(Base):
    """The last number given in a licensor's series; locked for the moment in which an invoice takes the next."""

    __tablename__ = "number_series"
    licensor_id: Mapped[int] = mapped_column(ForeignKey("licensors.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    last_number: Mapped[int] = mapped_column(server_default="0")


class Invoice(Base):
    """What one agreement is asked for one billing period. From `issued` on, it and its lines cannot change."""

    __tablename__ = "invoices"
    __table_args__ = (
        Index(
            "uq_invoices_agreement_period_kind",
            "agreement_id",
            "period_start",
            "kind",
            unique=True,
            postgresql_where=text("status <> 'void'"),
        ),
        UniqueConstraint("licensor_id", "number"),
        Index("ix_invoices_licensee", "licensee_id", "period_start"),
        CheckConstraint("status IN ('draft', 'held', 'issued', 'void')", name="status"),
        CheckConstraint("kind IN ('regular')", name="kind"),
        CheckConstraint(
            "(status IN ('issued', 'void')) = "
            "(number IS NOT NULL AND issued_at IS NOT NULL AND due_on IS NOT NULL AND snapshot IS NOT NULL "
            "AND content_hash IS NOT NULL)",
            name="frozen",
        ),
        CheckConstraint("period_end > period_start", name="period"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    agreement_id: Mapped[int] = mapped_column(ForeignKey("agreements.id"))
    licensor_id: Mapped[int] = mapped_column(ForeignKey("licensors.id"))
    licensee_id: Mapped[int] = mapped_column(ForeignKey("licensees.id"))
    kind: Mapped[str] = mapped_column(server_default="regular")
    period_start: Mapped[date]
    period_end: Mapped[date]
    status: Mapped[str]
    hold_reason: Mapped[str | None]
    currency: Mapped[str]
    total_minor: Mapped[int]
    number: Mapped[str | None]
    closed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    issued_at: Mapped[datetime | None]
    due_on: Mapped[date | None]
    snapshot: Mapped[dict[str, Any] | None]
    content_hash: Mapped[str | None]
    lines: Mapped[list["InvoiceLine"]] = relationship(
        order_by="InvoiceLine.no", back_populates="invoice", cascade="all, delete-orphan"
    )


class InvoiceLine(Base):
    """The difference between what a key owed when the invoice was closed and what had been billed for it.

    The key is (kind, subject, service_start, service_end, part), as `core/rating/rate.py` makes it.
    """

    __tablename__ = "invoice_lines"
    __table_args__ = (
        UniqueConstraint("invoice_id", "no"),
        UniqueConstraint("invoice_id", "kind", "subject", "service_start", "service_end", "part", name="uq_lines_key"),
        CheckConstraint("unit_amount <> 'NaN' AND (unit_price IS NULL OR unit_price <> 'NaN')", name="numbers"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"))
    no: Mapped[int] = mapped_column(Integer)
    kind: Mapped[str]
    subject: Mapped[str]
    service_start: Mapped[date]
    service_end: Mapped[date]
    part: Mapped[str]
    adjustment: Mapped[bool]
    description: Mapped[str]
    image_count: Mapped[int]
    unit: Mapped[str]
    unit_price: Mapped[Decimal | None] = mapped_column(Numeric(38, 12))
    unit_amount: Mapped[Decimal] = mapped_column(Numeric(38, 12))
    conversion_rate: Mapped[Decimal | None] = mapped_column(Numeric(38, 12))
    amount_minor: Mapped[int]
    price_id: Mapped[str]
    workings: Mapped[list[dict[str, Any]]]
    invoice: Mapped[Invoice] = relationship(back_populates="lines")


class InvoiceDocument(Base):
    """The bytes that were made from a frozen invoice, kept as they were sent."""

    __tablename__ = "invoice_documents"
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    template: Mapped[str]
    content: Mapped[bytes] = mapped_column(LargeBinary)
    sha256: Mapped[str]
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())


class BillingRun(Base):
    """A request to close one period for every agreement, and, if asked, to issue what was closed."""

    __tablename__ = "billing_runs"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    period_start: Mapped[date]
    period_end: Mapped[date]
    issues: Mapped[bool]
    requested_at: Mapped[datetime] = mapped_column(server_default=func.now())


class BillingRunItem(Base):
    """One agreement's share of a run: the row is the work, a Celery message only says that it is there."""

    __tablename__ = "billing_run_items"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'counted', 'closed', 'issued', 'finished', 'failed')", name="state"),
        Index("ix_billing_run_items_open", "leased_until", postgresql_where=text("finished_at IS NULL")),
    )
    run_id: Mapped[int] = mapped_column(ForeignKey("billing_runs.id"), primary_key=True)
    agreement_id: Mapped[int] = mapped_column(ForeignKey("agreements.id"), primary_key=True)
    state: Mapped[str] = mapped_column(server_default="waiting")
    invoice_id: Mapped[int | None] = mapped_column(ForeignKey("invoices.id"))
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    leased_until: Mapped[datetime | None]
    error: Mapped[str | None]
    finished_at: Mapped[datetime | None]
