"""Writing usage: a group of reports in one transaction, each event counted at most once for its id.

The quick way copies all events straight into the keyed table and trusts that none is known, which is nearly always so.
If one is, the unique key refuses the copy and the group is written again with care: piece by piece, and the piece
with the known event through a staging table, in the order of the key, so that two writers never wait for each other
in a circle. Whatever the way, the database's key decides, and a report is judged by what stood when it was written.

Nothing here is answered before COMMIT has returned.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import psycopg

from core.errors import Conflict, PerimageError, Unavailable
from core.kill_points import kill_point
from core.usage.intake.packing import COLUMNS, copy_body
from core.usage.intake.receipt import Counts, Receipt, Run, Verdict, judge
from core.usage.intake.report import Content, Refusal, Report, micros

ATTEMPTS = 8
PIECE = 500  # events that are tried together when a group is written with care

_Connection = psycopg.Connection[tuple[Any, ...]]
_Stored = dict[int, dict[str, Content]]  # by report number: what other reports had said of its ids before

REUSED = (
    "this report_id was used before with another body: repeat a report byte for byte, or give it a new report_id; "
    "its events are counted once either way"
)
ASK_SERVER = """
SELECT current_setting('synchronous_commit'), current_setting('fsync'), row_security_active('usage_events')
"""
LOOK_UP = """
SELECT now(), report.body_digest, report.received_at, report.image_count, report.outcomes,
       report.accepted, report.duplicate, report.held, report.conflict, report.rejected
FROM unnest(%s::bigint[], %s::text[]) WITH ORDINALITY AS asked (licensee_id, report_id, place)
LEFT JOIN usage_reports AS report USING (licensee_id, report_id)
ORDER BY asked.place
"""
ADD_REPORTS = """
INSERT INTO usage_reports (licensee_id, report_id, report_no, key_id, source, sequence, body_digest,
                           accepted, duplicate, held, conflict, rejected, image_count, outcomes)
SELECT licensee_id, report_id, report_no, key_id, source, sequence, decode(digest, 'hex'),
       accepted, duplicate, held, conflict, rejected, image_count, outcomes
FROM json_to_recordset(%s::json) AS report (
    licensee_id bigint, report_id text, report_no bigint, key_id bigint, source text, sequence bigint, digest text,
    accepted int, duplicate int, held int, conflict int, rejected int, image_count bigint, outcomes jsonb)
ON CONFLICT DO NOTHING
"""
MAKE_STAGING = """
CREATE TEMP TABLE IF NOT EXISTS usage_staging (
    licensee_id bigint, event_id text COLLATE "C", model text, image_count int, occurred_at timestamptz,
    adapters text[], plan text, output text, report_no bigint
) ON COMMIT DELETE ROWS
"""
ADD_STAGED = f"""
INSERT INTO usage_events ({COLUMNS}) SELECT {COLUMNS} FROM usage_staging
ORDER BY licensee_id, event_id, report_no ON CONFLICT DO NOTHING
"""  # noqa: S608 - our own words
KNOWN_BEFORE = """
SELECT staged.report_no, event.event_id, event.model, event.image_count, event.occurred_at, event.adapters, event.plan,
       event.output
FROM usage_staging AS staged JOIN usage_events AS event USING (licensee_id, event_id)
WHERE event.report_no <> staged.report_no
"""
# The same of events that a full cap keeps out: one that was taken before is a duplicate, not refused.
CAPPED_BEFORE = """
SELECT capped.report_no, event.event_id, event.model, event.image_count, event.occurred_at, event.adapters,
       event.plan, event.output
FROM unnest(%s::bigint[], %s::bigint[], %s::text[]) AS capped (report_no, licensee_id, event_id)
JOIN usage_events AS event USING (licensee_id, event_id)
WHERE event.report_no <> capped.report_no
"""


@dataclass(slots=True)
class Submission:
    """A report on its way into the database: who sent it, what it says, and its rows packed for COPY.

    `holds` and `capped` say by place why events are held, or kept out by a cap that is reached; the latter are not
    among the rows.
    """

    licensee_id: int
    key_id: int
    report: Report
    digest: bytes  # of the body, which tells a repeat from another report of the same id
    report_no: int  # from the sequence usage_report_numbers
    rows: bytes
    holds: Mapping[int, str] = field(default_factory=dict)
    capped: Mapping[int, Refusal] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[int, str]:
        return self.licensee_id, self.report.report_id


class _ReportRow(msgspec.Struct):
    """A row of usage_reports on its way through JSON."""

    licensee_id: int
    report_id: str
    report_no: int
    key_id: int
    source: str | None
    sequence: int | None
    digest: str
    accepted: int
    duplicate: int
    held: int
    conflict: int
    rejected: int
    image_count: int
    outcomes: Sequence[Run]


class _RacedError(Exception):
    """Another process wrote one of our reports between our look and our insert."""


_rows_to_json = msgspec.json.Encoder().encode


class Intake:
    """Writes groups of reports over one connection, which must not commit by itself.

    Raises RuntimeError for a server that acknowledges before it has flushed.
    """

    def __init__(self, connection: _Connection) -> None:
        self.connection = connection
        row = connection.execute(ASK_SERVER).fetchone()
        connection.rollback()
        assert row is not None  # noqa: S101 - a SELECT without FROM has one row
        synchronous_commit, fsync, row_security = row
        if synchronous_commit == "off" or fsync == "off":
            raise RuntimeError(
                f"PostgreSQL runs with synchronous_commit={synchronous_commit} and fsync={fsync}: a receipt would not "
                "mean that the usage is safe. Set both to on."
            )
        # PostgreSQL refuses COPY into a table whose row security applies to us; INSERT .. SELECT it allows.
        self.quick = not row_security

    def numbers(self, count: int) -> list[int]:
        """So many numbers for reports, never given before. Numbers that stay unused are no harm."""
        asked = "SELECT nextval('usage_report_numbers') FROM generate_series(1, %s)"
        rows = self.connection.execute(asked, [count]).fetchall()
        self.connection.rollback()
        return [number for (number,) in rows]

    def write(self, group: Sequence[Submission]) -> list[Receipt | PerimageError]:
        """Commits all reports of a group, no two of one id, and gives each its receipt or the reason it has none."""
        way = self._add_quickly if self.quick else self._add_staged
        for _ in range(ATTEMPTS):
            try:
                return self._attempt(group, way)
            except psycopg.errors.UniqueViolation:
                way = self._add_by_pieces
            except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure, _RacedError):
                way = self._add_staged
        raise Unavailable(
            "busy", "the same events are being reported by others right now; report them again", retry_after=1
        )

    def _attempt(
        self, group: Sequence[Submission], way: Callable[[Sequence[Submission]], _Stored]
    ) -> list[Receipt | PerimageError]:
        try:
            now, answers = self._look_up(group)
            fresh = [submission for submission, known in zip(group, answers, strict=True) if known is None]
            if fresh:
                before = way(fresh)
                if any(each.capped for each in fresh):
                    self._add_capped_before(fresh, before)
                verdicts = [
                    judge(each.report, each.holds, before.get(each.report_no, {}), each.capped) for each in fresh
                ]
                self._add_reports(fresh, verdicts)
                kill_point("after_insert_before_commit")
            self.connection.commit()
            kill_point("after_commit_before_reply")
        except BaseException:
            with suppress(psycopg.Error):
                self.connection.rollback()
            raise
        new = iter(verdicts if fresh else ())
        return [
            Receipt(now, next(new), digest=submission.digest) if known is None else known
            for submission, known in zip(group, answers, strict=True)
        ]

    def _look_up(self, group: Sequence[Submission]) -> tuple[datetime, list[Receipt | PerimageError | None]]:
        """The transaction's time, and for each report the answer it was given before, if it was."""
        asked = [each.licensee_id for each in group], [each.report.report_id for each in group]
        rows = self.connection.execute(LOOK_UP, asked).fetchall()
        answers: list[Receipt | PerimageError | None] = []
        for submission, (_, digest, received_at, image_count, outcomes, *counts) in zip(group, rows, strict=True):
            if digest is None:
                answers.append(None)
            elif digest == submission.digest:
                runs = msgspec.convert(outcomes, list[Run])
                verdict = Verdict(Counts(*counts), image_count, runs)
                answers.append(Receipt(received_at, verdict, replayed=True, digest=digest))
            else:
                answers.append(Conflict("report_id_reused", REUSED))
        return rows[0][0], answers

    def _copy(self, table: str, submissions: Sequence[Submission]) -> None:
        statement = f"COPY {table} ({COLUMNS}) FROM STDIN (FORMAT BINARY)".encode()
        with self.connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(copy_body(each.rows for each in submissions))

    def _add_quickly(self, fresh: Sequence[Submission]) -> _Stored:
        """All at once, trusting that no event is known; the key refuses the whole if one is."""
        self._copy("usage_events", fresh)
        return {}

    def _add_by_pieces(self, fresh: Sequence[Submission]) -> _Stored:
        """Piece by piece, so that a known event slows only the reports beside it."""
        pieces = list(_pieces(fresh))
        if len(pieces) == 1:
            return self._add_staged(fresh)
        aside: list[Submission] = []
        for piece in pieces:
            try:
                with self.connection.transaction():  # a savepoint
                    self._copy("usage_events", piece)
            except psycopg.errors.UniqueViolation:
                aside += piece
        return self._add_staged(aside) if aside else {}

    def _add_staged(self, fresh: Sequence[Submission]) -> _Stored:
        """Whatever is not known yet, in the order of the key; and what was said before of what is."""
        self.connection.execute(MAKE_STAGING)
        self._copy("usage_staging", fresh)
        self.connection.execute(ADD_STAGED)
        before: _Stored = {}
        self._remember(self.connection.execute(KNOWN_BEFORE), before)
        return before

    def _add_capped_before(self, fresh: Sequence[Submission], before: _Stored) -> None:
        """Adds what was said before of events that a cap keeps out."""
        asked = [(each.report_no, each.licensee_id, each.report.ids[place]) for each in fresh for place in each.capped]
        columns = [list(column) for column in zip(*asked, strict=True)]
        self._remember(self.connection.execute(CAPPED_BEFORE, columns), before)

    @staticmethod
    def _remember(rows: Iterable[tuple[Any, ...]], before: _Stored) -> None:
        for number, event_id, model, image_count, occurred_at, adapters, plan, output in rows:
            said = (model, image_count, micros(occurred_at), tuple(adapters), plan, output)
            before.setdefault(number, {})[event_id] = said

    def _add_reports(self, fresh: Sequence[Submission], verdicts: Sequence[Verdict]) -> None:
        rows = [_report_row(submission, verdict) for submission, verdict in zip(fresh, verdicts, strict=True)]
        added = self.connection.execute(ADD_REPORTS, [_rows_to_json(rows).decode()])
        if added.rowcount != len(fresh):
            raise _RacedError


def _report_row(submission: Submission, verdict: Verdict) -> _ReportRow:
    report, counts = submission.report, verdict.counts
    return _ReportRow(
        licensee_id=submission.licensee_id,
        report_id=report.report_id,
        report_no=submission.report_no,
        key_id=submission.key_id,
        source=report.source,
        sequence=report.sequence,
        digest=submission.digest.hex(),
        accepted=counts.accepted,
        duplicate=counts.duplicate,
        held=counts.held,
        conflict=counts.conflict,
        rejected=counts.rejected,
        image_count=verdict.image_count,
        outcomes=verdict.runs,
    )


def _pieces(submissions: Sequence[Submission]) -> Iterator[list[Submission]]:
    """Neighbouring reports together until they hold enough events to be worth a savepoint."""
    piece: list[Submission] = []
    events = 0
    for submission in submissions:
        piece.append(submission)
        events += len(submission.report.events)
        if events >= PIECE:
            yield piece
            piece, events = [], 0
    if piece:
        yield piece
