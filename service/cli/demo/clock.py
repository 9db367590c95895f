"""The demo's past: a clock that only the demo's own connections hear.

Everything in Perimage is dated by the database, and a demo whose months were all closed this minute would have no
overdue invoice to show. So while the past is written, `now()` in the queries, triggers and column defaults of this
database means functions of ours, found by the search path of our connections. They give the time that a connection has
set for itself. Whoever has set none, such as the service and the workers beside us, has the true time all along, and
nothing of it is left when the past is written: not even after a demo that was killed, once another one begins.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import sql
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.pool import StaticPool

from core.database import APP_ROLE, libpq_options

SCHEMA = "demo_clock"
SETTING = "demo_clock.behind"  # microseconds, of one connection
_TIMES = ("now", "clock_timestamp")
_DEFAULTS = """
SELECT attrelid::regclass::text, attname, pg_get_expr(adbin, adrelid)
FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
WHERE pg_get_expr(adbin, adrelid) ~ %s
"""
_OURS = r"demo_clock\."
_THEIRS = r"^(now\(\)|clock_timestamp\(\)|CURRENT_DATE|CURRENT_TIMESTAMP)$"
_DATED = {
    "now()": f"{SCHEMA}.now()",
    "clock_timestamp()": f"{SCHEMA}.clock_timestamp()",
    "CURRENT_TIMESTAMP": f"{SCHEMA}.now()",
    "CURRENT_DATE": f"({SCHEMA}.now())::date",
}
_TRUE = {f"{SCHEMA}.now()": "now()", f"{SCHEMA}.clock_timestamp()": "clock_timestamp()"}


class PastClock:
    """The time of the demo's connections, set to whatever day it is writing about: an engine's one, and intake's."""

    def __init__(self, database_url: str) -> None:
        options = f"{libpq_options(APP_ROLE)} -c search_path={SCHEMA},pg_catalog,public"
        self.engine = create_engine(
            make_url(database_url).set(drivername="postgresql+psycopg"),
            connect_args={"options": options},
            poolclass=StaticPool,
        )
        self.intake = psycopg.connect(database_url, options=options)

    def set(self, moment: datetime | None) -> None:
        """It is this moment now, and time goes on from it; None is the true time. Call it between transactions."""
        behind = timedelta() if moment is None else max(datetime.now(UTC) - moment, timedelta())
        said = "SELECT set_config(%s, %s, false)", (SETTING, str(behind // timedelta(microseconds=1)))
        with self.engine.connect() as connection:
            connection.exec_driver_sql(*said)
            connection.commit()
        self.intake.execute(*said)
        self.intake.commit()

    def close(self) -> None:
        """Ends the connections."""
        self.intake.close()
        self.engine.dispose()


@contextmanager
def past_clock(owner_url: str, database_url: str) -> Iterator[PastClock]:
    """A clock of the demo's own. The database is as it was before when it ends."""
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute("SET lock_timeout = '20s'")  # a default is changed between other people's transactions
        _remove(owner)
        _install(owner)
        clock = PastClock(database_url)
        try:
            yield clock
        finally:
            clock.close()
            _remove(owner)


def _install(owner: psycopg.Connection) -> None:
    owner.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA)))
    for name in _TIMES:
        owner.execute(
            sql.SQL(
                "CREATE FUNCTION {schema}.{name}() RETURNS timestamptz LANGUAGE sql {kind} AS $$ SELECT "
                "pg_catalog.{name}() - coalesce(nullif(current_setting({setting}, true), ''), '0')::bigint "
                "* interval '1 microsecond' $$"
            ).format(
                schema=sql.Identifier(SCHEMA),
                name=sql.Identifier(name),
                kind=sql.SQL("STABLE" if name == "now" else "VOLATILE"),
                setting=sql.Literal(SETTING),
            )
        )
    owner.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO PUBLIC").format(sql.Identifier(SCHEMA)))
    for table, column, said in owner.execute(_DEFAULTS, [_THEIRS]).fetchall():
        _set_default(owner, table, column, _DATED[said])


def _remove(owner: psycopg.Connection) -> None:
    """Gives every default back what it said, also after a demo that did not come to its end."""
    if owner.execute("SELECT to_regnamespace(%s)", [SCHEMA]).fetchone() == (None,):
        return
    for table, column, said in owner.execute(_DEFAULTS, [_OURS]).fetchall():
        _set_default(owner, table, column, _TRUE.get(said, "CURRENT_DATE"))
    owner.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(SCHEMA)))


def _set_default(owner: psycopg.Connection, table: str, column: str, expression: str) -> None:
    owner.execute(
        sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET DEFAULT {}").format(
            sql.SQL(table),  # as the database wrote it, quoted where it has to be
            sql.Identifier(column),
            sql.SQL(expression),
        )
    )
