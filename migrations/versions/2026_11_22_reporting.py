"""What a licensee sees of its own reports: zero reports, sequence numbers, where a report's events are."""

revision = "reporting"
down_revision = "corrections"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass
