"""Payments, their allocation, and the outbox to the payment gateway.

Only new tables: code that is still running knows nothing of them.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "payments"
down_revision = "invoice_life"
branch_labels = None
depends_on = None

# The sums are checked under one lock for each account, so that two that allocate at once take turns. What is left of an
# invoice is the sum of its receivable in the books; what is left of a credit note is on `unapplied`.
SUMS = """
CREATE FUNCTION hold_payments_of(of_licensor bigint, of_licensee bigint) RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtextextended(format('payments of %s to %s', of_licensee, of_licensor), 0))
$$;

CREATE FUNCTION left_of_source(of_payment bigint, of_credit_note bigint) RETURNS numeric LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN of_payment IS NOT NULL THEN
        (SELECT amount_minor FROM payments WHERE id = of_payment)
        - COALESCE((SELECT sum(amount_minor) FROM payment_allocations WHERE payment_id = of_payment), 0)
        - COALESCE((SELECT sum(amount_minor) FROM payment_refunds WHERE payment_id = of_payment), 0)
    ELSE
        -COALESCE((SELECT sum(p.amount_minor) FROM postings p JOIN ledger_transactions t ON t.id = p.transaction_id
                   JOIN invoices n ON n.id = of_credit_note
                   WHERE p.book = 'unapplied' AND p.item = n.number AND t.licensor_id = n.licensor_id), 0)
    END
$$;

CREATE FUNCTION demand_sound_allocation() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    source record;
    target invoices%ROWTYPE;
    undone payment_allocations%ROWTYPE;
    still_open numeric;
BEGIN
    IF NEW.payment_id IS NOT NULL THEN
        SELECT licensor_id, licensee_id, currency INTO source FROM payments WHERE id = NEW.payment_id;
    ELSE
        SELECT licensor_id, licensee_id, currency INTO source FROM invoices
        WHERE id = NEW.credit_note_id AND kind = 'credit_note' AND status = 'issued';
    END IF;
    IF source IS NULL THEN
        RAISE EXCEPTION 'there is nothing to allocate from' USING ERRCODE = 'check_violation';
    END IF;
    PERFORM hold_payments_of(source.licensor_id, source.licensee_id);
    SELECT * INTO target FROM invoices WHERE id = NEW.invoice_id FOR UPDATE;
    IF (target.licensor_id, target.licensee_id, target.currency)
       IS DISTINCT FROM (source.licensor_id, source.licensee_id, source.currency) THEN
        RAISE EXCEPTION 'money settles invoices of its own account and currency' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.reverses_id IS NOT NULL THEN
        SELECT * INTO undone FROM payment_allocations WHERE id = NEW.reverses_id;
        IF (undone.payment_id, undone.credit_note_id, undone.invoice_id, undone.amount_minor)
           IS DISTINCT FROM (NEW.payment_id, NEW.credit_note_id, NEW.invoice_id, -NEW.amount_minor)
           OR undone.amount_minor < 0 THEN
            RAISE EXCEPTION 'a reversal undoes one allocation, whole' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF target.status <> 'issued' OR target.kind = 'credit_note' THEN
        RAISE EXCEPTION 'only an issued invoice can be paid' USING ERRCODE = 'check_violation';
    END IF;
    SELECT COALESCE(sum(p.amount_minor), 0) INTO still_open FROM postings p
    JOIN ledger_transactions t ON t.id = p.transaction_id
    WHERE p.book = 'receivable' AND p.item = target.number AND t.licensor_id = target.licensor_id;
    IF NEW.amount_minor > still_open THEN
        RAISE EXCEPTION 'invoice % is open for % only', target.number, still_open USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.amount_minor > left_of_source(NEW.payment_id, NEW.credit_note_id) THEN
        RAISE EXCEPTION 'more is allocated than is left' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER sound BEFORE INSERT ON payment_allocations
    FOR EACH ROW EXECUTE FUNCTION demand_sound_allocation();

CREATE FUNCTION demand_sound_refund() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    source record;
BEGIN
    IF NEW.payment_id IS NOT NULL THEN
        SELECT licensor_id, licensee_id INTO source FROM payments WHERE id = NEW.payment_id;
    ELSE
        SELECT licensor_id, licensee_id INTO source FROM invoices
        WHERE id = NEW.credit_note_id AND kind = 'credit_note' AND status = 'issued';
    END IF;
    IF source IS NULL OR source.licensor_id <> NEW.licensor_id THEN
        RAISE EXCEPTION 'there is nothing to refund' USING ERRCODE = 'check_violation';
    END IF;
    PERFORM hold_payments_of(source.licensor_id, source.licensee_id);
    IF NEW.amount_minor > left_of_source(NEW.payment_id, NEW.credit_note_id) THEN
        RAISE EXCEPTION 'more is refunded than is left' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER sound BEFORE INSERT ON payment_refunds FOR EACH ROW EXECUTE FUNCTION demand_sound_refund();
"""

# No fact without its entry in the books, and no second gateway invoice for one of ours.
BOOKED = """
CREATE FUNCTION demand_entry() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wanted text;
    of_licensor bigint;
BEGIN
    IF TG_TABLE_NAME = 'payments' THEN
        wanted := format('payment:%s:%s', NEW.method, NEW.reference);
        of_licensor := NEW.licensor_id;
    ELSIF TG_TABLE_NAME = 'payment_refunds' THEN
        wanted := format('refund:%s', NEW.id);
        of_licensor := NEW.licensor_id;
    ELSE
        wanted := format('apply:%s', NEW.id);
        SELECT licensor_id INTO of_licensor FROM invoices WHERE id = NEW.invoice_id;
    END IF;
    IF NOT EXISTS (SELECT FROM ledger_transactions WHERE licensor_id = of_licensor AND reference = wanted) THEN
        RAISE EXCEPTION 'the books lack the entry %', wanted USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER booked AFTER INSERT ON payments DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION demand_entry();
CREATE CONSTRAINT TRIGGER booked AFTER INSERT ON payment_allocations DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION demand_entry();
CREATE CONSTRAINT TRIGGER booked AFTER INSERT ON payment_refunds DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION demand_entry();

CREATE FUNCTION keep_gateway_id() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.gateway_id IS NOT NULL AND (TG_OP = 'DELETE' OR NEW.gateway_id IS DISTINCT FROM OLD.gateway_id) THEN
        RAISE EXCEPTION '% is known at the gateway as % and stays so', TG_TABLE_NAME, OLD.gateway_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN COALESCE(NEW, OLD);
END $$;
CREATE TRIGGER keep_gateway_id BEFORE UPDATE OR DELETE ON gateway_invoices
    FOR EACH ROW EXECUTE FUNCTION keep_gateway_id();
CREATE TRIGGER keep_gateway_id BEFORE UPDATE OR DELETE ON gateway_customers
    FOR EACH ROW EXECUTE FUNCTION keep_gateway_id();
"""

ME = "NULLIF(current_setting('perimage.licensee_id', true), '')::bigint"
RIGHTS = f"""
GRANT SELECT, INSERT ON payments, payment_allocations, payment_refunds, bank_statements, bank_rows, bank_decisions,
    gateway_customers, gateway_invoices, gateway_steps, gateway_events, gateway_pace, gateway_pauses,
    gateway_reconciliations, gateway_differences TO perimage_app;
GRANT UPDATE ON gateway_customers, gateway_invoices, gateway_steps, gateway_pace, gateway_differences TO perimage_app;
GRANT SELECT ON payments, payment_allocations, payment_refunds TO perimage_licensee;
ALTER TABLE payments ENABLE ROW LEVEL SECURITY;
ALTER TABLE payments FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON payments TO perimage_app USING (true) WITH CHECK (true);
CREATE POLICY licensee ON payments FOR SELECT TO perimage_licensee USING (licensee_id = {ME});
ALTER TABLE payment_allocations ENABLE ROW LEVEL SECURITY;
ALTER TABLE payment_allocations FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON payment_allocations TO perimage_app USING (true) WITH CHECK (true);
CREATE POLICY licensee ON payment_allocations FOR SELECT TO perimage_licensee USING (
    EXISTS (SELECT FROM invoices WHERE invoices.id = invoice_id));
ALTER TABLE payment_refunds ENABLE ROW LEVEL SECURITY;
ALTER TABLE payment_refunds FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON payment_refunds TO perimage_app USING (true) WITH CHECK (true);
CREATE POLICY licensee ON payment_refunds FOR SELECT TO perimage_licensee USING (
    EXISTS (SELECT FROM payments WHERE payments.id = payment_id)
    OR EXISTS (SELECT FROM invoices WHERE invoices.id = credit_note_id));
"""  # noqa: S608 - no input of anybody's
APPEND_ONLY_TABLES = (
    *("payments", "payment_allocations", "payment_refunds", "bank_statements", "bank_rows", "bank_decisions"),
    *("gateway_events", "gateway_pauses", "gateway_reconciliations"),
)


def upgrade() -> None:
    _tables()
    for table in APPEND_ONLY_TABLES:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} EXECUTE FUNCTION refuse_change()"
        )
    op.execute(SUMS)
    op.execute(BOOKED)
    op.execute(RIGHTS)


def _tables() -> None:
    op.create_table(
        "payments",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("charges_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("withheld_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("received_on", sa.Date(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("payer", sa.String(), server_default="", nullable=False),
        sa.Column("note", sa.String(), server_default="", nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("recorded_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("method IN ('manual', 'bank', 'stripe')", name=op.f("ck_payments_method")),
        sa.CheckConstraint("reference <> '' AND actor <> ''", name=op.f("ck_payments_said")),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_payments_amount")),
        sa.CheckConstraint(
            "charges_minor >= 0 AND withheld_minor >= 0 AND charges_minor + withheld_minor <= amount_minor",
            name=op.f("ck_payments_kept_back"),
        ),
        sa.ForeignKeyConstraint(["licensee_id"], ["licensees.id"], name=op.f("fk_payments_licensee_id")),
        sa.ForeignKeyConstraint(["licensor_id"], ["licensors.id"], name=op.f("fk_payments_licensor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
        sa.UniqueConstraint(
            "licensor_id", "method", "reference", name=op.f("uq_payments_licensor_id_method_reference")
        ),
    )
    op.create_index("ix_payments_account", "payments", ["licensee_id", "licensor_id", "received_on"], unique=False)
    op.create_table(
        "payment_allocations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("payment_id", sa.BigInteger(), nullable=True),
        sa.Column("credit_note_id", sa.BigInteger(), nullable=True),
        sa.Column("invoice_id", sa.BigInteger(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("reverses_id", sa.BigInteger(), nullable=True),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), server_default="", nullable=False),
        sa.Column("allocated_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("actor <> ''", name=op.f("ck_payment_allocations_said")),
        sa.CheckConstraint(
            "amount_minor <> 0 AND (amount_minor < 0) = (reverses_id IS NOT NULL)",
            name=op.f("ck_payment_allocations_amount"),
        ),
        sa.CheckConstraint("num_nonnulls(payment_id, credit_note_id) = 1", name=op.f("ck_payment_allocations_source")),
        sa.ForeignKeyConstraint(
            ["credit_note_id"], ["invoices.id"], name=op.f("fk_payment_allocations_credit_note_id")
        ),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_payment_allocations_invoice_id")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_payment_allocations_payment_id")),
        sa.ForeignKeyConstraint(
            ["reverses_id"], ["payment_allocations.id"], name=op.f("fk_payment_allocations_reverses_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_allocations")),
        sa.UniqueConstraint("reverses_id", name=op.f("uq_payment_allocations_reverses_id")),
    )
    op.create_index("ix_payment_allocations_invoice", "payment_allocations", ["invoice_id"], unique=False)
    op.create_index("ix_payment_allocations_payment", "payment_allocations", ["payment_id"], unique=False)
    op.create_table(
        "payment_refunds",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("payment_id", sa.BigInteger(), nullable=True),
        sa.Column("credit_note_id", sa.BigInteger(), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("refunded_on", sa.Date(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("recorded_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("reference <> '' AND actor <> '' AND reason <> ''", name=op.f("ck_payment_refunds_said")),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_payment_refunds_amount")),
        sa.CheckConstraint("num_nonnulls(payment_id, credit_note_id) = 1", name=op.f("ck_payment_refunds_source")),
        sa.ForeignKeyConstraint(["credit_note_id"], ["invoices.id"], name=op.f("fk_payment_refunds_credit_note_id")),
        sa.ForeignKeyConstraint(["licensor_id"], ["licensors.id"], name=op.f("fk_payment_refunds_licensor_id")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_payment_refunds_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_refunds")),
        sa.UniqueConstraint("licensor_id", "reference", name=op.f("uq_payment_refunds_licensor_id_reference")),
    )
    op.create_index("ix_payment_refunds_payment", "payment_refunds", ["payment_id"], unique=False)
    op.create_table(
        "bank_statements",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("imported_by", sa.String(), nullable=False),
        sa.Column("imported_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["licensor_id"], ["licensors.id"], name=op.f("fk_bank_statements_licensor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_statements")),
        sa.UniqueConstraint("licensor_id", "name", name=op.f("uq_bank_statements_licensor_id_name")),
    )
    op.create_table(
        "bank_rows",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("statement_id", sa.BigInteger(), nullable=False),
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("no", sa.Integer(), nullable=False),
        sa.Column("booked_on", sa.Date(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("payer", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_bank_rows_amount")),
        sa.ForeignKeyConstraint(["licensor_id"], ["licensors.id"], name=op.f("fk_bank_rows_licensor_id")),
        sa.ForeignKeyConstraint(["statement_id"], ["bank_statements.id"], name=op.f("fk_bank_rows_statement_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_rows")),
        sa.UniqueConstraint("licensor_id", "fingerprint", name=op.f("uq_bank_rows_licensor_id_fingerprint")),
    )
    op.create_table(
        "bank_decisions",
        sa.Column("row_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("payment_id", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(), server_default="", nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("decided_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(payment_id IS NULL) = (reason <> '')", name=op.f("ck_bank_decisions_outcome")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_bank_decisions_payment_id")),
        sa.ForeignKeyConstraint(["row_id"], ["bank_rows.id"], name=op.f("fk_bank_decisions_row_id")),
        sa.PrimaryKeyConstraint("row_id", name=op.f("pk_bank_decisions")),
        sa.UniqueConstraint("payment_id", name=op.f("uq_bank_decisions_payment_id")),
    )
    op.create_table(
        "gateway_customers",
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("collection", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("since", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("gateway_id", sa.String(), nullable=True),
        sa.CheckConstraint(
            "collection IN ('send_invoice', 'charge_automatically')", name=op.f("ck_gateway_customers_collection")
        ),
        sa.ForeignKeyConstraint(["licensee_id"], ["licensees.id"], name=op.f("fk_gateway_customers_licensee_id")),
        sa.ForeignKeyConstraint(["licensor_id"], ["licensors.id"], name=op.f("fk_gateway_customers_licensor_id")),
        sa.PrimaryKeyConstraint("licensor_id", "licensee_id", name=op.f("pk_gateway_customers")),
        sa.UniqueConstraint("gateway_id", name=op.f("uq_gateway_customers_gateway_id")),
    )
    op.create_table(
        "gateway_invoices",
        sa.Column("invoice_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("gateway_id", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=True),
        sa.Column("total_minor", sa.BigInteger(), nullable=True),
        sa.Column("remaining_minor", sa.BigInteger(), nullable=True),
        sa.Column("page_url", sa.String(), nullable=True),
        sa.Column("seen_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("refresh_wanted_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("leased_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_gateway_invoices_invoice_id")),
        sa.PrimaryKeyConstraint("invoice_id", name=op.f("pk_gateway_invoices")),
        sa.UniqueConstraint("gateway_id", name=op.f("uq_gateway_invoices_gateway_id")),
    )
    op.create_index(
        "ix_gateway_invoices_refresh",
        "gateway_invoices",
        ["refresh_wanted_at"],
        unique=False,
        postgresql_where=sa.text("refresh_wanted_at IS NOT NULL"),
    )
    op.create_table(
        "gateway_steps",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("lane", sa.String(), nullable=False),
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("invoice_id", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("part", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.String(), server_default="waiting", nullable=False),
        sa.Column("generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("look_first", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("first_attempt_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("leased_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("not_before", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("gateway_id", sa.String(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("planned_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "kind IN ('customer', 'create', 'lines', 'check', 'finalise', 'send', 'collect', 'void', 'credit', 'mark_paid', 'write_off')",
            name=op.f("ck_gateway_steps_kind"),
        ),
        sa.CheckConstraint("state <> 'stopped' OR error IS NOT NULL", name=op.f("ck_gateway_steps_stopped")),
        sa.CheckConstraint("state IN ('waiting', 'done', 'stopped', 'cancelled')", name=op.f("ck_gateway_steps_state")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_gateway_steps_invoice_id")),
        sa.ForeignKeyConstraint(["licensee_id"], ["licensees.id"], name=op.f("fk_gateway_steps_licensee_id")),
        sa.ForeignKeyConstraint(["licensor_id"], ["licensors.id"], name=op.f("fk_gateway_steps_licensor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_steps")),
        sa.UniqueConstraint("lane", "kind", "part", name=op.f("uq_gateway_steps_lane_kind_part")),
    )
    op.create_index(
        "ix_gateway_steps_open",
        "gateway_steps",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state IN ('waiting', 'stopped')"),
    )
    op.create_table(
        "gateway_events",
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("object_id", sa.String(), nullable=True),
        sa.Column("effect", sa.String(), nullable=False),
        sa.Column("received_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_gateway_events")),
    )
    op.create_table(
        "gateway_pace",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("micro_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("filled_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("not_before", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_gateway_pace_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_pace")),
    )
    op.create_table(
        "gateway_pauses",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("changed_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("reason <> '' AND actor <> ''", name=op.f("ck_gateway_pauses_said")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_pauses")),
    )
    op.create_table(
        "gateway_reconciliations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("looked_at", sa.BigInteger(), nullable=False),
        sa.Column("differences", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_reconciliations")),
    )
    op.create_table(
        "gateway_differences",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("invoice_id", sa.BigInteger(), nullable=True),
        sa.Column("gateway_id", sa.String(), nullable=True),
        sa.Column("found_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("seen_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("resolved_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_gateway_differences_invoice_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_differences")),
    )
    op.create_index(
        "uq_gateway_differences_open",
        "gateway_differences",
        ["kind", "subject"],
        unique=True,
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
