"""A running service on a database of the test's own."""

from collections.abc import Iterator

import pytest

from tests.door import Door, open_trade, serving, settings_for


@pytest.fixture
def door(database_url: str) -> Iterator[Door]:
    with serving(settings_for(database_url), open_trade(database_url)) as running:
        yield running
