"""The life of an invoice: approval, holds, credit notes, tax, and the audit log."""

revision = "invoice_life"
down_revision = "imports"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass
