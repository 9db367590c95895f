"""`perimage apply`: a catalogue file becomes what stands, after a look at the plan."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import app

if TYPE_CHECKING:
    from core.catalogue.compare import Changes, Refusal, Step

MOST_ROWS = 12  # created things of one kind that are listed one by one; --json lists all


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(help="A catalogue in YAML; config/scenarios has nine.", show_default=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON for machines.")] = False,
) -> None:
    """Declare licensors, models, licensees, units, accounts and agreements.

    Shows what would be created and changed, asks, and does all of it or
    nothing. Applying a file again does nothing. What a file leaves out stays
    as it is. What was signed or counted is never edited: the refusal says
    what to write instead, mostly an amendment.
    """
    from datetime import UTC, datetime

    from core.catalogue import apply as catalogue
    from core.catalogue.declare import parse_catalogue
    from service.cli.database import open_session
    from service.cli.documents import read_document
    from service.cli.errors import REFUSED, refusals
    from service.cli.pictures import pictures_beside

    with refusals():
        declared = parse_catalogue(read_document(file), pictures_beside(file))
        today = datetime.now(UTC).date()
        with open_session() as session:
            changes = catalogue.plan(session, declared, today)
            session.rollback()  # nothing stays locked while a person reads
            goes = bool(changes.steps) and not changes.refused and not dry_run
            if not as_json:
                _print_plan(changes)
            if goes and not yes and sys.stdin.isatty():
                typer.confirm("Apply this?", abort=True, err=True)
            if goes:
                changes = catalogue.apply(session, declared, today, shown=changes)
                session.commit()
        if as_json:
            typer.echo(json.dumps(_as_json(changes, applied=goes, dry_run=dry_run), indent=2, default=str))
        for refusal in changes.refused:
            typer.echo(_refusal_text(refusal, with_document=not as_json), err=True)
        if changes.refused:
            typer.echo("Nothing was applied.", err=True)
            raise typer.Exit(REFUSED)
        if not as_json:
            typer.echo(_closing(changes, applied=goes))


def _closing(changes: "Changes", *, applied: bool) -> str:
    if not changes.steps:
        return "Nothing to do: everything in the file stands already."
    counts = f"{len(changes.created)} created, {len(changes.changed)} changed"
    return f"Applied: {counts}." if applied else f"Would apply: {counts}. Nothing was done."


def _print_plan(changes: "Changes") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Plan", title_justify="left")
    for heading in ("", "what", "name", "details"):
        table.add_column(heading, overflow="fold")
    for kind in dict.fromkeys(step.kind for step in changes.created):
        created = [step for step in changes.created if step.kind == kind]
        for step in created[:MOST_ROWS]:
            table.add_row(Text("create", "green"), kind, Text(step.key), Text(_details(step)))
        if created[MOST_ROWS:]:
            table.add_row(Text("create", "green"), f"{kind}s", f"and {len(created) - MOST_ROWS} more", "")
    for step in changes.changed:
        altered = "\n".join(f"{a.what}: {a.old or 'nothing'} -> {a.new or 'nothing'}" for a in step.alterations)
        table.add_row(Text("change", "yellow"), step.kind, Text(step.key), Text(altered))
    for refusal in changes.refused:
        table.add_row(Text("refuse", "red"), "", Text(refusal.path), "see below")
    for kind, count in changes.unchanged.items():
        table.add_row(Text("keep", "dim"), kind if count == 1 else f"{kind}s", Text(f"{count} unchanged", "dim"), "")
    Console().print(table)


def _details(step: "Step") -> str:
    """What is worth a look before something is created for good."""
    entry = step.after
    match step.kind:
        case "licensor":
            return f"{entry.contact.name}, invoices {entry.invoice_prefix}-000001 and on"
        case "licensee":
            return str(entry.contact.name)
        case "model":
            bases = f" of {', '.join(sorted(entry.bases))}" if entry.bases else ""
            return f"{entry.kind}{bases}, owes {entry.owes}"
        case "account":
            return f"days in {entry.zone}, invoices in {entry.currency}"
        case "agreement":
            more = f", {len(entry.versions) - 1} amended" if len(entry.versions) > 1 else ""
            return f"{'draft' if entry.draft else 'signed'}, {entry.term.start} to {entry.term.end} (exclusive){more}"
        case _:
            return str(entry.name)


def _refusal_text(refusal: "Refusal", *, with_document: bool) -> str:
    """The sentence, and the YAML to write instead, ready to be copied."""
    said = f"perimage: {refusal.path}: {refusal.sentence}"
    if refusal.instead is None or not with_document:
        return said
    import yaml

    document = yaml.safe_dump(refusal.instead, sort_keys=False, allow_unicode=True, width=100)
    return f"{said}\n\n" + "".join(f"    {line}\n" for line in document.splitlines())


def _as_json(changes: "Changes", *, applied: bool, dry_run: bool) -> dict[str, Any]:
    return {
        "applied": applied,
        "dry_run": dry_run,
        "created": [{"kind": step.kind, "name": step.key} for step in changes.created],
        "changed": [
            {
                "kind": step.kind,
                "name": step.key,
                "changes": [{"what": a.what, "old": a.old, "new": a.new} for a in step.alterations],
            }
            for step in changes.changed
        ],
        "unchanged": changes.unchanged,
        "refused": [
            {"path": refusal.path, "sentence": refusal.sentence, "instead": refusal.instead}
            for refusal in changes.refused
        ],
    }
