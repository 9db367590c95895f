"""`perimage accruals`: what running months come to so far, and are expected to come to."""

import json
from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import app

if TYPE_CHECKING:
    from core.accruals.queries import Accrued


@app.command()
def accruals(
    agreement: Annotated[str | None, typer.Argument(help="Only this agreement's.")] = None,
    *,
    licensee: Annotated[str | None, typer.Option(help="Only this licensee's.")] = None,
    month: Annotated[str | None, typer.Option(help="Only this month's, such as 2026-11.")] = None,
    remake: Annotated[bool, typer.Option("--remake", help="First make anew what is due.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Show fees accrued so far and forecast to the end of the month, by agreement.

    The worker keeps them; amounts are before tax. The days to come are filled
    in by the run rate of each weekday; --json says with which days, and has
    the days, models, commitments and caps.
    """
    from core.accruals.accrue import accrue_due
    from core.accruals.queries import accruals_of
    from core.period import Period
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        period = None if month is None else Period.month(month)
        if remake:
            accrue_due(session)
            session.commit()
        rows = accruals_of(session, agreement=agreement, licensee=licensee, month=period)
    if as_json:
        typer.echo(json.dumps([_plain(asdict(row)) for row in rows], indent=2, ensure_ascii=False))
    elif rows:
        _print(rows)
    else:
        typer.echo("Nothing is accrued yet: the worker does it, or say --remake.")


def _print(rows: "list[Accrued]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for title in ("agreement", "licensee", "month", "state", "as of"):
        table.add_column(title)
    for title in ("images", "expected", "accrued", "forecast", "of it shortfall"):
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(
            *(row.agreement, row.licensee, row.period.name, row.state, row.as_of.isoformat()),
            *(f"{row.image_count:,}", f"{row.forecast_image_count:,}", str(row.accrued), str(row.forecast)),
            str(row.expected_shortfall) if row.expected_shortfall.minor else "",
        )
    Console().print(table)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"currency", "minor"}:
            from core.money import Money

            return {"currency": value["currency"], "amount": f"{Money(**value).amount:f}"}
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, date | datetime) else value
