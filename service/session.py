"""A database session for the length of a request. Routes that write commit it themselves, once."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session


def _session(request: Request) -> Iterator[Session]:
    with Session(request.app.state.engine) as session:
        yield session


RequestSession = Annotated[Session, Depends(_session)]
