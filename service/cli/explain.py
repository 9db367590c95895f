"""`perimage explain`: how the lines of an invoice were worked out."""

import json
from typing import Annotated, Any

import typer

from service.cli import app


@app.command()
def explain(
    invoice: Annotated[str, typer.Argument(help="An invoice number; with --draft an agreement's slug.")],
    line: Annotated[str | None, typer.Argument(help="Only this line; with --draft the month.")] = None,
    *,
    draft: Annotated[bool, typer.Option("--draft", help="Explain what closing a month now would ask for.")] = False,
    only: Annotated[int | None, typer.Option("--line", min=1, help="With --draft: only this line.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Say how an invoice was worked out, so that anyone can do it again.

    \b
    perimage explain OWG-000001
    perimage explain OWG-000001 2
    perimage explain --draft our-deal 2026-10

    For every line: the images by day and who corrected them why, the price
    in force and the amendment it stands in, each tier, the conversion, the
    rounding, and what was billed for the same thing before.
    """
    from core.errors import InvalidInput
    from core.invoicing.workings.explain import explain_draft, explain_invoice
    from core.period import Period
    from core.usage.counts.rollup import roll_up
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        if draft:
            if line is None:
                raise InvalidInput("no_month", "say which month: perimage explain --draft AGREEMENT 2026-10")
            while roll_up(session).more:  # never committed: only so that the newest reports are in it
                pass
            document = explain_draft(session, invoice, Period.month(line), only)
        else:
            if line is not None and not (line.isascii() and line.isdecimal() and len(line) < 10):
                raise InvalidInput("line_not_found", f"a line is a number, such as 1, not {line!r}")
            document = explain_invoice(session, invoice, int(line) if line else only)
        session.rollback()
    if as_json:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _show(document)


def _show(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    what = f"Invoice {document['invoice']}" if document["invoice"] else f"Draft of {document['period']}"
    said = f"{document['licensor']} to {document['licensee']}, agreement {document['agreement']}, {document['period']}"
    console.print(f"[bold]{escape(what)}[/bold] ({document['status']}): {escape(said)}")
    console.print(f"Total {document['total']} {document['currency']}; days are those of {document['zone']}.")
    if not document["lines"]:
        console.print("Nothing is due.")
    for line in document["lines"]:
        console.print(
            f"\n[bold]{line['no']}. {escape(line['description'])}: {line['amount']} {line['currency']}[/bold]"
        )
        for sentence in sentences(line):
            console.print(f"   {escape(sentence)}", highlight=False)
    for state in document["commitments"]:
        progress = f"{state['counted']} of {state['target']} {state['unit']}, {state['remaining']} to go"
        console.print(escape(f"\nCommitment {state['name']} ({state['starts_on']} to {state['ends_on']}): {progress}"))
    if document["content_hash"]:
        console.print(f"\nFrozen content, SHA-256 {document['content_hash']}", style="dim")


def _corrected(each: dict[str, Any]) -> str:
    """One correction: "Corrected on 2026-11-03 by Ada: -20 images of sd-1 on 2026-09-03 (event e, 500 to 480): why"."""
    change = f"{each['image_delta']:+,} images of {each['model']} on {each['day']}"
    event = f"event {each['event_id']}, {each['image_count_before']:,} to {each['image_count_after']:,}"
    late = ", after this was issued," if each["made_after_issue"] else ""
    reference = f" [{each['reference']}]" if each["reference"] else ""
    when = f"{each['made_at'][:10]}{late} by {each['actor']}"
    return f"Corrected on {when}: {change} ({event}): {each['reason']}{reference}"


def sentences(line: dict[str, Any]) -> list[str]:
    """The explanation of one line, a sentence each: price, counts, corrections, steps, and the other invoices."""
    said = [line["price"]["sentence"]] if line["price"] else []
    counts = line["counts"]
    if counts:
        each = [
            f"{row.get('day') or row.get('month')}: {row['image_count']:,}"
            + (" (estimated)" if "estimated" in row else "")
            for row in counts.get("days") or counts["months"]
        ]
        said.append(f"Images of {', '.join(counts['models'])} ({counts['source']}): {'; '.join(each) or 'none'}")
        said += [counts["sentence"]] if "sentence" in counts else []
    said += [_corrected(each) for each in line["corrections"]]
    said += [] if line["corrections_complete"] else ["There are more corrections: GET /v1/corrections lists them all"]
    said += line["steps"]
    for word, others in (("before", line["billed_before"]), ("later", line["billed_after"])):
        for other in others:
            where = f"invoice {other['invoice']}" if other["invoice"] else "a draft"
            amount = f"{other['image_count']:,} images, {other['amount']} {line['currency']}"
            said.append(f"Billed {word} on {where}, line {other['line']}: {amount}")
    return said
