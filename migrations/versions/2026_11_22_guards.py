"""What the database refuses whoever asks: roles, append-only facts, frozen invoices, balanced books, row security.

Statement triggers guard against UPDATE, DELETE and TRUNCATE for every role, the owner included; grants keep the
application from even trying. Row-level security is what one licensee's requests look through.
"""

from alembic import op

revision = "guards"
down_revision = "first_tables"
branch_labels = None
depends_on = None

ROLES = """
DO $$
BEGIN
    CREATE ROLE perimage_app NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$
BEGIN
    CREATE ROLE perimage_licensee NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$
BEGIN
    -- COPY into a table with row security needs this. Where the owner may not grant it (some hosted databases), intake
    -- falls back to INSERT .. SELECT through the policy for perimage_app: slower, otherwise the same.
    IF NOT (SELECT rolbypassrls FROM pg_roles WHERE rolname = 'perimage_app') THEN
        ALTER ROLE perimage_app BYPASSRLS;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN RAISE NOTICE 'perimage_app cannot bypass row security: intake will be slower';
END $$;
DO $$
BEGIN
    EXECUTE format('GRANT perimage_app, perimage_licensee TO %I', current_user);
EXCEPTION WHEN OTHERS THEN RAISE NOTICE 'the login needs membership of perimage_app and perimage_licensee';
END $$;
GRANT USAGE ON SCHEMA public TO perimage_app, perimage_licensee;
"""

GRANTS = """
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO perimage_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO perimage_app;
REVOKE INSERT ON alembic_version FROM perimage_app;

GRANT UPDATE (name, address, email, tax_id) ON licensors, licensees TO perimage_app;
GRANT UPDATE (name) ON models, units TO perimage_app;
GRANT UPDATE (label, revoked_at) ON meter_keys TO perimage_app;
GRANT UPDATE (name, starts_on, ends_on, starts_at, ends_at, status, signed_at) ON agreements TO perimage_app;
GRANT UPDATE (terms, document_hash, effective_on), DELETE ON amendments TO perimage_app;
GRANT DELETE ON agreement_models TO perimage_app;

GRANT UPDATE ON rollup_watermarks, number_series, invoices, billing_run_items TO perimage_app;
GRANT UPDATE, DELETE ON resolutions, daily_counts, invoice_lines TO perimage_app;
GRANT DELETE ON invoices TO perimage_app;

GRANT SELECT ON accounts, models, model_bases, model_names, units, licensors, licensees, agreements, amendments,
    agreement_models, usage_reports, usage_events, resolutions, daily_counts, invoices, invoice_lines,
    invoice_documents TO perimage_licensee;
"""

APPEND_ONLY = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused; write a correction instead', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;
"""
APPEND_ONLY_TABLES = ("usage_events", "usage_reports", "ledger_transactions", "postings", "invoice_documents")

FROZEN_INVOICES = """
CREATE FUNCTION keep_issued_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status NOT IN ('issued', 'void') THEN
        RETURN COALESCE(NEW, OLD);
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.status = 'issued' AND NEW.status = 'void'
       AND to_jsonb(NEW) - 'status' = to_jsonb(OLD) - 'status' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'invoice % is issued and cannot change: void it or write a credit note', OLD.number
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER keep_issued BEFORE UPDATE OR DELETE ON invoices
    FOR EACH ROW EXECUTE FUNCTION keep_issued_invoice();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON invoices EXECUTE FUNCTION refuse_change();

CREATE FUNCTION keep_issued_lines() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    frozen text;
BEGIN
    -- FOR SHARE waits for an issuing transaction, so that no line slips in beside it.
    SELECT string_agg(COALESCE(number, '?'), ', ') INTO frozen FROM (
        SELECT number, status FROM invoices
        WHERE id IN (CASE WHEN TG_OP <> 'INSERT' THEN OLD.invoice_id END, CASE WHEN TG_OP <> 'DELETE' THEN NEW.invoice_id END)
        FOR SHARE
    ) parents WHERE status IN ('issued', 'void');
    IF frozen IS NOT NULL THEN
        RAISE EXCEPTION 'invoice % is issued: its lines cannot change', frozen USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN COALESCE(NEW, OLD);
END $$;
CREATE TRIGGER keep_issued BEFORE INSERT OR UPDATE OR DELETE ON invoice_lines
    FOR EACH ROW EXECUTE FUNCTION keep_issued_lines();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON invoice_lines EXECUTE FUNCTION refuse_change();
"""

SIGNED_AGREEMENTS = """
CREATE FUNCTION keep_signed_agreement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'signed' AND (TG_OP = 'DELETE' OR to_jsonb(NEW) - 'name' <> to_jsonb(OLD) - 'name') THEN
        RAISE EXCEPTION 'agreement % is signed: change it by an amendment', OLD.slug USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN COALESCE(NEW, OLD);
END $$;
CREATE TRIGGER keep_signed BEFORE UPDATE OR DELETE ON agreements
    FOR EACH ROW EXECUTE FUNCTION keep_signed_agreement();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON agreements EXECUTE FUNCTION refuse_change();

CREATE FUNCTION keep_signed_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM agreements WHERE id = OLD.agreement_id AND status = 'signed') THEN
        RAISE EXCEPTION 'signed terms are never edited: write an amendment' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN COALESCE(NEW, OLD);
END $$;
CREATE TRIGGER keep_signed BEFORE UPDATE OR DELETE ON amendments
    FOR EACH ROW EXECUTE FUNCTION keep_signed_terms();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON amendments EXECUTE FUNCTION refuse_change();
CREATE TRIGGER keep_signed BEFORE UPDATE OR DELETE ON agreement_models
    FOR EACH ROW EXECUTE FUNCTION keep_signed_terms();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON agreement_models EXECUTE FUNCTION refuse_change();
"""

BALANCED_BOOKS = """
CREATE FUNCTION demand_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM postings WHERE transaction_id = NEW.transaction_id
               GROUP BY currency HAVING sum(amount_minor) <> 0) THEN
        RAISE EXCEPTION 'the postings of ledger transaction % do not sum to zero', NEW.transaction_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER balance AFTER INSERT ON postings DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION demand_balance();
"""

ME = "NULLIF(current_setting('perimage.licensee_id', true), '')::bigint"
MY_INVOICE = "EXISTS (SELECT FROM invoices WHERE invoices.id = invoice_id)"
MY_AGREEMENT = "EXISTS (SELECT FROM agreements WHERE agreements.id = agreement_id)"
# What a licensee may see of each table; invoices once they are issued, never somebody's draft.
LICENSEE_SEES = {
    "licensees": f"id = {ME}",
    "accounts": f"licensee_id = {ME}",
    "meter_keys": f"licensee_id = {ME}",
    "usage_reports": f"licensee_id = {ME}",
    "usage_events": f"licensee_id = {ME}",
    "resolutions": f"licensee_id = {ME}",
    "daily_counts": f"licensee_id = {ME}",
    "agreements": "EXISTS (SELECT FROM accounts WHERE accounts.id = account_id)",
    "amendments": MY_AGREEMENT,
    "agreement_models": MY_AGREEMENT,
    "invoices": f"licensee_id = {ME} AND status IN ('issued', 'void')",
    "invoice_lines": MY_INVOICE,
    "invoice_documents": MY_INVOICE,
}


def upgrade() -> None:
    op.execute("INSERT INTO rollup_watermarks (name, xid) VALUES ('usage', '0')")
    op.execute(ROLES)
    op.execute(GRANTS)
    op.execute(APPEND_ONLY)
    for table in APPEND_ONLY_TABLES:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} EXECUTE FUNCTION refuse_change()"
        )
    op.execute(FROZEN_INVOICES)
    op.execute(SIGNED_AGREEMENTS)
    op.execute(BALANCED_BOOKS)
    for table, condition in LICENSEE_SEES.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY app ON {table} TO perimage_app USING (true) WITH CHECK (true)")
        op.execute(f"CREATE POLICY licensee ON {table} FOR SELECT TO perimage_licensee USING ({condition})")
