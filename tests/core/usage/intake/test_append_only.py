"""Usage is append-only: the ways to tamper with it, as the application and as the owner of the tables, all refused."""

from collections.abc import Iterator, Mapping

import psycopg
import pytest

from core.database import APP_ROLE, LICENSEE_ROLE, libpq_options

WAYS = {
    "update an event": "UPDATE usage_events SET image_count = 1",
    "delete an event": "DELETE FROM usage_events WHERE event_id = 'a'",
    "delete all by a join": "DELETE FROM usage_events USING usage_reports WHERE true",
    "truncate": "TRUNCATE usage_events",
    "truncate with others": "TRUNCATE usage_reports, usage_events CASCADE",
    "overwrite by upsert": "INSERT INTO usage_events (licensee_id, event_id, model, image_count, occurred_at, adapters,"
    " plan, report_no) VALUES (1, 'a', 'm', 9, now(), '{}', '', 1) "
    "ON CONFLICT (licensee_id, event_id) DO UPDATE SET image_count = 9",
    "merge": "MERGE INTO usage_events e USING (SELECT 1) s ON e.event_id = 'a' WHEN MATCHED THEN DELETE",
    "update a report": "UPDATE usage_reports SET outcomes = '[]'",
    "delete a report": "DELETE FROM usage_reports",
    "forget who moved counts": "DELETE FROM re_resolutions",
    "say that somebody else moved them": "UPDATE re_resolutions SET actor = 'nobody'",
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
    "no such output": "(1, 'b', 'm', 1, now(), '{}', '', 1, 'sketch')",
    "no output": "(1, 'b', 'm', 1, now(), '{}', '', 1, NULL)",
}


COLUMNS = "licensee_id, event_id, model, image_count, occurred_at, adapters, plan, report_no"


@pytest.fixture
def filled_url(owner_url: str) -> Iterator[str]:
    """A database with one event and its report, which are still there, unchanged, at the end."""
    with psycopg.connect(owner_url) as owner:
        owner.execute("INSERT INTO licensees (slug, name) VALUES ('north', 'North')")
        owner.execute(
            f"INSERT INTO usage_events ({COLUMNS}) VALUES (1, 'a', 'm', 5, '2026-11-22Z', '{{}}', '', 1)".encode()
        )
        owner.execute(
            "INSERT INTO usage_reports (licensee_id, report_id, report_no, key_id, body_digest, accepted, duplicate,"
            " held, conflict, rejected, image_count, outcomes) VALUES (1, 'r', 1, 1, '', 1, 0, 0, 0, 0, 5, '[]')"
        )
    yield owner_url
    with psycopg.connect(owner_url) as owner:
        assert owner.execute("SELECT event_id, image_count FROM usage_events").fetchall() == [("a", 5)]
        assert owner.execute("SELECT report_id, image_count FROM usage_reports").fetchall() == [("r", 5)]


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


def test_the_application_may_not(filled_url: str):
    for name, said in refusals(filled_url, APP_ROLE, WAYS | OF_THE_OWNER_ONLY).items():
        assert "permission denied" in said or "must be owner" in said or "append-only" in said, (name, said)


def test_nor_may_the_owner_of_the_tables(filled_url: str):
    for name, said in refusals(filled_url, None, WAYS).items():
        assert "append-only" in said, (name, said)


def test_nor_may_a_licensee(filled_url: str):
    for name, said in refusals(filled_url, LICENSEE_ROLE, WAYS).items():
        assert "permission denied" in said or "append-only" in said, (name, said)


def test_the_table_itself_refuses_what_is_not_a_whole_bounded_count(filled_url: str):
    statements = {
        name: f"INSERT INTO usage_events ({COLUMNS}{', output' * ('output' in name)}) VALUES {row}"
        for name, row in BAD_ROWS.items()
    }
    for name, said in refusals(filled_url, APP_ROLE, statements).items():
        assert "violates" in said, (name, said)
