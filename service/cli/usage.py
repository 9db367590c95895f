"""`perimage usage`: names that wait for somebody, days on which nothing was heard, reports that got lost."""

import getpass
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import app

if TYPE_CHECKING:
    from core.usage.counts.review import Review

MOST_GAPS = 1000
DAY_FORMATS = ["%Y-%m-%d"]

usage = typer.Typer(
    help="List usage that waits for a name, silent days and lost reports; move what was counted by a guess.",
    no_args_is_help=True,
)
app.add_typer(usage, name="usage")


@usage.command()
def held(
    licensee: Annotated[str | None, typer.Argument(help="Only this licensee's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """List names that nobody knows, why, and how to fix it; and AIRs that were counted by a guess.

    Counts are of the reports that have been rolled up, which takes seconds.
    """
    from core.registry.register import ids
    from core.registry.tables import Licensee
    from core.usage.counts.review import review
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        if licensee is not None:
            ids(session, Licensee, {licensee})  # an unknown licensee is refused, not shown as one without any
        found = review(session, licensee)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2, ensure_ascii=False))
    else:
        _print(found)


@usage.command()
def resolve(
    name: Annotated[str, typer.Argument(help="The AIR, which is registered by now.")],
    *,
    reason: Annotated[str, typer.Option(help="Why counts are moved; kept with the move.")],
    licensee: Annotated[str | None, typer.Option(help="Only this licensee's usage.")] = None,
    actor: Annotated[str | None, typer.Option(help="Who decided it; you, when left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Move what an AIR was counted for by a guess to what it is registered as.

    Each move is written down for good. Invoices that were issued stand; the
    next close bills the difference.
    """
    from core.usage.counts.review import re_resolve
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        moved = re_resolve(session, name, actor=actor or getpass.getuser(), reason=reason, licensee_slug=licensee)
        said = [
            {
                "licensee_id": move.licensee_id,
                "model": move.model,
                "adapters": list(move.adapters),
                "image_count": move.image_count,
                "event_count": move.event_count,
                "before": move.counted_before,
                "after": move.counted_after,
            }
            for move in moved
        ]
        session.commit()
    if as_json:
        typer.echo(json.dumps(said, indent=2, ensure_ascii=False))
        return
    images = sum(move["image_count"] for move in said)
    typer.echo(f"Moved {images:,} images in {len(said)} combinations of names. The next close bills the difference.")


@usage.command()
def calendar(
    agreement: Annotated[str | None, typer.Argument(help="Show every day of this agreement.")] = None,
    *,
    licensee: Annotated[str | None, typer.Option(help="Only this licensee's agreements.")] = None,
    start: Annotated[datetime | None, typer.Option("--from", formats=DAY_FORMATS, help="First day.")] = None,
    end: Annotated[datetime | None, typer.Option("--to", formats=DAY_FORMATS, help="The day after the last.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """List the days on which nothing was heard, for every agreement; or, of one, what was heard on each day.

    Days are those of the account's zone. A day is missing when it is over,
    nothing was reported for it, and nobody said that there was nothing.
    """
    from core.period import Period
    from core.registry.register import ids
    from core.registry.tables import Licensee
    from core.usage.reporting.days import agreement_days, expecting, missing_days
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        if licensee is not None:
            ids(session, Licensee, {licensee})
        if agreement is None:
            titles: Sequence[str] = ("agreement", "licensee", "zone", "missing days", "which")
            rows: list[Sequence[Any]] = [
                (each.of.agreement, each.of.licensee, each.of.zone, each.day_count, [run.name for run in each.runs])
                for each in missing_days(session, licensee=licensee)
            ]
        else:
            of = expecting(session, agreement)
            days = Period(start.date() if start else of.term.start, end.date() if end else of.term.end)
            titles = ("day", "state", "events", "images")
            rows = [
                (str(each.day), each.state, each.event_count, each.image_count)
                for each in agreement_days(session, of, days)
            ]
    title = "Silent days" if agreement is None else f"Reporting calendar of {agreement} ({of.zone})"
    _print_rows(title, titles, rows, as_json, empty="No agreement expects reports on these days.")


@usage.command()
def gaps(
    licensee: Annotated[str | None, typer.Argument(help="Only this licensee's.")] = None,
    *,
    source: Annotated[str | None, typer.Option(help="Only of this source.")] = None,
    minutes: Annotated[int, typer.Option(help="Only gaps that have been open for so long.", min=0, max=10**7)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """List reports that never arrived: numbers that are missing between the sequence numbers of a source.

    A number that several reports used is listed as well: the source counts
    anew, or two go by one name, and gaps around it cannot be trusted.
    """
    from core.registry.register import ids
    from core.registry.tables import Licensee
    from core.usage.reporting.gaps import gaps as open_gaps
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        if licensee is not None:
            ids(session, Licensee, {licensee})
        found = open_gaps(session, licensee=licensee, source=source, open_seconds=60 * minutes, limit=MOST_GAPS)
    rows = [
        (
            gap.licensee,
            gap.source,
            gap.kind,
            gap.first,
            gap.last,
            gap.since.isoformat(timespec="seconds"),
            [each.report_id for each in (gap.before, gap.after, *gap.reports) if each],
        )
        for gap in found
    ]
    titles = ("licensee", "source", "kind", "first", "last", "since", "reports")
    _print_rows("Gaps", titles, rows, as_json, empty="No report is missing.")
    if len(found) == MOST_GAPS and not as_json:
        typer.echo("There may be more than are listed here.")


def _print_rows(title: str, titles: Sequence[str], rows: Iterable[Sequence[Any]], as_json: bool, *, empty: str) -> None:
    """A table for people, or a list of objects for machines."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    if as_json:
        names = [each.replace(" ", "_") for each in titles]
        said = [dict(zip(names, row, strict=True)) for row in rows]
        typer.echo(json.dumps(said, indent=2, ensure_ascii=False))
        return
    table = Table(title=title, title_justify="left")
    for each in titles:
        table.add_column(each, overflow="fold")
    for row in rows:
        table.add_row(*(escape(_shown(value)) for value in row))
    if table.row_count:
        Console().print(table)
    else:
        typer.echo(empty)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return f"{value:,}" if isinstance(value, int) else value or ""


def _print(found: "Review") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if not found.held and not found.unreviewed:
        console.print("Nothing waits: every name is known.")
        return
    tables = (
        ("Held", found.held, ("licensee", "name", "reason", "counted_for", "how_to_fix")),
        ("Counted by a guess", found.unreviewed, ("licensee", "name", "counted_for", "registered_as", "how_to_fix")),
    )
    for title, rows, columns in tables:
        if not rows:
            continue
        table = Table(title=title, title_justify="left")
        for column in columns:
            table.add_column(column.replace("_", " "), overflow="fold")
        table.add_column("images", justify="right")
        table.add_column("events", justify="right")
        for row in rows:
            values = (getattr(row, column) for column in columns)
            said = (", ".join(value) if isinstance(value, list) else value or "" for value in values)
            table.add_row(*map(escape, said), f"{row.image_count:,}", f"{row.event_count:,}")
        console.print(table)
    if not found.complete:
        console.print("There is more than is listed here: fix these first.")
