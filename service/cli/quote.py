"""`perimage quote`: what a number of images would cost under a scenario, before anybody signs it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli import app


@app.command()
def quote(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or the name of one in config/scenarios.")],
    images: Annotated[int, typer.Option(min=0, max=10**15, help="Images generated over the horizon.")],
    rate: Annotated[str | None, typer.Option(help="Another price per image, in the agreement's unit.")] = None,
    over: Annotated[str | None, typer.Option(help="month or term; chosen by the commitments when left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Say what a number of images would cost: every line, the shortfall, the total, the effective price."""
    from core.agreements.reading import positive
    from core.errors import PerimageError
    from core.rating import quote as rating
    from service.cli.errors import say_no

    try:
        document = _load(scenario)
        offers = rating.offers_of(document)
        result = rating.quote(offers, images, rate=None if rate is None else positive(rate, "--rate"), over=over)
    except PerimageError as error:
        say_no(error.sentence)
        return
    if as_json:
        typer.echo(json.dumps(_json(scenario, result), indent=2, ensure_ascii=False))
    else:
        _print(scenario, result, document.get("about"))


def _load(scenario: str) -> dict[str, Any]:
    """The scenario's document: a file that exists, or a name in config/scenarios."""
    import config
    from core.errors import InvalidInput, NotFound
    from service.cli.documents import read_document

    folder = Path(config.__file__).parent / "scenarios"
    known_path = folder / f"{scenario}.yaml"
    path = next((path for path in (Path(scenario), known_path) if _is_file(path)), None)
    if path is None or (path == known_path and Path(scenario).name != scenario):
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
        raise NotFound("no_scenario", f"there is no file {scenario}; known scenarios are {known}")
    document = read_document(path)
    if not isinstance(document, dict):
        raise InvalidInput("not_a_scenario", f"{path} is not a scenario: it must be a mapping with `agreements`")
    return document


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for the file system
        return False


def _json(scenario: str, result: Any) -> dict[str, Any]:
    from core.money import plain

    def rate(value: Any) -> str | None:
        return None if value is None else plain(value)

    return {
        "scenario": scenario,
        "currency": result.currency,
        "images": result.images,
        "total": f"{result.total.amount:f}",
        "effective_rate": rate(result.effective_rate),
        "unit": result.unit,
        "effective_unit_rate": rate(result.effective_unit_rate),
        "lines": [
            {
                "agreement": line.offer,
                "recipient": line.recipient,
                "kind": line.kind,
                "model": line.model or line.subject,
                "subject": line.subject,
                "image_count": line.image_count,
                "unit": line.unit,
                "unit_price": rate(line.unit_price),
                "unit_amount": plain(line.unit_amount),
                "amount": f"{line.amount.amount:f}",
            }
            for line in result.lines
        ],
        "notes": list(result.notes),
    }


def _print(scenario: str, result: Any, about: object) -> None:
    """The table for people: lines, total, effective price, and the notes that go with the figure."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from core.money import plain

    console = Console()
    several = len({line.offer for line in result.lines}) > 1
    table = Table(
        title=f"{escape(Path(scenario).stem)}: {result.images:,} images", title_justify="left", show_footer=True
    )
    if several:
        table.add_column("agreement", overflow="fold")
    table.add_column("line", footer="total")
    table.add_column("model or commitment", overflow="fold")
    table.add_column("images", justify="right", no_wrap=True)
    table.add_column("price", justify="right", no_wrap=True)
    table.add_column(result.currency, justify="right", no_wrap=True, footer=f"[bold]{result.total.amount:,f}[/bold]")
    for line in result.lines:
        price = "" if line.unit_price is None or not line.image_count else f"{plain(line.unit_price)} {line.unit}"
        images = f"{line.image_count:,}" if line.image_count else ""
        cells = [line.kind, line.subject, images, price, f"{line.amount.amount:,f}"]
        row = [line.offer, *cells] if several else cells
        table.add_row(*(escape(cell) for cell in row), style="yellow" if line.kind == "shortfall" else "")
    console.print(table)
    if result.effective_rate is not None:
        said = f"{plain(result.effective_rate, 6)} {result.currency}"
        if result.effective_unit_rate is not None and result.unit != result.currency:
            said += f" = {plain(result.effective_unit_rate, 6)} {result.unit}"
        console.print(f"Effective price: [bold]{said}[/bold] an image")
    for note in result.notes:
        console.print(f"- {escape(note)}", style="dim")
    if isinstance(about, str):
        console.print(escape(" ".join(about.split())), style="dim italic")
