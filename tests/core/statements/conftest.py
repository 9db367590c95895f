"""The owner's engine beside the application's, for proofs that even the owner is refused."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from core.database import make_engine


@pytest.fixture
def owner_engine(owner_url: str) -> Iterator[Engine]:
    made = make_engine(owner_url, role=None)
    yield made
    made.dispose()
