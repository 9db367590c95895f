"""What was made and how a model is involved: `output` of events, `output` and `role` of counts, guesses of AIRs.

How a model was involved cannot be told from counts made before, so counts and resolutions are thrown away and the
watermark set back: the next roll-up counts every event anew, and nothing is closed before it has. Reports come in as
before while old code runs; its roll-up refuses to run on the new key, and loses nothing, until new workers take over.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from core.usage.tables import Xid8

revision = "usage_facts"
down_revision = "agreement_lifecycle"
branch_labels = None
depends_on = None

OUTPUT = "output IN ('image', 'preview', 'upscale', 'rejected', 'video_frame')"
ROLE = "role IN ('named', 'adapter_own', 'adapter_own_waived', 'adapter_base', 'adapter_base_waived', 'adapter_both')"
COUNT_ANEW = """
DELETE FROM daily_counts;
DELETE FROM resolutions;
UPDATE rollup_watermarks SET xid = '0' WHERE name = 'usage';
"""
LOG = """
GRANT SELECT, INSERT ON re_resolutions TO perimage_app;
GRANT SELECT ON re_resolutions TO perimage_licensee;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON re_resolutions EXECUTE FUNCTION refuse_change();
ALTER TABLE re_resolutions ENABLE ROW LEVEL SECURITY;
ALTER TABLE re_resolutions FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON re_resolutions TO perimage_app USING (true) WITH CHECK (true);
CREATE POLICY licensee ON re_resolutions FOR SELECT TO perimage_licensee
    USING (licensee_id = NULLIF(current_setting('perimage.licensee_id', true), '')::bigint);
"""


def upgrade() -> None:
    text = sa.Text(collation="C")
    op.add_column("usage_events", sa.Column("output", text, server_default="image", nullable=False))
    op.create_check_constraint(op.f("ck_usage_events_output"), "usage_events", OUTPUT)
    op.execute(COUNT_ANEW)
    _counts(text)
    _resolutions()
    op.create_table(
        "re_resolutions",
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", text, nullable=False),
        sa.Column("model", text, nullable=False),
        sa.Column("adapters", postgresql.ARRAY(text), nullable=False),
        sa.Column("first_xid", Xid8(), nullable=False),
        sa.Column("counted_before", postgresql.JSONB(), nullable=False),
        sa.Column("counted_after", postgresql.JSONB(), nullable=False),
        sa.Column("image_count", sa.BigInteger(), nullable=False),
        sa.Column("event_count", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("made_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "length(btrim(actor)) > 0 AND length(btrim(reason)) > 0", name=op.f("ck_re_resolutions_said")
        ),
        sa.ForeignKeyConstraint(["licensee_id"], ["licensees.id"], name=op.f("fk_re_resolutions_licensee_id")),
        sa.PrimaryKeyConstraint("licensee_id", "id", name=op.f("pk_re_resolutions")),
    )
    op.execute(LOG)


def _counts(text: sa.Text) -> None:
    op.add_column("daily_counts", sa.Column("role", text, server_default="named", nullable=False))
    op.add_column("daily_counts", sa.Column("output", text, server_default="image", nullable=False))
    op.create_check_constraint(op.f("ck_daily_counts_role"), "daily_counts", ROLE)
    op.create_check_constraint(op.f("ck_daily_counts_output"), "daily_counts", OUTPUT)
    op.drop_constraint(op.f("pk_daily_counts"), "daily_counts")
    key = ["licensee_id", "model_id", "day", "via_model_id", "plan", "role", "output"]
    op.create_primary_key(op.f("pk_daily_counts"), "daily_counts", key)


def _resolutions() -> None:
    names, ids = postgresql.ARRAY(sa.String()), postgresql.ARRAY(sa.BigInteger())
    op.add_column("resolutions", sa.Column("until_xid", Xid8(), nullable=True))
    op.add_column("resolutions", sa.Column("roles", names, server_default="{}", nullable=False))
    op.add_column("resolutions", sa.Column("guessed_names", names, server_default="{}", nullable=False))
    op.add_column("resolutions", sa.Column("guessed_ids", ids, server_default="{}", nullable=False))
    op.add_column("resolutions", sa.Column("pending", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("resolutions", sa.Column("image_count", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("resolutions", sa.Column("event_count", sa.BigInteger(), server_default="0", nullable=False))
    op.drop_constraint(op.f("pk_resolutions"), "resolutions")
    op.create_primary_key(op.f("pk_resolutions"), "resolutions", ["licensee_id", "model", "adapters", "first_xid"])
    op.create_check_constraint(
        op.f("ck_resolutions_pairs"),
        "resolutions",
        "cardinality(model_ids) = cardinality(roles) AND cardinality(guessed_names) = cardinality(guessed_ids)",
    )
    op.create_index(
        "uq_resolutions_open",
        "resolutions",
        ["licensee_id", "model", "adapters"],
        unique=True,
        postgresql_where=sa.text("until_xid IS NULL"),
    )
    op.create_index("ix_resolutions_pending", "resolutions", ["licensee_id"], postgresql_where=sa.text("pending"))
