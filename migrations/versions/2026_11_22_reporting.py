"""What a licensee sees of its own reports: zero reports, sequence numbers, where a report's events are; signing keys.

Safe while old code runs: the new column fills itself, and nothing that old code writes is newly refused. Reports written
before have no transaction id, so their events cannot be listed with them. Building the two indexes keeps new reports
waiting for as long as it takes, seconds for millions of reports; none is lost.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from core.usage.tables import Xid8

revision = "reporting"
down_revision = "corrections"
branch_labels = None
depends_on = None

GUARDS = """
GRANT SELECT, INSERT ON zero_reports, signing_keys TO perimage_app;
GRANT SELECT ON zero_reports, rollup_watermarks TO perimage_licensee;
GRANT SELECT (id, licensee_id, public_id, label) ON meter_keys TO perimage_licensee;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON zero_reports EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON signing_keys EXECUTE FUNCTION refuse_change();
ALTER TABLE zero_reports ENABLE ROW LEVEL SECURITY;
ALTER TABLE zero_reports FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON zero_reports TO perimage_app USING (true) WITH CHECK (true);
CREATE POLICY licensee ON zero_reports FOR SELECT TO perimage_licensee
    USING (licensee_id = NULLIF(current_setting('perimage.licensee_id', true), '')::bigint);
"""


def upgrade() -> None:
    # In two steps: added with its default, the column would give every old report the transaction of this migration.
    op.add_column("usage_reports", sa.Column("xid", Xid8(), nullable=True))
    op.alter_column("usage_reports", "xid", server_default=sa.text("pg_current_xact_id()"))
    op.create_index(
        "ix_usage_reports_sequence",
        "usage_reports",
        ["licensee_id", "source", sa.text("sequence DESC")],
        postgresql_include=["received_at"],
        postgresql_where=sa.text("sequence IS NOT NULL"),
    )
    op.create_index(
        "ix_usage_reports_problems",
        "usage_reports",
        ["licensee_id", "received_at", "report_id"],
        postgresql_where=sa.text("rejected + conflict > 0"),
    )
    text = sa.Text(collation="C")
    op.create_table(
        "zero_reports",
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("zero_report_id", text, nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=False),
        sa.Column("model", text, nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("key_id", sa.BigInteger(), nullable=False),
        sa.Column("received_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("length(zero_report_id) BETWEEN 1 AND 255", name=op.f("ck_zero_reports_zero_report_id")),
        sa.CheckConstraint("ends_on > starts_on", name=op.f("ck_zero_reports_days")),
        sa.ForeignKeyConstraint(["licensee_id"], ["licensees.id"], name=op.f("fk_zero_reports_licensee_id")),
        sa.PrimaryKeyConstraint("licensee_id", "zero_report_id", name=op.f("pk_zero_reports")),
    )
    op.create_table(
        "signing_keys",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("taken_up_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "length(public_key) = 32 AND key_id = left(encode(sha256(public_key), 'hex'), 16)",
            name=op.f("ck_signing_keys_key_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signing_keys")),
    )
    op.execute(GUARDS)
