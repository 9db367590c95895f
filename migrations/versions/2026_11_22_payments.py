"""Payments, their allocation, and the outbox to the payment gateway."""

revision = "payments"
down_revision = "invoice_life"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass
