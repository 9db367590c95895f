"""Notices: what must be told, to which endpoints and addresses, and the log of deliveries.

Only new tables: code that is still running knows nothing of them.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "notices"
down_revision = "statements"
branch_labels = None
depends_on = None

# Endpoints hold secrets and deliveries hold addresses: a licensee sees of all this its own notices alone.
GUARDS = """
GRANT SELECT, INSERT ON notices, webhook_endpoints, deliveries, delivery_attempts, notice_looks TO perimage_app;
GRANT UPDATE (active, off_reason, give_ups) ON webhook_endpoints TO perimage_app;
GRANT UPDATE (state, attempts, attempts_before, next_attempt_at, leased_until, last_status, last_said, finished_at)
    ON deliveries TO perimage_app;
GRANT UPDATE ON notice_looks TO perimage_app;
GRANT SELECT ON notices TO perimage_licensee;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON notices EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON delivery_attempts EXECUTE FUNCTION refuse_change();
ALTER TABLE notices ENABLE ROW LEVEL SECURITY;
ALTER TABLE notices FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON notices TO perimage_app USING (true) WITH CHECK (true);
CREATE POLICY licensee ON notices FOR SELECT TO perimage_licensee
    USING (for_licensee AND licensee_id = NULLIF(current_setting('perimage.licensee_id', true), '')::bigint);
"""


def upgrade() -> None:
    instant = postgresql.TIMESTAMP(timezone=True)
    op.create_table(
        "notices",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("licensee_id", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("for_licensee", sa.Boolean(), nullable=False),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.Column("told_at", instant, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind <> '' AND key <> '' AND message_id <> ''", name=op.f("ck_notices_said")),
        sa.ForeignKeyConstraint(["licensee_id"], ["licensees.id"], name=op.f("fk_notices_licensee_id")),
        sa.ForeignKeyConstraint(["licensor_id"], ["licensors.id"], name=op.f("fk_notices_licensor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
        sa.UniqueConstraint("licensor_id", "kind", "key", name=op.f("uq_notices_licensor_id_kind_key")),
        sa.UniqueConstraint("message_id", name=op.f("uq_notices_message_id")),
    )
    op.create_index("ix_notices_licensee", "notices", ["licensee_id", "id"])
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("licensee_id", sa.BigInteger(), nullable=True),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("secret", sa.String(), nullable=False),
        sa.Column("kinds", postgresql.ARRAY(sa.String()), server_default="{}", nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("off_reason", sa.String(), server_default="", nullable=False),
        sa.Column("give_ups", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", instant, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("url <> '' AND secret LIKE 'whsec\\_%'", name=op.f("ck_webhook_endpoints_said")),
        sa.CheckConstraint("give_ups >= 0", name=op.f("ck_webhook_endpoints_give_ups")),
        sa.CheckConstraint("active OR off_reason <> ''", name=op.f("ck_webhook_endpoints_off_reason")),
        sa.ForeignKeyConstraint(["licensee_id"], ["licensees.id"], name=op.f("fk_webhook_endpoints_licensee_id")),
        sa.ForeignKeyConstraint(["licensor_id"], ["licensors.id"], name=op.f("fk_webhook_endpoints_licensor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoints")),
    )
    op.create_index("ix_webhook_endpoints_licensor", "webhook_endpoints", ["licensor_id"])
    op.create_table(
        "deliveries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("notice_id", sa.BigInteger(), nullable=False),
        sa.Column("endpoint_id", sa.BigInteger(), nullable=True),
        sa.Column("address", sa.String(), server_default="", nullable=False),
        sa.Column("language", sa.String(), server_default="en", nullable=False),
        sa.Column("state", sa.String(), server_default="waiting", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempts_before", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", instant, nullable=False),
        sa.Column("leased_until", instant, nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_said", sa.String(), server_default="", nullable=False),
        sa.Column("finished_at", instant, nullable=True),
        sa.CheckConstraint("state IN ('waiting', 'delivered', 'given_up')", name=op.f("ck_deliveries_state")),
        sa.CheckConstraint("(endpoint_id IS NULL) = (address <> '')", name=op.f("ck_deliveries_target")),
        sa.CheckConstraint("attempts >= attempts_before AND attempts_before >= 0", name=op.f("ck_deliveries_attempts")),
        sa.ForeignKeyConstraint(["endpoint_id"], ["webhook_endpoints.id"], name=op.f("fk_deliveries_endpoint_id")),
        sa.ForeignKeyConstraint(["notice_id"], ["notices.id"], name=op.f("fk_deliveries_notice_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index(
        "uq_deliveries_endpoint",
        "deliveries",
        ["notice_id", "endpoint_id"],
        unique=True,
        postgresql_where=sa.text("endpoint_id IS NOT NULL"),
    )
    op.create_index(
        "uq_deliveries_address",
        "deliveries",
        ["notice_id", "address"],
        unique=True,
        postgresql_where=sa.text("address <> ''"),
    )
    waiting = sa.text("state = 'waiting'")
    op.create_index("ix_deliveries_waiting", "deliveries", ["next_attempt_at"], postgresql_where=waiting)
    op.create_index(
        "ix_deliveries_target", "deliveries", ["endpoint_id", "address", "leased_until"], postgresql_where=waiting
    )
    op.create_table(
        "delivery_attempts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("delivery_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("said", sa.String(), server_default="", nullable=False),
        sa.Column("took_ms", sa.Integer(), nullable=False),
        sa.Column("attempted_at", instant, nullable=False),
        sa.CheckConstraint(
            "result IN ('delivered', 'failed', 'refused', 'gone')", name=op.f("ck_delivery_attempts_result")
        ),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], name=op.f("fk_delivery_attempts_delivery_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_attempts")),
        sa.UniqueConstraint("delivery_id", "number", name=op.f("uq_delivery_attempts_delivery_id_number")),
    )
    op.create_table(
        "notice_looks",
        sa.Column("agreement_id", sa.BigInteger(), nullable=False),
        sa.Column("looked_at", instant, nullable=False),
        sa.Column("counted_until", instant, nullable=False),
        sa.ForeignKeyConstraint(["agreement_id"], ["agreements.id"], name=op.f("fk_notice_looks_agreement_id")),
        sa.PrimaryKeyConstraint("agreement_id", name=op.f("pk_notice_looks")),
    )
    op.execute(GUARDS)
