"""Whether the database's calendar and ours agree on the zones in use.

Roll-up asks the database for the day of an event; cover, terms and billing periods are bounds that we compute. Both
know the zones of the world from tables that are updated a few times a year, each on its own. Where a government has
just changed its clocks one may know it before the other, and an hour around midnight would be counted on one day and
covered on another. The remedy is to update the older of the two tables.
"""

from collections.abc import Collection
from datetime import date, timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from core.period import Period, day_start
from core.registry.tables import Account

_TICK = timedelta(microseconds=1)
_DIFFERENCES = text("""
SELECT DISTINCT zone, bound
FROM unnest(CAST(:zone AS text[]), CAST(:bound AS date[]), CAST(:at AS timestamptz[]), CAST(:begun AS boolean[]))
    AS asked (zone, bound, at, begun)
WHERE ((at AT TIME ZONE zone)::date >= bound) <> begun
ORDER BY zone, bound
""")


def zones_in_use(session: Session) -> list[str]:
    """The zones of all accounts."""
    return list(session.scalars(select(Account.zone).distinct().order_by(Account.zone)))


def calendar_differences(session: Session, zones: Collection[str], span: Period) -> list[tuple[str, date]]:
    """(zone, first of a month) for each month of the span that does not begin for the database when it does for us."""
    asked: list[tuple[str, date, Any, bool]] = []
    for zone in zones:
        for month in span.months():
            bound = day_start(month.start, zone)
            asked += [(zone, month.start, bound - _TICK, False), (zone, month.start, bound, True)]
    if not asked:
        return []
    columns = dict(zip(("zone", "bound", "at", "begun"), map(list, zip(*asked, strict=True)), strict=True))
    return [(zone, bound) for zone, bound in session.execute(_DIFFERENCES, columns)]
