"""`perimage keys`: the credentials with which licensees report."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import app

if TYPE_CHECKING:
    from datetime import datetime

    from core.registry.tables import MeterKey

keys = typer.Typer(help="Issue, list and revoke the meter keys with which licensees report.", no_args_is_help=True)
app.add_typer(keys, name="keys")


@keys.command()
def issue(
    licensee: Annotated[str, typer.Argument(help="The licensee's slug.")],
    *,
    label: Annotated[str, typer.Option(help="What the key is for, such as a host.")] = "",
    backfill_from: Annotated[
        str | None, typer.Option(metavar="DATE", help="Let it report usage as old as this day; needs --reason.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why old usage may be reported; kept with the key.")] = None,
    expires_on: Annotated[
        str | None, typer.Option(metavar="DATE", help="The day (UTC) on which the key stops working.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Make a meter key and print it, this once."""
    from core.agreements.reading import day
    from core.period import day_start
    from core.registry.keys import parse_key
    from core.registry.register import issue_key
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals():
        oldest = None if backfill_from is None else day(backfill_from, "--backfill-from")
        expires_at = None if expires_on is None else day_start(day(expires_on, "--expires-on"), "UTC")
        with open_session() as session:
            text = issue_key(session, licensee, label, oldest, reason, expires_at=expires_at)
            session.commit()
    public_id = (parse_key(text) or ("", ""))[0]
    if as_json:
        typer.echo(json.dumps({"key": text, "public_id": public_id, "licensee": licensee, "label": label}))
        return
    typer.echo(text)
    typer.echo(
        f"This is the only time the key is shown: give it to {licensee} now. Its public id is {public_id}.", err=True
    )


@keys.command("list")
def list_keys(
    licensee: Annotated[str | None, typer.Argument(help="Only this licensee's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """List meter keys by their public ids; secrets are kept nowhere."""
    from datetime import UTC, datetime

    from core.registry.queries import meter_keys
    from core.registry.register import ids
    from core.registry.tables import Licensee
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        if licensee is not None:
            ids(session, Licensee, {licensee})  # an unknown licensee is refused, not shown as one without keys
        now = datetime.now(UTC)
        rows = [_row(key, owner, now) for key, owner in meter_keys(session, licensee)]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        _print(rows)


@keys.command()
def revoke(
    public_id: Annotated[str, typer.Argument(help="The key's public id, or the whole key.")],
) -> None:
    """End a key; requests with it are refused within five seconds, for good."""
    from core.registry.keys import parse_key
    from core.registry.register import revoke_key
    from service.cli.database import open_session
    from service.cli.errors import refusals

    found = parse_key(public_id)
    named = found[0] if found else public_id
    with refusals(), open_session() as session:
        revoke_key(session, named)
        session.commit()
    typer.echo(f"Revoked {named}.")


def _row(key: "MeterKey", licensee: str, now: "datetime") -> dict[str, Any]:
    expired = key.expires_at is not None and key.expires_at <= now
    return {
        "public_id": key.public_id,
        "licensee": licensee,
        "label": key.label,
        "state": "revoked" if key.revoked_at else "expired" if expired else "live",
        "created_at": key.created_at.isoformat(),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
        "backfill_from": key.backfill_from.isoformat() if key.backfill_from else None,
        "backfill_reason": key.backfill_reason,
    }


def _print(rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("public id", "licensee", "label", "state", "created", "back-fill"):
        table.add_column(heading, no_wrap=heading not in ("label", "state"), overflow="fold")
    for row in rows:
        live_until = f" to {row['expires_at'][:10]}" if row["expires_at"] and row["state"] == "live" else ""
        since = row["backfill_from"] or ""
        created, state = row["created_at"][:10], f"{row['state']}{live_until}"
        table.add_row(row["public_id"], row["licensee"], Text(row["label"]), state, created, since)
    Console().print(table)
