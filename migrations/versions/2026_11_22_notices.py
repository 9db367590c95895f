"""Notices: webhooks and e-mail."""

revision = "notices"
down_revision = "statements"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass
