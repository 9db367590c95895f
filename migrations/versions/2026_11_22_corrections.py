"""Corrections of usage events."""

revision = "corrections"
down_revision = "usage_facts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass
