"""`perimage import`: a file of usage becomes reports, and every row hears what became of it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from service.cli import app

if TYPE_CHECKING:
    import httpx
    from rich.progress import Progress

    from service.imports.reading import Reading

SOME_REFUSED = 1  # the exit code when rows were rejected or in conflict
PIECE = 256 * 1024
ATTEMPTS = 8  # in a row without a single further row taken in
LONGEST_PAUSE = 30.0
ANSWER_SECONDS = 900.0  # a Parquet file is read after it has come in whole
CONTENT_TYPES = {"csv": "text/csv", "jsonl": "application/jsonl", "parquet": "application/vnd.apache.parquet"}
COUNTS = ("accepted", "duplicate", "held", "conflict", "rejected")


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CSV, JSON Lines or Parquet.", show_default=False)],
    *,
    url: Annotated[
        str | None, typer.Option(help="Where the service answers.", show_default="PERIMAGE_SERVICE_URL")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="The meter key; better in the environment.", show_default="PERIMAGE_METER_KEY")
    ] = None,
    mapped: Annotated[
        list[str] | None, typer.Option("--map", metavar="FIELD=COLUMN", help="What the file calls a field.")
    ] = None,
    ignore_extra: Annotated[
        bool, typer.Option("--ignore-extra", help="The file may have columns that mean nothing here.")
    ] = False,
    format_: Annotated[
        str | None, typer.Option("--format", metavar="csv|jsonl|parquet", help="By the file's name when left out.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(metavar="comma|semicolon|tab", help="Of CSV; found when left out.")
    ] = None,
    import_id: Annotated[
        str | None, typer.Option(help="Another id than that made of the file's content.", show_default=False)
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Where the rows' answers go.", show_default="FILE.results.csv")
    ] = None,
    only_problems: Annotated[
        bool, typer.Option("--only-problems", help="Leave accepted and duplicate rows out of the results.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the rows on this machine and send nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Report the usage in a file.

    Columns: event_id, model, image_count, occurred_at, and if you like
    adapters (a|b in CSV), plan and output. Each row counts at most once for
    its event_id, whatever is sent twice.

    A broken connection is taken up again by itself, and so is the same
    command given again: the import's id is made of the file's content.

    \b
    Exit code 0: every row was accepted, held or known before
              1: rows were rejected or in conflict; the results say why
              2: the file or the command was refused
    """
    from core.errors import InvalidInput
    from core.usage.intake.rows import check_import_id
    from service.cli.errors import refusals

    with refusals(), _files_refused():
        reading = _reading(file, format_, mapped or [], ignore_extra, delimiter)
        answers = results or file.with_name(f"{file.name}.results.csv")
        if answers.resolve() == file.resolve():
            raise InvalidInput("same_file", "the results would overwrite the file: choose another --results")
        if dry_run:
            summary = _check(file, reading, answers, only_problems)
        else:
            chosen = check_import_id(import_id) if import_id else _id_of(file, reading)
            with _client(url, key) as client:
                summary = _send(client, file, reading, chosen)
                _fetch_results(client, chosen, answers, only_problems)
    if as_json:
        typer.echo(json.dumps({**summary, "results": str(answers), "dry_run": dry_run}, indent=2))
    else:
        _print(summary, answers, dry_run)
    if summary["counts"]["rejected"] or summary["counts"]["conflict"]:
        raise typer.Exit(SOME_REFUSED)


@contextmanager
def _files_refused() -> Iterator[None]:
    """A file that cannot be read or written becomes a sentence."""
    from core.errors import InvalidInput

    try:
        yield
    except OSError as error:
        raise InvalidInput("no_file", f"cannot use {error.filename}: {error.strerror}") from None


def _reading(
    file: Path, format_: str | None, mapped: list[str], ignore_extra: bool, delimiter: str | None
) -> "Reading":
    from core.errors import InvalidInput, NotFound
    from core.usage.intake.rows import read_naming
    from service.imports.reading import DELIMITERS, FORMATS, SUFFIXES, Reading

    if not file.is_file():
        raise NotFound("no_file", f"there is no file {file}")
    kind = format_ or SUFFIXES.get(file.suffix.lower())
    if kind not in FORMATS:
        raise InvalidInput("unknown_format", f"say what {file.name} is: --format {'|'.join(FORMATS)}")
    if delimiter is not None and (delimiter not in DELIMITERS or kind != "csv"):
        raise InvalidInput("invalid_delimiter", "--delimiter is for CSV: comma, semicolon or tab")
    naming = read_naming(mapped, ignore_extra=ignore_extra)
    return Reading(kind, naming, DELIMITERS[delimiter] if delimiter else None)  # type: ignore[arg-type]


def _id_of(file: Path, reading: "Reading") -> str:
    """An id that the same file, read in the same way, has every time."""
    from hashlib import file_digest, sha256

    with file.open("rb") as opened:
        content = file_digest(opened, "sha256").hexdigest()
    way = [reading.format, sorted(reading.naming.columns.items()), reading.naming.ignore_extra, reading.delimiter]
    return "file-" + sha256(json.dumps([content, way]).encode()).hexdigest()[:32]


def _client(url: str | None, key: str | None) -> "httpx.Client":
    import httpx

    from config.settings import settings
    from core.errors import InvalidInput

    address, credentials = url or settings().service_url, key or settings().meter_key
    if not address:
        raise InvalidInput("no_url", "say where the service answers: --url or PERIMAGE_SERVICE_URL")
    if not credentials:
        raise InvalidInput("no_key", "give a meter key: PERIMAGE_METER_KEY or --key")
    try:
        return httpx.Client(
            base_url=address,
            headers={"Authorization": f"Bearer {credentials}"},
            timeout=httpx.Timeout(60.0, read=ANSWER_SECONDS),
        )
    except (httpx.InvalidURL, UnicodeEncodeError):
        raise InvalidInput("invalid_url", "the address or the key is not one") from None


def _send(client: "httpx.Client", file: Path, reading: "Reading", import_id: str) -> dict[str, Any]:
    """Sends the file until it is in, as long as it gets any further. Gives what the service says of it."""
    import time

    import httpx

    from core.errors import Unavailable

    rows, attempt = -1, 0
    with _progress() as progress:
        task = progress.add_task(file.name, total=file.stat().st_size)

        def tell(sent: int) -> None:
            progress.update(task, completed=sent)

        while True:
            try:
                response = _send_once(client, file, reading, import_id, tell)
                if response.status_code == httpx.codes.OK:
                    found: dict[str, Any] = response.json()
                    return found
                said = _refusal(response, import_id)
            except httpx.TransportError as error:
                said = f"the connection broke ({error or type(error).__name__})"
            before, rows = rows, _rows_in(client, import_id)
            attempt = 0 if rows > before else attempt + 1
            if attempt >= ATTEMPTS:
                raise Unavailable(
                    "unreachable", f"{said}: give the same command again later, and it goes on from there"
                )
            progress.update(task, description=f"{file.name}: {said}; trying again")
            time.sleep(min(2.0**attempt / 4, LONGEST_PAUSE))
            progress.update(task, description=file.name)


def _send_once(
    client: "httpx.Client", file: Path, reading: "Reading", import_id: str, tell: Callable[[int], None]
) -> "httpx.Response":
    params: dict[str, Any] = {"import_id": import_id, "file": file.name}
    params["map"] = [f"{field}={column}" for field, column in reading.naming.columns.items()]
    if reading.naming.ignore_extra:
        params["ignore_extra"] = "true"
    if reading.delimiter:
        params["delimiter"] = {",": "comma", ";": "semicolon", "\t": "tab"}[reading.delimiter]
    with file.open("rb") as opened:
        headers = {"Content-Type": CONTENT_TYPES[reading.format], "Content-Length": str(file.stat().st_size)}
        return client.post("/v1/imports", params=params, headers=headers, content=_pieces(opened, tell))


def _pieces(opened: BinaryIO, tell: Callable[[int], None]) -> Iterator[bytes]:
    sent = 0
    while piece := opened.read(PIECE):
        yield piece
        sent += len(piece)
        tell(sent)


def _refusal(response: "httpx.Response", import_id: str) -> str:
    """What the service said no with, if trying again may help; raises it if not."""
    from core.errors import InvalidInput

    try:
        said = str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        said = f"the service answered {response.status_code}"
    if response.status_code in (408, 429) or response.status_code >= 500 or _is_broken(response):
        return said
    raise InvalidInput("refused", f"{said} (import {import_id})")


def _is_broken(response: "httpx.Response") -> bool:
    return response.status_code == 400 and b'"incomplete_body"' in response.content


def _rows_in(client: "httpx.Client", import_id: str) -> int:
    """How many rows have their answer; 0 when that cannot be learnt."""
    import httpx

    try:
        return int(client.get(f"/v1/imports/{import_id}", timeout=10).json().get("row_count", 0))
    except (httpx.TransportError, ValueError, AttributeError):
        return 0


def _fetch_results(client: "httpx.Client", import_id: str, answers: Path, only_problems: bool) -> None:
    """Writes what became of the rows to a file that appears when it is whole."""
    import httpx

    from core.errors import Unavailable

    params = {"only": "problems"} if only_problems else {}
    part = answers.with_name(answers.name + ".part")
    try:
        with (
            client.stream("GET", f"/v1/imports/{import_id}/results", params=params) as response,
            part.open("wb") as out,
        ):
            response.raise_for_status()
            for piece in response.iter_bytes(PIECE):
                out.write(piece)
    except httpx.HTTPError as error:
        part.unlink(missing_ok=True)
        raise Unavailable(
            "no_results", f"the rows are in, but their results did not come ({error}): give the same command again"
        ) from None
    part.replace(answers)


def _check(file: Path, reading: "Reading", answers: Path, only_problems: bool) -> dict[str, Any]:
    """Reads the rows as the service would, without asking it: what it knows of models and ids is not looked at."""
    import csv
    from datetime import UTC, datetime

    from config.settings import settings
    from core.usage.intake.imports import Outcome
    from core.usage.intake.receipt import judge
    from core.usage.intake.report import Window
    from core.usage.intake.rows import Naming
    from service.imports import parquet
    from service.imports.reading import Reading, in_pieces, reports
    from service.imports.results import HEADER, result_lines

    chosen = settings()
    window = Window.at(datetime.now(UTC), chosen.past_days, chosen.future_minutes)
    counts, images = dict.fromkeys(COUNTS, 0), 0
    with _progress() as progress, file.open("rb") as opened, answers.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(HEADER)
        pieces = progress.wrap_file(opened, total=file.stat().st_size, description=file.name)
        if reading.format == "parquet":
            found = reports(parquet.lines_of(file, reading.naming), Reading("jsonl", Naming()), "dry-run")
        else:
            found = reports(in_pieces(pieces.read), reading, "dry-run")
        for rows in found:
            verdict = judge(rows.report(window), {}, {})
            for status in COUNTS:
                counts[status] += getattr(verdict.counts, status)
            images += verdict.image_count
            outcome = Outcome(rows.first, len(rows.events), verdict.runs)
            writer.writerows(result_lines([outcome], only_problems=only_problems))
    return {"counts": counts, "image_count": images, "row_count": sum(counts.values())}


def _progress() -> "Progress":
    """A bar on standard error, if somebody is there to see it."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    text = TextColumn("{task.description}", markup=False)
    return Progress(text, *columns, console=console, transient=True, disable=not console.is_terminal)


def _print(summary: dict[str, Any], answers: Path, dry_run: bool) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("rows")
    table.add_column("", justify="right")
    for status in COUNTS:
        name = "fine" if dry_run and status == "accepted" else status
        table.add_row(name, f"{summary['counts'][status]:,}")
    table.add_section()
    table.add_row("images" if dry_run else "images counted", f"{summary['image_count']:,}")
    Console().print(table)
    if dry_run:
        typer.echo("Nothing was sent. Models, and ids that were reported before, were not looked at.")
    else:
        typer.echo(f"Import {summary['import_id']} is done.")
    typer.echo(f"What became of each row: {answers}")
