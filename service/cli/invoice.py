"""`perimage invoice`: what invoices there are, and everything a person may do with one."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import app

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from core.actors import Actor

invoice = typer.Typer(
    help="List invoices; approve, hold, release, issue, credit, void, dispute and write off one.", no_args_is_help=True
)
app.add_typer(invoice, name="invoice")

Name = Annotated[str, typer.Argument(help="Its number, such as OWG-000001, or draft-17.", show_default=False)]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who does it; your login name if left out.")]
As = Annotated[str, typer.Option("--as", metavar="ROLE", help="In which role: clerk, approver or admin.")]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; kept with the invoice.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Amount = Annotated[str | None, typer.Option(help="How much before tax, such as 50.00; all of it if left out.")]
Line = Annotated[int | None, typer.Option(min=1, help="With --amount: on which line; in their order if left out.")]


@invoice.command("list")
def list_invoices(
    standing: Annotated[list[str] | None, typer.Argument(help="Only these: held, overdue, paid ...")] = None,
    *,
    licensee: Annotated[str | None, typer.Option(help="Only this licensee's.")] = None,
    period: Annotated[str | None, typer.Option(metavar="MONTH", help="Only this month's, such as 2026-10.")] = None,
    as_json: AsJson = False,
) -> None:
    """List invoices, drafts and credit notes with where they stand and what is left to pay."""
    from core.invoicing.life.stands import overview
    from core.period import Period
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        month = Period.month(period) if period else None
        rows = overview(session, words=standing or (), licensee=licensee, period=month, limit=100_000)
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    _print_table(
        ("invoice", "licensee", "agreement", "period", "standing", "due", "total >", "left >"),
        [
            (
                *(row["invoice"], row["licensee"], row["agreement"], row["period"], row["standing"].replace("_", " ")),
                *(row["due_on"] or "", f"{row['total']} {row['currency']}", f"{row['left']}"),
            )
            for row in rows
        ],
    )


@invoice.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show one invoice: where it stands, its lines, why it is held, and everything that was done with it."""
    from core.invoicing.life.stands import events_of, find_invoice, overview
    from core.money import Money
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        found = find_invoice(session, name)
        [document] = overview(session, after=found.id - 1, limit=1)
        document["lines"] = [
            {
                "no": line.no,
                "kind": line.kind,
                "description": line.description,
                "image_count": line.image_count,
                "tax": f"{line.tax_category} {line.tax_rate.normalize():f} %",
                "amount": f"{Money(found.currency, line.amount_minor).amount:f}",
            }
            for line in found.lines
        ]
        document["events"] = [
            {
                "at": event.recorded_at.isoformat(timespec="seconds"),
                "what": event.kind,
                "who": event.actor,
                "role": event.role,
                "reason": event.reason,
                "detail": event.detail,
            }
            for event in events_of(session, found.id)
        ]
    if as_json:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _print_invoice(document)


@invoice.command()
def approve(name: Name, by: By = None, role: As = "admin") -> None:
    """Approve a draft as it is; a close that changes it takes the approval away."""
    from core.invoicing.life.approve import approve as verb

    _do(name, by, role, verb)


@invoice.command()
def hold(name: Name, reason: Reason, by: By = None, role: As = "admin") -> None:
    """Keep a draft from being issued until somebody releases it."""
    from core.invoicing.life.approve import hold as verb

    _do(name, by, role, lambda session, id_, who: verb(session, id_, who, reason))


@invoice.command()
def release(name: Name, reason: Reason, by: By = None, role: As = "admin") -> None:
    """Let a held draft be issued after all, for the lines that it has now."""
    from core.invoicing.life.approve import release as verb

    _do(name, by, role, lambda session, id_, who: verb(session, id_, who, reason))


@invoice.command()
def issue(name: Name, by: By = None, role: As = "admin") -> None:
    """Number and freeze a draft, enter it in the books, and make its PDF."""
    from core.invoicing.documents import make_document
    from core.invoicing.life.issue import issue as verb

    def act(session: "Session", id_: int, who: "Actor") -> None:
        verb(session, id_, who)
        session.commit()
        make_document(session, id_)

    _do(name, by, role, act)


@invoice.command()
def credit(
    name: Name, reason: Reason, *, amount: Amount = None, line: Line = None, by: By = None, role: As = "admin"
) -> None:
    """Issue a credit note over an issued invoice. The next close neither bills it again nor takes it back."""
    from core.invoicing.documents import make_document
    from core.invoicing.life.credit import credit as verb

    def act(session: "Session", _id: int, who: "Actor") -> int:
        made = verb(session, name, who, reason, _amounts(session, name, amount, line))
        session.commit()
        make_document(session, made.id)
        return made.id

    _do(name, by, role, act)


@invoice.command()
def void(
    name: Name,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; kept with the invoice.")] = "",
    *,
    preview: Annotated[bool, typer.Option("--preview", help="Show what closing again would bill; do nothing.")] = False,
    by: By = None,
    role: As = "admin",
) -> None:
    """Void an invoice on which nothing was paid or credited. Closing its period again makes it anew."""
    from core.invoicing.life.void import preview_reissue
    from core.invoicing.life.void import void as verb
    from core.usage.counts.rollup import roll_up
    from service.cli.database import open_session
    from service.cli.errors import refusals

    if not preview:
        _do(name, by, role, lambda session, _id, who: verb(session, name, who, reason))
        return
    with refusals(), open_session() as session:
        while roll_up(session).more:  # for show only: it is rolled back
            pass
        lines = preview_reissue(session, name)
        rows = [(line.description, f"{line.image_count:,}", str(line.money)) for line in lines]
        session.rollback()
    _print_table(("line", "images >", "amount >"), rows)


@invoice.command()
def dispute(name: Name, reason: Reason, by: By = None, role: As = "admin") -> None:
    """Write down that the licensee disputes an invoice."""
    from core.invoicing.life.claims import dispute as verb

    _do(name, by, role, lambda session, _id, who: verb(session, name, who, reason))


@invoice.command("settle-dispute")
def settle_dispute(
    name: Name,
    reason: Reason,
    *,
    outcome: Annotated[str, typer.Option(help="agreed, rejected or withdrawn.")],
    by: By = None,
    role: As = "admin",
) -> None:
    """End the open dispute. What was agreed is made good by a credit or a correction of its own."""
    from core.agreements.reading import one_of
    from core.invoicing.life.claims import settle_dispute as verb
    from service.cli.errors import refusals

    with refusals():
        word: Any = one_of("agreed", "rejected", "withdrawn")(outcome, "--outcome")
    _do(name, by, role, lambda session, _id, who: verb(session, name, who, word, reason))


@invoice.command("write-off")
def write_off(name: Name, reason: Reason, by: By = None, role: As = "admin") -> None:
    """Give up what is left of an invoice."""
    from core.invoicing.life.claims import write_off as verb

    _do(name, by, role, lambda session, _id, who: verb(session, name, who, reason))


@invoice.command("write-back")
def write_back(name: Name, reason: Reason, by: By = None, role: As = "admin") -> None:
    """Expect again what was written off."""
    from core.invoicing.life.claims import write_back as verb

    _do(name, by, role, lambda session, _id, who: verb(session, name, who, reason))


@invoice.command()
def ask(
    name: Name,
    verb: Annotated[str, typer.Argument(help="void, credit or write-off.")],
    reason: Reason,
    *,
    amount: Amount = None,
    line: Line = None,
    by: By = None,
    role: As = "admin",
) -> None:
    """Ask for something above the limit for one person; another person then does it."""
    from core.agreements.reading import one_of
    from core.invoicing.life.acts import ask as asking
    from service.cli.errors import refusals

    with refusals():
        word: Any = one_of("void", "credit", "write-off")(verb, "what to ask for").replace("-", "_")

    def act(session: "Session", _id: int, who: "Actor") -> None:
        asking(session, name, word, who, reason, amounts=_amounts(session, name, amount, line))

    _do(name, by, role, act)


@invoice.command()
def adjust(
    agreement: Annotated[str, typer.Argument(help="The agreement's slug.", show_default=False)],
    period: Annotated[str, typer.Argument(help="The month it is for, such as 2026-09.", show_default=False)],
    amount: Annotated[str, typer.Option(help="How much before tax, such as 50.00 or -50.00.")],
    description: Annotated[str, typer.Option(help="What for, as the invoice will say.")],
    reason: Reason,
    *,
    by: By = None,
    role: As = "admin",
) -> None:
    """Agree on an amount beside the terms for a month that is over. The next close bills it."""
    from core.agreements.queries import agreement_named
    from core.errors import InvalidInput
    from core.invoicing.drafts.extras import adjust as verb
    from core.money import decimal_of, exponent
    from core.period import Period
    from core.registry.tables import Account
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        currency = session.get_one(Account, agreement_named(session, agreement).account_id).currency
        exact = decimal_of(amount).scaleb(exponent(currency))
        if exact != int(exact):
            raise InvalidInput("bad_amount", f"{currency} has {exponent(currency)} decimals: write no more")
        month = Period.month(period)
        verb(session, agreement, month, int(exact), description=description, by=_person(by, role), reason=reason)
        session.commit()
    typer.echo(f"Agreed: {amount} {currency} for {period}. The next close of {agreement} bills it.")


def _do(name: str, by: str | None, role: str, act: "Callable[[Session, int, Actor], object]") -> None:
    """Opens a session, finds the invoice, calls the verb, commits, and says where the invoice stands then."""
    from core.invoicing.life.stands import find_invoice, overview
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        found = find_invoice(session, name)
        done = act(session, found.id, _person(by, role))
        session.commit()
        shown = [found.id, *([done] if isinstance(done, int) and not isinstance(done, bool) else [])]
        for id_ in shown:
            [row] = overview(session, after=id_ - 1, limit=1)
            typer.echo(f"{row['invoice']} is {row['standing'].replace('_', ' ')}: {_amounts_said(row)}")


def _amounts_said(row: dict[str, Any]) -> str:
    return f"total {row['total']} {row['currency']}, left {row['left']}"


def _person(by: str | None, role: str) -> "Actor":
    """Who sits at the terminal, as they say: whoever holds the address of the database may write anything into it."""
    import getpass

    from core.actors import Actor, role_of

    return Actor(by if by is not None else getpass.getuser(), role_of(role))


def _amounts(session: "Session", name: str, amount: str | None, line: int | None) -> dict[int, int] | None:
    from core.errors import InvalidInput
    from core.invoicing.life.credit_plan import credit_amounts
    from core.invoicing.life.stands import find_invoice

    if amount is None:
        if line is not None:
            raise InvalidInput("bad_amount", "say how much of the line: --amount 50.00")
        return None
    return credit_amounts(session, find_invoice(session, name), amount, line)


def _print_table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A table; a heading that ends in ` >` is a column of numbers."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for heading in headings:
        table.add_column(heading.removesuffix(" >"), justify="right" if heading.endswith(" >") else "left")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def _print_invoice(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    what = "Credit note" if document["kind"] == "credit_note" else "Invoice"
    console.print(f"[bold]{what} {escape(document['invoice'])}[/bold] is {document['standing'].replace('_', ' ')}")
    who = f"{document['licensor']} to {document['licensee']}, agreement {document['agreement']}, {document['period']}"
    console.print(escape(who), highlight=False)
    for word in ("net", "tax", "total", "paid", "credited", "written_off", "left"):
        console.print(f"  {word.replace('_', ' '):<12}{document[word]:>20} {document['currency']}", highlight=False)
    for reason in document["hold_reasons"]:
        console.print(f"[yellow]Held ({reason['code']}):[/yellow] {escape(reason['sentence'])}", highlight=False)
    _print_table(
        ("no", "line", "images >", "tax", "amount >"),
        [
            (str(line["no"]), line["description"], f"{line['image_count']:,}", line["tax"], line["amount"])
            for line in document["lines"]
        ],
    )
    for event in document["events"]:
        why = f": {event['reason']}" if event["reason"] else ""
        said = f"{event['at']}  {event['what'].replace('_', ' ')} by {event['who']} ({event['role']}){why}"
        console.print(escape(said), highlight=False)
