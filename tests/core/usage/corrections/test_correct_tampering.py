"""Corrections are append-only like the events: the ways to tamper with them, whoever tries, all refused."""

from collections.abc import Iterator, Mapping

import psycopg
import pytest
from sqlalchemy import ForeignKeyConstraint, PrimaryKeyConstraint, UniqueConstraint

from core.database import APP_ROLE, LICENSEE_ROLE, libpq_options
from core.usage.tables import UsageCorrection

COLUMNS = (
    "licensee_id, correction_id, event_id, number, kind, image_delta, image_count_before, image_count_after, reason,"
    " actor"
)
ADD = f"INSERT INTO usage_corrections ({COLUMNS}"
WAYS = {
    "update": "UPDATE usage_corrections SET image_delta = -1, image_count_after = 4",
    "blame somebody else": "UPDATE usage_corrections SET actor = 'nobody'",
    "count it again": "UPDATE usage_corrections SET xid = pg_current_xact_id()",
    "delete": "DELETE FROM usage_corrections WHERE correction_id = 'c'",
    "delete by a join": "DELETE FROM usage_corrections USING usage_events WHERE true",
    "truncate": "TRUNCATE usage_corrections",
    "truncate with the events": "TRUNCATE usage_events, usage_corrections CASCADE",
    "overwrite by upsert": f"{ADD}) VALUES (1, 'c', 'a', 2, 'amend', -1, 3, 2, 'r', 'Eve')"
    " ON CONFLICT (licensee_id, correction_id) DO UPDATE SET image_delta = -5",
    "merge": "MERGE INTO usage_corrections USING (SELECT 1) s ON correction_id = 'c' WHEN MATCHED THEN DELETE",
}
OF_THE_OWNER_ONLY = {
    "disable the trigger": "ALTER TABLE usage_corrections DISABLE TRIGGER append_only",
    "disable the chain": "ALTER TABLE usage_corrections DISABLE TRIGGER chain",
    "switch triggers off": "SET session_replication_role = replica",
    "drop the key": "ALTER TABLE usage_corrections DROP CONSTRAINT uq_usage_corrections_chain",
    "drop the table": "DROP TABLE usage_corrections",
}
# The event counts 5, and 3 after correction c.
BAD_ROWS = {
    "of another licensee's event": "(2, 'd', 'a', 1, 'amend', -1, 5, 4, 'r', 'Eve')",
    "of no event": "(1, 'd', 'nothing', 1, 'amend', -1, 5, 4, 'r', 'Eve')",
    "below zero": "(1, 'd', 'a', 2, 'amend', -4, 3, -1, 'r', 'Eve')",
    "above the most": "(1, 'd', 'a', 2, 'amend', 1000000000, 3, 1000000003, 'r', 'Eve')",
    "from a count that does not stand": "(1, 'd', 'a', 2, 'amend', -4, 5, 1, 'r', 'Eve')",
    "beside the chain": "(1, 'd', 'a', 1, 'amend', -4, 5, 1, 'r', 'Eve')",
    "ahead of the chain": "(1, 'd', 'a', 3, 'amend', -2, 3, 1, 'r', 'Eve')",
    "before the chain": "(1, 'd', 'a', 0, 'amend', -2, 3, 1, 'r', 'Eve')",
    "that does not add up": "(1, 'd', 'a', 2, 'amend', -2, 3, 2, 'r', 'Eve')",
    "of nothing": "(1, 'd', 'a', 2, 'amend', 0, 3, 3, 'r', 'Eve')",
    "that withdraws a part": "(1, 'd', 'a', 2, 'withdraw', -2, 3, 1, 'r', 'Eve')",
    "without a reason": "(1, 'd', 'a', 2, 'amend', -2, 3, 1, ' ', 'Eve')",
    "without an actor": "(1, 'd', 'a', 2, 'amend', -2, 3, 1, 'r', '')",
    "without an id": "(1, '', 'a', 2, 'amend', -2, 3, 1, 'r', 'Eve')",
    "of a known id": "(1, 'c', 'a', 2, 'amend', -2, 3, 1, 'r', 'Eve')",
    "of no known kind": "(1, 'd', 'a', 2, 'erase', -2, 3, 1, 'r', 'Eve')",
}
FORGED = {
    "as long made and counted": f"{ADD}, xid) VALUES (1, 'd', 'a', 2, 'amend', -2, 3, 1, 'r', 'Eve', '3')",
    "for a later roll-up": f"{ADD}, xid) VALUES (1, 'd', 'a', 2, 'amend', -2, 3, 1, 'r', 'Eve', '999999999999')",
    "under another date": f"{ADD}, made_at) VALUES (1, 'd', 'a', 2, 'amend', -2, 3, 1, 'r', 'Eve', '2020-01-01Z')",
}


@pytest.fixture
def filled_url(owner_url: str) -> Iterator[str]:
    """Two licensees; an event of the first and its correction, which is there unchanged and alone at the end."""
    with psycopg.connect(owner_url, options=libpq_options(APP_ROLE)) as app:
        app.execute("INSERT INTO licensees (slug, name) VALUES ('north', 'North'), ('south', 'South')")
        app.execute(
            "INSERT INTO usage_events (licensee_id, event_id, model, image_count, occurred_at, adapters, plan,"
            " report_no) VALUES (1, 'a', 'm', 5, '2026-11-22Z', '{}', '', 1)"
        )
        app.commit()
        app.execute(f"{ADD}) VALUES (1, 'c', 'a', 1, 'amend', -2, 5, 3, 'miscounted', 'Ada')".encode())
        stood = app.execute("SELECT * FROM usage_corrections").fetchall()
    yield owner_url
    with psycopg.connect(owner_url, options=libpq_options(APP_ROLE)) as app:
        assert app.execute("SELECT * FROM usage_corrections").fetchall() == stood


def refusals(url: str, role: str | None, statements: Mapping[str, str]) -> Mapping[str, str]:
    """What the server said to each statement."""
    said = {}
    with psycopg.connect(url, options=libpq_options(role)) as connection:
        for name, statement in statements.items():
            with pytest.raises(psycopg.Error) as error:
                connection.execute(statement.encode())
                pytest.fail(f"{name} went through")
            said[name] = str(error.value)
            connection.rollback()
    return said


def test_the_application_may_not(filled_url: str) -> None:
    for name, said in refusals(filled_url, APP_ROLE, WAYS | OF_THE_OWNER_ONLY).items():
        assert "permission denied" in said or "must be owner" in said or "append-only" in said, (name, said)


def test_nor_may_the_owner_of_the_tables(filled_url: str) -> None:
    for name, said in refusals(filled_url, None, WAYS).items():
        assert "append-only" in said, (name, said)


def test_a_licensee_may_read_its_own_and_write_none(filled_url: str) -> None:
    adding = {"add its own": f"{ADD}) VALUES (1, 'd', 'a', 2, 'amend', -2, 3, 1, 'r', 'Eve')"}
    for name, said in refusals(filled_url, LICENSEE_ROLE, WAYS | adding).items():
        assert "permission denied" in said or "append-only" in said, (name, said)
    for licensee, seen in (("1", 1), ("2", 0), ("", 0)):
        with psycopg.connect(filled_url, options=libpq_options(LICENSEE_ROLE)) as connection:
            connection.execute("SELECT set_config('perimage.licensee_id', %s, true)", [licensee])
            assert connection.execute("SELECT count(*) FROM usage_corrections").fetchone() == (seen,)


def test_the_table_refuses_what_does_not_follow_from_what_stands(filled_url: str) -> None:
    statements = {name: f"{ADD}) VALUES {row}" for name, row in BAD_ROWS.items()}
    for role in (APP_ROLE, None):
        for name, said in refusals(filled_url, role, statements).items():
            assert "violates" in said or "of nothing" in said or "where 3 stand" in said, (name, said)


def test_nobody_forges_when_a_correction_was_made_or_in_which_transaction(filled_url: str) -> None:
    for name, said in refusals(filled_url, APP_ROLE, FORGED).items():
        assert "is not of this transaction" in said, (name, said)


def test_every_key_starts_with_the_licensee() -> None:
    for constraint in UsageCorrection.__table__.constraints:
        if isinstance(constraint, PrimaryKeyConstraint | UniqueConstraint | ForeignKeyConstraint):
            assert next(iter(constraint.columns)).name == "licensee_id", constraint
