"""`perimage statements`: make, show and settle statements; `perimage verify-statement` and `perimage reconcile`."""

import getpass
import json
from base64 import b64decode
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import app

if TYPE_CHECKING:
    from core.statements.tables import Dispute
    from core.statements.verify import Check

statements = typer.Typer(help="Make, show and settle statements of what was counted.", no_args_is_help=True)
app.add_typer(statements, name="statements")

Licensor = Annotated[str, typer.Argument(help="The licensor, by its slug.")]
Licensee = Annotated[str, typer.Argument(help="The licensee, by its slug.")]
Number = Annotated[int, typer.Argument(min=1, help="The statement's number in the account's chain.")]
By = Annotated[str | None, typer.Option("--by", help="Who says so; you, when left out.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@statements.command()
def make(
    period: Annotated[str, typer.Argument(help="The month, such as 2026-10.")],
    licensor: Annotated[str | None, typer.Option(help="Only this licensor's accounts.")] = None,
    licensee: Annotated[str | None, typer.Option(help="Only this licensee's accounts.")] = None,
    as_json: AsJson = False,
) -> None:
    """Attest a month: count it again from the raw events, sign and chain the result.

    A month that was attested and has not changed keeps its statement.
    """
    from rich.progress import track
    from sqlalchemy import select
    from sqlalchemy.orm import Session

    from config.settings import settings
    from core.errors import NotFound, Unavailable
    from core.period import Period
    from core.registry.tables import Account, Licensee, Licensor
    from core.statements.attest import attest
    from core.usage.counts.rollup import roll_up
    from service.cli.database import open_session
    from service.cli.errors import refusals
    from service.signing import Signing

    def accounts(session: Session) -> list[tuple[str, str]]:
        asked = (
            select(Licensor.slug, Licensee.slug)
            .join_from(Account, Licensor, Licensor.id == Account.licensor_id)
            .join(Licensee, Licensee.id == Account.licensee_id)
            .order_by(Licensor.slug, Licensee.slug)
        )
        if licensor is not None:
            asked = asked.where(Licensor.slug == licensor)
        if licensee is not None:
            asked = asked.where(Licensee.slug == licensee)
        found = [(one, other) for one, other in session.execute(asked)]
        if not found:
            raise NotFound("unknown_account", "there is no such account")
        return found

    made = []
    with refusals(), open_session() as session:
        month, signer = Period.month(period), Signing(settings()).signer
        if signer is None:
            raise Unavailable(
                "no_signing_key", "statements are signed: set PERIMAGE_SIGNING_KEY_FILE, see docs/operate.md"
            )
        while roll_up(session).more:
            session.commit()
        found = accounts(session)
        session.commit()
        for parties in track(found, description=f"Attesting {month.name}", disable=as_json):
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            statement, new = attest(session, *parties, month, signer)
            made.append({"licensor": parties[0], "licensee": parties[1], "number": statement.number, "new": new})
            session.commit()
    if as_json:
        typer.echo(json.dumps({"period": month.name, "statements": made}, indent=2))
    else:
        _table(f"Statements of {month.name}", made)


@statements.command("list")
def list_statements(
    licensor: Annotated[str | None, typer.Option(help="Only this licensor's.")] = None,
    licensee: Annotated[str | None, typer.Option(help="Only this licensee's.")] = None,
    as_json: AsJson = False,
) -> None:
    """List statements, the newest first, and where each stands."""
    from core.statements.queries import statements as listed
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        rows = [asdict(each) for each in listed(session, licensor=licensor, licensee=licensee)]
    if as_json:
        typer.echo(json.dumps({"statements": rows}, indent=2))
        return
    _table(
        "Statements", [{name: value for name, value in row.items() if name not in ("hash", "made_at")} for row in rows]
    )


@statements.command()
def show(
    licensor: Licensor,
    licensee: Licensee,
    number: Number,
    save: Annotated[Path | None, typer.Option(help="Write the file here that `verify-statement` reads.")] = None,
) -> None:
    """Print a statement as it was signed, or save it."""
    from core.statements.queries import envelope_of, statement_numbered
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        text = json.dumps(
            envelope_of(statement_numbered(session, licensor, licensee, number)), indent=2, ensure_ascii=False
        )
    if save is None:
        typer.echo(text)
    else:
        save.write_text(text + "\n", encoding="utf-8")
        typer.echo(f"Statement {number} is in {save}: perimage verify-statement {save}")


@statements.command()
def prove(licensor: Licensor, licensee: Licensee, number: Number, event_id: str) -> None:
    """Print the proof that an event is in a statement, for `verify-statement --proof`."""
    from core.statements.queries import proof_of, statement_numbered
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        proof = proof_of(session, statement_numbered(session, licensor, licensee, number), event_id)
    typer.echo(json.dumps(proof, indent=2, ensure_ascii=False))


@statements.command()
def disputes(licensor: Licensor, licensee: Licensee, number: Number, as_json: AsJson = False) -> None:
    """List what was disputed of a statement, and how it ended."""
    from core.statements.queries import disputes_of, statement_numbered
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        rows = [
            {
                "dispute": found.dispute_id,
                "model": found.model,
                "day": found.day.isoformat(),
                "plan": found.plan,
                "stated": found.stated,
                "claimed": found.claimed,
                "reason": found.reason,
                "outcome": settlement.outcome if settlement else "open",
                "agreed": settlement.agreed if settlement else None,
            }
            for found, settlement in disputes_of(session, statement_numbered(session, licensor, licensee, number))
        ]
    if as_json:
        typer.echo(json.dumps({"disputes": rows}, indent=2, ensure_ascii=False))
    else:
        _table(f"Disputes of statement {number}", rows)


@statements.command()
def settle(
    licensee: Licensee,
    dispute: Annotated[int, typer.Argument(help="The number of the dispute.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; kept for good.")],
    agreed: Annotated[int | None, typer.Option(min=0, help="The images both sides agreed on.")] = None,
    rejected: Annotated[bool, typer.Option("--reject", help="The statement stands.")] = False,
    by: By = None,
) -> None:
    """Settle a dispute: agree on a number of images, or reject it.

    What is agreed becomes corrections of the events behind the line, and an
    adjustment on the next invoice.
    """
    from core.errors import InvalidInput
    from core.statements.attest import reject
    from core.statements.settle import agree
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        if (agreed is None) != rejected:
            raise InvalidInput("say_how", "give either --agreed IMAGES or --reject")
        found, actor = _dispute(session, licensee, dispute), by or getpass.getuser()
        if agreed is None:
            reject(session, found, reason=reason, actor=actor)
            said = f"Dispute {dispute} is rejected; the statement stands."
        else:
            _, delta = agree(session, found, agreed, reason=reason, actor=actor)
            said = (
                f"Dispute {dispute} is settled at {agreed:,} images: corrected by {delta:+,}; the next close bills it."
            )
        session.commit()
    typer.echo(said)


@app.command("verify-statement")
def verify_statement(
    file: Annotated[Path, typer.Argument(help="The statement's file.")],
    *,
    key: Annotated[
        str, typer.Option(help="The public key: in hexadecimal, or a file as /.well-known/perimage-keys.json gives it.")
    ],
    previous: Annotated[
        Path | None, typer.Option(help="The file of the statement before it, to check the chain.")
    ] = None,
    proof: Annotated[Path | None, typer.Option(help="The proof of an event, to check that it is in it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check a statement offline, with the public key alone: no database, no network.

    Ends with 1 when anything does not hold.
    """
    from core.statements.verify import check_statement, read_envelope
    from service.cli.errors import refusals

    with refusals():
        envelope = read_envelope(_read(file))
        checks = check_statement(
            envelope,
            _public_keys(key),
            previous=read_envelope(_read(previous)) if previous else None,
            proof=_json(proof) if proof else None,
        )
    _show_checks(envelope["statement"], checks, as_json=as_json)
    if not all(check.holds for check in checks):
        raise typer.Exit(1)


@app.command()
def reconcile(
    file: Annotated[Path, typer.Argument(help="CSV with the columns model, day, image_count.")],
    licensor: Licensor,
    licensee: Licensee,
    period: Annotated[str, typer.Argument(help="The month, such as 2026-10.")],
    *,
    threshold: Annotated[str, typer.Option(help="What the contract allows, in percent.")] = "5",
    as_json: AsJson = False,
) -> None:
    """Compare the licensee's own daily totals with what was counted, by model and day.

    Ends with 1 when the whole month differs by more than the threshold.
    """
    from core.money import decimal_of
    from core.period import Period
    from core.statements.queries import daily_totals
    from core.statements.reconciliation import read_totals
    from core.statements.reconciliation import reconcile as compared
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        month, allowed = Period.month(period), decimal_of(threshold, "threshold")
        theirs = read_totals(_read(file).decode("utf-8", "replace"), month)
        found = compared(theirs, daily_totals(session, licensor, licensee, month), allowed / 100)
    document = found.document()
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        _table(f"Days that differ in {month.name}", document["days"])
        _table("By model", document["models"])
        beyond = "more than" if found.beyond_threshold else "within"
        typer.echo(
            f"In all {document['whole']['images']:+,} images ({document['whole']['share']}), {beyond} {threshold} %."
        )
    if found.beyond_threshold:
        raise typer.Exit(1)


def _dispute(session: Any, licensee: str, number: int) -> "Dispute":
    from core.errors import NotFound
    from core.registry.register import ids
    from core.registry.tables import Licensee
    from core.statements.tables import Dispute

    found = session.get(Dispute, (ids(session, Licensee, {licensee})[licensee], number))
    if found is None:
        raise NotFound("unknown_dispute", f"{licensee} has no dispute {number}: see `perimage statements disputes`")
    return found


def _public_keys(said: str) -> dict[str, bytes]:
    """The keys that were given, by their ids. A single key may be written in hexadecimal."""
    from core.errors import InvalidInput
    from core.signatures import PUBLIC_KEY_BYTES, key_id_of

    try:
        key = bytes.fromhex(said)
    except ValueError:
        try:
            listed = _json(Path(said))["keys"]
            return {each["key_id"]: b64decode(each["public_key"], validate=True) for each in listed}
        except (KeyError, TypeError, ValueError):
            raise InvalidInput("not_a_key", f"{said} holds no public keys") from None
    if len(key) != PUBLIC_KEY_BYTES:
        raise InvalidInput("not_a_key", f"a public key is {PUBLIC_KEY_BYTES} bytes, so {2 * PUBLIC_KEY_BYTES} digits")
    return {key_id_of(key): key}


def _read(file: Path) -> bytes:
    from core.errors import NotFound

    try:
        return file.read_bytes()
    except OSError as error:
        raise NotFound("no_file", f"cannot read {file}: {error.strerror}") from None


def _json(file: Path) -> Any:
    from core.errors import InvalidInput

    try:
        return json.loads(_read(file))
    except (ValueError, RecursionError):
        raise InvalidInput("not_json", f"{file} is not JSON") from None


def _show_checks(statement: dict[str, Any], checks: "list[Check]", *, as_json: bool) -> None:
    if as_json:
        typer.echo(
            json.dumps({"holds": all(each.holds for each in checks), "checks": [asdict(each) for each in checks]})
        )
        return
    for check in checks:
        typer.echo(f"{'ok  ' if check.holds else 'FAIL'} {check.said}")
    if all(check.holds for check in checks):
        events, period = statement["events"], statement["period"]["name"]
        typer.echo(f"{statement['licensee']} made {events['image_count']:,} images in {period}.")


def _table(title: str, rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not rows:
        typer.echo(f"{title}: none.")
        return
    table = Table(title=title, title_justify="left")
    for heading, value in rows[0].items():
        table.add_column(heading.replace("_", " "), justify="right" if isinstance(value, int) else "left")
    for row in rows:
        table.add_row(*(f"{v:,}" if type(v) is int else "" if v is None else str(v) for v in row.values()))
    Console().print(table)
