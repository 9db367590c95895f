"""What is asked for: billing runs, invoices with their lines and documents, and the series that number them."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Computed,
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

EVENT_KINDS = (
    *("approved", "reopened", "held", "released", "asked", "issued", "voided", "credited", "sent"),
    *("disputed", "dispute_settled", "written_off", "written_back"),
)
WITH_REASON = (
    *("released", "asked", "voided", "credited"),
    *("disputed", "dispute_settled", "written_off", "written_back"),
)


class NumberSeries(Base):
    """The last number given in a licensor's series; locked for the moment in which an invoice takes the next."""

    __tablename__ = "number_series"
    licensor_id: Mapped[int] = mapped_column(ForeignKey("licensors.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    last_number: Mapped[int] = mapped_column(server_default="0")


class Invoice(Base):
    """What one agreement is asked for one billing period. From `issued` on, it and its lines cannot change.

    A period has one document: a `regular` invoice, or a `credit_note` where the total is negative. A credit note that
    corrects an issued invoice names it; of these there may be several. `lines_hash` is over a draft's lines: who
    approves or releases it, approves these. `closed_with` are the counts and commitments as they were at the close.
    """

    __tablename__ = "invoices"
    __table_args__ = (
        Index(
            "uq_invoices_agreement_period",
            "agreement_id",
            "period_start",
            unique=True,
            postgresql_where=text("status <> 'void' AND corrects_invoice_id IS NULL"),
        ),
        UniqueConstraint("licensor_id", "number"),
        Index("ix_invoices_licensee", "licensee_id", "period_start"),
        Index(
            "ix_invoices_licensor",
            "licensor_id",
            "period_start",
            postgresql_include=["licensee_id", "currency", "status", "net_minor"],
        ),
        Index(
            "ix_invoices_due",
            "licensor_id",
            "number",
            postgresql_include=["due_on"],
            postgresql_where=text("status = 'issued'"),
        ),
        Index(
            "ix_invoices_open",
            "licensor_id",
            "status",
            postgresql_where=text("status IN ('draft', 'held', 'approved')"),
        ),
        Index("ix_invoices_corrects", "corrects_invoice_id", postgresql_where=text("corrects_invoice_id IS NOT NULL")),
        CheckConstraint("status IN ('draft', 'held', 'approved', 'issued', 'void')", name="status"),
        CheckConstraint("kind IN ('regular', 'credit_note')", name="kind"),
        CheckConstraint("corrects_invoice_id IS NULL OR kind = 'credit_note'", name="correction"),
        CheckConstraint("status <> 'approved' OR approved_by IS NOT NULL", name="approval"),
        CheckConstraint(
            "status NOT IN ('issued', 'void') OR (kind = 'credit_note') = (total_minor < 0)", name="direction"
        ),
        CheckConstraint("net_minor + tax_minor = total_minor", name="total"),
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
    tax_minor: Mapped[int] = mapped_column(server_default="0")
    net_minor: Mapped[int] = mapped_column(Computed("total_minor - tax_minor", persisted=True))
    hold_reasons: Mapped[list[dict[str, Any]]] = mapped_column(server_default="[]")
    corrects_invoice_id: Mapped[int | None] = mapped_column(ForeignKey("invoices.id"))
    lines_hash: Mapped[str | None]
    closed_with: Mapped[dict[str, Any] | None]
    closed_by: Mapped[str] = mapped_column(server_default="system")
    approved_by: Mapped[str | None]
    issued_by: Mapped[str | None]
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

    The key is (kind, subject, service_start, service_end, part), as `core/rating/rate.py` makes it. Beside what rating
    owes there are the kinds `interest` and `adjustment` (`core/invoicing/drafts/extras.py`), billed by difference like
    all others, and `credit`: given on an issued line (`corrects_line_id`), and no part of what was billed for a key.
    """

    __tablename__ = "invoice_lines"
    __table_args__ = (
        UniqueConstraint("invoice_id", "no"),
        UniqueConstraint("invoice_id", "kind", "subject", "service_start", "service_end", "part", name="uq_lines_key"),
        CheckConstraint("unit_amount <> 'NaN' AND (unit_price IS NULL OR unit_price <> 'NaN')", name="numbers"),
        CheckConstraint("tax_category IN ('standard', 'reverse_charge', 'exempt', 'outside')", name="tax_category"),
        CheckConstraint("tax_rate BETWEEN 0 AND 100 AND (tax_rate = 0 OR tax_category = 'standard')", name="tax_rate"),
        CheckConstraint("(kind = 'credit') = (corrects_line_id IS NOT NULL)", name="correction"),
        Index("ix_invoice_lines_corrects", "corrects_line_id", postgresql_where=text("corrects_line_id IS NOT NULL")),
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
    tax_category: Mapped[str] = mapped_column(server_default="outside")
    tax_rate: Mapped[Decimal] = mapped_column(Numeric(7, 4), server_default="0")
    corrects_line_id: Mapped[int | None] = mapped_column(ForeignKey("invoice_lines.id"))
    invoice: Mapped[Invoice] = relationship(back_populates="lines")


class InvoiceEvent(Base):
    """Something that was done with an invoice or happened to it. Append-only; where it stands follows from these.

    `answers_id` is the event that this one answers: an approval or a question of another person, the hold that is
    released, the dispute that is settled, the write-off that is taken back. An event is answered once.
    """

    __tablename__ = "invoice_events"
    __table_args__ = (
        CheckConstraint(f"kind IN ({', '.join(repr(kind) for kind in EVENT_KINDS)})", name="kind"),
        CheckConstraint("actor <> ''", name="actor"),
        CheckConstraint(
            f"reason <> '' OR kind NOT IN ({', '.join(repr(kind) for kind in WITH_REASON)})", name="reason"
        ),
        UniqueConstraint("answers_id"),
        Index("ix_invoice_events_invoice", "invoice_id", "id"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"))
    kind: Mapped[str]
    actor: Mapped[str]
    role: Mapped[str]
    reason: Mapped[str] = mapped_column(server_default="")
    detail: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    answers_id: Mapped[int | None] = mapped_column(ForeignKey("invoice_events.id"))
    recorded_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AgreedAdjustment(Base):
    """An amount that the parties agreed on beside the terms, for days that are over. Append-only; billed once.

    What was agreed wrongly is undone by another one of the opposite amount.
    """

    __tablename__ = "agreed_adjustments"
    __table_args__ = (
        CheckConstraint("service_end > service_start", name="service"),
        CheckConstraint("amount_minor <> 0", name="amount"),
        CheckConstraint("description <> '' AND actor <> '' AND reason <> ''", name="said"),
        Index("ix_agreed_adjustments_agreement", "agreement_id"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    agreement_id: Mapped[int] = mapped_column(ForeignKey("agreements.id"))
    service_start: Mapped[date]
    service_end: Mapped[date]
    description: Mapped[str]
    amount_minor: Mapped[int]
    actor: Mapped[str]
    reason: Mapped[str]
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())


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
    """A request to close one period for every agreement, and, if asked, to issue what was closed.

    A `scheduled` one was asked for by the clock: it issues only where the agreement says so. `counted_at` is when its
    items last saw to it that every event was counted. A run is done when its items are; only a stop is written down.
    """

    __tablename__ = "billing_runs"
    __table_args__ = (CheckConstraint("state IN ('running', 'stopped')", name="state"),)
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    period_start: Mapped[date]
    period_end: Mapped[date]
    issues: Mapped[bool]
    requested_at: Mapped[datetime] = mapped_column(server_default=func.now())
    requested_by: Mapped[str] = mapped_column(server_default="system")
    requested_role: Mapped[str] = mapped_column(server_default="system")
    scheduled: Mapped[bool] = mapped_column(server_default=text("false"))
    state: Mapped[str] = mapped_column(server_default="running")
    stopped_by: Mapped[str | None]
    counted_at: Mapped[datetime | None]


class BillingRunItem(Base):
    """One agreement's share of a run: the row is the work, a Celery message only says that it is there.

    `scheduled_for` is the first day of the month for which the clock asked: once for each agreement and month.
    """

    __tablename__ = "billing_run_items"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'counted', 'closed', 'issued', 'finished', 'failed')", name="state"),
        UniqueConstraint("agreement_id", "scheduled_for"),
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
    scheduled_for: Mapped[date | None]
