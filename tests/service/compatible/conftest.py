"""One running service for all tests of the doors, on a database that is emptied of usage before each of them."""

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from tests.door import Door, open_trade, serving, settings_for

USAGE = "usage_events, usage_reports, usage_corrections, daily_counts, resolutions"


class Served(NamedTuple):
    door: Door
    url: str


@pytest.fixture(scope="package")
def served(database_server: str, migrated_template: str) -> Iterator[Served]:
    name = f"{migrated_template}_doors"
    template = sql.Identifier(migrated_template)
    with psycopg.connect(database_server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), template))
        url = urlunsplit(urlsplit(database_server)._replace(path=f"/{name}"))
        with serving(settings_for(url), open_trade(url)) as door:
            yield Served(door, url)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database_url(served: Served) -> str:
    with psycopg.connect(served.url) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute(f"TRUNCATE {USAGE}")
    return served.url


@pytest.fixture
def door(served: Served, database_url: str) -> Door:
    return served.door
