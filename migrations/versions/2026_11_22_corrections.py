"""Corrections of usage events: append-only, one unbroken chain an event, never below zero.

The roll-up takes a correction by its transaction, and relies on its being no older than the event's and the correction
before it. So the trigger that guards the chain guards that as well, for every role.

Safe while old code runs: nothing old is touched. An old roll-up that runs beside new code would pass corrections by,
so let workers follow the migration before the service takes corrections; `perimage verify` would show it.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from core.usage.tables import Xid8

revision = "corrections"
down_revision = "usage_facts"
branch_labels = None
depends_on = None

CHAIN = """
CREATE FUNCTION keep_correction_chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    stands bigint;
    written xid8;
BEGIN
    IF NEW.number = 1 THEN
        SELECT image_count, xid INTO stands, written FROM usage_events
        WHERE licensee_id = NEW.licensee_id AND event_id = NEW.event_id;
    ELSE
        SELECT image_count_after, xid INTO stands, written FROM usage_corrections
        WHERE licensee_id = NEW.licensee_id AND event_id = NEW.event_id AND number = NEW.number - 1;
    END IF;
    IF stands IS NULL THEN
        RAISE EXCEPTION 'correction % is of nothing: the event, or the correction before it, is not there', NEW.correction_id
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF stands <> NEW.image_count_before THEN
        RAISE EXCEPTION 'correction % begins at % images, where % stand', NEW.correction_id, NEW.image_count_before, stands
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.xid <> pg_current_xact_id() OR NEW.xid < written OR NEW.made_at <> now() THEN
        RAISE EXCEPTION 'correction % is not of this transaction, or its transaction began to write too early',
            NEW.correction_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER chain BEFORE INSERT ON usage_corrections FOR EACH ROW EXECUTE FUNCTION keep_correction_chain();
"""
GUARDS = """
GRANT SELECT, INSERT ON usage_corrections TO perimage_app;
GRANT SELECT ON usage_corrections TO perimage_licensee;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON usage_corrections EXECUTE FUNCTION refuse_change();
ALTER TABLE usage_corrections ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage_corrections FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON usage_corrections TO perimage_app USING (true) WITH CHECK (true);
CREATE POLICY licensee ON usage_corrections FOR SELECT TO perimage_licensee
    USING (licensee_id = NULLIF(current_setting('perimage.licensee_id', true), '')::bigint);
"""


def upgrade() -> None:
    text = sa.Text(collation="C")
    op.create_table(
        "usage_corrections",
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("correction_id", text, nullable=False),
        sa.Column("event_id", text, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", text, nullable=False),
        sa.Column("image_delta", sa.Integer(), nullable=False),
        sa.Column("image_count_before", sa.Integer(), nullable=False),
        sa.Column("image_count_after", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=True),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("made_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.CheckConstraint("length(correction_id) BETWEEN 1 AND 255", name=op.f("ck_usage_corrections_correction_id")),
        sa.CheckConstraint("number >= 1", name=op.f("ck_usage_corrections_number")),
        sa.CheckConstraint("kind IN ('withdraw', 'amend')", name=op.f("ck_usage_corrections_kind")),
        sa.CheckConstraint("kind = 'amend' OR image_count_after = 0", name=op.f("ck_usage_corrections_withdrawn")),
        sa.CheckConstraint(
            "image_delta <> 0 AND image_count_after = image_count_before + image_delta",
            name=op.f("ck_usage_corrections_delta"),
        ),
        sa.CheckConstraint("image_count_after BETWEEN 0 AND 1000000000", name=op.f("ck_usage_corrections_image_count")),
        sa.CheckConstraint(
            "length(btrim(actor)) > 0 AND length(btrim(reason)) > 0", name=op.f("ck_usage_corrections_said")
        ),
        sa.ForeignKeyConstraint(["licensee_id"], ["licensees.id"], name=op.f("fk_usage_corrections_licensee_id")),
        sa.PrimaryKeyConstraint("licensee_id", "correction_id", name=op.f("pk_usage_corrections")),
        sa.UniqueConstraint("licensee_id", "event_id", "number", name="uq_usage_corrections_chain"),
    )
    op.create_index("ix_usage_corrections_xid", "usage_corrections", ["xid"])
    op.create_index("ix_usage_corrections_made", "usage_corrections", ["licensee_id", "made_at", "correction_id"])
    op.execute(CHAIN)
    op.execute(GUARDS)
