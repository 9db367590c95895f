"""Agreements and invoice diffs on the screen, and diffs as JSON."""

from datetime import date
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from core.invoicing.what_if.amendment_preview import InvoiceDiff


def print_list(rows: list[dict[str, Any]]) -> None:
    """One line for each agreement."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("agreement", "licensor", "licensee", "status", "from", "until", "currency", "name"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        until = row["ended_on"] or row["ends_on"]
        cells = (row["slug"], row["licensor"], row["licensee"], row["status"], row["starts_on"], until)
        table.add_row(*cells, row["currency"], Text(row["name"]))
    Console().print(table)


def print_agreement(content: dict[str, Any]) -> None:
    """An agreement for a person: what holds when, in words; then who signed what."""
    from core.agreements.plain_words import days_said
    from core.period import Period

    def said(row: dict[str, Any]) -> str:
        return days_said(Period(date.fromisoformat(row["starts_on"]), date.fromisoformat(row["ends_on"])))

    typer.echo(f"{content['name']} ({content['slug']}): {content['status']}")
    typer.echo(f"{content['licensor']} licenses {content['licensee']}, {said(content)}, days of {content['zone']}.")
    if content["ended_on"]:
        typer.echo(f"It was {content['status']}: from {content['ended_on']} on nothing is covered.")
    if content["status"] == "draft":
        missing = [party for party in ("licensor", "licensee") if party not in content["signed_by"]]
        typer.echo(f"Not signed yet by the {' and the '.join(missing)}.")
    for version in content["versions"]:
        by = f"amendment {version['amendment']}" if version["amendment"] else "as first signed"
        typer.echo(f"\n{said(version)} ({by})")
        for passage in version["in_words"]:
            typer.echo(f"  {passage['heading']}")
            for sentence in passage["sentences"]:
                typer.echo(f"    - {sentence}")
    typer.echo("\nCovered")
    for row in content["covers"]:
        typer.echo(f"    {row['model']}: {said(row)}")
    typer.echo("Signed" if content["events"] else "Nobody has signed anything.")
    for event in content["events"]:
        what = {"amended": f"amendment {event['amendment']}", "extended": f"extension to {event['ends_on']}"}
        act = what.get(event["kind"], event["kind"])
        why = f": {event['reason']}" if event["reason"] else ""
        who = f"{event['signer']} for the {event['party']}"
        typer.echo(f"    {event['signed_on']}  {act}, effective {event['effective_on']}, {who}{why}")
    for usage in content["unlicensed"]:
        days = f"{usage['first_day']} to {usage['last_day']}"
        typer.echo(f"Without an agreement: {usage['image_count']:,} images by {usage['model']}, {days}.")


def diff_document(diff: "InvoiceDiff") -> dict[str, Any]:
    """What changes on an invoice, in JSON types; amounts are strings in the currency's own number of places."""
    return {
        "period": diff.period.name,
        "currency": diff.currency,
        "total_before": str(diff.total_before.amount),
        "total_after": str(diff.total_after.amount),
        "difference": str(diff.money.amount),
        "lines": [
            {
                "kind": line.key.kind,
                "subject": line.key.subject,
                "period": line.key.service.name,
                "adjustment": line.adjustment,
                "description": line.description,
                "image_count": line.image_count,
                "before": str(line.before.money.amount) if line.before else None,
                "after": str(line.after.money.amount) if line.after else None,
                "difference": str(line.money.amount),
            }
            for line in diff.changes
        ],
    }


def print_diff(slug: str, diff: "InvoiceDiff") -> None:
    """The lines that change, with what they were and what they become."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not diff.changes:
        typer.echo(f"The invoice of {slug} for {diff.period.name} stays as it is: {diff.total_before}.")
        return
    title = f"What changes on the invoice of {slug} for {diff.period.name}"
    table = Table(title=title, title_justify="left", show_footer=True)
    table.add_column("line", overflow="fold", footer="whole invoice")
    table.add_column("images", justify="right")
    for heading, money in (
        ("before", diff.total_before),
        ("after", diff.total_after),
        (f"difference, {diff.currency}", diff.money),
    ):
        table.add_column(heading, justify="right", no_wrap=True, footer=f"{money.amount:,f}")
    for line in diff.changes:
        before, after = (f"{side.money.amount:,f}" if side else "" for side in (line.before, line.after))
        images = f"{line.image_count:+,}" if line.image_count else ""
        table.add_row(Text(line.description), images, before, after, f"{line.money.amount:+,f}")
    Console().print(table)
