"""The first tables: registry, agreements, usage, ledger, invoicing."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from core.usage.tables import Xid8

revision = "first_tables"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")
    op.execute("CREATE SEQUENCE usage_report_numbers")
    op.create_table(
        "billing_runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("period_end", sa.Date(), nullable=False),
        sa.Column("issues", sa.Boolean(), nullable=False),
        sa.Column("requested_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_runs")),
    )
    op.create_table(
        "licensees",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("address", postgresql.ARRAY(sa.String()), server_default="{}", nullable=False),
        sa.Column("email", sa.String(), server_default="", nullable=False),
        sa.Column("tax_id", sa.String(), server_default="", nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_licensees")),
        sa.UniqueConstraint("slug", name=op.f("uq_licensees_slug")),
    )
    op.create_table(
        "licensors",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("invoice_prefix", sa.String(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("address", postgresql.ARRAY(sa.String()), server_default="{}", nullable=False),
        sa.Column("email", sa.String(), server_default="", nullable=False),
        sa.Column("tax_id", sa.String(), server_default="", nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_licensors")),
        sa.UniqueConstraint("invoice_prefix", name=op.f("uq_licensors_invoice_prefix")),
        sa.UniqueConstraint("slug", name=op.f("uq_licensors_slug")),
    )
    op.create_table(
        "rollup_watermarks",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("xid", Xid8(), nullable=False),
        sa.Column("moved_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_rollup_watermarks")),
    )
    op.create_table(
        "units",
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("decimals", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_units")),
    )
    op.create_table(
        "accounts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["licensee_id"], ["licensees.id"], name=op.f("fk_accounts_licensee_id")),
        sa.ForeignKeyConstraint(["licensor_id"], ["licensors.id"], name=op.f("fk_accounts_licensor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("licensee_id", "licensor_id", name=op.f("uq_accounts_licensee_id_licensor_id")),
    )
    op.create_table(
        "daily_counts",
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("via_model_id", sa.BigInteger(), nullable=False),
        sa.Column("plan", sa.Text(collation="C"), nullable=False),
        sa.Column("image_count", sa.BigInteger(), nullable=False),
        sa.Column("event_count", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("image_count >= 0 AND event_count >= 0", name=op.f("ck_daily_counts_counts")),
        sa.ForeignKeyConstraint(["licensee_id"], ["licensees.id"], name=op.f("fk_daily_counts_licensee_id")),
        sa.PrimaryKeyConstraint("licensee_id", "model_id", "day", "via_model_id", "plan", name=op.f("pk_daily_counts")),
    )
    op.create_table(
        "ledger_transactions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("posted_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["licensee_id"], ["licensees.id"], name=op.f("fk_ledger_transactions_licensee_id")),
        sa.ForeignKeyConstraint(["licensor_id"], ["licensors.id"], name=op.f("fk_ledger_transactions_licensor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_transactions")),
        sa.UniqueConstraint("licensor_id", "reference", name=op.f("uq_ledger_transactions_licensor_id_reference")),
    )
    op.create_table(
        "meter_keys",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("public_id", sa.String(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("backfill_from", sa.Date(), nullable=True),
        sa.Column("backfill_reason", sa.String(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("revoked_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["licensee_id"], ["licensees.id"], name=op.f("fk_meter_keys_licensee_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_meter_keys")),
        sa.UniqueConstraint("public_id", name=op.f("uq_meter_keys_public_id")),
    )
    op.create_table(
        "models",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("owes", sa.String(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("owes IN ('own', 'base', 'both')", name=op.f("ck_models_owes")),
        sa.ForeignKeyConstraint(["licensor_id"], ["licensors.id"], name=op.f("fk_models_licensor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
        sa.UniqueConstraint("slug", name=op.f("uq_models_slug")),
    )
    op.create_table(
        "number_series",
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("last_number", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["licensor_id"], ["licensors.id"], name=op.f("fk_number_series_licensor_id")),
        sa.PrimaryKeyConstraint("licensor_id", "kind", name=op.f("pk_number_series")),
    )
    op.create_table(
        "resolutions",
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("model", sa.Text(collation="C"), nullable=False),
        sa.Column("adapters", postgresql.ARRAY(sa.Text(collation="C")), nullable=False),
        sa.Column("model_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("via_model_id", sa.BigInteger(), nullable=True),
        sa.Column("held_names", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("first_xid", Xid8(), nullable=False),
        sa.ForeignKeyConstraint(["licensee_id"], ["licensees.id"], name=op.f("fk_resolutions_licensee_id")),
        sa.PrimaryKeyConstraint("licensee_id", "model", "adapters", name=op.f("pk_resolutions")),
    )
    op.create_table(
        "usage_events",
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
        sa.Column("model", sa.Text(collation="C"), nullable=False),
        sa.Column("image_count", sa.Integer(), nullable=False),
        sa.Column("occurred_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("adapters", postgresql.ARRAY(sa.Text(collation="C")), nullable=False),
        sa.Column("plan", sa.Text(collation="C"), nullable=False),
        sa.Column("report_no", sa.BigInteger(), nullable=False),
        sa.Column("received_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.CheckConstraint("image_count BETWEEN 1 AND 1000000000", name=op.f("ck_usage_events_image_count")),
        sa.CheckConstraint("length(event_id) BETWEEN 1 AND 255", name=op.f("ck_usage_events_event_id")),
        sa.PrimaryKeyConstraint("licensee_id", "event_id", name=op.f("pk_usage_events")),
    )
    op.create_index("ix_usage_events_xid", "usage_events", ["xid"], unique=False)
    op.create_table(
        "usage_reports",
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("report_id", sa.Text(collation="C"), nullable=False),
        sa.Column("report_no", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(), nullable=True),
        sa.Column("sequence", sa.BigInteger(), nullable=True),
        sa.Column("body_digest", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("accepted", sa.Integer(), nullable=False),
        sa.Column("duplicate", sa.Integer(), nullable=False),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.Column("conflict", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("image_count", sa.BigInteger(), nullable=False),
        sa.Column("outcomes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint("length(report_id) BETWEEN 1 AND 255", name=op.f("ck_usage_reports_report_id")),
        sa.ForeignKeyConstraint(["licensee_id"], ["licensees.id"], name=op.f("fk_usage_reports_licensee_id")),
        sa.PrimaryKeyConstraint("licensee_id", "report_id", name=op.f("pk_usage_reports")),
    )
    op.create_index("ix_usage_reports_received", "usage_reports", ["licensee_id", "received_at"], unique=False)
    op.create_table(
        "agreements",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=False),
        sa.Column("starts_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("ends_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("signed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(status = 'signed') = (signed_at IS NOT NULL)", name=op.f("ck_agreements_signature")),
        sa.CheckConstraint("status IN ('draft', 'signed')", name=op.f("ck_agreements_status")),
        sa.CheckConstraint("ends_on > starts_on AND ends_at > starts_at", name=op.f("ck_agreements_term")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_agreements_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agreements")),
        sa.UniqueConstraint("slug", name=op.f("uq_agreements_slug")),
    )
    op.create_table(
        "model_bases",
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column("base_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("model_id <> base_id", name=op.f("ck_model_bases_not_itself")),
        sa.ForeignKeyConstraint(["base_id"], ["models.id"], name=op.f("fk_model_bases_base_id")),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_model_bases_model_id")),
        sa.PrimaryKeyConstraint("model_id", "base_id", name=op.f("pk_model_bases")),
    )
    op.create_table(
        "model_names",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_model_names_model_id")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_model_names")),
    )
    op.create_table(
        "postings",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("transaction_id", sa.BigInteger(), nullable=False),
        sa.Column("book", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("book IN ('receivable', 'licence_fees')", name=op.f("ck_postings_book")),
        sa.ForeignKeyConstraint(
            ["transaction_id"], ["ledger_transactions.id"], name=op.f("fk_postings_transaction_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_postings")),
    )
    op.create_index(op.f("ix_postings_transaction_id"), "postings", ["transaction_id"], unique=False)
    op.create_table(
        "agreement_models",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("agreement_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column("days", postgresql.DATERANGE(), nullable=False),
        postgresql.ExcludeConstraint(
            (sa.column("account_id"), "="),
            (sa.column("model_id"), "="),
            (sa.column("days"), "&&"),
            using="gist",
            name="ex_agreement_models_overlap",
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_agreement_models_account_id")),
        sa.ForeignKeyConstraint(["agreement_id"], ["agreements.id"], name=op.f("fk_agreement_models_agreement_id")),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_agreement_models_model_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agreement_models")),
    )
    op.create_table(
        "amendments",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("agreement_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("terms", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("document_hash", sa.String(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("number >= 0", name=op.f("ck_amendments_number")),
        sa.ForeignKeyConstraint(["agreement_id"], ["agreements.id"], name=op.f("fk_amendments_agreement_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_amendments")),
        sa.UniqueConstraint("agreement_id", "number", name=op.f("uq_amendments_agreement_id_number")),
    )
    op.create_table(
        "invoices",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("agreement_id", sa.BigInteger(), nullable=False),
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), server_default="regular", nullable=False),
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("period_end", sa.Date(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("hold_reason", sa.String(), nullable=True),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.String(), nullable=True),
        sa.Column("closed_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("issued_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("due_on", sa.Date(), nullable=True),
        sa.Column("snapshot", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("content_hash", sa.String(), nullable=True),
        sa.CheckConstraint(
            "(status IN ('issued', 'void')) = (number IS NOT NULL AND issued_at IS NOT NULL AND due_on IS NOT NULL AND snapshot IS NOT NULL AND content_hash IS NOT NULL)",
            name=op.f("ck_invoices_frozen"),
        ),
        sa.CheckConstraint("kind IN ('regular')", name=op.f("ck_invoices_kind")),
        sa.CheckConstraint("status IN ('draft', 'held', 'issued', 'void')", name=op.f("ck_invoices_status")),
        sa.CheckConstraint("period_end > period_start", name=op.f("ck_invoices_period")),
        sa.ForeignKeyConstraint(["agreement_id"], ["agreements.id"], name=op.f("fk_invoices_agreement_id")),
        sa.ForeignKeyConstraint(["licensee_id"], ["licensees.id"], name=op.f("fk_invoices_licensee_id")),
        sa.ForeignKeyConstraint(["licensor_id"], ["licensors.id"], name=op.f("fk_invoices_licensor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoices")),
        sa.UniqueConstraint("licensor_id", "number", name=op.f("uq_invoices_licensor_id_number")),
    )
    op.create_index("ix_invoices_licensee", "invoices", ["licensee_id", "period_start"], unique=False)
    op.create_index(
        "uq_invoices_agreement_period_kind",
        "invoices",
        ["agreement_id", "period_start", "kind"],
        unique=True,
        postgresql_where=sa.text("status <> 'void'"),
    )
    op.create_table(
        "billing_run_items",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("agreement_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), server_default="waiting", nullable=False),
        sa.Column("invoice_id", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("leased_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('waiting', 'counted', 'closed', 'issued', 'finished', 'failed')",
            name=op.f("ck_billing_run_items_state"),
        ),
        sa.ForeignKeyConstraint(["agreement_id"], ["agreements.id"], name=op.f("fk_billing_run_items_agreement_id")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_billing_run_items_invoice_id")),
        sa.ForeignKeyConstraint(["run_id"], ["billing_runs.id"], name=op.f("fk_billing_run_items_run_id")),
        sa.PrimaryKeyConstraint("run_id", "agreement_id", name=op.f("pk_billing_run_items")),
    )
    op.create_index(
        "ix_billing_run_items_open",
        "billing_run_items",
        ["leased_until"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "invoice_documents",
        sa.Column("invoice_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("template", sa.String(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("made_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_invoice_documents_invoice_id")),
        sa.PrimaryKeyConstraint("invoice_id", "kind", name=op.f("pk_invoice_documents")),
    )
    op.create_table(
        "invoice_lines",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("invoice_id", sa.BigInteger(), nullable=False),
        sa.Column("no", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("service_start", sa.Date(), nullable=False),
        sa.Column("service_end", sa.Date(), nullable=False),
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("adjustment", sa.Boolean(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("image_count", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("unit_price", sa.Numeric(precision=38, scale=12), nullable=True),
        sa.Column("unit_amount", sa.Numeric(precision=38, scale=12), nullable=False),
        sa.Column("conversion_rate", sa.Numeric(precision=38, scale=12), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("price_id", sa.String(), nullable=False),
        sa.Column("workings", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint(
            "unit_amount <> 'NaN' AND (unit_price IS NULL OR unit_price <> 'NaN')",
            name=op.f("ck_invoice_lines_numbers"),
        ),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_invoice_lines_invoice_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice_lines")),
        sa.UniqueConstraint(
            "invoice_id", "kind", "subject", "service_start", "service_end", "part", name="uq_lines_key"
        ),
        sa.UniqueConstraint("invoice_id", "no", name=op.f("uq_invoice_lines_invoice_id_no")),
    )
