"""Agreements that were signed before signatures were kept go on: the migration says who signed them."""

from datetime import date

import psycopg
from alembic import command
from sqlalchemy.orm import Session

from core.agreements.amend import terminate
from core.agreements.documents import declared_in_catalogue
from core.database import make_engine
from migrations.upgrade import alembic_config

BEFORE = """
INSERT INTO licensors (slug, name, invoice_prefix) VALUES ('guild', 'Guild', 'GLD');
INSERT INTO licensees (slug, name) VALUES ('north', 'North');
INSERT INTO accounts (licensor_id, licensee_id, zone, currency) VALUES (1, 1, 'UTC', 'USD');
INSERT INTO models (licensor_id, slug, name, kind, owes) VALUES (1, 'sd-1', 'SD 1', 'checkpoint', 'own');
INSERT INTO agreements (account_id, slug, name, starts_on, ends_on, starts_at, ends_at, status, signed_at)
    VALUES (1, 'deal', 'Deal', '2026-01-01', '2127-01-01', '2026-01-01', '2127-01-01', 'signed', '2026-01-02'),
           (1, 'offer', 'Offer', '2026-01-01', '2127-01-01', '2026-01-01', '2127-01-01', 'draft', NULL);
INSERT INTO amendments (agreement_id, number, effective_on, terms, document_hash)
    SELECT id, 0, starts_on, '{"currency": "USD", "unit": "USD", "commitments": [], "early_termination": "prorated",
        "payment_days": 30, "definitions": {"image": "delivered", "counted": []}, "fees": [{"name": "F",
        "models": ["sd-1"], "per": "model", "schedule": {"kind": "flat", "rate": "1"}}]}', slug FROM agreements;
INSERT INTO agreement_models (agreement_id, account_id, model_id, days) VALUES (1, 1, 1, '[2026-01-01,2127-01-01)');
"""
# A pool of the first upgrade may keep its session, and with it the lock under which migrations take turns.
LET_GO = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def test_what_was_signed_has_both_signatures_afterwards_and_can_end_early(empty_database_url):
    command.upgrade(alembic_config(empty_database_url), "guards")
    with psycopg.connect(empty_database_url) as owner:
        owner.execute(BEFORE)
        owner.execute(LET_GO)
    command.upgrade(alembic_config(empty_database_url), "head")
    with psycopg.connect(empty_database_url) as owner:
        events = owner.execute(
            "SELECT agreement_id, kind, party, signer, signed_on, document_hash FROM agreement_events ORDER BY id"
        ).fetchall()
    signed = "declared in the catalogue", date(2026, 1, 2), "deal"
    assert events == [(1, "signed", "licensor", *signed), (1, "signed", "licensee", *signed)]
    engine = make_engine(empty_database_url)
    with Session(engine) as session:
        terminate(session, "deal", date(2126, 1, 1), declared_in_catalogue(date(2026, 1, 3), "agreed"))
        session.commit()
    engine.dispose()
