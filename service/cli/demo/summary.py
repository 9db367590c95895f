"""What the demo shows at the end: every invoice, how it came about, and whether it agrees with the recount."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from core.period import Period
from service.cli.demo.cast import FINANCE, MANAGERS
from service.cli.demo.kept import FILE
from service.cli.demo.platforms import Sent
from service.cli.demo.recount import images_by_platform, totals_in_cents
from service.cli.demo.traffic import FIGURES, SHARES

CENTS = 100


def build_summary(url: str, keys: dict[str, str], month: Period, sent: Sent, home: Path) -> dict[str, Any]:
    """Fetches invoices and PDFs as each licensee would, and compares them with the recount."""
    expected_images = images_by_platform(FIGURES)
    expected_cents = totals_in_cents(expected_images)
    invoices: list[dict[str, Any]] = []
    problems: list[str] = []
    counted = 0
    for platform in SHARES:
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {keys[platform]}"}, timeout=60) as client:
            images = _images_by_model(client, month)
            counted += sum(images.values())
            if images != dict(expected_images[platform]):
                problems.append(f"{platform}: counted {images}, the file says {dict(expected_images[platform])}")
            listed = _get(client, "/v1/invoices", {"period": month.name})["invoices"]
            if len(listed) != 1:
                problems.append(f"{platform}: {len(listed)} invoices for {month.name}, expected one")
            for invoice in listed:
                content = _get(client, f"/v1/invoices/{invoice['number']}")
                pdf = home / f"{invoice['number']}.pdf"
                pdf.write_bytes(client.get(f"/v1/invoices/{invoice['number']}.pdf").raise_for_status().content)
                cents = expected_cents[platform]
                if content["total"] != f"{cents // CENTS}.{cents % CENTS:02}":
                    problems.append(f"{platform}: invoiced {content['total']}, the recount says {cents} cents")
                invoices.append({"content": content, "pdf": pdf})
    return {
        "agrees": not problems,
        "problems": problems,
        "sent": sent,
        "invoices": invoices,
        "file": {
            "images_in_file": sum(sum(by_family.values()) for by_family in expected_images.values()),
            "images_counted": counted,
            "events_sent": sent.events,
            "events_duplicate": sent.duplicates,
            "invoices": [_in_brief(invoice["content"], invoice["pdf"]) for invoice in invoices],
        },
    }


def _get(client: httpx.Client, path: str, params: dict[str, str] | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = client.get(path, params=params or {}).raise_for_status().json()
    return answer


def _images_by_model(client: httpx.Client, month: Period) -> dict[str, int]:
    asked = {"from": month.start.isoformat(), "to": month.end.isoformat(), "group_by": "model"}
    return {row["model"]: row["image_count"] for row in _get(client, "/v1/usage", asked)["usage"]}


def _in_brief(content: dict[str, Any], pdf: Path) -> dict[str, str]:
    return {
        "number": content["number"],
        "licensor": content["licensor"]["slug"],
        "licensee": content["licensee"]["slug"],
        "period": content["period"]["name"],
        "currency": content["currency"],
        "total": content["total"],
        "pdf": str(pdf),
    }


def print_summary(console: Console, summary: dict[str, Any], home: Path) -> None:
    """Tables for people; what machines need is in summary.json."""
    console.print()
    console.print(
        "[bold]What one real month would have cost under three licences[/bold]\n"
        "Real counts (AI Horde, spring 2023, 164 fine-tuned models); the parties and agreements are a scenario."
    )
    table = Table()
    for heading in ("licensee", "model", "line"):
        table.add_column(heading, no_wrap=True)
    for heading in ("images", "fee"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("invoice", no_wrap=True)
    for invoice in summary["invoices"]:
        _invoice_rows(table, invoice["content"])
    console.print(table)
    for invoice in summary["invoices"]:
        content = invoice["content"]
        for commitment in content["commitments"]:
            console.print(
                f"{content['licensee']['slug']}: {commitment['name']}: {int(commitment['counted']):,} of "
                f"{int(commitment['target']):,} images ({100 * float(commitment['fraction']):.1f} %), "
                f"until {commitment['ends_on']}"
            )
    for invoice in summary["invoices"]:
        console.print(f"{invoice['content']['number']}: {invoice['pdf']}", soft_wrap=True, highlight=False)
    _print_traffic(console, summary)
    console.print(f"Written: {home / 'summary.json'}", soft_wrap=True)


def _invoice_rows(table: Table, content: dict[str, Any]) -> None:
    """The lines of one invoice, and its total. Amounts keep the places they have; only their thousands are parted."""
    currency = content["currency"]
    for number, line in enumerate(content["lines"]):
        table.add_row(
            content["licensee"]["slug"] if number == 0 else "",
            line["model"],
            line["kind"],
            f"{line['image_count']:,}" if line["image_count"] else "",
            f"{Decimal(line['amount']):,} {currency}",
            content["number"] if number == 0 else "",
        )
    total = f"[bold]{Decimal(content['total']):,} {currency}[/bold]"
    table.add_row("", "[bold]total[/bold]", "", "", total, f"due {content['due_on']}", end_section=True)


def _print_traffic(console: Console, summary: dict[str, Any]) -> None:
    sent: Sent = summary["sent"]
    file = summary["file"]
    pace = f"{sent.events / sent.seconds:,.0f} events/s" if sent.seconds else ""
    console.print(
        f"Events sent: {sent.events:,} in {sent.seconds:.1f} s ({pace}); {sent.duplicates:,} were duplicates, "
        "counted once."
    )
    if summary["agrees"]:
        console.print(
            f"[green]Recount of the file agrees:[/green] {file['images_in_file']:,} images in the file, "
            f"{file['images_counted']:,} counted, {len(file['invoices'])} invoices to the cent."
        )
    for problem in summary["problems"]:
        console.print(f"[red]Does not agree:[/red] {problem}")


def print_who_signs_in(console: Console, url: str, password: str, home: Path) -> None:
    """The address, and people on both sides. The password is this installation's own, and printed nowhere else."""
    table = Table(title=f"Sign in at {url}/", title_justify="left")
    for heading in ("as", "e-mail", "who may"):
        table.add_column(heading, no_wrap=True)
    may = {"admin": "do everything", "approver": "approve, release, issue", "clerk": "prepare", "viewer": "look"}
    for email, name, role in FINANCE.values():
        table.add_row(name, email, f"{may[role]}: finance, {role}")
    for slug in ("palette-works", "northlight"):
        email, name = MANAGERS[slug]
        table.add_row(name, email, f"certify and dispute: portal of {slug}")
    console.print()
    console.print(table)
    console.print(f"Password of all of them: [bold]{password}[/bold]", highlight=False)
    console.print(
        f"Made for this installation and kept in {home / FILE}, with a meter key of each licensee.", soft_wrap=True
    )
