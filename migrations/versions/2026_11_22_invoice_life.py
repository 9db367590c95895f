"""The life of an invoice: approval, holds, credit notes, tax, and the audit log.

Safe while old code runs: every new column has a default or may be empty, `net_minor` is computed, and what the triggers
newly demand (two people above a limit, lines that sum to the net) old code gives or nobody has asked for yet.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "invoice_life"
down_revision = "imports"
branch_labels = None
depends_on = None

TAX_CATEGORY = "tax_category IN ('standard', 'reverse_charge', 'exempt', 'outside')"
TAX_RATE = "tax_rate BETWEEN 0 AND 100 AND (tax_rate = 0 OR tax_category = 'standard')"
EVENT_KINDS = (
    *("approved", "reopened", "held", "released", "asked", "issued", "voided", "credited", "sent"),
    *("disputed", "dispute_settled", "written_off", "written_back"),
)
WITH_REASON = (
    *("released", "asked", "voided", "credited"),
    *("disputed", "dispute_settled", "written_off", "written_back"),
)
BOOKS = (
    *("receivable", "unapplied", "cash", "licence_fees", "interest_income", "tax_payable"),
    *("bad_debt", "bank_charges", "withholding_tax"),
)

# What the books know already is told anew: the invoice of a receivable, the day it was issued.
BOOKS_SO_FAR = """
ALTER TABLE postings DISABLE TRIGGER append_only;
ALTER TABLE ledger_transactions DISABLE TRIGGER append_only;
UPDATE postings SET item = split_part(t.reference, ':', 2)
FROM ledger_transactions t WHERE t.id = transaction_id AND book = 'receivable' AND t.reference LIKE 'issue:%';
UPDATE ledger_transactions SET booked_on = (posted_at AT TIME ZONE 'UTC')::date;
ALTER TABLE postings ENABLE TRIGGER append_only;
ALTER TABLE ledger_transactions ENABLE TRIGGER append_only;
"""

ISSUING = """
-- As before, but for the computed column: before a row is written it is not computed yet.
CREATE OR REPLACE FUNCTION keep_issued_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    besides text[] := '{status,net_minor}';
BEGIN
    IF OLD.status NOT IN ('issued', 'void') THEN
        RETURN COALESCE(NEW, OLD);
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.status = 'issued' AND NEW.status = 'void'
       AND to_jsonb(NEW) - besides = to_jsonb(OLD) - besides THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'invoice % is issued and cannot change: void it or write a credit note', OLD.number
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION second_person_above(of_licensor bigint, of_licensee bigint) RETURNS bigint STABLE LANGUAGE sql AS $$
    SELECT second_person_above_minor FROM approval_limits AS l LEFT JOIN accounts AS a ON a.id = l.account_id
    WHERE l.licensor_id = of_licensor AND (l.account_id IS NULL OR a.licensee_id = of_licensee)
    ORDER BY l.account_id NULLS LAST LIMIT 1
$$;

CREATE FUNCTION demand_sound_issue() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    on_lines bigint;
    highest bigint;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status NOT IN ('draft', 'held') THEN
            RAISE EXCEPTION 'an invoice begins as a draft' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.status = 'void' AND OLD.status NOT IN ('issued', 'void') THEN
        RAISE EXCEPTION 'only an issued invoice can be voided' USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.status <> 'issued' OR OLD.status = 'issued' THEN
        RETURN NEW;
    END IF;
    SELECT COALESCE(sum(amount_minor), 0) INTO on_lines FROM invoice_lines WHERE invoice_id = NEW.id;
    IF on_lines <> NEW.total_minor - NEW.tax_minor THEN
        RAISE EXCEPTION 'invoice %: the lines sum to %, the net is %', NEW.number, on_lines,
            NEW.total_minor - NEW.tax_minor USING ERRCODE = 'check_violation';
    END IF;
    highest := second_person_above(NEW.licensor_id, NEW.licensee_id);
    IF abs(NEW.total_minor) > highest AND (
        NEW.approved_by IS NULL OR NEW.approved_by = NEW.closed_by
        OR NEW.corrects_invoice_id IS NULL AND NEW.approved_by = NEW.issued_by
    ) THEN
        RAISE EXCEPTION 'invoice % is above %: it takes a second person', NEW.number, highest
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.corrects_invoice_id IS NOT NULL AND EXISTS (
        SELECT FROM invoice_lines AS given
        JOIN invoice_lines AS line ON line.id = given.corrects_line_id
        JOIN invoices AS note ON note.id = given.invoice_id AND note.status <> 'void'
        WHERE given.corrects_line_id IN (SELECT corrects_line_id FROM invoice_lines WHERE invoice_id = NEW.id)
        GROUP BY line.id
        HAVING line.invoice_id <> NEW.corrects_invoice_id
            OR abs(sum(given.amount_minor)) > abs(line.amount_minor)
            OR sign(sum(given.amount_minor)) = sign(line.amount_minor)
    ) THEN
        RAISE EXCEPTION 'credit note %: more is taken back than was asked for', NEW.number
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER sound_issue BEFORE INSERT OR UPDATE OF status ON invoices
    FOR EACH ROW EXECUTE FUNCTION demand_sound_issue();

CREATE FUNCTION demand_second_person() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    of_invoice invoices%ROWTYPE;
    amount bigint;
BEGIN
    IF NEW.answers_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM invoice_events WHERE id = NEW.answers_id AND invoice_id = NEW.invoice_id
    ) THEN
        RAISE EXCEPTION 'an event answers one of the same invoice' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.kind NOT IN ('voided', 'written_off') THEN
        RETURN NEW;
    END IF;
    SELECT * INTO of_invoice FROM invoices WHERE id = NEW.invoice_id;
    amount := CASE WHEN NEW.kind = 'voided' THEN of_invoice.total_minor ELSE (NEW.detail->>'amount_minor')::bigint END;
    IF abs(amount) > second_person_above(of_invoice.licensor_id, of_invoice.licensee_id) AND NOT EXISTS (
        SELECT FROM invoice_events
        WHERE id = NEW.answers_id AND kind = 'asked' AND actor <> NEW.actor
          AND detail->>'verb' = CASE WHEN NEW.kind = 'voided' THEN 'void' ELSE 'write_off' END
    ) THEN
        RAISE EXCEPTION 'this takes a second person' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER second_person BEFORE INSERT ON invoice_events FOR EACH ROW EXECUTE FUNCTION demand_second_person();
"""

AUDIT = """
CREATE FUNCTION move_one_entry_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.licensor_id = OLD.licensor_id AND NEW.sequence = OLD.sequence + 1 AND EXISTS (
        SELECT FROM audit_log WHERE licensor_id = NEW.licensor_id AND sequence = NEW.sequence AND hash = NEW.hash
                                AND previous_hash = OLD.hash
    ) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the end of an audit log only moves one entry on' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER one_entry_on BEFORE UPDATE OR DELETE ON audit_heads FOR EACH ROW EXECUTE FUNCTION move_one_entry_on();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON audit_heads EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON audit_log TO perimage_app;
GRANT SELECT, INSERT, UPDATE ON audit_heads TO perimage_app;
"""
RIGHTS = """
GRANT SELECT, INSERT ON invoice_events, agreed_adjustments TO perimage_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON approval_limits TO perimage_app;
GRANT UPDATE (language, locale, e_invoice, contacts, purchase_order, payment_terms, tax_category, tax_rate, tax_sentence)
    ON accounts TO perimage_app;
GRANT SELECT ON invoice_events TO perimage_licensee;
ALTER TABLE invoice_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE invoice_events FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON invoice_events TO perimage_app USING (true) WITH CHECK (true);
CREATE POLICY licensee ON invoice_events FOR SELECT TO perimage_licensee USING (
    kind IN ('issued', 'voided', 'credited', 'sent', 'disputed', 'dispute_settled')
    AND EXISTS (SELECT FROM invoices WHERE invoices.id = invoice_id));
"""
APPEND_ONLY_TABLES = ("audit_log", "invoice_events", "agreed_adjustments")


def upgrade() -> None:
    _accounts()
    _books()
    _invoices()
    _events()
    _audit()
    for table in APPEND_ONLY_TABLES:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} EXECUTE FUNCTION refuse_change()"
        )
    op.execute(ISSUING)
    op.execute(AUDIT)
    op.execute(RIGHTS)


def _said(words: tuple[str, ...]) -> str:
    return ", ".join(repr(word) for word in words)


def _accounts() -> None:
    jsonb = postgresql.JSONB(astext_type=sa.Text())
    op.add_column("accounts", sa.Column("language", sa.String(), server_default="en", nullable=False))
    op.add_column("accounts", sa.Column("locale", sa.String(), server_default="en", nullable=False))
    op.add_column("accounts", sa.Column("e_invoice", sa.Boolean(), server_default="false", nullable=False))
    op.add_column("accounts", sa.Column("contacts", jsonb, server_default="[]", nullable=False))
    op.add_column("accounts", sa.Column("purchase_order", sa.String(), server_default="", nullable=False))
    op.add_column("accounts", sa.Column("payment_terms", sa.String(), server_default="", nullable=False))
    op.add_column("accounts", sa.Column("tax_category", sa.String(), server_default="outside", nullable=False))
    op.add_column("accounts", sa.Column("tax_rate", sa.Numeric(7, 4), server_default="0", nullable=False))
    op.add_column("accounts", sa.Column("tax_sentence", sa.String(), server_default="", nullable=False))
    op.create_check_constraint(op.f("ck_accounts_language"), "accounts", "language IN ('en', 'de', 'ja')")
    op.create_check_constraint(op.f("ck_accounts_tax_category"), "accounts", TAX_CATEGORY)
    op.create_check_constraint(op.f("ck_accounts_tax_rate"), "accounts", TAX_RATE)
    op.create_check_constraint(
        op.f("ck_accounts_tax_sentence"),
        "accounts",
        "tax_category NOT IN ('reverse_charge', 'exempt') OR tax_sentence <> ''",
    )
    op.create_table(
        "approval_limits",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("second_person_above_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("second_person_above_minor >= 0", name=op.f("ck_approval_limits_limit")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_approval_limits_account_id")),
        sa.ForeignKeyConstraint(["licensor_id"], ["licensors.id"], name=op.f("fk_approval_limits_licensor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approval_limits")),
    )
    op.create_index(
        "uq_approval_limits_licensor",
        "approval_limits",
        ["licensor_id"],
        unique=True,
        postgresql_where=sa.text("account_id IS NULL"),
    )
    op.create_index(
        "uq_approval_limits_account",
        "approval_limits",
        ["account_id"],
        unique=True,
        postgresql_where=sa.text("account_id IS NOT NULL"),
    )


def _books() -> None:
    op.add_column(
        "ledger_transactions", sa.Column("booked_on", sa.Date(), server_default=sa.text("CURRENT_DATE"), nullable=False)
    )
    op.create_index(
        "ix_ledger_transactions_account", "ledger_transactions", ["licensor_id", "licensee_id", "booked_on"]
    )
    op.add_column("postings", sa.Column("item", sa.String(), server_default="", nullable=False))
    op.drop_constraint(op.f("ck_postings_book"), "postings")
    op.create_check_constraint(op.f("ck_postings_book"), "postings", f"book IN ({_said(BOOKS)})")
    op.create_check_constraint(op.f("ck_postings_item"), "postings", "item = '' OR book IN ('receivable', 'unapplied')")
    op.create_index("ix_postings_item", "postings", ["item"], postgresql_where=sa.text("item <> ''"))
    op.execute(BOOKS_SO_FAR)


def _invoices() -> None:
    jsonb = postgresql.JSONB(astext_type=sa.Text())
    op.add_column("invoices", sa.Column("tax_minor", sa.BigInteger(), server_default="0", nullable=False))
    computed = sa.Computed("total_minor - tax_minor", persisted=True)
    op.add_column("invoices", sa.Column("net_minor", sa.BigInteger(), computed, nullable=False))
    op.add_column("invoices", sa.Column("hold_reasons", jsonb, server_default="[]", nullable=False))
    op.add_column("invoices", sa.Column("corrects_invoice_id", sa.BigInteger(), nullable=True))
    op.add_column("invoices", sa.Column("lines_hash", sa.String(), nullable=True))
    op.add_column("invoices", sa.Column("closed_with", jsonb, nullable=True))
    op.add_column("invoices", sa.Column("closed_by", sa.String(), server_default="system", nullable=False))
    op.add_column("invoices", sa.Column("approved_by", sa.String(), nullable=True))
    op.add_column("invoices", sa.Column("issued_by", sa.String(), nullable=True))
    op.create_foreign_key(
        op.f("fk_invoices_corrects_invoice_id"), "invoices", "invoices", ["corrects_invoice_id"], ["id"]
    )
    op.drop_constraint(op.f("ck_invoices_status"), "invoices")
    op.drop_constraint(op.f("ck_invoices_kind"), "invoices")
    for name, condition in {
        "status": "status IN ('draft', 'held', 'approved', 'issued', 'void')",
        "kind": "kind IN ('regular', 'credit_note')",
        "correction": "corrects_invoice_id IS NULL OR kind = 'credit_note'",
        "approval": "status <> 'approved' OR approved_by IS NOT NULL",
        "direction": "status NOT IN ('issued', 'void') OR (kind = 'credit_note') = (total_minor < 0)",
        "total": "net_minor + tax_minor = total_minor",
    }.items():
        op.create_check_constraint(op.f(f"ck_invoices_{name}"), "invoices", condition)
    op.create_index(
        "uq_invoices_agreement_period",
        "invoices",
        ["agreement_id", "period_start"],
        unique=True,
        postgresql_where=sa.text("status <> 'void' AND corrects_invoice_id IS NULL"),
    )
    op.drop_index("uq_invoices_agreement_period_kind", "invoices")
    op.create_index(
        "ix_invoices_corrects",
        "invoices",
        ["corrects_invoice_id"],
        postgresql_where=sa.text("corrects_invoice_id IS NOT NULL"),
    )
    op.add_column("invoice_lines", sa.Column("tax_category", sa.String(), server_default="outside", nullable=False))
    op.add_column("invoice_lines", sa.Column("tax_rate", sa.Numeric(7, 4), server_default="0", nullable=False))
    op.add_column("invoice_lines", sa.Column("corrects_line_id", sa.BigInteger(), nullable=True))
    op.create_foreign_key(
        op.f("fk_invoice_lines_corrects_line_id"), "invoice_lines", "invoice_lines", ["corrects_line_id"], ["id"]
    )
    op.create_check_constraint(op.f("ck_invoice_lines_tax_category"), "invoice_lines", TAX_CATEGORY)
    op.create_check_constraint(op.f("ck_invoice_lines_tax_rate"), "invoice_lines", TAX_RATE)
    op.create_check_constraint(
        op.f("ck_invoice_lines_correction"), "invoice_lines", "(kind = 'credit') = (corrects_line_id IS NOT NULL)"
    )
    op.create_index(
        "ix_invoice_lines_corrects",
        "invoice_lines",
        ["corrects_line_id"],
        postgresql_where=sa.text("corrects_line_id IS NOT NULL"),
    )


def _events() -> None:
    jsonb = postgresql.JSONB(astext_type=sa.Text())
    now = sa.text("now()")
    op.create_table(
        "invoice_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("invoice_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), server_default="", nullable=False),
        sa.Column("detail", jsonb, server_default="{}", nullable=False),
        sa.Column("answers_id", sa.BigInteger(), nullable=True),
        sa.Column("recorded_at", postgresql.TIMESTAMP(timezone=True), server_default=now, nullable=False),
        sa.CheckConstraint(f"kind IN ({_said(EVENT_KINDS)})", name=op.f("ck_invoice_events_kind")),
        sa.CheckConstraint("actor <> ''", name=op.f("ck_invoice_events_actor")),
        sa.CheckConstraint(
            f"reason <> '' OR kind NOT IN ({_said(WITH_REASON)})", name=op.f("ck_invoice_events_reason")
        ),
        sa.ForeignKeyConstraint(["answers_id"], ["invoice_events.id"], name=op.f("fk_invoice_events_answers_id")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_invoice_events_invoice_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice_events")),
        sa.UniqueConstraint("answers_id", name=op.f("uq_invoice_events_answers_id")),
    )
    op.create_index("ix_invoice_events_invoice", "invoice_events", ["invoice_id", "id"])
    op.create_table(
        "agreed_adjustments",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("agreement_id", sa.BigInteger(), nullable=False),
        sa.Column("service_start", sa.Date(), nullable=False),
        sa.Column("service_end", sa.Date(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("made_at", postgresql.TIMESTAMP(timezone=True), server_default=now, nullable=False),
        sa.CheckConstraint("service_end > service_start", name=op.f("ck_agreed_adjustments_service")),
        sa.CheckConstraint("amount_minor <> 0", name=op.f("ck_agreed_adjustments_amount")),
        sa.CheckConstraint(
            "description <> '' AND actor <> '' AND reason <> ''", name=op.f("ck_agreed_adjustments_said")
        ),
        sa.ForeignKeyConstraint(["agreement_id"], ["agreements.id"], name=op.f("fk_agreed_adjustments_agreement_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agreed_adjustments")),
    )
    op.create_index("ix_agreed_adjustments_agreement", "agreed_adjustments", ["agreement_id"])


def _audit() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("recorded_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("previous_hash", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.CheckConstraint("sequence > 0", name=op.f("ck_audit_log_sequence")),
        sa.CheckConstraint(
            "hash ~ '^[0-9a-f]{64}$' AND previous_hash ~ '^[0-9a-f]{64}$'", name=op.f("ck_audit_log_hashes")
        ),
        sa.CheckConstraint("actor <> '' AND action <> ''", name=op.f("ck_audit_log_said")),
        sa.ForeignKeyConstraint(["licensor_id"], ["licensors.id"], name=op.f("fk_audit_log_licensor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
        sa.UniqueConstraint("licensor_id", "hash", name=op.f("uq_audit_log_licensor_id_hash")),
        sa.UniqueConstraint("licensor_id", "previous_hash", name=op.f("uq_audit_log_licensor_id_previous_hash")),
        sa.UniqueConstraint("licensor_id", "sequence", name=op.f("uq_audit_log_licensor_id_sequence")),
    )
    op.create_index("ix_audit_log_subject", "audit_log", ["licensor_id", "subject"])
    op.create_table(
        "audit_heads",
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["licensor_id"], ["licensors.id"], name=op.f("fk_audit_heads_licensor_id")),
        sa.PrimaryKeyConstraint("licensor_id", name=op.f("pk_audit_heads")),
    )
