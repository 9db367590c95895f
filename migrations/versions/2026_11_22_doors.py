"""What the compatible doors need."""

revision = "doors"
down_revision = "reporting"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass
