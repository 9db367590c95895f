"""Statements that both sides attest: signed, chained, append-only, and what was said of them.

Safe while old code runs: nothing old is touched.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "statements"
down_revision = "payments"
branch_labels = None
depends_on = None

GUARDS = """
GRANT SELECT, INSERT ON {table} TO perimage_app;
GRANT SELECT ON {table} TO perimage_licensee;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} EXECUTE FUNCTION refuse_change();
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON {table} TO perimage_app USING (true) WITH CHECK (true);
CREATE POLICY licensee ON {table} FOR SELECT TO perimage_licensee
    USING (licensee_id = NULLIF(current_setting('perimage.licensee_id', true), '')::bigint);
"""


def upgrade() -> None:
    op.create_table(
        "statements",
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("period_end", sa.Date(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("replaces", sa.Integer(), nullable=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("previous_hash", sa.String(), nullable=True),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("xid", sa.BigInteger(), nullable=False),
        sa.Column("made_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint("(number = 1) = (previous_hash IS NULL)", name=op.f("ck_statements_chain")),
        sa.CheckConstraint(
            "number >= 1 AND revision >= 1 AND (revision = 1) = (replaces IS NULL)", name=op.f("ck_statements_place")
        ),
        sa.CheckConstraint("period_end > period_start", name=op.f("ck_statements_period")),
        sa.ForeignKeyConstraint(
            ["licensee_id", "licensor_id"],
            ["accounts.licensee_id", "accounts.licensor_id"],
            name=op.f("fk_statements_licensee_id_licensor_id"),
        ),
        sa.PrimaryKeyConstraint("licensee_id", "licensor_id", "number", name=op.f("pk_statements")),
        sa.UniqueConstraint(
            "licensee_id", "licensor_id", "hash", name=op.f("uq_statements_licensee_id_licensor_id_hash")
        ),
        sa.UniqueConstraint(
            "licensee_id", "licensor_id", "period_start", "period_end", "revision", name="uq_statements_period"
        ),
        sa.UniqueConstraint(
            "licensee_id",
            "licensor_id",
            "previous_hash",
            name=op.f("uq_statements_licensee_id_licensor_id_previous_hash"),
        ),
    )
    op.create_table(
        "statement_chunks",
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("first_event_id", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["licensee_id", "licensor_id", "number"],
            ["statements.licensee_id", "statements.licensor_id", "statements.number"],
            name=op.f("fk_statement_chunks_licensee_id_licensor_id_number"),
        ),
        sa.PrimaryKeyConstraint("licensee_id", "licensor_id", "number", "place", name=op.f("pk_statement_chunks")),
    )
    op.create_table(
        "certifications",
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("certified_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("length(btrim(actor)) > 0", name=op.f("ck_certifications_actor")),
        sa.ForeignKeyConstraint(
            ["licensee_id", "licensor_id", "number"],
            ["statements.licensee_id", "statements.licensor_id", "statements.number"],
            name=op.f("fk_certifications_licensee_id_licensor_id_number"),
        ),
        sa.PrimaryKeyConstraint("licensee_id", "licensor_id", "number", name=op.f("pk_certifications")),
    )
    op.create_table(
        "disputes",
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("dispute_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("plan", sa.String(), nullable=True),
        sa.Column("stated", sa.BigInteger(), nullable=False),
        sa.Column("claimed", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("opened_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("length(btrim(actor)) > 0 AND length(btrim(reason)) > 0", name=op.f("ck_disputes_said")),
        sa.CheckConstraint("stated >= 0 AND claimed >= 0 AND stated <> claimed", name=op.f("ck_disputes_images")),
        sa.ForeignKeyConstraint(
            ["licensee_id", "licensor_id", "number"],
            ["statements.licensee_id", "statements.licensor_id", "statements.number"],
            name=op.f("fk_disputes_licensee_id_licensor_id_number"),
        ),
        sa.PrimaryKeyConstraint("licensee_id", "dispute_id", name=op.f("pk_disputes")),
    )
    op.create_index(
        "uq_disputes_line",
        "disputes",
        [
            "licensee_id",
            "licensor_id",
            "number",
            "model",
            "day",
            sa.literal_column("coalesce(plan, '')"),
            sa.literal_column("(plan IS NULL)"),
        ],
        unique=True,
    )
    op.create_table(
        "settlements",
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("dispute_id", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("agreed", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("settled_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(outcome = 'agreed') = (agreed IS NOT NULL)", name=op.f("ck_settlements_agreed")),
        sa.CheckConstraint("outcome IN ('agreed', 'rejected')", name=op.f("ck_settlements_outcome")),
        sa.CheckConstraint(
            "agreed >= 0 AND length(btrim(actor)) > 0 AND length(btrim(reason)) > 0", name=op.f("ck_settlements_said")
        ),
        sa.ForeignKeyConstraint(
            ["licensee_id", "dispute_id"],
            ["disputes.licensee_id", "disputes.dispute_id"],
            name=op.f("fk_settlements_licensee_id_dispute_id"),
        ),
        sa.PrimaryKeyConstraint("licensee_id", "dispute_id", name=op.f("pk_settlements")),
    )

    for table in ("statements", "statement_chunks", "certifications", "disputes", "settlements"):
        op.execute(GUARDS.format(table=table))
