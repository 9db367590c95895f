"""`perimage run` and `perimage runs`: the month's end, and the runs that did it."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import app
from service.cli.invoice import As, AsJson, By

if TYPE_CHECKING:
    from core.actors import Actor
    from core.invoicing.runs.control import RunProgress

runs = typer.Typer(help="List billing runs; show, stop and resume one.", no_args_is_help=True)
app.add_typer(runs, name="runs")

Id = Annotated[int, typer.Argument(help="Its number in `perimage runs list`.", min=1, show_default=False)]


@app.command()
def run(
    period: Annotated[str, typer.Argument(help="The month, such as 2026-10.", show_default=False)],
    *,
    issue: Annotated[bool, typer.Option("--issue", help="Issue what is neither held nor above the limit.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the change against the month before.")] = False,
    by: By = None,
    role: As = "admin",
    as_json: AsJson = False,
) -> None:
    """Ask the workers for a month and return at once; follow it with `perimage runs show`.

    Every agreement is counted, closed, checked and drafted by itself: one
    that fails holds up no other. Asking twice writes nothing twice.
    """
    from core.invoicing.runs.control import runs as progress
    from core.invoicing.runs.run import pieces_to_work, request_run
    from core.period import Period
    from service.cli.database import open_session
    from service.cli.errors import refusals
    from service.cli.invoice import _person
    from service.hints import hint_run

    with refusals():
        month = Period.month(period)
        if dry_run:
            _print_diff(_diff(month), month, as_json=as_json)
            return
        with open_session() as session:
            made = request_run(session, month, issues=issue, by=_person(by, role)).id
            session.commit()
            told = hint_run(made, len(pieces_to_work(session, made)))
            [found] = progress(session, run_id=made)
            shown = _document(found)
    if as_json:
        typer.echo(json.dumps(shown, indent=2))
        return
    typer.echo(f"Run {made} over {month.name}: {shown['agreements']} agreements. See `perimage runs show {made}`.")
    if not told:
        typer.echo("The queue is out of reach: the workers will find the work by themselves, a little later.", err=True)


@runs.command("list")
def list_runs(as_json: AsJson = False) -> None:
    """The newest runs, who asked for them, and how far they are."""
    from core.invoicing.runs.control import runs as progress
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        rows = [_document(found) for found in progress(session)]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    headings = ("run", "period", "state", "issues", "asked by", "done", "held", "failed")
    _print(headings, [_row(row) for row in rows], numbers=("done", "held", "failed"))


@runs.command()
def show(run_id: Id, as_json: AsJson = False) -> None:
    """One run, agreement by agreement: how far each is, and why it waits or failed."""
    from sqlalchemy import select

    from core.agreements.tables import Agreement
    from core.invoicing.life.stands import name_of
    from core.invoicing.runs.control import runs as progress
    from core.invoicing.runs.run import progress_of
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        [found] = progress(session, run_id=run_id)
        items = progress_of(session, run_id)
        slugs: dict[int, str] = dict(
            session.execute(
                select(Agreement.id, Agreement.slug).where(Agreement.id.in_([item.agreement_id for item, _ in items]))
            ).all()
        )
        document = _document(found) | {
            "items": [
                {
                    "agreement": slugs[item.agreement_id],
                    "state": item.state,
                    "finished": item.finished_at is not None,
                    "attempts": item.attempts,
                    "invoice": name_of(invoice) if invoice else None,
                    "error": item.error,
                }
                for item, invoice in items
            ]
        }
    if as_json:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    typer.echo(
        f"Run {run_id} over {document['period']} is {document['state']}: {document['finished']} of "
        f"{document['agreements']} agreements done, {document['held']} held, {document['failed']} failed; asked for by "
        f"{document['requested_by']}."
    )
    rows = [(i["agreement"], i["state"], i["invoice"] or "", i["error"] or "") for i in document["items"]]
    _print(("agreement", "state", "invoice", "why"), rows)


@runs.command()
def stop(run_id: Id, by: By = None, role: As = "admin") -> None:
    """Begin nothing more of a run. What it closed and issued stands."""
    from core.invoicing.runs.control import stop as verb

    _act(run_id, by, role, verb)


@runs.command()
def resume(run_id: Id, by: By = None, role: As = "admin") -> None:
    """Go on with a run that was stopped."""
    from core.invoicing.runs.control import resume as verb

    _act(run_id, by, role, verb)


def _act(run_id: int, by: str | None, role: str, verb: Any) -> None:
    from core.invoicing.runs.control import runs as progress
    from core.invoicing.runs.run import pieces_to_work
    from service.cli.database import open_session
    from service.cli.errors import refusals
    from service.cli.invoice import _person
    from service.hints import hint_run

    with refusals(), open_session() as session:
        actor: Actor = _person(by, role)
        verb(session, run_id, actor)
        session.commit()
        hint_run(run_id, len(pieces_to_work(session, run_id)))
        [found] = progress(session, run_id=run_id)
        typer.echo(f"Run {run_id} is {found.state}: {found.finished} of {found.items} agreements done.")


def _document(found: "RunProgress") -> dict[str, Any]:
    from core.period import Period

    asked = found.run
    return {
        "id": asked.id,
        "period": Period(asked.period_start, asked.period_end).name,
        "state": found.state,
        "issue": asked.issues,
        "scheduled": asked.scheduled,
        "requested_by": asked.requested_by,
        "requested_role": asked.requested_role,
        "requested_at": asked.requested_at.isoformat(timespec="seconds"),
        "stopped_by": asked.stopped_by,
        "agreements": found.items,
        "finished": found.finished,
        "held": found.held,
        "failed": found.failed,
    }


def _row(document: dict[str, Any]) -> tuple[str, ...]:
    issues = "where agreed" if document["scheduled"] else "yes" if document["issue"] else "no"
    done = f"{document['finished']}/{document['agreements']}"
    return (
        *(str(document["id"]), document["period"], document["state"], issues, document["requested_by"], done),
        *(str(document["held"]), str(document["failed"])),
    )


def _diff(month: Any) -> list[dict[str, Any]]:
    from core.invoicing.runs.month_diff import month_diff
    from core.usage.counts.rollup import roll_up
    from service.cli.database import open_session

    with open_session() as session:  # never committed: even the roll-up is only for show
        while roll_up(session).more:
            pass
        rows = [
            {
                "agreement": each.found.agreement,
                "licensee": each.found.licensee,
                "stands": each.found.stands,
                "status": each.found.status,
                "currency": each.last.currency,
                "last_month": str(each.last.amount),
                "this_month": str(each.found.after.amount),
                "change": str(each.change.amount),
                "lines": len(each.found.lines),
            }
            for each in month_diff(session, month)
        ]
        session.rollback()
    return rows


def _print_diff(rows: list[dict[str, Any]], month: Any, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"period": month.name, "dry_run": True, "agreements": rows}, indent=2))
        return
    keys = ("agreement", "licensee", "stands", "currency", "last_month", "this_month", "change")
    headings = tuple(key.replace("_", " ") for key in keys)
    _print(headings, [tuple(row[key] or "" for key in keys) for row in rows], numbers=headings[-3:])


def _print(headings: tuple[str, ...], rows: list[tuple[str, ...]], numbers: tuple[str, ...] = ()) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for heading in headings:
        table.add_column(heading, justify="right" if heading in numbers else "left")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
