"""Files of usage."""

revision = "imports"
down_revision = "doors"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass
