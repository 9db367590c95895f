"""What was paid and what it settled, bank statements, and the outbox to the payment gateway."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, Integer, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from core.database import Base
from core.payments.gateway import COLLECTIONS, STEP_KINDS

METHODS = ("manual", "bank", "stripe")
ONE_SOURCE = "num_nonnulls(payment_id, credit_note_id) = 1"


def _words(words: tuple[str, ...]) -> str:
    return ", ".join(repr(word) for word in words)


class Payment(Base):
    """Money that came in from a licensee. Append-only; `amount_minor` counts for it in full, also what was kept back.

    `reference` says which payment it is: a bank's or a gateway's own, so that none is counted twice.
    """

    __tablename__ = "payments"
    __table_args__ = (
        UniqueConstraint("licensor_id", "method", "reference"),
        CheckConstraint("amount_minor > 0", name="amount"),
        CheckConstraint(
            "charges_minor >= 0 AND withheld_minor >= 0 AND charges_minor + withheld_minor <= amount_minor",
            name="kept_back",
        ),
        CheckConstraint(f"method IN ({_words(METHODS)})", name="method"),
        CheckConstraint("reference <> '' AND actor <> ''", name="said"),
        Index("ix_payments_account", "licensee_id", "licensor_id", "received_on"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    licensor_id: Mapped[int] = mapped_column(ForeignKey("licensors.id"))
    licensee_id: Mapped[int] = mapped_column(ForeignKey("licensees.id"))
    currency: Mapped[str]
    amount_minor: Mapped[int]
    charges_minor: Mapped[int] = mapped_column(server_default="0")
    withheld_minor: Mapped[int] = mapped_column(server_default="0")
    received_on: Mapped[date]
    method: Mapped[str]
    reference: Mapped[str]
    payer: Mapped[str] = mapped_column(server_default="")
    note: Mapped[str] = mapped_column(server_default="")
    actor: Mapped[str]
    recorded_at: Mapped[datetime] = mapped_column(server_default=func.now())

    @property
    def item(self) -> str:
        """The open item of this payment in the books."""
        return f"payment:{self.method}:{self.reference}"


class PaymentAllocation(Base):
    """A part of a payment, or of a credit note's credit, that settles an invoice. Append-only; undone by a further row
    of the opposite amount that names it."""

    __tablename__ = "payment_allocations"
    __table_args__ = (
        UniqueConstraint("reverses_id"),
        CheckConstraint(ONE_SOURCE, name="source"),
        CheckConstraint("amount_minor <> 0 AND (amount_minor < 0) = (reverses_id IS NOT NULL)", name="amount"),
        CheckConstraint("actor <> ''", name="said"),
        Index("ix_payment_allocations_payment", "payment_id"),
        Index("ix_payment_allocations_invoice", "invoice_id"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    payment_id: Mapped[int | None] = mapped_column(ForeignKey("payments.id"))
    credit_note_id: Mapped[int | None] = mapped_column(ForeignKey("invoices.id"))
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"))
    amount_minor: Mapped[int]
    reverses_id: Mapped[int | None] = mapped_column(ForeignKey("payment_allocations.id"))
    actor: Mapped[str]
    reason: Mapped[str] = mapped_column(server_default="")
    allocated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PaymentRefund(Base):
    """Money that went back to the licensee: paid back by us, or returned by the bank because it never was good."""

    __tablename__ = "payment_refunds"
    __table_args__ = (
        UniqueConstraint("licensor_id", "reference"),
        CheckConstraint(ONE_SOURCE, name="source"),
        CheckConstraint("amount_minor > 0", name="amount"),
        CheckConstraint("reference <> '' AND actor <> '' AND reason <> ''", name="said"),
        Index("ix_payment_refunds_payment", "payment_id"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    licensor_id: Mapped[int] = mapped_column(ForeignKey("licensors.id"))
    payment_id: Mapped[int | None] = mapped_column(ForeignKey("payments.id"))
    credit_note_id: Mapped[int | None] = mapped_column(ForeignKey("invoices.id"))
    amount_minor: Mapped[int]
    refunded_on: Mapped[date]
    reference: Mapped[str]
    actor: Mapped[str]
    reason: Mapped[str]
    recorded_at: Mapped[datetime] = mapped_column(server_default=func.now())


class BankStatement(Base):
    """A file of a bank that was read, by the bank's or the file's own name for it."""

    __tablename__ = "bank_statements"
    __table_args__ = (UniqueConstraint("licensor_id", "name"),)
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    licensor_id: Mapped[int] = mapped_column(ForeignKey("licensors.id"))
    name: Mapped[str]
    sha256: Mapped[str]
    imported_by: Mapped[str]
    imported_at: Mapped[datetime] = mapped_column(server_default=func.now())


class BankRow(Base):
    """One incoming amount on a statement. The fingerprint makes it the same row in every file that shows it."""

    __tablename__ = "bank_rows"
    __table_args__ = (
        UniqueConstraint("licensor_id", "fingerprint"),
        CheckConstraint("amount_minor > 0", name="amount"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    statement_id: Mapped[int] = mapped_column(ForeignKey("bank_statements.id"))
    licensor_id: Mapped[int] = mapped_column(ForeignKey("licensors.id"))
    fingerprint: Mapped[str]
    no: Mapped[int] = mapped_column(Integer)
    booked_on: Mapped[date]
    currency: Mapped[str]
    amount_minor: Mapped[int]
    payer: Mapped[str]
    reference: Mapped[str]


class BankDecision(Base):
    """What a person said a row is: a payment, or none of ours. Append-only, one for each row."""

    __tablename__ = "bank_decisions"
    __table_args__ = (CheckConstraint("(payment_id IS NULL) = (reason <> '')", name="outcome"),)
    row_id: Mapped[int] = mapped_column(ForeignKey("bank_rows.id"), primary_key=True, autoincrement=False)
    payment_id: Mapped[int | None] = mapped_column(ForeignKey("payments.id"), unique=True)
    reason: Mapped[str] = mapped_column(server_default="")
    actor: Mapped[str]
    decided_at: Mapped[datetime] = mapped_column(server_default=func.now())


class GatewayCustomer(Base):
    """An account whose invoices are collected by the gateway: how, and who the licensee is there once it is known."""

    __tablename__ = "gateway_customers"
    __table_args__ = (CheckConstraint(f"collection IN ({_words(COLLECTIONS)})", name="collection"),)
    licensor_id: Mapped[int] = mapped_column(ForeignKey("licensors.id"), primary_key=True)
    licensee_id: Mapped[int] = mapped_column(ForeignKey("licensees.id"), primary_key=True)
    collection: Mapped[str]
    email: Mapped[str]
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    since: Mapped[datetime] = mapped_column(server_default=func.now())
    gateway_id: Mapped[str | None] = mapped_column(unique=True)


class GatewayInvoice(Base):
    """An invoice of ours at the gateway, and what it looked like there when it was last read."""

    __tablename__ = "gateway_invoices"
    __table_args__ = (
        Index(
            "ix_gateway_invoices_refresh", "refresh_wanted_at", postgresql_where=text("refresh_wanted_at IS NOT NULL")
        ),
    )
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"), primary_key=True, autoincrement=False)
    gateway_id: Mapped[str | None] = mapped_column(unique=True)
    status: Mapped[str | None]
    total_minor: Mapped[int | None]
    remaining_minor: Mapped[int | None]
    page_url: Mapped[str | None]
    seen_at: Mapped[datetime | None]
    refresh_wanted_at: Mapped[datetime | None]
    leased_until: Mapped[datetime | None]


class GatewayStep(Base):
    """One call to the gateway that has to be made once in effect: the row is the work, and says how far it came.

    `lane` keeps the steps of one invoice in order. `generation` is part of the idempotency key: a new one begins only
    after a look at the gateway has shown that the old one did nothing.
    """

    __tablename__ = "gateway_steps"
    __table_args__ = (
        UniqueConstraint("lane", "kind", "part"),
        CheckConstraint(f"kind IN ({_words(STEP_KINDS)})", name="kind"),
        CheckConstraint("state IN ('waiting', 'done', 'stopped', 'cancelled')", name="state"),
        CheckConstraint("state <> 'stopped' OR error IS NOT NULL", name="stopped"),
        Index("ix_gateway_steps_open", "id", postgresql_where=text("state IN ('waiting', 'stopped')")),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    lane: Mapped[str]
    licensor_id: Mapped[int] = mapped_column(ForeignKey("licensors.id"))
    licensee_id: Mapped[int] = mapped_column(ForeignKey("licensees.id"))
    invoice_id: Mapped[int | None] = mapped_column(ForeignKey("invoices.id"))
    kind: Mapped[str]
    part: Mapped[int] = mapped_column(server_default="0")
    content: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(server_default="waiting")
    generation: Mapped[int] = mapped_column(Integer, server_default="0")
    look_first: Mapped[bool] = mapped_column(server_default=text("false"))
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    first_attempt_at: Mapped[datetime | None]
    leased_until: Mapped[datetime | None]
    not_before: Mapped[datetime | None]
    gateway_id: Mapped[str | None]
    error: Mapped[str | None]
    planned_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class GatewayEvent(Base):
    """A webhook that was taken, in the transaction of its effect. Append-only."""

    __tablename__ = "gateway_events"
    event_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    object_id: Mapped[str | None]
    effect: Mapped[str]
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())


class GatewayPace(Base):
    """How fast all workers together may call: tokens in a bucket, and the instant before which nobody calls."""

    __tablename__ = "gateway_pace"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    micro_tokens: Mapped[int] = mapped_column(server_default="0")
    filled_at: Mapped[datetime] = mapped_column(server_default=func.now())
    not_before: Mapped[datetime] = mapped_column(server_default=func.now())


class GatewayPause(Base):
    """The outbox was paused or resumed; the last row holds. Append-only."""

    __tablename__ = "gateway_pauses"
    __table_args__ = (CheckConstraint("reason <> '' AND actor <> ''", name="said"),)
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    paused: Mapped[bool]
    reason: Mapped[str]
    actor: Mapped[str]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class GatewayReconciliation(Base):
    """One comparison with the gateway that came to its end. Append-only."""

    __tablename__ = "gateway_reconciliations"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime] = mapped_column(server_default=func.now())
    looked_at: Mapped[int]
    differences: Mapped[int]


class GatewayDifference(Base):
    """Something that is one way here and another at the gateway, from when it was found until it was seen no more."""

    __tablename__ = "gateway_differences"
    __table_args__ = (
        Index(
            "uq_gateway_differences_open", "kind", "subject", unique=True, postgresql_where=text("resolved_at IS NULL")
        ),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[str]
    subject: Mapped[str]
    detail: Mapped[str]
    invoice_id: Mapped[int | None] = mapped_column(ForeignKey("invoices.id"))
    gateway_id: Mapped[str | None]
    found_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    resolved_at: Mapped[datetime | None]
