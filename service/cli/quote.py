"""`perimage quote`: what images would cost under some terms, before anybody signs them."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import app

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from service.what_if import Ask, Proposal

_TERMS, _IMAGES, _ANSWER = "What terms", "How many images", "What to answer"


@app.command()
def quote(
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SCENARIO]...", help="Scenario files, or names in config/scenarios. Several: compare."),
    ] = None,
    *,
    agreement: Annotated[
        list[str] | None, typer.Option(metavar="SLUG", help="An agreement of the database.", rich_help_panel=_TERMS)
    ] = None,
    rate: Annotated[
        str | None, typer.Option(help="Another price per image, in the agreement's unit.", rich_help_panel=_TERMS)
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Another value in the terms.", rich_help_panel=_TERMS),
    ] = None,
    effective_on: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="With --set: as an amendment from this day on.", rich_help_panel=_TERMS),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(min=0, max=10**15, help="Images generated over the horizon.", rich_help_panel=_IMAGES),
    ] = None,
    over: Annotated[
        str | None,
        typer.Option(help="month or term; chosen by the commitments when left out.", rich_help_panel=_IMAGES),
    ] = None,
    monthly: Annotated[
        int | None,
        typer.Option(min=0, max=10**15, help="Images in the first month of a forecast.", rich_help_panel=_IMAGES),
    ] = None,
    growth: Annotated[
        str | None, typer.Option(metavar="PERCENT", help="Growth a month: 3%.", rich_help_panel=_IMAGES)
    ] = None,
    season: Annotated[
        str | None,
        typer.Option(metavar="W1,..,W12", help="Weights of January to December.", rich_help_panel=_IMAGES),
    ] = None,
    months: Annotated[
        int | None, typer.Option(help="Months of the forecast; to the end of the term.", rich_help_panel=_IMAGES)
    ] = None,
    forecast: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A CSV file: month,images.", rich_help_panel=_IMAGES)
    ] = None,
    usage_of: Annotated[
        str | None,
        typer.Option(metavar="LICENSEE", help="Recorded usage, against its bills.", rich_help_panel=_IMAGES),
    ] = None,
    first: Annotated[
        str | None, typer.Option("--from", metavar="MONTH", help="Its first month.", rich_help_panel=_IMAGES)
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", metavar="MONTH", help="Its last month.", rich_help_panel=_IMAGES)
    ] = None,
    count_as: Annotated[
        list[str] | None,
        typer.Option(metavar="RECORDED=OFFERED", help="Which model counts as which.", rich_help_panel=_IMAGES),
    ] = None,
    table: Annotated[bool, typer.Option("--table", help="Prices by volumes.", rich_help_panel=_ANSWER)] = False,
    rates: Annotated[
        str | None, typer.Option(metavar="12,14,16", help="Its prices; else the band.", rich_help_panel=_ANSWER)
    ] = None,
    volumes: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="Its volumes.", rich_help_panel=_ANSWER)
    ] = None,
    free_share: Annotated[
        str | None,
        typer.Option(metavar="PERCENT", help="Images given away; asks for the floor.", rich_help_panel=_ANSWER),
    ] = None,
    margin: Annotated[
        str | None,
        typer.Option(metavar="PERCENT", help="Of end users' money, to keep; the same.", rich_help_panel=_ANSWER),
    ] = None,
    credit: Annotated[
        str | None,
        typer.Option(metavar="CODE=WORTH", help="What end users pay in: BUZZ=0.001.", rich_help_panel=_ANSWER),
    ] = None,
    credit_decimals: Annotated[
        int | None, typer.Option(min=0, max=6, help="Decimals of that price.", rich_help_panel=_ANSWER)
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Draw the curve.", rich_help_panel=_ANSWER)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=_ANSWER)] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print the main table as CSV.", rich_help_panel=_ANSWER)
    ] = False,
) -> None:
    """Say what images would cost under some terms, before anybody signs them.

    \b
    perimage quote sd3-enterprise --images 30000000 --rate 14
    perimage quote sd3-enterprise --table --volumes 30000000,42000000,50000000
    perimage quote sd3-enterprise --monthly 2000000 --growth 5%
    perimage quote sd3-enterprise --images 30000000 --free-share 40% --margin 10%
    perimage quote --agreement our-deal --set 'commitments[0].quantity=30000000' \\
                   --usage-of northlight --from 2026-01 --to 2026-10
    perimage quote mine.yaml theirs.yaml --images 5000000 --plot curve.svg

    Amounts are those of real invoices: every line rounded once, month by month.
    """
    from core.errors import InvalidInput
    from service.cli import quote_options as options
    from service.cli import quote_tables
    from service.cli.errors import refusals

    with refusals(), ExitStack() as closing:
        if as_json and as_csv:
            raise InvalidInput("two_formats", "choose one of --json and --csv")
        session = _session(closing) if agreement or usage_of else None
        proposals, about = _proposals(session, scenarios or [], agreement or [], changes or [], effective_on)
        if usage_of:
            options.refuse_beside_usage(images, monthly, forecast, season, growth, months, table, plot, free_share)
            document = _shadows(
                session, proposals, usage_of, first=first, last=last, count_as=count_as or [], rate=options.price(rate)
            )
        else:
            if first or last or count_as:
                raise InvalidInput("no_usage", "--from, --to and --count-as go with --usage-of LICENSEE")
            document, ask = _answered(
                proposals,
                images=images,
                forecast=options.forecast(
                    images=images, monthly=monthly, growth=growth, season=season, months=months, file=forecast
                ),
                rate=options.price(rate),
                over=over,
                table=options.table(table, rates, volumes),
                floor=options.floor(free_share, margin, credit, credit_decimals),
                plot=plot,
            )
            if plot is not None:
                _draw(plot, ask)
        if as_json:
            typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        elif as_csv:
            typer.echo(quote_tables.as_csv(document), nl=False)
        else:
            quote_tables.show(document, about)


# The terms


def _session(closing: ExitStack) -> "Session":
    """A session that sees every count that has come in, and writes nothing."""
    from core.usage.counts.rollup import roll_up
    from service.cli.database import open_session

    session = closing.enter_context(open_session())
    closing.callback(session.rollback)
    while roll_up(session).more:
        pass
    return session


def _proposals(
    session: "Session | None",
    scenarios: Sequence[str],
    agreements: Sequence[str],
    changes: Sequence[str],
    effective_on: str | None,
) -> tuple[list["Proposal"], str | None]:
    """What is offered, with the changes made, and what the one scenario says of itself."""
    from core.agreements.reading import day
    from core.errors import InvalidInput
    from core.invoicing.what_if.standing import standing_offer
    from core.rating.offers import changed, offers_of, parse_change
    from service.what_if import Proposal

    written = [parse_change(change) for change in changes]
    since = None if effective_on is None else day(effective_on, "--effective-on")
    documents = [load_scenario(scenario) for scenario in scenarios]
    stems = [Path(scenario).stem for scenario in scenarios]
    names = stems if len(set(stems)) == len(stems) else list(scenarios)
    found = [Proposal(name, offers_of(document)) for name, document in zip(names, documents, strict=True)]
    if session is not None:
        found += [Proposal(slug, (standing_offer(session, slug),), slug) for slug in agreements]
    if len(found) > 1 and written:
        said = "changes would be ambiguous among several offers: quote one, or write a file for each"
        raise InvalidInput("invalid_change", said)
    proposals = [replace(each, offers=changed(each.offers, written, effective_on=since)) for each in found]
    about = documents[0].get("about") if len(documents) == 1 and not agreements else None
    return proposals, about if isinstance(about, str) else None


def load_scenario(scenario: str) -> dict[str, Any]:
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


def _answered(proposals: Sequence["Proposal"], *, plot: Path | None, **wanted: Any) -> tuple[dict[str, Any], "Ask"]:
    from core.errors import InvalidInput
    from service.what_if import Ask, answer

    forecast, images = wanted["forecast"], wanted["images"]
    if forecast is not None:
        wanted["images"] = None
    if forecast is None and images is None:
        if wanted["table"] is None and plot is None and len(proposals) < 2:
            said = "say how many images: --images N, --monthly N, --forecast FILE, or --usage-of LICENSEE"
            raise InvalidInput("no_volume", said)
        if wanted["floor"] is not None:
            raise InvalidInput("no_floor", "a floor needs a volume: say how many images")
    ask = Ask(tuple(proposals), **wanted)
    return answer(ask), ask


def _draw(file: Path, ask: "Ask") -> None:
    from core.errors import InvalidInput
    from core.rating.plot import draw
    from service.what_if import curves_of

    try:
        file.write_text(draw(curves_of(ask), ask.images), encoding="utf-8")
    except OSError as error:
        raise InvalidInput("cannot_write", f"cannot write {file}: {error.strerror}") from None
    typer.echo(f"The curve is drawn in {file}.", err=True)


def _shadows(
    session: "Session | None",
    proposals: Sequence["Proposal"],
    usage_of: str,
    *,
    first: str | None,
    last: str | None,
    count_as: Sequence[str],
    rate: Decimal | None,
) -> dict[str, Any]:
    """Shadow bills of the proposals, one each."""
    from core.errors import InvalidInput
    from core.invoicing.what_if.shadow import licensee_named, months_from_to
    from service.what_if import shadowed

    if session is None or not first or not last:
        raise InvalidInput("no_usage", "say which months of usage: --from 2026-01 --to 2026-10")
    days = months_from_to(first, last)
    licensee = licensee_named(session, usage_of)
    renamed = {}
    for pair in count_as:
        recorded, equals, offered = pair.partition("=")
        if not (recorded and equals and offered):
            raise InvalidInput("invalid_count_as", f"--count-as: write RECORDED=OFFERED, not {pair!r}")
        renamed[recorded] = offered
    return shadowed(session, licensee, days, proposals, count_as=renamed, rate=rate)
