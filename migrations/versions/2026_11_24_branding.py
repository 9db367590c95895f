"""How invoices look, where they are paid to, and notices in the eyes of a licensor.

Licensors' colours and logos, accounts' bank details; webhook endpoints may change their address, kinds and secret.
Safe while old code runs: every new column has a default or may be empty, the table is its own, and the new policies
leave the other roles what they see.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "branding"
down_revision = "accruals"
branch_labels = None
depends_on = None

RIGHTS = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON pictures EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON pictures TO perimage_app;
GRANT UPDATE (colour, accent, logo_sha256) ON licensors TO perimage_app;
GRANT UPDATE (bank) ON accounts TO perimage_app;
GRANT UPDATE (url, kinds, secret, former_secret, former_until) ON webhook_endpoints TO perimage_app;
"""
# A licensor's people see everything of its notices but the secrets that sign them.
NOTICES_SEEN = """
GRANT SELECT ON notices, deliveries, delivery_attempts TO perimage_licensor;
GRANT SELECT (id, licensor_id, licensee_id, url, kinds, active, off_reason, give_ups, created_at)
    ON webhook_endpoints TO perimage_licensor;
CREATE POLICY licensor ON notices FOR SELECT TO perimage_licensor
    USING (licensor_id = NULLIF(current_setting('perimage.licensor_id', true), '')::bigint);
CREATE POLICY licensor ON webhook_endpoints FOR SELECT TO perimage_licensor
    USING (licensor_id = NULLIF(current_setting('perimage.licensor_id', true), '')::bigint);
CREATE POLICY licensor ON deliveries FOR SELECT TO perimage_licensor
    USING (EXISTS (SELECT FROM notices WHERE notices.id = notice_id));
CREATE POLICY licensor ON delivery_attempts FOR SELECT TO perimage_licensor
    USING (EXISTS (SELECT FROM deliveries WHERE deliveries.id = delivery_id));
"""
NEWLY_GUARDED = ("webhook_endpoints", "deliveries", "delivery_attempts")


def upgrade() -> None:
    op.create_table(
        "pictures",
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("kept_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("sha256 = encode(sha256(content), 'hex')", name=op.f("ck_pictures_hash")),
        sa.CheckConstraint("octet_length(content) BETWEEN 1 AND 204800", name=op.f("ck_pictures_size")),
        sa.CheckConstraint("media_type IN ('image/png', 'image/svg+xml')", name=op.f("ck_pictures_media_type")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_pictures")),
    )
    op.add_column("licensors", sa.Column("colour", sa.String(), server_default="", nullable=False))
    op.add_column("licensors", sa.Column("accent", sa.String(), server_default="", nullable=False))
    op.add_column("licensors", sa.Column("logo_sha256", sa.String(), nullable=True))
    op.create_check_constraint(
        op.f("ck_licensors_colours"),
        "licensors",
        "colour ~ '^(#[0-9a-f]{6})?$' AND accent ~ '^(#[0-9a-f]{6})?$'",
    )
    op.create_foreign_key(op.f("fk_licensors_logo_sha256"), "licensors", "pictures", ["logo_sha256"], ["sha256"])
    jsonb = postgresql.JSONB(astext_type=sa.Text())
    op.add_column("accounts", sa.Column("bank", jsonb, server_default="{}", nullable=False))
    op.add_column("webhook_endpoints", sa.Column("former_secret", sa.String(), server_default="", nullable=False))
    op.add_column("webhook_endpoints", sa.Column("former_until", postgresql.TIMESTAMP(timezone=True), nullable=True))
    op.add_column("deliveries", sa.Column("locale", sa.String(), server_default="", nullable=False))
    op.execute(RIGHTS)
    for table in NEWLY_GUARDED:
        op.execute(f"CREATE POLICY app ON {table} TO perimage_app USING (true) WITH CHECK (true)")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(NOTICES_SEEN)
