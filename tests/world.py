"""The demo's world for tests of pages: built once a test process, and a copy of it for each test.

from tests.world import built_world, world, world_url  # noqa: F401  (fixtures)

def test_a_page(world_url, world): ...      world_url: a database of the test's own; world: who is in it
"""

import os
from collections.abc import Iterator

import pytest

from service.cli.demo.world import World, build_world
from tests.conftest import _create, _drop, _numbers, _on

MONTHS = 2
PASSWORD = "only in tests, by nobody"


_built: dict[str, World] = {}


@pytest.fixture(scope="session")
def built_world(database_server: str, migrated_template: str) -> Iterator[tuple[str, World]]:
    """The name of a database with the world in it, and what there is to know of it. Copy it, never use it."""
    name = f"perimage_world_{os.getpid()}"
    if name in _built:  # another file of this process asked for it before, and will throw it away
        yield name, _built[name]
        return
    _create(database_server, name, migrated_template)
    _built[name] = build_world(_on(database_server, name), months=MONTHS, password=PASSWORD)
    yield name, _built[name]
    del _built[name]
    _drop(database_server, name)


@pytest.fixture
def world_url(database_server: str, built_world: tuple[str, World]) -> Iterator[str]:
    """A database of the test's own with the whole world in it."""
    name = f"perimage_test_{os.getpid()}_{next(_numbers)}"
    _create(database_server, name, built_world[0])
    yield _on(database_server, name)
    _drop(database_server, name)


@pytest.fixture(scope="session")
def world(built_world: tuple[str, World]) -> World:
    """Who is in the world, and when it is."""
    return built_world[1]
