"""`perimage verify`: everything that must agree, counted again."""

import json
from typing import Annotated

import typer

from service.cli import app


@app.command()
def verify(as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False) -> None:
    """Check that counts equal raw events, and that invoices, books and numbers agree.

    Daily counts are counted again from every raw event, another way. Exit
    code 1 if anything differs.
    """
    from rich.console import Console
    from rich.table import Table

    from core.invoicing.verify import Check, verify_invoices
    from core.usage.verify import verify_rollup
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        event_count, mismatches = verify_rollup(session)
        problems = tuple(
            f"licensee {m.licensee_id}, model {m.model_id}, {m.day}: {m.counted:,} counted, {m.raw:,} in the raw events"
            for m in mismatches
        )
        checks = [Check("daily counts equal raw events", event_count, problems), *verify_invoices(session)]
    wrong = sum(len(check.problems) for check in checks)
    if as_json:
        report = [{"check": c.name, "looked_at": c.looked_at, "problems": list(c.problems)} for c in checks]
        typer.echo(json.dumps({"ok": not wrong, "checks": report}, indent=2))
    else:
        table = Table()
        table.add_column("check")
        table.add_column("looked at", justify="right")
        table.add_column("result")
        for check in checks:
            table.add_row(check.name, f"{check.looked_at:,}", "\n".join(check.problems[:20]) or "[green]agrees[/green]")
        Console().print(table)
    if wrong:
        raise typer.Exit(1)
