"""Two licensors, three licensees, their people, a running service, and a browser."""

import os
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from itertools import count
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Browser
from psycopg import sql
from sqlalchemy.orm import Session

from core.accruals.accrue import accrue_due
from core.database import make_engine
from tests.conftest import _create, _drop, _on
from tests.door import serving, settings_for
from tests.service.dashboard import screen as screens
from tests.service.dashboard.people import Dashboard, add_people
from tests.service.dashboard.screen import Screen
from tests.service.finance.house import House, furnish
from tests.world import built_world, world, world_url  # noqa: F401 - fixtures

TEMPLATE = f"perimage_dashboard_{os.getpid()}"
_numbers = count(1)


@pytest.fixture(scope="session")
def furnished(database_server: str, migrated_template: str) -> Iterator[dict[str, House]]:
    """A database in which everything is there, to be copied."""
    _drop(database_server, TEMPLATE)
    _create(database_server, TEMPLATE, migrated_template)
    houses = furnish(_on(database_server, TEMPLATE))
    engine = make_engine(_on(database_server, TEMPLATE))
    with Session(engine) as session:
        add_people(session)
        session.commit()
    engine.dispose()
    yield houses
    _drop(database_server, TEMPLATE)


@contextmanager
def _running(server: str, houses: dict[str, House]) -> Iterator[Dashboard]:
    name = f"{TEMPLATE}_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [TEMPLATE]
        )
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
    _create(server, name, TEMPLATE)
    url = _on(server, name)
    engine = make_engine(url)
    try:
        with serving(settings_for(url, signing_key=b64encode(b"\x09" * 32).decode()), {}) as door:
            yield Dashboard(door, deepcopy(houses), engine, url)
    finally:
        engine.dispose()
        _drop(server, name)


@pytest.fixture
def dashboard(database_server: str, furnished: dict[str, House]) -> Iterator[Dashboard]:
    """The service on a database of the test's own."""
    with _running(database_server, furnished) as running:
        yield running


@pytest.fixture(scope="module")
def shared(database_server: str, furnished: dict[str, House]) -> Iterator[Dashboard]:
    """The service for all tests of a file, which read, or act on what no other test of the file looks at."""
    with _running(database_server, furnished) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser a file: Playwright's loop must be over before other files run loops of their own."""
    with screens.browser() as made:
        yield made


@pytest.fixture
def screen(browser: Browser, shared: Dashboard) -> Iterator[Screen]:
    """Browsers on the service that the file shares. Fails for whatever goes wrong on a page."""
    folder = os.environ.get("PERIMAGE_PICTURES")
    made = Screen(browser, shared, Path(folder) if folder else None)
    try:
        yield made
        made.demand_clean()
    finally:
        made.close()


@pytest.fixture
def played(world_url: str) -> Iterator[Dashboard]:  # noqa: F811
    """The demo's world, accrued, with a running service."""
    engine = make_engine(world_url)
    with Session(engine) as session:
        accrue_due(session)
        session.commit()
    try:
        with serving(settings_for(world_url, signing_key=b64encode(b"\x09" * 32).decode()), {}) as door:
            yield Dashboard(door, {}, engine, world_url)
    finally:
        engine.dispose()
