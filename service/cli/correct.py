"""`perimage correct`: take an event back, or say how many images it really was, after a look at the invoices."""

import csv
import getpass
import io
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from service.cli import app

if TYPE_CHECKING:
    from core.usage.corrections.correction import Answer, Order

MOST_ROWS = 100_000
COLUMNS = ("correction_id", "event_id", "kind", "image_count", "image_delta", "reason", "reference")
SHOWN = 20  # rows of one table; --json has all
FATES = {"accepted": "to be made", "duplicate": "made before", "conflict": "refused", "rejected": "refused"}

commands = typer.Typer(help="Withdraw or amend usage events; see what it changes first.", no_args_is_help=True)
app.add_typer(commands, name="correct")

Licensee = Annotated[str, typer.Argument(help="The licensee's slug.", show_default=False)]
Event = Annotated[str, typer.Argument(help="The event's id.", show_default=False)]
Reason = Annotated[str, typer.Option(help="Why; kept with the correction and shown when an invoice is explained.")]
Reference = Annotated[str | None, typer.Option(help="Where it was asked for, such as a ticket.")]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who decided it; you, when left out.")]
Id = Annotated[
    str | None, typer.Option("--id", help="The correction's id; the same id is taken once. Made if left out.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines; nothing is done without --yes.")]


@commands.command()
def withdraw(
    licensee: Licensee,
    event: Event,
    *,
    reason: Reason,
    reference: Reference = None,
    by: By = None,
    correction_id: Id = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Take an event back whole, as if it had never been reported.

    The event stays on record, and the withdrawal beside it. Issued invoices
    stand; the next one makes up for what they billed.
    """
    fields = {"event_id": event, "kind": "withdraw", "reason": reason, "reference": reference}
    _run(licensee, [{**fields, "correction_id": correction_id or str(uuid4())}], by, yes=yes, as_json=as_json)


@commands.command()
def amend(
    licensee: Licensee,
    event: Event,
    *,
    images: Annotated[int | None, typer.Option(help="What the event counts from now on; or --delta.")] = None,
    delta: Annotated[int | None, typer.Option(help="What to add to what it counts; negative takes away.")] = None,
    reason: Reason,
    reference: Reference = None,
    by: By = None,
    correction_id: Id = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Say how many images an event really was, more or fewer."""
    fields = {"event_id": event, "kind": "amend", "image_count": images, "image_delta": delta}
    fields |= {"reason": reason, "reference": reference, "correction_id": correction_id or str(uuid4())}
    _run(licensee, [fields], by, yes=yes, as_json=as_json)


@commands.command("file")
def from_file(
    licensee: Licensee,
    file: Annotated[Path, typer.Argument(help="CSV with a heading for each column.", show_default=False)],
    *,
    by: By = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Make all corrections of a CSV file, or none of them.

    Columns: event_id, kind (withdraw or amend), image_count or image_delta,
    reason; if wanted reference and correction_id. A row without an id gets
    one made from what it says, so running the same file again does nothing.
    """
    from service.cli.errors import refusals

    with refusals():
        rows = list(_rows_of(file))
    _run(licensee, rows, by, yes=yes, as_json=as_json)


def _run(licensee: str, rows: list[dict[str, Any]], by: str | None, *, yes: bool, as_json: bool) -> None:
    """Looks, shows, asks, and does it: all of it, or nothing where anything is refused."""
    from core.invoicing.what_if.correction_preview import preview_corrections, preview_document
    from core.registry import tables
    from core.registry.register import ids
    from core.usage.corrections.correct import correct
    from core.usage.corrections.correction import Misread, order_of
    from core.usage.counts.rollup import roll_up
    from core.usage.intake.report import Refusal
    from service.cli.database import open_session
    from service.cli.errors import REFUSED, refusals

    orders: list[Order | Misread] = []
    for fields in rows:
        order = order_of({name: value for name, value in fields.items() if value not in (None, "")})
        orders.append(Misread(str(fields["correction_id"]), order) if isinstance(order, Refusal) else order)
    with refusals(), open_session() as session:
        licensee_id = ids(session, tables.Licensee, {licensee})[licensee]
        while roll_up(session).more:  # never committed: only so that the newest reports are in it
            pass
        preview = preview_corrections(session, licensee_id, orders)
        document = preview_document(preview)
        session.rollback()  # nothing stays locked while a person reads
        answers: list[Answer] = list(preview.answers)
        refused = [answer for answer in answers if answer.status in ("rejected", "conflict")]
        new = [answer for answer in answers if answer.status == "accepted"]
        if not as_json:
            _print(document, answers)
        goes = bool(new) and not refused and (yes or not as_json)
        if goes and not yes:
            typer.confirm("Make these corrections?" if len(new) > 1 else "Make this correction?", abort=True, err=True)
        if goes:
            answers = correct(session, licensee_id, orders, by or getpass.getuser())
            refused = [answer for answer in answers if answer.status in ("rejected", "conflict")]
            if goes := not refused:  # between the look and the word somebody else may have corrected the same
                session.commit()
            else:
                session.rollback()
    if as_json:
        said = {"made": goes, "results": [_said(answer) for answer in answers], **document}
        typer.echo(json.dumps(said, indent=2, ensure_ascii=False))
    for answer in refused[:SHOWN]:
        named = answer.event_id or answer.correction_id
        typer.echo(f"perimage: {named}: {answer.message}", err=True)
    if refused:
        typer.echo(f"Nothing was corrected: {len(refused)} of {len(answers)} cannot be.", err=True)
        raise typer.Exit(REFUSED)
    if not as_json:
        typer.echo(_closing([a for a in answers if a.status == "accepted"] if goes else [], len(answers)))


def _closing(made: list["Answer"], asked: int) -> str:
    if not made:
        return f"Nothing to do: {'it was' if asked == 1 else 'all of them were'} made before."
    images = sum(answer.correction.image_delta for answer in made if answer.correction)
    again = f"; {asked - len(made)} made before" if asked > len(made) else ""
    number = "1 correction" if len(made) == 1 else f"{len(made):,} corrections"
    return f"Made {number}, {images:+,} images{again}. They count from the next roll-up, seconds from now."


def _rows_of(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of a CSV file, whole numbers as numbers; anything else that is wrong is judged with the corrections."""
    from core.errors import InvalidInput, NotFound

    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput("not_text", f"{file} is not text in UTF-8") from None
    except OSError as error:
        raise NotFound("no_file", f"cannot read {file}: {error.strerror}") from None
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise InvalidInput("not_csv", f"{file} is not CSV: {error}") from None
    heading, body = (lines[0], lines[1:]) if lines else ([], [])
    unknown = [name for name in heading if name not in COLUMNS]
    if unknown or len(set(heading)) < len(heading) or not {"event_id", "kind", "reason"} <= set(heading):
        said = f"its first line must name the columns, each once: event_id, kind, reason, and of {', '.join(COLUMNS)}"
        raise InvalidInput("bad_heading", f"{file}: {said}")
    if not 0 < len(body) <= MOST_ROWS:
        raise InvalidInput(
            "bad_length", f"{file} has {len(body):,} rows under its heading: 1 to {MOST_ROWS:,} are taken"
        )
    for number, row in enumerate(body, start=2):
        if len(row) != len(heading):
            raise InvalidInput("bad_row", f"{file}, line {number}: {len(row)} values under {len(heading)} headings")
        fields: dict[str, Any] = dict(zip(heading, row, strict=True))
        for name in ("image_count", "image_delta"):
            fields[name] = _number(fields.get(name) or "")
        made = sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:32]
        yield {**fields, "correction_id": fields.get("correction_id") or f"row-{made}"}


def _number(text: str) -> int | str:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdecimal() and len(digits) < 20 else text


def _said(answer: "Answer") -> dict[str, Any]:
    made = answer.correction
    return {
        "correction_id": answer.correction_id,
        "event_id": answer.event_id,
        "status": answer.status,
        "code": answer.code,
        "message": answer.message,
        "image_count_before": made.image_count_before if made else None,
        "image_count_after": made.image_count_after if made else None,
    }


def _print(document: dict[str, Any], answers: list["Answer"]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    events = Table(title="Corrections", title_justify="left")
    for heading in ("event", "now", "then", "", "reason"):
        events.add_column(heading, justify="right" if heading in ("now", "then") else "left", overflow="fold")
    for answer in answers[:SHOWN]:
        made = answer.correction
        counts = (f"{made.image_count_before:,}", f"{made.image_count_after:,}") if made else ("", "")
        why = made.reason if made else answer.message
        events.add_row(Text(answer.event_id or ""), *counts, FATES[answer.status], Text(why or ""))
    console.print(events)
    if len(answers) > SHOWN:
        console.print(f"and {len(answers) - SHOWN:,} more")
    for invoice in document["invoices"]:
        table = Table(title=f"{invoice['agreement']}, next close of {invoice['period']}", title_justify="left")
        for heading in ("line", "images", "before", "after", "difference", "billed on"):
            table.add_column(heading, justify="left" if heading in ("line", "billed on") else "right", overflow="fold")
        for line in invoice["changes"]:
            amounts = (line["amount_before"] or "", line["amount_after"] or "", line["difference"])
            billed = ", ".join(line["billed_on"])
            table.add_row(Text(line["description"]), f"{line['image_delta']:+,}", *amounts, billed)
        totals = (invoice["total_before"], invoice["total_after"], invoice["difference"])
        table.add_row(f"total, {invoice['currency']}", "", *totals, "", style="bold")
        console.print(table)
    if not document["invoices"]:
        console.print("No invoice changes.")
    if document["held"]:
        console.print(
            f"{len(document['held']):,} of them are not counted yet: their names wait (`perimage usage held`)."
        )
