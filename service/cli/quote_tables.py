"""The answer of `perimage quote` as tables for people and as CSV; both from the document that --json prints."""

import csv
import io
from datetime import date, timedelta
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def show(document: dict[str, Any], about: str | None) -> None:
    """Prints whatever the document holds: quotes, months, a comparison, a table, an invoice diff, and its notes."""
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    if "comparison" in document:
        _comparison(console, document)
    for quoted in document.get("offers", [document]):
        if "shadow" in quoted:
            _shadow(console, quoted)
        elif "lines" in quoted and "comparison" not in document:
            _lines(console, quoted)
        if "months" in quoted and "comparison" not in document:
            _months(console, quoted)
        if "table" in quoted:
            _prices(console, quoted["table"])
        _findings(console, quoted, named="offers" in document)
        notes = quoted.get("notes", [])
        for note in notes if "comparison" not in document else []:
            console.print(f"- {escape(note)}", style="dim")
    if about:
        console.print(escape(" ".join(about.split())), style="dim italic")


def _lines(console: Any, quoted: dict[str, Any]) -> None:
    from rich.markup import escape

    several = len({line["agreement"] for line in quoted["lines"]}) > 1
    headings = [("agreement", "")] if several else []
    headings += [("line", "total"), ("model or commitment", ""), ("images", ""), ("price", "")]
    title = f"{quoted['scenario']}: {quoted['images']:,} images"
    table = _table(title, [*headings, (quoted["currency"], _money(quoted["total"]))], left=3 if several else 2)
    for line in quoted["lines"]:
        price = f"{line['unit_price']} {line['unit']}" if line["unit_price"] and line["image_count"] else ""
        images = f"{line['image_count']:,}" if line["image_count"] else ""
        cells = [line["kind"], line["subject"], images, price, _money(line["amount"])]
        row = [line["agreement"], *cells] if several else cells
        table.add_row(*(escape(cell) for cell in row), style="yellow" if line["kind"] == "shortfall" else "")
    console.print(table)
    if quoted["effective_rate"] is not None:
        console.print(f"Effective price: [bold]{_effective(quoted)}[/bold] an image")


def _months(console: Any, quoted: dict[str, Any]) -> None:
    title = f"{quoted['scenario']}: by month"
    headings = [("month", "total"), ("images", f"{quoted['images']:,}"), (quoted["currency"], _money(quoted["total"]))]
    table = _table(title, [*headings, ("of it shortfall", _money(quoted["shortfall"]))], left=1)
    for month in quoted["months"]:
        table.add_row(month["month"], f"{month['images']:,}", _money(month["amount"]), _money(month["shortfall"]))
    console.print(table)


def _comparison(console: Any, document: dict[str, Any]) -> None:
    from rich.markup import escape

    comparison, names = document["comparison"], [quoted["scenario"] for quoted in document["offers"]]
    quotes = [quoted for quoted in document["offers"] if "total" in quoted]
    if quotes:
        headings = [("offer", ""), ("images", ""), ("shortfall", ""), (document["currency"], ""), ("an image", "")]
        table = _table("Offers side by side", headings, left=1)
        for quoted in quotes:
            cells = [quoted["scenario"], f"{quoted['images']:,}", _money(quoted["shortfall"]), _money(quoted["total"])]
            table.add_row(*(escape(cell) for cell in [*cells, _effective(quoted)]))
        console.print(table)
    title = f"Total in {document['currency']} by volume, over the {comparison['over']}"
    table = _table(title, [("images", ""), *((name, "") for name in names), ("cheapest", "")], left=0)
    for row in comparison["volumes"]:
        totals = {
            cell["offer"]: f"[bold]{_money(cell['total'])}[/bold]"
            if cell["offer"] in row["cheapest"]
            else _money(cell["total"])
            for cell in row["offers"]
        }
        table.add_row(f"{row['images']:,}", *(totals[name] for name in names), escape(", ".join(row["cheapest"])))
    console.print(table)
    for found in comparison["crossovers"]:
        console.print(
            escape(
                f"From {found['images']:,} images on {found['after']} ({_money(found['total_after'])}) is cheaper than "
                f"{found['before']} ({_money(found['total_before'])})."
            )
        )
    if not comparison["crossovers"]:
        console.print("The same offer is cheapest at every volume looked at.")
    for note in comparison["notes"]:
        console.print(f"- {escape(note)}", style="dim")


def _prices(console: Any, table: dict[str, Any]) -> None:
    """Totals and effective prices, a price a row; what a commitment makes dearer is yellow."""
    title = f"Total in {table['currency']}, and {table['unit']} an image, over the {table['over']}"
    grid = _table(title, [("price", ""), *((f"{images:,}", "") for images in table["volumes"])], left=0)
    for row in table["rows"]:
        cells = []
        for cell in row["cells"]:
            said = f"{_money(cell['total'])}\n{cell['effective_unit_rate'] or cell['effective_rate'] or '-'}"
            cells.append(f"[yellow]{said}[/yellow]" if cell["binding"] else said)
        grid.add_row(row["rate"] or "as written", *cells)
    console.print(grid)


def _shadow(console: Any, quoted: dict[str, Any]) -> None:
    """The invoice diff: by month, then line by line where anything differs."""
    from rich.markup import escape

    found, currency = quoted["shadow"], quoted["currency"]
    against = ", ".join(found["agreements"]) or "nothing"
    title = f"{found['licensee']} under {quoted['scenario']}, against {against}, in {currency}"
    total = found["total"]
    names = ("billed", "due", "offered", "difference")
    table = _table(title, [("month", "total"), *((name, _money(total[name])) for name in names)], left=1)
    for month in found["months"]:
        table.add_row(month["month"], *(_money(month[name]) for name in names))
    console.print(table)
    headings = [("month", ""), ("line", ""), ("model or commitment", ""), ("images", ""), ("offered images", "")]
    table = _table("Line by line", [*headings, ("billed + due", ""), ("offered", ""), ("difference", "")], left=3)
    for line in found["lines"]:
        own = _money(_sum(line["billed"], line["due"]))
        cells = [line["month"], line["kind"], line["subject"], f"{line['images']:,}", f"{line['offered_images']:,}"]
        amounts = [own, _money(line["offered"]), _money(line["difference"])]
        table.add_row(*(escape(cell) for cell in [*cells, *amounts]))
    console.print(table)
    if quoted["effective_rate"] is not None:
        said = f"{quoted['images']:,} images for {_money(quoted['total'])} {currency}"
        console.print(f"Under these terms: {said}, [bold]{_effective(quoted)}[/bold] an image")


def _findings(console: Any, quoted: dict[str, Any], *, named: bool) -> None:
    """Break-even and pass-through floor, in a sentence each."""
    from rich.markup import escape

    whose = f"{quoted['scenario']}: " if named else ""
    even = quoted.get("break_even")
    if even and even["commitments"]:
        at = "at no volume" if even["images"] is None else f"{even['images']:,} images"
        days = f"{even['from']} to {date.fromisoformat(even['until']) - timedelta(days=1)}"
        spread = "" if even["images"] is None else ", spread evenly"
        console.print(f"{escape(whose)}Break-even: [bold]{at}[/bold] over the {even['over']} ({days}){spread}")
    if "pass_through_floor" in quoted:
        console.print(escape(whose + quoted["pass_through_floor"]["sentence"]))


def as_csv(document: dict[str, Any]) -> str:
    """The main table of the document; text that a spreadsheet would take for a formula gets an apostrophe."""
    rows = _rows(document)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else ["nothing"], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _cell(key, value) for key, value in row.items()})
    return out.getvalue()


def _rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    """One dictionary a row: prices by volumes, offers by volume, an invoice diff, months, or lines."""
    currency = {"currency": document["currency"]}
    if "comparison" in document:
        return [
            {**cell, "cheapest": cell["offer"] in row["cheapest"], **currency}
            for row in document["comparison"]["volumes"]
            for cell in row["offers"]
        ]
    if "table" in document:
        return [{"rate": row["rate"], **cell, **currency} for row in document["table"]["rows"] for cell in row["cells"]]
    if "offers" in document or "shadow" in document:
        return [
            {"scenario": quoted["scenario"], **line, "invoices": " ".join(line["invoices"]), **currency}
            for quoted in document.get("offers", [document])
            for line in quoted["shadow"]["lines"]
        ]
    if "months" in document:
        return [{**month, **currency} for month in document["months"]]
    return [{**line, **currency} for line in document["lines"]]


def _cell(key: str, value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = key in ("scenario", "offer", "agreement", "recipient", "model", "subject", "invoices", "kind")
    return f"'{value}" if text and isinstance(value, str) and value.startswith(_FORMULA) else value


def _table(title: str, headings: list[tuple[str, str]], *, left: int) -> Any:
    """A table with footers; the first `left` columns are text, the others numbers."""
    from rich.markup import escape
    from rich.table import Table

    footers = any(footer for _, footer in headings)
    table = Table(title=escape(title), title_justify="left", show_footer=footers)
    for n, (heading, footer) in enumerate(headings):
        if n < left:
            table.add_column(escape(heading), footer=escape(footer), overflow="fold")
        else:
            bold = f"[bold]{escape(footer)}[/bold]" if footer else ""
            table.add_column(escape(heading), footer=bold, justify="right", no_wrap=True)
    return table


def _effective(quoted: dict[str, Any]) -> str:
    """The effective price in the currency, and in the unit where that is another one."""
    from decimal import Decimal

    from core.money import plain

    if quoted["effective_rate"] is None:
        return "-"
    said = f"{plain(Decimal(quoted['effective_rate']), 6)} {quoted['currency']}"
    if quoted["effective_unit_rate"] is not None and quoted["unit"] != quoted["currency"]:
        said += f" = {plain(Decimal(quoted['effective_unit_rate']), 6)} {quoted['unit']}"
    return said


def _money(amount: str) -> str:
    from decimal import Decimal

    return f"{Decimal(amount):,f}"


def _sum(*amounts: str) -> str:
    from decimal import Decimal

    return f"{sum(map(Decimal, amounts)):f}"
