"""`perimage audit`: who did what, and whether the log of it is whole."""

import json
from typing import Annotated, Any

import typer

from service.cli import app

audit = typer.Typer(help="Read the audit logs and verify their hash chains.", no_args_is_help=True)
app.add_typer(audit, name="audit")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@audit.command("list")
def list_entries(
    licensor: Annotated[str, typer.Argument(help="The licensor's slug.", show_default=False)],
    subject: Annotated[str | None, typer.Argument(help='Only about this, such as "invoice OWG-000001".')] = None,
    *,
    after: Annotated[int, typer.Option(help="Only entries after this one.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List who did what, oldest first."""
    from core.audit.record import entries
    from core.registry.register import ids
    from core.registry.tables import Licensor
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        licensor_id = ids(session, Licensor, {licensor})[licensor]
        rows = [_row(entry) for entry in entries(session, licensor_id, subject=subject, after=after, limit=limit)]
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for heading in ("no", "at", "who", "did", "with", "reason"):
        table.add_column(heading)
    for row in rows:
        who = f"{row['actor']} ({row['role']})"
        cells = (str(row["sequence"]), row["recorded_at"], who, row["action"], row["subject"])
        table.add_row(*(Text(cell) for cell in (*cells, str(row["detail"].get("reason", "")))))
    Console().print(table)


@audit.command()
def verify(as_json: AsJson = False) -> None:
    """Check every log: nothing removed, changed, added or moved. Keep the last hashes it prints somewhere else."""
    from sqlalchemy import select

    from core.audit.record import entries, logged_licensors, verify_chain
    from core.registry.tables import Licensor
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        slugs = {row.id: row.slug for row in session.scalars(select(Licensor))}
        rows = []
        for licensor_id in logged_licensors(session):
            count, wrong = verify_chain(session, licensor_id)
            last = entries(session, licensor_id, after=count - 1, limit=1) if count else []
            rows.append(
                {
                    "licensor": slugs[licensor_id],
                    "entries": count,
                    "last_hash": last[0].hash if last else None,
                    "problems": wrong,
                }
            )
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    for row in rows if not as_json else []:
        typer.echo(f"{row['licensor']}: {row['entries']:,} entries, the last {row['last_hash'] or 'none'}")
        for sentence in row["problems"]:
            typer.echo(f"  {sentence}", err=True)
    if any(row["problems"] for row in rows):
        raise typer.Exit(1)


def _row(entry: Any) -> dict[str, Any]:
    return {
        "sequence": entry.sequence,
        "recorded_at": entry.recorded_at.isoformat(timespec="microseconds"),
        "actor": entry.actor,
        "role": entry.role,
        "action": entry.action,
        "subject": entry.subject,
        "detail": entry.detail,
        "previous_hash": entry.previous_hash,
        "hash": entry.hash,
    }
