"""The eyes of a licensor: one licensor's rows and no others, to be read only."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text
from sqlalchemy.orm import Session

LICENSOR_ROLE = "perimage_licensor"


@contextmanager
def licensor_eyes(session: Session, licensor_id: int) -> Iterator[Session]:
    """The session, seeing only what belongs to one licensor until its transaction ends, and changing nothing.

    Row-level security answers for it, so a forgotten WHERE shows nothing that is another licensor's.
    """
    session.execute(text("SELECT set_config('perimage.licensor_id', :id, true)"), {"id": str(licensor_id)})
    session.execute(text(f"SET LOCAL ROLE {LICENSOR_ROLE}"))
    try:
        yield session
    finally:
        session.rollback()
