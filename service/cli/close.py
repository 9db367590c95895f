"""`perimage close`: a month's usage into invoices."""

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import app

if TYPE_CHECKING:
    from core.invoicing.runs.previews import Previewed
    from core.period import Period

NOBODY_SECONDS = 15.0  # after this long without a step, say that no worker seems to run


@app.command()
def close(
    period: Annotated[str, typer.Argument(help="The month to close, such as 2026-10.")],
    issue: Annotated[bool, typer.Option("--issue", help="Also number, freeze and document what is closed.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the lines that would be written; write none.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Close a month: write the draft invoice of every agreement.

    What is owed up to the end of the month, minus what was billed before.
    So closing twice writes nothing new, and usage that came late becomes an
    adjustment that names its month. The workers do it, one agreement each;
    this command asks and watches.
    """
    from core.period import Period
    from service.cli.errors import refusals

    with refusals():
        month = Period.month(period)
        if dry_run:
            _show(_previewed(month), month, as_json=as_json, dry_run=True)
            return
        outcome = run_and_watch(month, issues=issue, quiet=as_json)
        _show(outcome, month, as_json=as_json, dry_run=False)
        if any(row["state"] == "failed" for row in outcome):
            raise typer.Exit(1)


def run_and_watch(month: "Period", *, issues: bool, quiet: bool = False) -> list[dict[str, Any]]:
    """Asks the workers for a billing run and follows it to its end: what became of each agreement."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from core.invoicing.runs.run import pieces_to_work, progress_of, request_run
    from service.cli.database import open_session
    from service.cli.invoice import _person
    from service.hints import hint_run

    console = Console(stderr=True, quiet=quiet)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with open_session() as session, Progress(*columns, console=console) as bar:
        run_id = request_run(session, month, issues=issues, by=_person(None, "admin")).id
        session.commit()
        if not hint_run(run_id, len(pieces_to_work(session, run_id))):
            console.print("The queue is out of reach: the workers will find the work by themselves, a little later.")
        verb = "Closing and issuing" if issues else "Closing"
        task = bar.add_task(f"{verb} {month.name}", total=None)
        last_step, seen, warned = time.monotonic(), None, False
        while True:
            items = progress_of(session, run_id)
            states = [(item.state, item.finished_at is not None) for item, _ in items]
            session.rollback()
            done = sum(finished for _, finished in states)
            bar.update(task, total=max(len(items), 1), completed=done if items else 1)
            if done == len(items):
                break
            if states != seen:
                last_step, seen = time.monotonic(), states
            elif not warned and time.monotonic() - last_step > NOBODY_SECONDS:
                warned = True
                console.print("No worker has taken a step for a while: is `perimage up` running? Still waiting.")
            time.sleep(0.1)
        return [_outcome(session, item, invoice) for item, invoice in progress_of(session, run_id)]


def _outcome(session: Any, item: Any, invoice: Any) -> dict[str, Any]:
    from core.agreements.tables import Agreement
    from core.money import Money
    from core.registry.tables import Account, Licensee, Licensor

    agreement = session.get_one(Agreement, item.agreement_id)
    account = session.get_one(Account, agreement.account_id)
    row = {
        "agreement": agreement.slug,
        "licensor": session.get_one(Licensor, account.licensor_id).slug,
        "licensee": session.get_one(Licensee, account.licensee_id).slug,
        "state": item.state,
        "error": item.error,
        "invoice": None,
    }
    if invoice is not None:
        row["invoice"] = {
            "number": invoice.number,
            "status": invoice.status,
            "currency": invoice.currency,
            "total": str(Money(invoice.currency, invoice.total_minor).amount),
            "lines": len(invoice.lines),
        }
    return row


def _previewed(month: "Period") -> list[dict[str, Any]]:
    from core.invoicing.runs.previews import preview_run
    from core.usage.counts.rollup import roll_up
    from service.cli.database import open_session

    with open_session() as session:  # never committed: even the roll-up is only for show
        while roll_up(session).more:
            pass
        found = preview_run(session, month)
        session.rollback()
    return [_as_row(each) for each in found]


def _as_row(found: "Previewed") -> dict[str, Any]:
    status = "issued already" if found.status == "issued" else "would be written" if found.lines else "nothing due"
    lines = [
        {
            "kind": line.key.kind,
            "subject": line.key.subject,
            "period": line.key.service.name,
            "adjustment": line.adjustment,
            "description": line.description,
            "image_count": line.image_count,
            "amount": str(line.money.amount),
        }
        for line in found.lines
    ]
    return {
        "agreement": found.agreement,
        "licensor": found.licensor,
        "licensee": found.licensee,
        "state": "preview",
        "error": None,
        "invoice": {
            "number": None,
            "status": status,
            "currency": found.after.currency,
            "total": str(found.after.amount) if found.status != "issued" else "0",
            "lines": lines,
        },
    }


def _show(rows: list[dict[str, Any]], month: "Period", *, as_json: bool, dry_run: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    if as_json:
        typer.echo(json.dumps({"period": month.name, "dry_run": dry_run, "agreements": rows}, indent=2))
        return
    table = Table(title=f"{'Preview of' if dry_run else 'Closed'} {month.name}", title_justify="left")
    for heading in ("agreement", "licensee", "invoice", "state"):
        table.add_column(heading)
    table.add_column("lines", justify="right")
    table.add_column("total", justify="right")
    for row in rows:
        invoice = row["invoice"] or {"number": None, "status": "nothing due", "lines": 0, "total": "", "currency": ""}
        lines = invoice["lines"] if isinstance(invoice["lines"], int) else len(invoice["lines"])
        said = row["error"] or invoice["status"]
        amount = f"{invoice['total']} {invoice['currency']}"
        table.add_row(row["agreement"], row["licensee"], invoice["number"] or "", said, str(lines), amount)
    Console().print(table)
