"""Who may do what: finance users, their keys and roles, idempotent requests, and the eyes of a licensor.

Safe while old code runs: tables of its own, a role of its own, and policies that leave the other roles what they see.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "access"
down_revision = "notices"
branch_labels = None
depends_on = None

ROLE = """
DO $$
BEGIN
    CREATE ROLE perimage_licensor NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$
BEGIN
    EXECUTE format('GRANT perimage_licensor TO %I', current_user);
EXCEPTION WHEN OTHERS THEN RAISE NOTICE 'the login needs membership of perimage_licensor';
END $$;
GRANT USAGE ON SCHEMA public TO perimage_licensor;
"""
GRANTS = """
GRANT SELECT, INSERT ON finance_users, finance_keys, idempotent_requests TO perimage_app;
GRANT UPDATE (name, role, password_hash, active) ON finance_users TO perimage_app;
GRANT UPDATE (revoked_at) ON finance_keys TO perimage_app;
GRANT DELETE, UPDATE (kept_at) ON idempotent_requests TO perimage_app;
"""
DEAD_STAYS_DEAD = """
CREATE FUNCTION keep_ended_access() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION '% are ended, never deleted', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
    END IF;
    IF TG_TABLE_NAME = 'finance_users' AND (to_jsonb(NEW)->>'active')::boolean AND NOT (to_jsonb(OLD)->>'active')::boolean
       OR TG_TABLE_NAME = 'finance_keys' AND to_jsonb(OLD)->>'revoked_at' IS NOT NULL AND to_jsonb(NEW) <> to_jsonb(OLD)
    THEN
        RAISE EXCEPTION 'what was ended in % stays so', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER stays_ended BEFORE UPDATE OR DELETE ON finance_users FOR EACH ROW EXECUTE FUNCTION keep_ended_access();
CREATE TRIGGER stays_ended BEFORE UPDATE OR DELETE ON finance_keys FOR EACH ROW EXECUTE FUNCTION keep_ended_access();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON finance_users EXECUTE FUNCTION refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON finance_keys EXECUTE FUNCTION refuse_change();
"""

ME = "NULLIF(current_setting('perimage.licensor_id', true), '')::bigint"
MINE = f"licensor_id = {ME}"
MY_INVOICE = "EXISTS (SELECT FROM invoices WHERE invoices.id = invoice_id)"
MY_AGREEMENT = "EXISTS (SELECT FROM agreements WHERE agreements.id = agreement_id)"
# What a licensor's people may see of each table. A subquery looks through the same eyes.
LICENSOR_SEES = {
    "licensors": f"id = {ME}",
    "accounts": MINE,
    "licensees": "EXISTS (SELECT FROM accounts WHERE accounts.licensee_id = licensees.id)",
    "models": MINE,
    "model_names": "EXISTS (SELECT FROM models WHERE models.id = model_id)",
    "model_bases": "EXISTS (SELECT FROM models WHERE models.id = model_id)",
    "agreements": "EXISTS (SELECT FROM accounts WHERE accounts.id = account_id)",
    "amendments": MY_AGREEMENT,
    "agreement_events": MY_AGREEMENT,
    "agreement_models": MY_AGREEMENT,
    "daily_counts": "model_id IN (SELECT id FROM models)",
    "invoices": MINE,
    "invoice_lines": MY_INVOICE,
    "invoice_events": MY_INVOICE,
    "invoice_documents": MY_INVOICE,
    "billing_run_items": MY_AGREEMENT,
    "billing_runs": "EXISTS (SELECT FROM billing_run_items WHERE billing_run_items.run_id = billing_runs.id)",
    "ledger_transactions": MINE,
    "postings": "EXISTS (SELECT FROM ledger_transactions WHERE ledger_transactions.id = transaction_id)",
    "payments": MINE,
    "payment_allocations": MY_INVOICE,
    "payment_refunds": MINE,
    "bank_statements": MINE,
    "bank_rows": MINE,
    "bank_decisions": "EXISTS (SELECT FROM bank_rows WHERE bank_rows.id = row_id)",
    "statements": MINE,
    "certifications": MINE,
    "disputes": MINE,
    "settlements": "EXISTS (SELECT FROM disputes WHERE disputes.licensee_id = settlements.licensee_id "
    "AND disputes.dispute_id = settlements.dispute_id)",
    "audit_log": MINE,
}
# Tables that had no policies yet, and those of them that licensees may read, all of them.
NEWLY_GUARDED = (
    *("licensors", "models", "model_names", "model_bases", "billing_run_items", "billing_runs", "ledger_transactions"),
    *("postings", "bank_statements", "bank_rows", "bank_decisions", "audit_log"),
)
LICENSEES_READ = ("licensors", "models", "model_names", "model_bases")


def upgrade() -> None:
    _tables()
    op.execute(ROLE)
    op.execute(GRANTS)
    op.execute(DEAD_STAYS_DEAD)
    for table in NEWLY_GUARDED:
        op.execute(f"CREATE POLICY app ON {table} TO perimage_app USING (true) WITH CHECK (true)")
        if table in LICENSEES_READ:
            op.execute(f"CREATE POLICY licensee ON {table} FOR SELECT TO perimage_licensee USING (true)")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute("GRANT SELECT ON units TO perimage_licensor")
    for table, condition in LICENSOR_SEES.items():
        op.execute(f"GRANT SELECT ON {table} TO perimage_licensor")
        op.execute(f"CREATE POLICY licensor ON {table} FOR SELECT TO perimage_licensor USING ({condition})")


def _tables() -> None:
    now = sa.text("now()")
    words = postgresql.ARRAY(sa.String())
    op.create_table(
        "finance_users",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=True),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=now, nullable=False),
        sa.CheckConstraint("role IN ('viewer', 'clerk', 'approver', 'admin')", name=op.f("ck_finance_users_role")),
        sa.CheckConstraint(
            "email = lower(email) AND email LIKE '%@%' AND email NOT LIKE '%:%'", name=op.f("ck_finance_users_email")
        ),
        sa.CheckConstraint("name <> ''", name=op.f("ck_finance_users_name")),
        sa.ForeignKeyConstraint(["licensor_id"], ["licensors.id"], name=op.f("fk_finance_users_licensor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_finance_users")),
        sa.UniqueConstraint("email", name=op.f("uq_finance_users_email")),
    )
    op.create_index("ix_finance_users_licensor", "finance_users", ["licensor_id", "id"])
    op.create_table(
        "finance_keys",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("machine", sa.String(), nullable=True),
        sa.Column("role", sa.String(), nullable=True),
        sa.Column("scopes", words, nullable=False),
        sa.Column("label", sa.String(), server_default="", nullable=False),
        sa.Column("public_id", sa.String(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("issued_by", sa.String(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=now, nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("revoked_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint("(user_id IS NULL) = (machine IS NOT NULL)", name=op.f("ck_finance_keys_owner")),
        sa.CheckConstraint("(machine IS NULL) = (role IS NULL)", name=op.f("ck_finance_keys_role_of_machine")),
        sa.CheckConstraint("role IN ('viewer', 'clerk', 'approver')", name=op.f("ck_finance_keys_role")),
        sa.CheckConstraint(
            "cardinality(scopes) > 0 AND scopes <@ "
            "ARRAY['read', 'close', 'invoices', 'payments', 'statements', 'admin']::varchar[]",
            name=op.f("ck_finance_keys_scopes"),
        ),
        sa.ForeignKeyConstraint(["licensor_id"], ["licensors.id"], name=op.f("fk_finance_keys_licensor_id")),
        sa.ForeignKeyConstraint(["user_id"], ["finance_users.id"], name=op.f("fk_finance_keys_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_finance_keys")),
        sa.UniqueConstraint("public_id", name=op.f("uq_finance_keys_public_id")),
    )
    op.create_index("ix_finance_keys_licensor", "finance_keys", ["licensor_id", "id"])
    op.create_table(
        "idempotent_requests",
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("kept_at", postgresql.TIMESTAMP(timezone=True), server_default=now, nullable=False),
        sa.ForeignKeyConstraint(["licensor_id"], ["licensors.id"], name=op.f("fk_idempotent_requests_licensor_id")),
        sa.PrimaryKeyConstraint("licensor_id", "actor", "key", name=op.f("pk_idempotent_requests")),
    )
    op.create_index("ix_idempotent_requests_kept_at", "idempotent_requests", ["kept_at"])
