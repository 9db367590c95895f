"""A database that the tests of a file share, if they never commit: a copy for each would take longer than they do."""

import os
from collections.abc import Iterator
from itertools import count
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from core.database import make_engine

_numbers = count(1)


@pytest.fixture(scope="module")
def shared_engine(database_server: str, migrated_template: str) -> Iterator[Engine]:
    """The application's engine on it."""
    name = f"perimage_shared_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(database_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_template}".encode())
    made = make_engine(urlunsplit(urlsplit(database_server)._replace(path=f"/{name}")))
    yield made
    made.dispose()
    with psycopg.connect(database_server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def passing(shared_engine: Engine) -> Iterator[Session]:
    """A session whose work is undone at its end; no test commits it."""
    with Session(shared_engine) as opened:
        yield opened
