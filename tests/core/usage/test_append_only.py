"""Usage is append-only: the ways to tamper with it, as the application and as the owner of the tables, all refused."""

from collections.abc import Iterator

import psycopg
import pytest

from core.database import APP_ROLE, LICENSEE_ROLE, libpq_options

WAYS = {
    "update an event": "UPDATE usage_events SET image_count = 1",
    "delete an event": "DELETE FROM usage_events WHERE event_id = 'a'",
    "delete all by a join": "DELETE FROM usage_events USING usage_reports WHERE true",
    "truncate": "TRUNCATE usage_events",
    "truncate with others": "TRUNCATE usage_reports, usage_events CASCADE",
    "overwrite by upsert": "INSERT INTO usage_events (licensee_id, event_id, model, image_count, occurred_at, adapters, "
    "plan, report_no) VALUES (1, 'a', 'm', 9, now(), '{}', '', 1) "
    "ON CONFLICT (licensee_id, event_id) DO UPDATE SET image_count = 9",
    "merge": "MERGE INTO usage_events e USING (SELECT 1) s ON e.event_id = 'a' WHEN MATCHED THEN DELETE",
    "update a report": "UPDATE usage_reports SET outcomes = '[]'",
    "delete a report": "DELETE FROM usage_reports",
}
OF_THE_OWNER_ONLY = {
    "drop the trigger": "DROP TRIGGER append_only ON usage_events",
    "disable the trigger": "ALTER TABLE usage_events DISABLE TRIGGER append_only",
    "switch triggers off": "SET session_replication_role = replica",
    "drop the table": "DROP TABLE usage_events",
    "drop the key": "ALTER TABLE usage_events DROP CONSTRAINT pk_usage_events",
}
BAD_ROWS = {
    "nothing": "(1, 'b', 'm', 0, now(), '{}', '', 1)",
    "less than nothing": "(1, 'b', 'm', -1, now(), '{}', '', 1)",
    "too many": "(1, 'b', 'm', 1000000001, now(), '{}', '', 1)",
    "no id": "(1, '', 'm', 1, now(), '{}', '', 1)",
    "known": "(1, 'a', 'm', 1, now(), '{}', '', 1)",
    "no time": "(1, 'b', 'm', 1, NULL, '{}', '', 1)",
}


@pytest.fixture
def filled_url(owner_url: str) -> Iterator[str]:
    with psycopg.connect(owner_url) as owner:
        owner.execute("INSERT INTO licensees (slug, name) VALUES ('north', 'North')")
        owner.execute(
            "INSERT INTO usage_events (licensee_id, event_id, model, image_count, occurred_at, adapters, plan, report_no)"
            " VALUES (1, 'a', 'm', 5, '2026-11-22Z', '{}', '', 1)"
        )
        owner.execute(
            "INSERT INTO usage_reports (licensee_id, report_id, report_no, key_id, body_digest, accepted, duplicate, held,"
            " conflict, rejected, image_count, outcomes) VALUES (1, 'r', 1, 1, '', 1, 0, 0, 0, 0, 5, '[]')"
        )
    yield owner_url
    with psycopg.connect(owner_url) as owner:
        assert owner.execute("SELECT event_id, image_count FROM usage_events").fetchall() == [("a", 5)]
        assert owner.execute("SELECT report_id, image_count FROM usage_reports").fetchall() == [("r", 5)]


def refused(url: str, role: str | None, statement: str) -> str:
    with psycopg.connect(url, options=libpq_options(role)) as connection:
        with pytest.raises(psycopg.Error) as error:
            connection.execute(statement.encode())
        connection.rollback()
    return str(error.value)


@pytest.mark.parametrize("statement", [*WAYS.values(), *OF_THE_OWNER_ONLY.values()], ids=[*WAYS, *OF_THE_OWNER_ONLY])
def test_the_application_may_not(filled_url: str, statement: str):
    said = refused(filled_url, APP_ROLE, statement)
    assert "permission denied" in said or "must be owner" in said or "append-only" in said


@pytest.mark.parametrize("statement", WAYS.values(), ids=WAYS)
def test_nor_may_the_owner_of_the_tables(filled_url: str, statement: str):
    assert "append-only" in refused(filled_url, None, statement)


@pytest.mark.parametrize("statement", WAYS.values(), ids=WAYS)
def test_nor_may_a_licensee(filled_url: str, statement: str):
    said = refused(filled_url, LICENSEE_ROLE, statement)
    assert "permission denied" in said or "append-only" in said


@pytest.mark.parametrize("row", BAD_ROWS.values(), ids=BAD_ROWS)
def test_the_table_itself_refuses_what_is_not_a_whole_bounded_count(filled_url: str, row: str):
    refused(
        filled_url,
        APP_ROLE,
        "INSERT INTO usage_events (licensee_id, event_id, model, image_count, occurred_at, adapters, plan, report_no)"
        f" VALUES {row}",
    )
