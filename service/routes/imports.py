"""Files of usage: send one, see how far it has come, and fetch what became of each row."""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import PurePath
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import APIRouter, Header, Path, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from core.database import licensee_eyes
from core.errors import InvalidInput
from core.usage.intake import imports
from core.usage.intake.report import MAX_NAME, is_clean
from core.usage.intake.rows import FIELDS, check_import_id, read_naming
from service.caller import RequestCaller, credentials_of
from service.imports.reading import DELIMITERS, Format, Reading
from service.imports.results import HEADER, csv_text, result_lines
from service.imports.taking_in import Asked, take_in
from service.limits import announced, check_kind
from service.problems import MEDIA_TYPE
from service.session import RequestSession

router = APIRouter(tags=["files of usage"])
FORMAT_OF: dict[bytes, Format] = {
    b"text/csv": "csv",
    b"text/tab-separated-values": "csv",
    b"application/jsonl": "jsonl",
    b"application/x-ndjson": "jsonl",
    b"application/vnd.apache.parquet": "parquet",
}
REPORTS_AT_ONCE = 50  # read together while results are sent
ImportId = Annotated[str, Path(max_length=128, pattern=r"^[A-Za-z0-9._-]+$", examples=["october-2026"])]


class RowCounts(BaseModel):
    """Rows by what became of them; see the results of a usage report."""

    accepted: int
    duplicate: int
    held: int
    conflict: int
    rejected: int


class ImportProgress(BaseModel):
    """How far a file has come."""

    import_id: str
    file_name: str | None
    format: Format
    state: Literal["receiving", "done", "broken"] = Field(
        description="`broken`: nobody goes on; send the same file again under the same import_id"
    )
    code: str | None = Field(description="why it is broken, for machines")
    message: str | None = Field(description="why it is broken, for people")
    row_count: int = Field(description="rows that are committed and answered")
    next_row: int = Field(description="the first row without an answer; the header is no row")
    counts: RowCounts
    image_count: int = Field(description="images newly counted")
    started_at: datetime
    seen_at: datetime = Field(description="the last sign of life")
    finished_at: datetime | None


class ImportPage(BaseModel):
    """Imports, the newest first."""

    imports: list[ImportProgress]
    next: str | None = Field(default=None, description="give it as `after` to get what follows; null on the last page")


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


@router.post(
    "/v1/imports",
    summary="Send a file of usage",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {kind.decode(): {"schema": {"type": "string", "format": "binary"}} for kind in FORMAT_OF},
        }
    },
    responses={
        400: _problem("The file did not come in whole. What was answered stands; send it again."),
        401: _problem("No live meter key."),
        409: _problem("`import_id_reused`: the import_id was used for another file."),
        413: _problem("The file is too large."),
        415: _problem("None of these formats, compressed, or Parquet where its reader is not installed."),
        422: _problem("A parameter or the header is wrong, or nobody can say where a row ends."),
        429: _problem("Too many requests with this key. Wait for Retry-After."),
        503: _problem("Not now. What was answered stands; send the file again after Retry-After."),
    },
)
async def send_file(
    request: Request,
    caller: RequestCaller,
    *,
    import_id: Annotated[str | None, Query(max_length=128, description="yours; made here if left out")] = None,
    idempotency_key: Annotated[str | None, Header(max_length=128, description="the same, as a header")] = None,
    file: Annotated[str | None, Query(max_length=MAX_NAME, description="the file's name, to show")] = None,
    mapped: Annotated[
        list[str] | None,
        Query(alias="map", max_length=len(FIELDS), description="FIELD=COLUMN, where the file has names of its own"),
    ] = None,
    ignore_extra: Annotated[bool, Query(description="the file may have columns that mean nothing here")] = False,
    delimiter: Annotated[
        str | None, Query(description="of CSV: comma, semicolon or tab; found from the header if left out")
    ] = None,
) -> ImportProgress:
    """Takes a file of events in while it arrives, through the same queue and under the same rules as usage reports.

    Columns: `event_id`, `model`, `image_count`, `occurred_at`; optional are `adapters` (with `|` between them in CSV),
    `plan` and `output`. Answered once every row is committed; the rows' own answers are under `results`. A row that is
    wrong is refused alone.

    When the answer does not come, send the same file again under the same `import_id`: rows that stand are compared and
    left alone, the others are taken in. Another file under that id is refused where it differs.
    """
    chosen = import_id or idempotency_key
    if import_id and idempotency_key and import_id != idempotency_key:
        raise InvalidInput("two_import_ids", "import_id and Idempotency-Key differ: leave one of them out")
    asked = Asked(
        import_id=check_import_id(chosen) if chosen else str(uuid4()),
        file_name=_file_name(file),
        reading=_reading(request, mapped or [], ignore_extra, delimiter),
    )
    state = request.app.state
    again = partial(state.callers.find, credentials_of(request.scope["headers"]))
    await take_in(state, request.receive, caller, again, asked)
    return await run_in_threadpool(_progress, state.engine, caller.licensee_id, asked.import_id)


def _reading(request: Request, mapped: list[str], ignore_extra: bool, delimiter: str | None) -> Reading:
    kind = check_kind(announced(request.scope, request.app.state.settings.max_import_bytes), list(FORMAT_OF))  # type: ignore[arg-type]
    if delimiter is None:
        delimiter = "tab" if kind == b"text/tab-separated-values" else None
    elif delimiter not in DELIMITERS or FORMAT_OF[kind] != "csv":
        raise InvalidInput("invalid_delimiter", "delimiter is for CSV, and one of comma, semicolon and tab")
    return Reading(
        FORMAT_OF[kind], read_naming(mapped, ignore_extra=ignore_extra), DELIMITERS[delimiter] if delimiter else None
    )


def _file_name(said: str | None) -> str | None:
    """The name without its folder."""
    name = PurePath(said.replace("\\", "/")).name if said else ""
    if not is_clean(name):
        raise InvalidInput("invalid_file_name", "file must be a name without control characters or space around it")
    return name or None


def _progress(engine: Engine, licensee_id: int, import_id: str) -> ImportProgress:
    with Session(engine) as session, licensee_eyes(session, licensee_id):
        return _shown(imports.find_import(session, import_id))


def _shown(found: imports.Import) -> ImportProgress:
    return ImportProgress.model_validate(found, from_attributes=True)


@router.get("/v1/imports", summary="The caller's files")
def list_imports(
    session: RequestSession,
    caller: RequestCaller,
    *,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[
        str | None, Query(max_length=128, pattern=r"^[A-Za-z0-9._-]+$", description="`next` of the page before")
    ] = None,
) -> ImportPage:
    with licensee_eyes(session, caller.licensee_id):
        found = imports.list_imports(session, after=after, limit=limit)
    return ImportPage(
        imports=[_shown(each) for each in found], next=found[-1].import_id if len(found) == limit else None
    )


@router.get("/v1/imports/{import_id}", summary="How far a file has come")
def get_import(session: RequestSession, caller: RequestCaller, import_id: ImportId) -> ImportProgress:
    with licensee_eyes(session, caller.licensee_id):
        return _shown(imports.find_import(session, import_id))


@router.get(
    "/v1/imports/{import_id}/results",
    summary="What became of each row",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}}}},
)
def get_results(
    request: Request,
    session: RequestSession,
    caller: RequestCaller,
    import_id: ImportId,
    only: Annotated[Literal["problems"] | None, Query(description="without accepted and duplicate rows")] = None,
) -> StreamingResponse:
    """A CSV file with one line for each row that has an answer: row, event_id, status, code, message.

    `event_id` is there for rows that were refused or in conflict. Cells that a spreadsheet would compute begin with an
    apostrophe.
    """
    with licensee_eyes(session, caller.licensee_id):
        imports.find_import(session, import_id)
    pages = _result_pages(request.app.state.engine, caller.licensee_id, import_id, only == "problems")
    headers = {"Content-Disposition": f'attachment; filename="{import_id}.results.csv"'}
    return StreamingResponse(pages, media_type="text/csv; charset=utf-8", headers=headers)


def _result_pages(engine: Engine, licensee_id: int, import_id: str, only_problems: bool) -> Iterator[str]:
    """The lines, some reports at a time, so that a slow reader keeps no transaction open."""
    yield csv_text([HEADER])
    row = 1
    while True:
        with Session(engine) as session, licensee_eyes(session, licensee_id):
            found = imports.outcomes(
                session, licensee_id, import_id, from_row=row, limit=REPORTS_AT_ONCE, only_problems=only_problems
            )
        if not found:
            return
        yield csv_text(result_lines(found, only_problems=only_problems))
        row = found[-1].first + 1
