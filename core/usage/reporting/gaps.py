"""Gaps in the sequence numbers of a source: reports that were made and never arrived.

A source numbers its reports one after another, so a number that is missing between two that came is a report that was
lost, or is still on its way; it is a gap for as long as it is missing. What a source lost before its first report or
after its last one cannot be seen from numbers. A number under two report ids is shown as well: the source has begun to
count anew, or two sources go by one name, and gaps between them cannot be trusted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.orm import Session

Kind = Literal["missing", "reused"]
MOST_REPORTS = 10  # shown of a number that is used again and again

# The index holds each source's numbers from the highest down, so one pass sees beside each number the next higher one
# that came, and since when it was known that a higher one had. Sums that could leave 64 bits are not made.
_FIND = """
WITH seen AS (
    SELECT licensee_id, source, sequence,
           lag(sequence) OVER higher AS next, lag(sequence, 2) OVER higher AS next_but_one,
           min(received_at) OVER (higher ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS since
    FROM usage_reports WHERE sequence IS NOT NULL {only}
    WINDOW higher AS (PARTITION BY licensee_id, source ORDER BY sequence DESC)
), found AS (
    SELECT seen.*, CASE WHEN next > sequence THEN 'missing' ELSE 'reused' END AS kind,
           CASE WHEN next > sequence THEN sequence + 1 ELSE sequence END AS first,
           CASE WHEN next > sequence THEN next - 1 ELSE sequence END AS last
    FROM seen
    WHERE next - sequence > 1 AND since <= now() - make_interval(secs => :open_seconds)
       OR next = sequence AND next_but_one IS DISTINCT FROM sequence
)
SELECT licensee_id, licensees.slug, source, kind, first, last, sequence AS before, next AS after, since
FROM found JOIN licensees ON licensees.id = licensee_id
WHERE (coalesce(source, ''), first, kind) > (:after_source, :after_first, :after_kind)
ORDER BY licensees.slug, coalesce(source, ''), first, kind
LIMIT :limit
"""
_AROUND = text("""
SELECT asked.place, report.report_id, report.received_at
FROM unnest(CAST(:places AS int[]), CAST(:licensees AS bigint[]), CAST(:sources AS text[]), CAST(:numbers AS bigint[]))
    AS asked (place, licensee_id, source, sequence)
CROSS JOIN LATERAL (
    (SELECT report_id, received_at FROM usage_reports AS named
     WHERE named.licensee_id = asked.licensee_id AND named.source = asked.source AND named.sequence = asked.sequence
     ORDER BY received_at, report_id LIMIT :most)
    UNION ALL
    (SELECT report_id, received_at FROM usage_reports AS unnamed
     WHERE asked.source IS NULL AND unnamed.licensee_id = asked.licensee_id AND unnamed.source IS NULL
       AND unnamed.sequence = asked.sequence
     ORDER BY received_at, report_id LIMIT :most)
) AS report
ORDER BY asked.place, report.received_at, report.report_id
""")


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A report beside a gap, or one that used a number again."""

    report_id: str
    received_at: datetime


@dataclass(slots=True)
class Gap:
    """Numbers `first` to `last` of a source, which are missing; or one that several reports used.

    `since`: when a higher number than the missing ones had come; of a reused one, when it came the second time.
    `reports` are the first ones that used it.
    """

    licensee: str
    source: str | None
    kind: Kind
    first: int
    last: int
    since: datetime
    before: Neighbour | None = None
    after: Neighbour | None = None
    reports: list[Neighbour] = field(default_factory=list)

    @property
    def missing_count(self) -> int:
        return self.last - self.first + 1 if self.kind == "missing" else 0


def gaps(
    session: Session,
    *,
    licensee: str | None = None,
    source: str | None = None,
    open_seconds: int = 0,
    after: Sequence[Any] | None = None,
    limit: int = 1000,
) -> list[Gap]:
    """Open gaps and reused numbers that the session may see, by licensee, source and number.

    `open_seconds`: only gaps that have been open for so long; of reports sent side by side a later one may come first.
    `after` is (source or "", first number, kind) of the last one of the page before, of one licensee.
    """
    only = ""
    asked: dict[str, Any] = {"open_seconds": open_seconds, "limit": limit}
    asked |= dict(zip(("after_source", "after_first", "after_kind"), after or ("", -1, ""), strict=True))
    if source is not None:
        only, asked["source"] = "AND source = :source", source
    if licensee is not None:
        only += " AND licensee_id = (SELECT id FROM licensees WHERE slug = :licensee)"
        asked["licensee"] = licensee
    rows = session.execute(text(_FIND.format(only=only)), asked).all()
    found = [Gap(row.slug, row.source, row.kind, row.first, row.last, row.since) for row in rows]
    beside = _beside(session, rows)
    for n, gap in enumerate(found):
        around, next_ones = beside.get(2 * n, []), beside.get(2 * n + 1, [])
        if gap.kind == "missing":
            gap.before, gap.after = (next(iter(each), None) for each in (around, next_ones))
        else:
            gap.reports, gap.since = around, around[1].received_at
    return found


def _beside(session: Session, rows: Sequence[Any]) -> dict[int, list[Neighbour]]:
    """By place, twice that of the row: the reports with its number; one more: those with the next higher one."""
    asked = [
        (2 * n + odd, row.licensee_id, row.source, number)
        for n, row in enumerate(rows)
        for odd, number in enumerate((row.before, row.after))
        if number is not None
    ]
    if not asked:
        return {}
    names = ("places", "licensees", "sources", "numbers")
    columns = dict(zip(names, map(list, zip(*asked, strict=True)), strict=True))
    found: dict[int, list[Neighbour]] = {}
    for place, report_id, received_at in session.execute(_AROUND, {**columns, "most": MOST_REPORTS}):
        found.setdefault(place, []).append(Neighbour(report_id, received_at))
    return found
