"""Files that were sent: how far each has come, and what became of its rows."""

from collections.abc import Iterator

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.access.own_keys import own_keys
from core.errors import NotFound
from core.usage.intake import imports
from core.usage.own.turned_away import how_to_fix
from service.dashboard.files import file_response
from service.dashboard.form import Form
from service.dashboard.listing import Column, Filter, Listing
from service.dashboard.portal._accounts import moment_now
from service.dashboard.portal.reporting.router import MAX_BYTES, router
from service.dashboard.rendering import page
from service.dashboard.signed_in import LicenseePerson, PortalEyes, PortalViewer
from service.imports import parquet
from service.imports.results import HEADER, csv_text, result_lines

MOST_FILES = 100
MOST_PROBLEMS = 500
REPORTS_AT_ONCE = 50
STATES = {"receiving": "running", "done": "done", "broken": "failed"}
FILES = Listing(
    columns=(
        Column("started", "Sent", lambda row: row.started_at, kind="moment", sort=True),
        Column("file", "File", lambda row: row.file_name or row.import_id, sort=True,
               href=lambda row: f"/portal/reporting/{row.import_id}",
               note=lambda row: row.import_id if row.file_name else ""),
        Column("state", "State", lambda row: STATES[row.state], kind="badge", sort=True),
        Column("rows", "Rows", lambda row: row.row_count, kind="count", sort=True),
        Column("images", "Images", lambda row: row.image_count, kind="count", sort=True, wide_only=True),
        Column("held", "Held", lambda row: row.counts.held or None, kind="count", sort=True, wide_only=True),
        Column("away", "Turned away", lambda row: row.counts.rejected + row.counts.conflict or None, kind="count",
               sort=True),
    ),
    sort="-started", file="files", label="Files", empty="No file yet", size=25,
)  # fmt: skip
PROBLEMS = Listing(
    columns=(
        Column("row", "Row", lambda line: line[0], kind="count", sort=True),
        Column("event", "Event", lambda line: line[1], sort=True),
        Column("status", "Status", lambda line: line[2], kind="badge", sort=True),
        Column("why", "Why", lambda line: line[4] or line[3].replace("_", " "), note=lambda line: how_to_fix(line[3])),
    ),
    filters=(Filter("status", "Status", (("rejected", "Rejected"), ("conflict", "Conflict"), ("held", "Held")),
                    keep=lambda line, word: line[2] == word),),
    sort="row", file="problems", label="Rows with a problem", empty="Every row was taken",
)  # fmt: skip


@router.get("")
def portal_files(request: Request, person: PortalViewer, eyes: PortalEyes) -> Response:
    return files_page(request, person, eyes, None)


@router.get("/{import_id}")
def portal_file(request: Request, person: PortalViewer, eyes: PortalEyes, import_id: str) -> Response:
    """How far a file has come; asks for itself until it is done."""
    running = (person.licensee_id, import_id) in request.app.state.uploads.running
    try:
        found = imports.find_import(eyes, import_id.replace("\x00", ""))
    except NotFound:
        if not running:
            raise
        return page(request, "portal/reporting/begins.html", title="File", import_id=import_id)
    lines = list(result_lines(_outcomes(eyes, person, import_id, MOST_PROBLEMS), only_problems=True))
    listed = PROBLEMS.of(request, lines)
    if listed.wants_csv:
        return listed.csv()
    return page(
        request, "portal/reporting/one.html", title=found.file_name or import_id, found=found, listed=listed,
        state=STATES[found.state], running=found.state == "receiving", more=len(lines) >= MOST_PROBLEMS,
    )  # fmt: skip


@router.get("/{import_id}/results")
def portal_results(person: PortalViewer, eyes: PortalEyes, import_id: str) -> Response:
    """What became of each row, as the API gives it."""
    imports.find_import(eyes, import_id.replace("\x00", ""))
    text = csv_text([HEADER]) + "".join(_result_text(eyes, person, import_id))
    return file_response(text.encode(), "text/csv; charset=utf-8", f"{import_id}.results.csv")


def files_page(request: Request, person: LicenseePerson, eyes: Session, form: Form | None) -> Response:
    """The list of files and the form that sends another one."""
    listed = FILES.of(request, imports.list_imports(eyes, after=None, limit=MOST_FILES))
    if listed.wants_csv:
        return listed.csv()
    now = moment_now()
    live = [each for each in own_keys(eyes, person.licensee_id) if each.state(now) == "live"]
    return page(
        request, "portal/reporting/all.html", status=form.status if form else 200, title="Reporting", form=form,
        listed=listed, keys=[(each.public_id, each.label or each.public_id) for each in live],
        most=MAX_BYTES // 1024**2, parquet=parquet.is_readable(),
    )  # fmt: skip


def _outcomes(eyes: Session, person: LicenseePerson, import_id: str, most: int) -> list[imports.Outcome]:
    """The outcomes with problems, up to a number of rows."""
    found: list[imports.Outcome] = []
    row, seen = 1, 0
    while seen < most:
        some = imports.outcomes(
            eyes, person.licensee_id, import_id, from_row=row, limit=REPORTS_AT_ONCE, only_problems=True
        )
        if not some:
            break
        found += some
        seen += sum(each.row_count for each in some)
        row = some[-1].first + 1
    return found


def _result_text(eyes: Session, person: LicenseePerson, import_id: str) -> Iterator[str]:
    row = 1
    while found := imports.outcomes(eyes, person.licensee_id, import_id, from_row=row, limit=REPORTS_AT_ONCE):
        yield csv_text(result_lines(found))
        row = found[-1].first + 1
