"""Two licensors with everything that a licensor has, their people, and a door to both."""

import os
from base64 import b64encode
from collections.abc import Iterator
from copy import deepcopy
from itertools import count

import psycopg
import pytest
from psycopg import sql

from tests.conftest import _create, _drop, _on
from tests.door import serving, settings_for
from tests.service.finance.house import Finance, House, furnish

TEMPLATE = f"perimage_two_houses_{os.getpid()}"
_numbers = count(1)


@pytest.fixture(scope="session")
def two_houses(database_server: str, migrated_template: str) -> Iterator[dict[str, House]]:
    """A database in which both are furnished, to be copied."""
    _drop(database_server, TEMPLATE)
    _create(database_server, TEMPLATE, migrated_template)
    yield furnish(_on(database_server, TEMPLATE))
    _drop(database_server, TEMPLATE)


@pytest.fixture
def owner_url(database_server: str, two_houses: dict[str, House]) -> Iterator[str]:
    """A copy of the test's own."""
    name = f"{TEMPLATE}_{next(_numbers)}"
    with psycopg.connect(database_server, autocommit=True) as connection:
        gone = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
        connection.execute(gone, [TEMPLATE])
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
    _create(database_server, name, TEMPLATE)
    yield _on(database_server, name)
    _drop(database_server, name)


@pytest.fixture
def finance(database_url: str, two_houses: dict[str, House]) -> Iterator[Finance]:
    """The service, with a licensor `guild` and a licensor `rival`, who share a licensee."""
    settings = settings_for(database_url, signing_key=b64encode(b"\x09" * 32).decode())
    with serving(settings, {}) as door:
        yield Finance(door, deepcopy(two_houses))
