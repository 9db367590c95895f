"""A month of usage to close."""

import pytest
from sqlalchemy.orm import Session

from tests.trade import Trade


@pytest.fixture
def trade(session: Session) -> Trade:
    return Trade(session)
