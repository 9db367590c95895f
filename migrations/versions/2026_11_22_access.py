"""Who may do what: finance users, their keys and roles."""

revision = "access"
down_revision = "notices"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass
