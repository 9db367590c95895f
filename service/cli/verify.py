"""`perimage verify`: everything that must agree, counted again."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import app

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from core.invoicing.verify import Check


@app.command()
def verify(as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False) -> None:
    """Check that counts equal raw events, and that invoices, books, numbers and calendars agree.

    Daily counts are counted again from every raw event, another way. Exit
    code 1 if anything differs.
    """
    from rich.console import Console
    from rich.table import Table

    from core.invoicing.verify import Check, verify_invoices
    from core.ledger.balances import verify_open_items
    from core.payments.verify import verify_payments
    from core.usage.counts.totals import verify_totals
    from core.usage.counts.verify import verify_rollup
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        event_count, mismatches = verify_rollup(session)
        problems = tuple(
            f"licensee {m.licensee_id}, model {m.model_id}, {m.day}: {m.counted:,} counted, {m.raw:,} in the raw events"
            for m in mismatches
        )
        counts = Check("daily counts equal raw events", event_count, problems)
        kept, differences = verify_totals(session)
        apart = tuple(f"{each.about}: {each.kept:,} kept, {each.counted:,} counted" for each in differences)
        items, unequal = verify_open_items(session)
        checks = [
            *(counts, Check("totals equal daily counts", kept, apart)),
            *(*verify_invoices(session), Check("open items equal their postings", items, tuple(unequal))),
            *(*verify_payments(session), _calendars(session)),
        ]
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


def _calendars(session: "Session") -> "Check":
    """Whether months begin for the database when they do for us, in the zones in use, from last year to the next."""
    from datetime import UTC, date, datetime

    from core.agreements.calendars import calendar_differences, zones_in_use
    from core.invoicing.verify import Check
    from core.period import Period

    year, zones = datetime.now(UTC).year, zones_in_use(session)
    span = Period(date(year - 1, 1, 1), date(year + 2, 1, 1))
    return Check(
        "days of the database are ours",
        len(zones),
        tuple(
            f"{bound:%Y-%m} begins at another hour for the database in {zone}: update the older table of time zones, "
            "PostgreSQL's or the tzdata package"
            for zone, bound in calendar_differences(session, zones, span)
        ),
    )
