"""One installation for all stories of a test process; each story brings a trade of its own."""

from collections.abc import Iterator

import pytest

from tests.stories.installation import Installation, installation


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The installation, started once."""
    with installation(tmp_path_factory.mktemp("stories")) as running:
        yield running


@pytest.fixture
def here(town: Installation) -> Iterator[Installation]:
    """The same for one story; what the programs logged meanwhile is shown if the story fails."""
    town.mark_logs()
    yield town
    print(town.tail())
