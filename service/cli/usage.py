"""`perimage usage`: names in the reports that wait for somebody."""

import getpass
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import app

if TYPE_CHECKING:
    from core.usage.review import Review

usage = typer.Typer(help="List usage that waits for a name; move what was counted by a guess.", no_args_is_help=True)
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
    from core.usage.review import review
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
    from core.usage.review import re_resolve
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
