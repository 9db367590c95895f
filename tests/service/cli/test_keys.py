"""`perimage keys`: issuing, listing and revoking, and that a secret is seen once."""

import json

import psycopg
import pytest

from core.registry.keys import parse_key, same_secret


@pytest.fixture
def north(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO licensees (slug, name) VALUES ('north', 'North'), ('south', 'South')")
    return database_url


def test_a_key_is_printed_alone_and_once_and_works(perimage, north):
    issued = perimage("keys", "issue", "north", "--label", "host 1")
    assert issued.exit_code == 0, issued.output
    parsed = parse_key(issued.stdout.strip())
    assert parsed is not None
    assert "the only time the key is shown: give it to north now" in issued.stderr
    with psycopg.connect(north) as connection:
        public_id, stored = connection.execute("SELECT public_id, secret_hash FROM meter_keys").fetchone() or ("", b"")
    assert public_id == parsed[0]
    assert same_secret(parsed[1], stored)
    listed = perimage("keys", "list")
    assert public_id in listed.stdout
    assert parsed[1] not in listed.output + perimage("keys", "list", "--json").output


def test_everything_about_a_key_is_for_machines_too(perimage, north):
    options = ["--backfill-from", "2026-01-01", "--reason", "lost", "--expires-on", "2020-01-01"]
    issued = json.loads(perimage("keys", "issue", "north", *options, "--json").stdout)
    perimage("keys", "issue", "south")
    (row,) = json.loads(perimage("keys", "list", "north", "--json").stdout)
    assert row["public_id"] == issued["public_id"] == issued["key"].split("_")[1]
    assert (row["backfill_from"], row["backfill_reason"], row["state"]) == ("2026-01-01", "lost", "expired")
    assert row["expires_at"] == "2020-01-01T00:00:00+00:00"


def test_a_key_is_revoked_by_its_public_id_or_by_itself(perimage, north):
    one, two = (perimage("keys", "issue", "north").stdout.strip() for _ in range(2))
    assert perimage("keys", "revoke", one).exit_code == 0
    assert perimage("keys", "revoke", two.split("_")[1]).exit_code == 0
    assert {row["state"] for row in json.loads(perimage("keys", "list", "--json").stdout)} == {"revoked"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["issue", "nobody"], "there is no licensee called nobody"),
        (["issue", "north", "--backfill-from", "2026-01-01"], "needs both the first day allowed and a reason"),
        (["issue", "north", "--reason", "lost"], "needs both the first day allowed and a reason"),
        (["issue", "north", "--backfill-from", "soon", "--reason", "x"], "--backfill-from: write a day as YYYY-MM-DD"),
        (["issue", "north", "--label", "a\nb"], "one line of at most 255 printable characters"),
        (["list", "nobody"], "there is no licensee called nobody"),
        (["revoke", "nobody"], "no meter key with the public id nobody"),
    ],
)
def test_a_refusal_is_one_sentence(perimage, north, arguments, sentence):
    refused = perimage("keys", *arguments)
    assert refused.exit_code == 2
    assert sentence in refused.stderr
    assert refused.stderr.startswith("perimage: ")
    assert "Traceback" not in refused.output
