"""The database: how tables are declared, how a connection is made, and whose eyes it looks through.

Two roles, both made by the migrations and neither able to log in. Every connection of ours becomes `perimage_app`,
which may add facts but not change or delete them. A request of one licensee becomes `perimage_licensee` for the length
of its transaction: row-level security then shows it that licensee's rows and no others.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Engine,
    MetaData,
    String,
    any_,
    create_engine,
    event,
    literal,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP
from sqlalchemy.engine import make_url
from sqlalchemy.orm import DeclarativeBase, Session

APP_ROLE = "perimage_app"
LICENSEE_ROLE = "perimage_licensee"


class Base(DeclarativeBase):
    """Every table hangs here; constraint names are fixed so that migrations and errors can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        int: BigInteger,
        datetime: TIMESTAMP(timezone=True),
        list[str]: ARRAY(String),
        list[int]: ARRAY(BigInteger),
        dict[str, Any]: JSONB,
        list[dict[str, Any]]: JSONB,
    }


def libpq_options(role: str | None) -> str:
    """What every connection asks of the server at its start: UTC, a statement time-out, and the role to work in."""
    options = ["-c timezone=UTC", "-c statement_timeout=60s", "-c idle_in_transaction_session_timeout=300s"]
    return " ".join([*options, f"-c role={role}"] if role else options)


def make_engine(url: str, *, role: str | None = APP_ROLE, pool_size: int = 5) -> Engine:
    """An engine on psycopg 3 for a `postgresql://` URL, working as `role`; None keeps the login's own (migrations)."""
    return create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        connect_args={"options": libpq_options(role)},
        pool_size=pool_size,
        max_overflow=5,
        pool_pre_ping=True,
    )


def among(column: Any, ids: Iterable[int]) -> ColumnElement[bool]:
    """Whether a column holds one of the ids. They are sent as one array, so that the database sees one and the same
    statement however many there are.
    """
    found: ColumnElement[bool] = column == any_(literal(list(ids), ARRAY(BigInteger)))
    return found


@contextmanager
def licensee_eyes(session: Session, licensee_id: int) -> Iterator[Session]:
    """The session, seeing only one licensee's rows until its transaction ends.

    Row-level security answers for it, so a forgotten WHERE shows nothing that is not the licensee's own.
    """
    session.execute(text("SELECT set_config('perimage.licensee_id', :id, true)"), {"id": str(licensee_id)})
    session.execute(text(f"SET LOCAL ROLE {LICENSEE_ROLE}"))
    try:
        yield session
    finally:
        session.rollback()


def refuse_unsafe_server(engine: Engine) -> None:
    """Watches every new connection and refuses a server that acknowledges before it has flushed."""

    @event.listens_for(engine, "connect")
    def check(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('synchronous_commit'), current_setting('fsync')")
            synchronous_commit, fsync = cursor.fetchone()
        connection.rollback()
        if synchronous_commit == "off" or fsync == "off":
            raise RuntimeError(
                f"PostgreSQL runs with synchronous_commit={synchronous_commit} and fsync={fsync}: an answer of success "
                "would not mean that the usage is safe. Set both to on."
            )
