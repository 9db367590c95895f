"""Statements that both sides attest."""

revision = "statements"
down_revision = "payments"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass
