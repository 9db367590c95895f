"""Files of usage: how far each has come. What became of their rows stands in usage_reports."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "imports"
down_revision = "reporting"
branch_labels = None
depends_on = None

GUARDS = """
GRANT SELECT, INSERT, UPDATE (key_id, file_name, format, state, code, message, row_count, seen_at, finished_at)
    ON usage_imports TO perimage_app;
GRANT SELECT ON usage_imports TO perimage_licensee;
ALTER TABLE usage_imports ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage_imports FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON usage_imports TO perimage_app USING (true) WITH CHECK (true);
CREATE POLICY licensee ON usage_imports FOR SELECT TO perimage_licensee
    USING (licensee_id = NULLIF(current_setting('perimage.licensee_id', true), '')::bigint);
"""


def upgrade() -> None:
    instant = postgresql.TIMESTAMP(timezone=True)
    op.create_table(
        "usage_imports",
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("import_id", sa.Text(collation="C"), nullable=False),
        sa.Column("key_id", sa.BigInteger(), nullable=False),
        sa.Column("file_name", sa.String(), nullable=True),
        sa.Column("format", sa.String(), nullable=False),
        sa.Column("state", sa.String(), server_default="receiving", nullable=False),
        sa.Column("code", sa.String(), nullable=True),
        sa.Column("message", sa.String(), nullable=True),
        sa.Column("row_count", sa.BigInteger(), nullable=True),
        sa.Column("started_at", instant, server_default=sa.text("now()"), nullable=False),
        sa.Column("seen_at", instant, server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", instant, nullable=True),
        sa.CheckConstraint("import_id ~ '^[A-Za-z0-9._-]{1,128}$'", name=op.f("ck_usage_imports_import_id")),
        sa.CheckConstraint("format IN ('csv', 'jsonl', 'parquet')", name=op.f("ck_usage_imports_format")),
        sa.CheckConstraint("state IN ('receiving', 'done', 'broken')", name=op.f("ck_usage_imports_state")),
        sa.CheckConstraint(
            "(state = 'done') = (row_count IS NOT NULL AND finished_at IS NOT NULL)", name=op.f("ck_usage_imports_done")
        ),
        sa.ForeignKeyConstraint(["licensee_id"], ["licensees.id"], name=op.f("fk_usage_imports_licensee_id")),
        sa.PrimaryKeyConstraint("licensee_id", "import_id", name=op.f("pk_usage_imports")),
    )
    op.create_index("ix_usage_imports_started", "usage_imports", ["licensee_id", "started_at"], unique=False)
    op.execute(GUARDS)
