"""How a migration runs: in one transaction of its own, with short time-outs, so that it never queues up the traffic.

A migration that needs longer says so itself (`SET LOCAL statement_timeout`).
"""

from alembic import context
from sqlalchemy import text

import core.access.tables
import core.accruals.tables
import core.agreements.tables
import core.audit.tables
import core.invoicing.tables
import core.ledger.tables
import core.notices.tables
import core.registry.tables
import core.scenarios.tables
import core.statements.tables
import core.usage.tables  # noqa: F401
from config.settings import settings
from core.database import Base, make_engine

MIGRATION_LOCK = 7_305_491_001  # any number, the same in every process: one migration at a time


def run() -> None:
    url = context.config.attributes.get("owner_url") or settings().database_owner_url or settings().database_url
    engine = make_engine(url, role=None)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": MIGRATION_LOCK})
            connection.execute(text("SET lock_timeout = '4s'"))
            connection.execute(text("SET statement_timeout = '30s'"))
            connection.commit()
            context.configure(
                connection=connection, target_metadata=Base.metadata, transaction_per_migration=True, compare_type=True
            )
            with context.begin_transaction():
                context.run_migrations()

    finally:
        engine.dispose()  # with the connection goes the lock


run()
