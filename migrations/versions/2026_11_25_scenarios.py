"""Saved scenarios of the what-if. Safe while old code runs: a table of its own."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "scenarios"
down_revision = "run_speed"
branch_labels = None
depends_on = None

RIGHTS = """
GRANT SELECT, INSERT, DELETE ON scenarios TO perimage_app;
GRANT SELECT ON scenarios TO perimage_licensor, perimage_licensee;
CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON scenarios EXECUTE FUNCTION refuse_change();
ALTER TABLE scenarios ENABLE ROW LEVEL SECURITY;
CREATE POLICY app ON scenarios TO perimage_app USING (true) WITH CHECK (true);
CREATE POLICY licensor ON scenarios FOR SELECT TO perimage_licensor
    USING (licensor_id = NULLIF(current_setting('perimage.licensor_id', true), '')::bigint);
CREATE POLICY licensee ON scenarios FOR SELECT TO perimage_licensee
    USING (licensee_id = NULLIF(current_setting('perimage.licensee_id', true), '')::bigint);
"""


def upgrade() -> None:
    op.create_table(
        "scenarios",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("licensor_id", sa.BigInteger(), nullable=True),
        sa.Column("licensee_id", sa.BigInteger(), nullable=True),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sharing", sa.String(), nullable=False),
        sa.Column("parameters", sa.String(), nullable=False),
        sa.Column("saved_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(licensor_id IS NULL) <> (licensee_id IS NULL)", name=op.f("ck_scenarios_party")),
        sa.CheckConstraint("sharing IN ('own', 'link', 'party')", name=op.f("ck_scenarios_sharing")),
        sa.CheckConstraint("name <> '' AND length(name) <= 120", name=op.f("ck_scenarios_name")),
        sa.CheckConstraint("length(parameters) <= 8000", name=op.f("ck_scenarios_parameters")),
        sa.CheckConstraint("version > 0", name=op.f("ck_scenarios_version")),
        sa.ForeignKeyConstraint(["licensor_id"], ["licensors.id"], name=op.f("fk_scenarios_licensor_id")),
        sa.ForeignKeyConstraint(["licensee_id"], ["licensees.id"], name=op.f("fk_scenarios_licensee_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scenarios")),
    )
    op.create_index("ix_scenarios_key", "scenarios", ["key", "version"], unique=True)
    op.create_index("ix_scenarios_licensor", "scenarios", ["licensor_id", "owner"])
    op.create_index("ix_scenarios_licensee", "scenarios", ["licensee_id", "owner"])
    op.execute(RIGHTS)
