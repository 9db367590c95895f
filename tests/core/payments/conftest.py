"""A till, a fake Stripe, and the outbox between them."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tests.fakes.stripe_server import StripeServer
from tests.fakes.till import Outbox, Till


@pytest.fixture
def till(session: Session) -> Till:
    return Till(session)


@pytest.fixture
def server() -> Iterator[StripeServer]:
    with StripeServer() as running:
        yield running


@pytest.fixture
def outbox(engine: Engine, server: StripeServer) -> Outbox:
    return Outbox(engine, server)
