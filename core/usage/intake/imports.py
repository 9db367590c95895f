"""Files on their way in: how far each has come, and what became of its rows.

A file is taken in as ordinary reports of neighbouring rows (`rows.py`), whose ids say the import and the first row. So
everything that matters stands in `usage_reports`, written in the transaction that counted it; counts, rows and the next
row to come are read from there and never kept a second time. What an import keeps of its own is its name, its format
and whether somebody is at it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import func, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.errors import Conflict, NotFound
from core.usage.intake.receipt import Counts, Run
from core.usage.intake.rows import report_id
from core.usage.tables import UsageImport

QUIET = timedelta(minutes=2)  # after this long without a sign of life nobody is taking it in any more
INTERRUPTED = "whoever took the file in went away; send the same file again under the same import_id"
REUSED = "this import_id was used before for another file: give this one an import_id of its own"

# The reports of imports, by the number of their first row. A report of any other form under such a prefix is not ours.
_CHUNKS = """
SELECT licensee_id, report_id, right(report_id, 10)::bigint AS first, outcomes, body_digest, image_count,
       accepted, duplicate, held, conflict, rejected, accepted + duplicate + held + conflict + rejected AS row_count
FROM usage_reports
WHERE usage_reports.licensee_id = {licensee_id} AND report_id >= 'import:' || {import_id} || '\\:0'
  AND report_id < 'import:' || {import_id} || '\\:\\:'
  AND CASE WHEN length(report_id) = length({import_id}) + 18 THEN right(report_id, 10) ~ '^[0-9]{{10}}$' END
"""
_SUMMARY = f"""
SELECT i.import_id, i.file_name, i.format, i.code, i.message, i.started_at, i.seen_at, i.finished_at,
       CASE WHEN i.state = 'receiving' AND i.seen_at < now() - :quiet THEN 'quiet' ELSE i.state END AS state,
       c.row_count, c.next_row, c.image_count, c.accepted, c.duplicate, c.held, c.conflict, c.rejected
FROM usage_imports AS i
CROSS JOIN LATERAL (
    SELECT coalesce(sum(row_count), 0)::bigint AS row_count, coalesce(sum(image_count), 0)::bigint AS image_count,
           coalesce(max(first + row_count) FILTER (WHERE first = before + 1), 1)::bigint AS next_row,
           coalesce(sum(accepted), 0)::bigint AS accepted, coalesce(sum(duplicate), 0)::bigint AS duplicate,
           coalesce(sum(held), 0)::bigint AS held, coalesce(sum(conflict), 0)::bigint AS conflict,
           coalesce(sum(rejected), 0)::bigint AS rejected
    FROM (
        SELECT *, sum(row_count) OVER (ORDER BY first) - row_count AS before
        FROM ({_CHUNKS.format(licensee_id="i.licensee_id", import_id="i.import_id")}) AS chunks
    ) AS placed
) AS c
"""  # noqa: S608 - our own words
ONE = text(_SUMMARY + "WHERE i.import_id = :import_id")
_AFTER = "coalesce((SELECT started_at FROM usage_imports WHERE import_id = :after), 'infinity')"
PAGE = text(
    _SUMMARY
    + f"WHERE (i.started_at, i.import_id) < ({_AFTER}, coalesce(:after, '')) "
    + "ORDER BY i.started_at DESC, i.import_id DESC LIMIT :limit"
)
_OF_ONE = _CHUNKS.format(licensee_id=":licensee_id", import_id="cast(:import_id AS text)")
CHUNKS = text(_OF_ONE + "ORDER BY report_id")
OUTCOMES = text(
    _OF_ONE
    + "AND report_id >= :start AND (NOT :only_problems OR held + conflict + rejected > 0) "
    + "ORDER BY report_id LIMIT :limit"
)


@dataclass(frozen=True, slots=True)
class Import:
    """How far a file has come. `row_count` rows have their answer; all before `next_row` do."""

    import_id: str
    file_name: str | None
    format: str
    state: str
    code: str | None
    message: str | None
    row_count: int
    next_row: int
    counts: Counts
    image_count: int
    started_at: datetime
    seen_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of neighbouring rows: all accepted, but for those in the runs, whose places count from `first`."""

    first: int
    row_count: int
    runs: Sequence[Run]


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands of an import before a file is taken in under its id."""

    row_count: int | None  # of the whole file, once all of it was answered
    digests: dict[int, bytes]  # of its reports, by their first rows


def standing(session: Session, licensee_id: int, import_id: str) -> Standing:
    """What was taken in under this id before."""
    found = session.get(UsageImport, (licensee_id, import_id))
    rows = session.execute(CHUNKS, {"licensee_id": licensee_id, "import_id": import_id})
    return Standing(found.row_count if found else None, {row.first: bytes(row.body_digest) for row in rows})


def open_import(
    session: Session, licensee_id: int, import_id: str, *, key_id: int, file_name: str | None, format_: str
) -> None:
    """Says that somebody takes this file in. An import that is done stays done."""
    values = {"key_id": key_id, "file_name": file_name, "format": format_, "state": "receiving"}
    fresh = insert(UsageImport).values(licensee_id=licensee_id, import_id=import_id, **values)
    session.execute(
        fresh.on_conflict_do_update(
            index_elements=["licensee_id", "import_id"],
            set_={**values, "code": None, "message": None, "seen_at": func.now()},
            where=UsageImport.state != "done",
        )
    )


def give_sign_of_life(session: Session, licensee_id: int, import_id: str) -> None:
    """Says that somebody is still at it."""
    _change(session, licensee_id, import_id, seen_at=func.now())


def break_off(session: Session, licensee_id: int, import_id: str, code: str, message: str) -> None:
    """Says why nobody goes on. Rows that were answered keep their answers, and an import that is done stays done."""
    _change(session, licensee_id, import_id, state="broken", code=code, message=message, seen_at=func.now())


def finish(session: Session, licensee_id: int, import_id: str, row_count: int) -> None:
    """Says that every row of the file has its answer. Raises Conflict if it was done before with another number."""
    before = session.get_one(UsageImport, (licensee_id, import_id), with_for_update=True, populate_existing=True)
    if before.state == "done" and before.row_count != row_count:
        raise Conflict("import_id_reused", f"{REUSED}; the first had {before.row_count:,} rows, this has {row_count:,}")
    done = {"state": "done", "row_count": row_count, "code": None, "message": None}
    _change(session, licensee_id, import_id, **done, seen_at=func.now(), finished_at=func.now())


def _change(session: Session, licensee_id: int, import_id: str, **values: Any) -> None:
    session.execute(
        update(UsageImport)
        .where(UsageImport.licensee_id == licensee_id, UsageImport.import_id == import_id, UsageImport.state != "done")
        .values(**values)
        .execution_options(synchronize_session=False)
    )


def find_import(session: Session, import_id: str) -> Import:
    """One import of the licensee through whose eyes the session looks."""
    row = session.execute(ONE, {"import_id": import_id, "quiet": QUIET}).one_or_none()
    if row is None:
        raise NotFound("unknown_import", "there is no import of this id; one has an id once its first rows are in")
    return _import(row)


def list_imports(session: Session, *, after: str | None, limit: int) -> list[Import]:
    """The licensee's imports, the newest first; `after` is the id of the last one of the page before."""
    rows = session.execute(PAGE, {"after": after, "limit": limit, "quiet": QUIET})
    return [_import(row) for row in rows]


def _import(row: Any) -> Import:
    counts = Counts(row.accepted, row.duplicate, row.held, row.conflict, row.rejected)
    quiet = row.state == "quiet"
    return Import(
        import_id=row.import_id,
        file_name=row.file_name,
        format=row.format,
        state="broken" if quiet else row.state,
        code="interrupted" if quiet else row.code,
        message=INTERRUPTED if quiet else row.message,
        row_count=row.row_count,
        next_row=row.next_row,
        counts=counts,
        image_count=row.image_count,
        started_at=row.started_at,
        seen_at=row.seen_at,
        finished_at=row.finished_at,
    )


def outcomes(
    session: Session, licensee_id: int, import_id: str, *, from_row: int, limit: int, only_problems: bool = False
) -> list[Outcome]:
    """What became of rows from `from_row` on, in their order, by reports; at most so many reports.

    `only_problems`: without the reports whose rows were all accepted or known before.
    """
    asked = {"licensee_id": licensee_id, "import_id": import_id, "start": report_id(import_id, from_row)}
    rows = session.execute(OUTCOMES, {**asked, "only_problems": only_problems, "limit": limit})
    return [Outcome(row.first, row.row_count, msgspec.convert(row.outcomes, list[Run])) for row in rows]
