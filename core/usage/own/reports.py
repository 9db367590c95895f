"""A licensee's own reports: what it sent, from where, what became of it, and what to do about the rest.

Run it through a licensee's eyes and it answers with that licensee's alone.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, literal, select, tuple_
from sqlalchemy.orm import Session

from core.errors import NotFound
from core.registry.tables import MeterKey
from core.usage.intake.receipt import Counts
from core.usage.own.turned_away import HeldRun, TurnedAway, held_runs, stored_runs, turned_away
from core.usage.tables import UsageEvent, UsageReport

PIECE = 20  # reports in memory at once, each with up to a thousand ids, while events are listed one by one
Place = tuple[datetime, str]  # of a report in the list: received_at, report_id


@dataclass(frozen=True, slots=True)
class OwnReport:
    """One report and what became of it. `key` is the label of the meter key, `key_id` its public id."""

    report_id: str
    received_at: datetime
    source: str | None
    sequence: int | None
    key_id: str
    key: str
    counts: Counts
    image_count: int


@dataclass(frozen=True, slots=True)
class WholeReport:
    """A report with its events. `events` is None where they cannot be found any more by their report."""

    report: OwnReport
    body_sha256: str
    events: list[UsageEvent] | None
    turned_away: list[TurnedAway]
    held: list[HeldRun]


@dataclass(frozen=True, slots=True)
class Refused:
    """An event that was turned away, and its report."""

    report_id: str
    received_at: datetime
    source: str | None
    event: TurnedAway


@dataclass(frozen=True, slots=True)
class Source:
    """What came from one source; `source` is None for reports that name none."""

    source: str | None
    report_count: int
    counts: Counts
    image_count: int
    first_sequence: int | None
    last_sequence: int | None
    last_seen: datetime

    @property
    def event_count(self) -> int:
        """Events that were stored with these reports."""
        return self.counts.accepted + self.counts.held


_COUNTS = (UsageReport.accepted, UsageReport.duplicate, UsageReport.held, UsageReport.conflict, UsageReport.rejected)
_PROBLEMS = UsageReport.rejected + UsageReport.conflict > 0
_here = tuple_(UsageReport.received_at, UsageReport.report_id)
_NEWEST_FIRST = (UsageReport.received_at.desc(), UsageReport.report_id.desc())
_ASKED = select(UsageReport, MeterKey.public_id, MeterKey.label).join(
    MeterKey, (MeterKey.licensee_id == UsageReport.licensee_id) & (MeterKey.id == UsageReport.key_id), isouter=True
)
# For lists that are searched and sorted: without what only one report's page shows.
OWN_REPORTS = select(
    UsageReport.report_id,
    UsageReport.received_at,
    UsageReport.source,
    UsageReport.sequence,
    *_COUNTS,
    UsageReport.image_count,
    MeterKey.public_id,
    MeterKey.label,
).join(MeterKey, (MeterKey.licensee_id == UsageReport.licensee_id) & (MeterKey.id == UsageReport.key_id), isouter=True)
HAS_PROBLEMS = _PROBLEMS
HAS_HELD = UsageReport.held > 0


def reports(
    session: Session,
    *,
    source: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    problems: bool = False,
    after: Place | None = None,
    limit: int = 1000,
) -> list[OwnReport]:
    """Reports received at `[start, end)`, newest first; with `problems`, those with refusals or conflicts only."""
    asked = _ASKED.order_by(*_NEWEST_FIRST).limit(limit)
    if after:  # the first condition says nothing new, but finds the place in the index
        asked = asked.where(UsageReport.received_at <= after[0], _here < _place(*after))
    if source is not None:
        asked = asked.where(UsageReport.source == source)
    if start:
        asked = asked.where(UsageReport.received_at >= start)
    if end:
        asked = asked.where(UsageReport.received_at < end)
    if problems:
        asked = asked.where(_PROBLEMS)
    return [_own(row, public_id, label) for row, public_id, label in session.execute(asked)]


def report(session: Session, report_id: str) -> WholeReport:
    """One report with its events, refusals and holds. Raises NotFound."""
    found = session.execute(_ASKED.where(UsageReport.report_id == report_id)).one_or_none()
    if found is None:
        raise NotFound("unknown_report", f"there is no report {report_id!r}; a report that was not answered may be so")
    row, public_id, label = found
    runs = stored_runs(row.outcomes)
    return WholeReport(
        _own(row, public_id, label),
        row.body_digest.hex(),
        _events(session, row),
        list(turned_away(runs)),
        held_runs(runs),
    )


def refused_events(
    session: Session, *, after: tuple[datetime, str, int] | None = None, limit: int = 1000
) -> list[Refused]:
    """Events that were refused or in conflict, newest report first, after a place in a report."""
    asked = select(UsageReport).where(_PROBLEMS).order_by(*_NEWEST_FIRST)
    if after:
        asked = asked.where(UsageReport.received_at <= after[0], _here <= _place(*after[:2]))
    found: list[Refused] = []
    with session.scalars(asked.execution_options(yield_per=PIECE)) as rows:
        for row in rows:
            here = after is not None and (row.received_at, row.report_id) == after[:2]
            for event in turned_away(stored_runs(row.outcomes)):
                if after and here and event.place <= after[2]:
                    continue
                found.append(Refused(row.report_id, row.received_at, row.source, event))
                if len(found) == limit:
                    return found
    return found


def sources(
    session: Session, start: datetime, end: datetime, *, after: str | None = None, limit: int = 1000
) -> list[Source]:
    """What came at `[start, end)`, by source, after the source `after`; reports that name none are first, as ''."""
    named = func.coalesce(UsageReport.source, "")
    sums = [func.sum(column) for column in (*_COUNTS, UsageReport.image_count)]
    asked = (
        select(
            named,
            func.count(),
            *sums,
            func.min(UsageReport.sequence),
            func.max(UsageReport.sequence),
            func.max(UsageReport.received_at),
        )
        .where(UsageReport.received_at >= start, UsageReport.received_at < end)
        .group_by(named)
        .order_by(named)
        .limit(limit)
    )
    if after is not None:
        asked = asked.where(named > after)
    return [
        Source(source or None, count, Counts(*map(int, sums[:5])), int(sums[5]), first, last, seen)
        for source, count, *sums, first, last, seen in session.execute(asked)
    ]


def _events(session: Session, row: UsageReport) -> list[UsageEvent] | None:
    if row.xid is None:
        return None
    asked = select(UsageEvent).where(
        UsageEvent.licensee_id == row.licensee_id, UsageEvent.xid == row.xid, UsageEvent.report_no == row.report_no
    )
    return list(session.scalars(asked.order_by(UsageEvent.event_id)))


def _place(received_at: datetime, report_id: str) -> ColumnElement[Any]:
    return tuple_(literal(received_at, UsageReport.received_at.type), literal(report_id, UsageReport.report_id.type))


def _own(row: UsageReport, public_id: str | None, label: str | None) -> OwnReport:
    return OwnReport(
        row.report_id,
        row.received_at,
        row.source,
        row.sequence,
        public_id or "",
        label or "",
        Counts(row.accepted, row.duplicate, row.held, row.conflict, row.rejected),
        row.image_count,
    )
