"""The trade that `bench.dashboard` looks at, laid into a fresh database by SQL: as many licensees, models and months.

Every licensee has one agreement over all models; a count for each day and model, half of them through a derivative, on
two plans; an invoice for each month that is over, with a line for each model, posted and, but for every tenth, paid. A
few are silent, a few held, a quarter have a commitment. Triggers are off while it is laid, as for a restore; totals are
filled by the statements of the migration. Accruals are worked out for some agreements and copied to those like them.
"""

import importlib
import json
import time
from datetime import date

import psycopg

KINDS = 8  # agreements n and n + KINDS have the same terms
TRADE = """
SET session_replication_role = replica;
INSERT INTO licensors (slug, name, invoice_prefix) VALUES ('guild', 'Open Weights Guild', 'GLD');
INSERT INTO models (licensor_id, slug, name, kind, owes)
    SELECT 1, 'model-' || n, 'Model ' || n, 'checkpoint', 'own' FROM generate_series(1, :models) n;
INSERT INTO models (licensor_id, slug, name, kind, owes)
    SELECT 1, 'model-' || n || '-tuned', 'Model ' || n || ' tuned', 'fine-tune', 'base'
    FROM generate_series(1, :models) n;
INSERT INTO model_bases (model_id, base_id) SELECT :models + n, n FROM generate_series(1, :models) n;
INSERT INTO model_names (name, model_id) SELECT slug, id FROM models;
INSERT INTO licensees (slug, name, email)
    SELECT 'platform-' || n, 'Platform ' || n, 'finance@platform-' || n || '.example'
    FROM generate_series(1, :licensees) n;
INSERT INTO accounts (licensor_id, licensee_id, zone, currency)
    SELECT 1, id, 'UTC', CASE WHEN id % 10 = 0 THEN 'EUR' ELSE 'USD' END FROM licensees;
INSERT INTO agreements (account_id, slug, name, starts_on, ends_on, starts_at, ends_at, status, signed_at)
    SELECT id, 'deal-' || id, 'Deal ' || id, ':start', ':ends', ':start 00:00Z', ':ends 00:00Z', 'signed',
           ':start 00:00Z'
    FROM accounts;
INSERT INTO agreement_models (agreement_id, account_id, model_id, days)
    SELECT a.id, a.account_id, m.id, daterange(':start', ':ends') FROM agreements a, models m WHERE m.id <= :models;
INSERT INTO agreement_events
    (agreement_id, kind, amendment_number, document_hash, party, signer, signed_on, effective_on)
    SELECT a.id, 'signed', 0, '', party, 'somebody', ':start', ':start'
    FROM agreements a, unnest(ARRAY['licensor', 'licensee']) party;
"""
COUNTS = """
INSERT INTO daily_counts (licensee_id, model_id, day, via_model_id, plan, image_count, event_count)
SELECT l, m, d::date, m + CASE WHEN (l + m) % 2 = 0 THEN :models ELSE 0 END,
       CASE WHEN (l + m + extract(day FROM d)::int) % 3 = 0 THEN 'free' ELSE 'paid' END,
       (200000 / (l + 10)) + (m * 37 + extract(doy FROM d)::int * 11) % 97, 20
FROM generate_series(:first, :last) l, generate_series(1, :models) m,
     generate_series(':start'::date, ':today'::date - CASE WHEN l % 50 = 0 THEN 6 ELSE 0 END, '1 day') d
"""
INVOICES = """
SET session_replication_role = replica;
INSERT INTO invoices (agreement_id, licensor_id, licensee_id, period_start, period_end, status, currency, total_minor,
    number, issued_at, due_on, snapshot, content_hash, closed_at, hold_reasons, hold_reason)
SELECT a.id, 1, c.licensee_id, m::date, (m + interval '1 month')::date,
       CASE WHEN late AND a.id % 100 = 7 THEN 'held' ELSE 'issued' END, c.currency, 0,
       CASE WHEN NOT (late AND a.id % 100 = 7)
            THEN 'GLD-' || to_char(row_number() OVER (ORDER BY m, a.id), 'FM000000') END,
       CASE WHEN NOT (late AND a.id % 100 = 7) THEN m + interval '1 month 3 days' END,
       CASE WHEN NOT (late AND a.id % 100 = 7) THEN (m + interval '1 month 33 days')::date END,
       CASE WHEN NOT (late AND a.id % 100 = 7) THEN :snapshot::jsonb END,
       CASE WHEN NOT (late AND a.id % 100 = 7) THEN '' END, m + interval '1 month 2 days',
       CASE WHEN late AND a.id % 100 = 7
            THEN '[{"code": "missing_reporting_days", "sentence": "nothing was reported for 3 days"}]'::jsonb
            ELSE '[]' END,
       CASE WHEN late AND a.id % 100 = 7 THEN 'missing_reporting_days' END
FROM agreements a JOIN accounts c ON c.id = a.account_id,
     generate_series(':start'::timestamptz, ':month'::timestamptz - interval '1 month', '1 month') m,
     LATERAL (SELECT m = ':month'::timestamptz - interval '1 month' AS late) l;
INSERT INTO invoice_lines (invoice_id, no, kind, subject, service_start, service_end, part, adjustment, description,
    image_count, unit, unit_price, unit_amount, conversion_rate, amount_minor, price_id, workings)
SELECT i.id, t.model_id, 'usage', 'model-' || t.model_id, i.period_start, i.period_end, i.period_start::text, false,
       'Images by model-' || t.model_id, t.images, i.currency, 0.01, t.images * 0.01, 1, t.images, '0/all', '[]'
FROM invoices i JOIN (
    SELECT licensee_id, model_id, date_trunc('month', day)::date AS month, sum(image_count) AS images
    FROM daily_counts WHERE day < ':month' GROUP BY 1, 2, 3
) t ON t.licensee_id = i.licensee_id AND t.month = i.period_start;
UPDATE invoices SET total_minor = t.minor
    FROM (SELECT invoice_id, sum(amount_minor) AS minor FROM invoice_lines GROUP BY 1) t
    WHERE t.invoice_id = invoices.id;
SET session_replication_role = origin;
INSERT INTO ledger_transactions (licensor_id, licensee_id, reference, booked_on)
    SELECT 1, licensee_id, 'issue:' || number, issued_at::date FROM invoices WHERE status = 'issued' ORDER BY id;
INSERT INTO postings (transaction_id, book, currency, amount_minor, item)
    SELECT t.id, leg.book, i.currency, leg.minor, leg.item
    FROM invoices i JOIN ledger_transactions t ON t.reference = 'issue:' || i.number,
         LATERAL (VALUES ('receivable', i.total_minor, i.number), ('licence_fees', -i.total_minor, ''))
         leg (book, minor, item);
INSERT INTO ledger_transactions (licensor_id, licensee_id, reference, booked_on)
    SELECT 1, licensee_id, 'bank:' || number, due_on FROM invoices
    WHERE status = 'issued' AND due_on < ':today' AND id % 10 <> 3 ORDER BY id;
INSERT INTO postings (transaction_id, book, currency, amount_minor, item)
    SELECT t.id, leg.book, i.currency, leg.minor, leg.item
    FROM invoices i JOIN ledger_transactions t ON t.reference = 'bank:' || i.number,
         LATERAL (VALUES ('cash', i.total_minor, ''), ('receivable', -i.total_minor, i.number)) leg (book, minor, item);
"""
COPIES = """
INSERT INTO accruals SELECT (copy).* FROM (
    SELECT jsonb_populate_record(r, jsonb_build_object('agreement_id', a.id, 'licensee_id', c.licensee_id,
           'currency', c.currency, 'basis', 'copied',
           'silent_since', CASE WHEN a.id % 50 = 0 THEN ':today'::date - 6 END)) AS copy
    FROM accruals r JOIN agreements a ON a.id % :kinds = r.agreement_id % :kinds AND a.id > :kinds
    JOIN accounts c ON c.id = a.account_id WHERE r.agreement_id <= :kinds
) copies
"""


def terms_of(n: int, models: int, currency: str) -> dict[str, object]:
    """Terms that differ in kind: flat or graduated, a quarter with a commitment for the year."""
    tiers = {"kind": "graduated", "tiers": [{"up_to": 10_000, "rate": "0.012"}, {"rate": "0.01"}]}
    schedule = {"kind": "flat", "rate": "0.01"} if n % 2 else tiers
    fees = [{"name": "all", "models": [f"model-{m}" for m in range(1, models + 1)], "schedule": schedule}]
    found: dict[str, object] = {"currency": currency, "fees": fees}
    if n % 4 == 0:
        floor = {"name": "floor", "kind": "images", "period": "year", "shortfall_rate": "0.01"}
        found["commitments"] = [floor | {"quantity": 400_000_000 // (1 + n)}]
    return found


def months_before(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return date(year, month + 1, 1)


def lay(url: str, *, licensees: int, models: int, months: int) -> dict[str, float]:
    """Lays everything; how long each part took, in seconds. The last of the months is the running one."""
    from core.agreements.terms import parse_terms, terms_document
    from migrations.upgrade import upgrade

    upgrade(url)
    took: dict[str, float] = {}
    with psycopg.connect(url, autocommit=True) as connection:
        today = connection.execute("SELECT (now() AT TIME ZONE 'UTC')::date").fetchone()[0]
        start = months_before(today, months - 1)
        fill = {
            "licensees": licensees, "models": models, "start": start, "today": today, "month": today.replace(day=1),
            "ends": months_before(today, -12), "kinds": KINDS,
            "snapshot": "'" + json.dumps({"lines": "x" * 1500}) + "'",
        }  # fmt: skip

        def run(name: str, statement: str, **more: object) -> None:
            began = time.perf_counter()
            for word, value in sorted((fill | more).items(), key=lambda pair: -len(pair[0])):
                statement = statement.replace(f":{word}", str(value))
            connection.execute(statement)
            took[name] = took.get(name, 0) + time.perf_counter() - began

        run("trade", TRADE)
        amendment = "INSERT INTO amendments (agreement_id, number, effective_on, terms, document_hash) "
        for n in range(KINDS):
            for currency in ("USD", "EUR"):
                document = terms_document(parse_terms(terms_of(n, models, currency)))
                connection.execute(
                    amendment + "SELECT a.id, 0, %s, %s, '' FROM agreements a JOIN accounts c ON c.id = a.account_id "
                    "WHERE a.id %% %s = %s AND c.currency = %s",
                    [start, json.dumps(document), KINDS, n, currency],
                )
        step = max(1, licensees // 10)
        for first in range(1, licensees + 1, step):
            run("counts", COUNTS, first=first, last=min(first + step - 1, licensees))
        totals = importlib.import_module("migrations.versions.2026_11_24_accruals")
        for statement in (totals.MONTHS, totals.DAYS):
            run("totals", statement.format(rows="SELECT *, 1 AS sign FROM daily_counts"))
        run("invoices", INVOICES)
        connection.execute("INSERT INTO number_series VALUES (1, 'invoice', 1000000)")
        run("vacuum", "VACUUM ANALYZE")
        began = time.perf_counter()
        _accrue(url, min(KINDS, licensees))
        took["accruals worked out"] = time.perf_counter() - began
        run("accruals copied", COPIES)
        run("vacuum", "VACUUM ANALYZE accruals")
    return took


def _accrue(url: str, most: int) -> None:
    from sqlalchemy.orm import Session

    from core.accruals.accrue import accrue
    from core.database import make_engine

    engine = make_engine(url)
    for agreement_id in range(1, most + 1):
        with Session(engine) as session:
            accrue(session, agreement_id)
            session.commit()
    engine.dispose()
