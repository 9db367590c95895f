"""Figures for pages: totals of the daily counts and open items of the books, kept by the database, and accruals.

Safe while old code runs: tables of its own, and triggers that do for whoever changes the counts what old code does not
know of. Filling the totals keeps the roll-up waiting for as long as it takes to add up the counts, some ten seconds for
ten million; reports are taken in all the while.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from core.usage.tables import Xid8

revision = "accruals"
down_revision = "sessions"
branch_labels = None
depends_on = None

# One function for the three statements. What a statement took away counts below zero; what comes to nothing is left out.
# An update that touches no count, as of a label, changes nothing here.
FUNCTION = """
CREATE FUNCTION keep_totals() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        CREATE_MONTHS(SELECT *, 1 AS sign FROM new_rows);
        CREATE_DAYS(SELECT *, 1 AS sign FROM new_rows);
    ELSIF TG_OP = 'DELETE' THEN
        CREATE_MONTHS(SELECT *, -1 AS sign FROM old_rows);
        CREATE_DAYS(SELECT *, -1 AS sign FROM old_rows);
    ELSIF TG_OP = 'UPDATE' THEN
        CREATE_MONTHS(SELECT *, 1 AS sign FROM new_rows UNION ALL SELECT *, -1 FROM old_rows);
        CREATE_DAYS(SELECT *, 1 AS sign FROM new_rows UNION ALL SELECT *, -1 FROM old_rows);
    ELSE
        DELETE FROM licensee_months;
        DELETE FROM model_days;
    END IF;
    RETURN NULL;
END $$;
"""
MONTHS = """INSERT INTO licensee_months AS kept
            (licensee_id, licensor_id, month, role, image_count, event_count, changed_xid)
        SELECT c.licensee_id, m.licensor_id, date_trunc('month', c.day)::date, c.role,
               sum(c.sign * c.image_count), sum(c.sign * c.event_count), pg_current_xact_id()
        FROM ({rows}) c JOIN models m ON m.id = c.model_id
        GROUP BY 1, 2, 3, 4
        ON CONFLICT (licensee_id, licensor_id, month, role) DO UPDATE
        SET image_count = kept.image_count + excluded.image_count,
            event_count = kept.event_count + excluded.event_count, changed_xid = excluded.changed_xid;"""
DAYS = """INSERT INTO model_days AS kept (licensor_id, day, model_id, via_model_id, role, image_count, event_count)
        SELECT m.licensor_id, c.day, c.model_id, c.via_model_id, c.role,
               sum(c.sign * c.image_count), sum(c.sign * c.event_count)
        FROM ({rows}) c JOIN models m ON m.id = c.model_id
        GROUP BY 1, 2, 3, 4, 5
        HAVING sum(c.sign * c.image_count) <> 0 OR sum(c.sign * c.event_count) <> 0
        ON CONFLICT (licensor_id, day, model_id, via_model_id, role) DO UPDATE
        SET image_count = kept.image_count + excluded.image_count,
            event_count = kept.event_count + excluded.event_count;"""
TRIGGERS = """
CREATE TRIGGER totals_of_new AFTER INSERT ON daily_counts REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION keep_totals();
CREATE TRIGGER totals_of_changed AFTER UPDATE ON daily_counts REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION keep_totals();
CREATE TRIGGER totals_of_gone AFTER DELETE ON daily_counts REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION keep_totals();
CREATE TRIGGER totals_of_none AFTER TRUNCATE ON daily_counts FOR EACH STATEMENT EXECUTE FUNCTION keep_totals();
"""
# What is open of an invoice, a payment or a credit note is a sum over its postings, and a row while it is not nothing.
OPEN_ITEMS = """INSERT INTO open_items AS kept (licensor_id, book, item, currency, licensee_id, amount_minor)
    SELECT t.licensor_id, p.book, p.item, p.currency, t.licensee_id, sum(p.amount_minor)
    FROM {rows} p JOIN ledger_transactions t ON t.id = p.transaction_id
    WHERE p.item <> '' GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4
    ON CONFLICT (licensor_id, book, item, currency) DO UPDATE SET amount_minor = kept.amount_minor + excluded.amount_minor;
    DELETE FROM open_items WHERE amount_minor = 0"""
KEEP_OPEN_ITEMS = """
CREATE FUNCTION keep_open_items() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    OPEN_ITEMS AND (licensor_id, book, item, currency) IN (
        SELECT t.licensor_id, p.book, p.item, p.currency
        FROM new_rows p JOIN ledger_transactions t ON t.id = p.transaction_id);
    RETURN NULL;
END $$;
CREATE TRIGGER keep_open_items AFTER INSERT ON postings REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION keep_open_items();
"""
GRANTS = """
GRANT SELECT ON licensee_months, model_days, open_items TO perimage_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON accruals TO perimage_app;
GRANT SELECT ON licensee_months, model_days, open_items, accruals TO perimage_licensor;
GRANT SELECT ON licensee_months, open_items, accruals TO perimage_licensee;
"""
# What a licensee sees of itself in its portal: when its keys end, and who its people are; no secret, no password.
PORTAL = """
GRANT SELECT (created_at, expires_at, revoked_at, backfill_from) ON meter_keys TO perimage_licensee;
GRANT SELECT (id, licensee_id, email, name, role, active, created_at) ON licensee_users TO perimage_licensee;
CREATE POLICY licensee ON licensee_users FOR SELECT TO perimage_licensee
    USING (licensee_id = NULLIF(current_setting('perimage.licensee_id', true), '')::bigint);
GRANT SELECT ON signing_keys TO perimage_licensee;
"""
# A licensee's word about its own days, or about a model of the licensor's: what its bills depend on.
ZEROS = """
GRANT SELECT ON zero_reports TO perimage_licensor;
CREATE POLICY licensor ON zero_reports FOR SELECT TO perimage_licensor
    USING (EXISTS (SELECT FROM accounts WHERE accounts.licensee_id = zero_reports.licensee_id)
           AND (model IS NULL OR EXISTS (SELECT FROM models WHERE models.slug = zero_reports.model)));
"""
# Names that hold usage up may be of anybody's models. So a licensor sees those of licensees that deal with nobody else.
WAITING = """
CREATE FUNCTION licensees_alone_with(asking bigint) RETURNS SETOF bigint
    STABLE LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT licensee_id FROM accounts GROUP BY licensee_id HAVING min(licensor_id) = asking AND max(licensor_id) = asking
$$;
GRANT SELECT (licensee_id, model, adapters, first_xid, until_xid, via_model_id, held_names, guessed_names, guessed_ids,
    image_count, event_count) ON resolutions TO perimage_licensor;
CREATE POLICY licensor ON resolutions FOR SELECT TO perimage_licensor
    USING (licensee_id IN (SELECT licensees_alone_with(NULLIF(current_setting('perimage.licensor_id', true), '')::bigint)));
"""
# What a licensor's people see at the month's end: what was agreed beside the terms, above which amounts two people are
# needed, and what became of its invoices at the gateway. When comparisons ran is everybody's to know, not of what.
MONTH_END = """
GRANT SELECT ON agreed_adjustments, approval_limits, gateway_customers, gateway_steps, gateway_invoices,
    gateway_differences TO perimage_licensor;
GRANT SELECT (id, started_at, finished_at) ON gateway_reconciliations TO perimage_licensor;
GRANT SELECT (id, paused, changed_at) ON gateway_pauses TO perimage_licensor;
"""
LICENSOR = "NULLIF(current_setting('perimage.licensor_id', true), '')::bigint"
LICENSEE = "NULLIF(current_setting('perimage.licensee_id', true), '')::bigint"
EYES = {
    "licensee_months": ("perimage_licensor", "perimage_licensee"),
    "model_days": ("perimage_licensor",),
    "open_items": ("perimage_licensor", "perimage_licensee"),
    "accruals": ("perimage_licensor", "perimage_licensee"),
}
MY_INVOICE = "EXISTS (SELECT FROM invoices WHERE invoices.id = invoice_id)"
NEWLY_GUARDED = {
    "agreed_adjustments": "EXISTS (SELECT FROM agreements WHERE agreements.id = agreement_id)",
    "approval_limits": f"licensor_id = {LICENSOR}",
    "gateway_customers": f"licensor_id = {LICENSOR}",
    "gateway_steps": f"licensor_id = {LICENSOR}",
    "gateway_invoices": MY_INVOICE,
    "gateway_differences": MY_INVOICE,
}
MINE = {"perimage_licensor": f"licensor_id = {LICENSOR}", "perimage_licensee": f"licensee_id = {LICENSEE}"}


def upgrade() -> None:
    _totals()
    _accruals()
    kept = ["licensee_id", "currency", "status", "net_minor"]
    op.create_index("ix_invoices_licensor", "invoices", ["licensor_id", "period_start"], postgresql_include=kept)
    issued, being_made = sa.text("status = 'issued'"), sa.text("status IN ('draft', 'held', 'approved')")
    number = ["licensor_id", "number"]
    op.create_index("ix_invoices_due", "invoices", number, postgresql_include=["due_on"], postgresql_where=issued)
    op.create_index("ix_invoices_open", "invoices", ["licensor_id", "status"], postgresql_where=being_made)
    op.execute(GRANTS)
    op.execute(ZEROS)
    op.execute(WAITING)
    op.execute(PORTAL)
    op.execute(MONTH_END)
    for table, condition in NEWLY_GUARDED.items():
        op.execute(f"CREATE POLICY app ON {table} TO perimage_app USING (true) WITH CHECK (true)")
        op.execute(f"CREATE POLICY licensor ON {table} FOR SELECT TO perimage_licensor USING ({condition})")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    for table, roles in EYES.items():
        op.execute(f"CREATE POLICY app ON {table} TO perimage_app USING (true) WITH CHECK (true)")
        for role in roles:
            op.execute(
                f"CREATE POLICY {role.removeprefix('perimage_')} ON {table} FOR SELECT TO {role} USING ({MINE[role]})"
            )
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(_filled(FUNCTION))
    op.execute(TRIGGERS)
    op.execute("SET LOCAL statement_timeout = '30min'")
    every = "SELECT *, 1 AS sign FROM daily_counts"
    op.execute(MONTHS.format(rows=every))
    op.execute(DAYS.format(rows=every))
    op.execute(KEEP_OPEN_ITEMS.replace("OPEN_ITEMS", OPEN_ITEMS.format(rows="new_rows")))
    op.execute(OPEN_ITEMS.format(rows="postings"))


def _filled(function: str) -> str:
    """The function with its two statements written out for each case."""
    for name, statement in (("CREATE_MONTHS", MONTHS), ("CREATE_DAYS", DAYS)):
        parts = function.split(f"{name}(")
        function = parts[0] + "".join(
            statement.format(rows=part[: part.index(");")]) + part[part.index(");") + 2 :] for part in parts[1:]
        )
    return function


def _totals() -> None:
    text = sa.Text(collation="C")
    op.create_table(
        "licensee_months",
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("role", text, nullable=False),
        sa.Column("image_count", sa.BigInteger(), nullable=False),
        sa.Column("event_count", sa.BigInteger(), nullable=False),
        sa.Column("changed_xid", Xid8(), nullable=False),
        sa.ForeignKeyConstraint(["licensee_id"], ["licensees.id"], name=op.f("fk_licensee_months_licensee_id")),
        sa.PrimaryKeyConstraint("licensee_id", "licensor_id", "month", "role", name=op.f("pk_licensee_months")),
    )
    op.create_index("ix_licensee_months_licensor", "licensee_months", ["licensor_id", "month"])
    op.create_table(
        "model_days",
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column("via_model_id", sa.BigInteger(), nullable=False),
        sa.Column("role", text, nullable=False),
        sa.Column("image_count", sa.BigInteger(), nullable=False),
        sa.Column("event_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("licensor_id", "day", "model_id", "via_model_id", "role", name=op.f("pk_model_days")),
    )
    op.create_table(
        "open_items",
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("book", sa.String(), nullable=False),
        sa.Column("item", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("licensor_id", "book", "item", "currency", name=op.f("pk_open_items")),
    )
    op.create_index("ix_open_items_licensee", "open_items", ["licensor_id", "licensee_id"])


def _accruals() -> None:
    instant, now = postgresql.TIMESTAMP(timezone=True), sa.text("now()")
    numbers, words = postgresql.ARRAY(sa.BigInteger()), postgresql.ARRAY(sa.String())
    document = postgresql.JSONB(astext_type=sa.Text())
    op.create_table(
        "accruals",
        sa.Column("agreement_id", sa.BigInteger(), nullable=False),
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("period_end", sa.Date(), nullable=False),
        sa.Column("licensor_id", sa.BigInteger(), nullable=False),
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("counted_at", instant, nullable=False),
        sa.Column("made_at", instant, server_default=now, nullable=False),
        sa.Column("image_count", sa.BigInteger(), nullable=False),
        sa.Column("forecast_image_count", sa.BigInteger(), nullable=False),
        sa.Column("accrued_minor", sa.BigInteger(), nullable=False),
        sa.Column("accrued_tax_minor", sa.BigInteger(), nullable=False),
        sa.Column("earlier_minor", sa.BigInteger(), nullable=False),
        sa.Column("forecast_minor", sa.BigInteger(), nullable=False),
        sa.Column("forecast_tax_minor", sa.BigInteger(), nullable=False),
        sa.Column("fees_minor", sa.BigInteger(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("subjects", words, nullable=False),
        sa.Column("subject_images", numbers, nullable=False),
        sa.Column("subject_minor", numbers, nullable=False),
        sa.Column("day_images", numbers, nullable=False),
        sa.Column("day_minor", numbers, nullable=False),
        sa.Column("last_counted_on", sa.Date(), nullable=True),
        sa.Column("silent_since", sa.Date(), nullable=True),
        sa.Column("missing_day_count", sa.SmallInteger(), nullable=False),
        sa.Column("shortfall_minor", sa.BigInteger(), nullable=False),
        sa.Column("commitments", document, nullable=False),
        sa.Column("caps", document, nullable=False),
        sa.Column("basis", sa.String(), nullable=False),
        sa.Column("seen_xid", Xid8(), nullable=False),
        sa.CheckConstraint("period_end > period_start", name=op.f("ck_accruals_period")),
        sa.CheckConstraint(
            "state IN ('running', 'over', 'closed', 'issued', 'refused')", name=op.f("ck_accruals_state")
        ),
        sa.CheckConstraint(
            "cardinality(subjects) = cardinality(subject_minor) AND cardinality(subjects) = cardinality(subject_images) "
            "AND cardinality(day_minor) = cardinality(day_images)",
            name=op.f("ck_accruals_arrays"),
        ),
        sa.ForeignKeyConstraint(["agreement_id"], ["agreements.id"], name=op.f("fk_accruals_agreement_id")),
        sa.ForeignKeyConstraint(["licensor_id"], ["licensors.id"], name=op.f("fk_accruals_licensor_id")),
        sa.ForeignKeyConstraint(["licensee_id"], ["licensees.id"], name=op.f("fk_accruals_licensee_id")),
        sa.PrimaryKeyConstraint("agreement_id", "period_start", name=op.f("pk_accruals")),
    )
    op.create_index("ix_accruals_licensor", "accruals", ["licensor_id", "period_start"])
    op.create_index("ix_accruals_licensee", "accruals", ["licensee_id", "period_start"])
