"""Issued invoices between a licensor and licensees with addresses, and endpoints that hear of them."""

import pytest
from sqlalchemy.orm import Session

from tests.fakes.till import Till


@pytest.fixture
def till(session: Session) -> Till:
    made = Till(session)
    made.trade.licensor.email = "owner@guild.example"
    made.trade.account("north").contacts = [
        {"name": "Ann", "email": "ann@north.example"},
        {"name": "Bob", "email": "bob@north.example"},
    ]
    made.trade.licensee("south").email = "hello@south.example"
    made.trade.account("south")
    session.commit()
    return made
