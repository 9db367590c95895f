"""A calendar for stories of months: the database's clock, and Stripe's beside it, set to whatever day the story is at.

    clock = CalendarClock(owner_url, datetime(2026, 1, 1, tzinfo=UTC))      before anybody else connects
    clock.set(datetime(2026, 2, 3, 9, tzinfo=UTC))

Everything that the product does is dated by the database: `now()` and `clock_timestamp()` in its queries and triggers,
and the defaults of its columns. In this one database both names, and every such default, mean functions of the story's
own, which run as far ahead as it says. They are found before PostgreSQL's by the search path; no code knows of them.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import sql

_TIMES = ("now", "clock_timestamp")
_DEFAULTS = """
SELECT attrelid::regclass::text, attname, pg_get_expr(adbin, adrelid)
FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
WHERE pg_get_expr(adbin, adrelid) ~ '(now\\(\\)|clock_timestamp\\(\\)|CURRENT_DATE|CURRENT_TIMESTAMP)'
"""


class CalendarClock:
    """The database's clock. It only goes forward."""

    def __init__(self, owner_url: str, begins: datetime) -> None:
        self._connection = psycopg.connect(owner_url, autocommit=True)
        self._followers: list[Callable[[datetime], None]] = []
        self._ahead = begins - datetime.now(UTC)
        self._take_over()

    def close(self) -> None:
        self._connection.close()

    def follow(self, set_to: Callable[[datetime], None]) -> None:
        """Sets another clock, now and at every step."""
        self._followers.append(set_to)
        set_to(self.now)

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def set(self, moment: datetime) -> None:
        """It is this moment now, and time goes on from it."""
        assert moment >= self.now, f"time does not run back: it is {self.now}, not {moment}"
        self._ahead = moment - datetime.now(UTC)
        self._define()
        for follow in self._followers:
            follow(self.now)

    def forward(self, by: timedelta) -> None:
        self.set(self.now + by)

    def _define(self) -> None:
        with self._connection.transaction():
            for name in _TIMES:
                body = sql.SQL(
                    "CREATE OR REPLACE FUNCTION story_clock.{name}() RETURNS timestamptz LANGUAGE sql {kind} "
                    "AS 'SELECT pg_catalog.{name}() + interval ''{microseconds} microseconds'''"
                )
                self._connection.execute(
                    body.format(
                        name=sql.Identifier(name),
                        kind=sql.SQL("STABLE" if name == "now" else "VOLATILE"),
                        microseconds=sql.SQL(str(self._ahead // timedelta(microseconds=1))),
                    )
                )

    def _take_over(self) -> None:
        self._connection.execute("CREATE SCHEMA story_clock")
        self._define()
        self._connection.execute("GRANT USAGE ON SCHEMA story_clock TO PUBLIC")
        for table, column, expression in self._connection.execute(_DEFAULTS).fetchall():
            ours = expression
            for theirs in (*(f"{name}()" for name in _TIMES), "CURRENT_TIMESTAMP"):
                ours = ours.replace(theirs, f"story_clock.{theirs if '(' in theirs else 'now()'}")
            ours = ours.replace("CURRENT_DATE", "(story_clock.now())::date")
            self._connection.execute(f"ALTER TABLE {table} ALTER {column} SET DEFAULT {ours}")  # type: ignore[call-overload]
        name = self._connection.info.dbname
        path = sql.SQL("ALTER DATABASE {} SET search_path = story_clock, pg_catalog, public")
        self._connection.execute(path.format(sql.Identifier(name)))
