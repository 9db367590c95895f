"""`perimage payments import-bank`, `matches`, `confirm`, `set-aside`: a bank statement and what people make of it."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.payments import OPERATOR, By, Json, Licensor, actor_of, only_licensor, payments, show

MAX_BYTES = 20 * 1024 * 1024


@payments.command("import-bank")
def import_bank(
    file: Annotated[Path, typer.Argument(help="The bank's CSV file.")],
    *,
    name: Annotated[
        str | None, typer.Option(help="The statement's own name or number; the file's name if not given.")
    ] = None,
    currency: Annotated[str, typer.Option(help="Where no column says one.")] = "USD",
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT=NAME", help="What a column is called: date, amount, currency, payer, reference, id."
        ),
    ] = None,
    licensor: Licensor = None,
    by: By = OPERATOR,
    as_json: Json = False,
) -> None:
    """Read a bank's statement, and propose what each incoming amount pays.

    A statement read twice, or one that overlaps another, adds nothing twice.
    Nothing is a payment before you confirm it.
    """
    from core.errors import InvalidInput, NotFound
    from core.payments.apply import account_of  # noqa: F401 - loads the tables
    from core.payments.bank import NAMES
    from core.payments.bank_statements import import_statement
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals():
        said = dict(each.partition("=")[::2] for each in column or ())
        if not said.keys() <= NAMES.keys() or not all(said.values()):
            raise InvalidInput("bad_column", f"--column takes WHAT=NAME, where WHAT is {', '.join(NAMES)}")
        try:
            content = file.read_bytes()
        except OSError as error:
            raise NotFound("no_file", f"cannot read {file}: {error.strerror}") from None
        if len(content) > MAX_BYTES:
            raise InvalidInput("too_large", f"{file} has more than {MAX_BYTES:,} bytes: split it")
        with open_session() as session:
            licensor_id = _licensor_id(session, licensor)
            done = import_statement(
                session,
                actor_of(by),
                licensor_id,
                name=name or file.name,
                content=content,
                currency=currency,
                columns=said,
            )
            session.commit()
            if not as_json:
                typer.echo(f"{done.new} new rows, {done.known} known already.")
            _show_matches(session, licensor_id, as_json=as_json)


@payments.command("matches")
def matches(licensor: Licensor = None, as_json: Json = False) -> None:
    """List the bank rows that wait for a decision, and what each seems to pay."""
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        _show_matches(session, _licensor_id(session, licensor), as_json=as_json)


@payments.command("confirm")
def confirm_rows(
    rows: Annotated[list[int] | None, typer.Argument(help="The ids of rows, as `matches` shows them.")] = None,
    *,
    certain: Annotated[bool, typer.Option("--certain", help="Every row whose match is certain.")] = False,
    licensee: Annotated[str | None, typer.Option(help="Whose payment it is, where the match is wrong.")] = None,
    invoice: Annotated[list[str] | None, typer.Option(help="What it settles, in this order; with --licensee.")] = None,
    licensor: Licensor = None,
    by: By = OPERATOR,
    as_json: Json = False,
) -> None:
    """Make payments of bank rows: as proposed, or as you say."""
    from core.errors import InvalidInput
    from core.payments.bank_statements import confirm, proposals
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        ids = list(rows or ())
        if certain:
            found = proposals(session, _licensor_id(session, licensor))
            ids += [each.row.id for each in found if each.match.confidence == "certain"]
        if (licensee is not None and len(ids) != 1) or (invoice and licensee is None):
            raise InvalidInput("one_row", "--licensee is for one row, and --invoice goes with it")
        done = []
        for row in ids:
            numbers = tuple(invoice or ()) if licensee is not None else None
            made = confirm(session, actor_of(by), row, licensee=licensee, numbers=numbers)
            session.commit()
            done.append({"row": row, "payment": made.id})
    show(done, "Confirmed", as_json=as_json)


@payments.command("set-aside")
def set_aside_row(
    row: Annotated[int, typer.Argument(help="The id of a row, as `matches` shows it.")],
    *,
    reason: Annotated[str, typer.Option(help="What it is instead.")],
    by: By = OPERATOR,
) -> None:
    """Say that a bank row is no payment of a licensee."""
    from core.payments.bank_statements import set_aside
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        set_aside(session, actor_of(by), row, reason)
        session.commit()
    typer.echo(f"Row {row} is set aside.")


def _licensor_id(session, licensor: str | None) -> int:  # type: ignore[no-untyped-def]
    from sqlalchemy import select

    from core.errors import NotFound
    from core.registry.tables import Licensor as LicensorRow

    slug = licensor or only_licensor(session)
    found = session.scalar(select(LicensorRow.id).where(LicensorRow.slug == slug))
    if found is None:
        raise NotFound("party_not_found", f"there is no licensor {slug}")
    return int(found)


def _show_matches(session, licensor_id: int, *, as_json: bool) -> None:  # type: ignore[no-untyped-def]
    from core.money import Money
    from core.payments.bank_statements import proposals

    rows = [
        {
            "row": each.row.id,
            "booked_on": each.row.booked_on.isoformat(),
            "amount": str(Money(each.row.currency, each.row.amount_minor).amount),
            "currency": each.row.currency,
            "payer": each.row.payer,
            "reference": each.row.reference,
            "match": each.match.confidence,
            "licensee": each.match.licensee,
            "invoices": list(each.match.numbers),
            "reason": each.match.reason,
        }
        for each in proposals(session, licensor_id)
    ]
    show(rows, "Waiting for a decision", as_json=as_json, right=("amount",))
