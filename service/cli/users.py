"""`perimage users`: who works for a licensor or a licensee, and in which role. `perimage keys ... -finance`: keys."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import app
from service.cli.keys import keys

if TYPE_CHECKING:
    from core.actors import Actor

users = typer.Typer(help="Add, invite, list and deactivate people, and give them roles.", no_args_is_help=True)
app.add_typer(users, name="users")

Licensor = Annotated[str | None, typer.Option(help="The licensor's slug, where there are several.")]
By = Annotated[str | None, typer.Option("--by", help="Who does it; you, when left out. Kept in the audit log.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Email = Annotated[str, typer.Argument(help="The user's e-mail address.")]
RoleArgument = Annotated[str, typer.Argument(help="viewer, clerk, approver or admin; of a licensee viewer or manager.")]


@users.command()
def add(
    email: Email,
    role: RoleArgument,
    *,
    name: Annotated[str, typer.Option(help="What people call them.")],
    licensee: Annotated[str | None, typer.Option(help="A licensee's person, for the portal: its slug.")] = None,
    password: Annotated[bool, typer.Option("--password", help="Ask for a password to sign in with.")] = False,
    invite: Annotated[bool, typer.Option("--invite", help="Print a link to set a password with, once.")] = False,
    licensor: Licensor = None,
    by: By = None,
) -> None:
    """Add a person. A viewer looks, a clerk prepares, an approver decides, an admin may do everything.

    With --licensee: somebody of a licensee's, who is viewer or manager and sees the portal.
    """
    from core.access.people import add_licensee_user, put_password
    from core.access.users import add_user
    from service.cli.database import open_session
    from service.cli.errors import refusals

    link = None
    with refusals():
        chosen = typer.prompt("Password", hide_input=True, confirmation_prompt=True) if password else None
        with open_session() as session:
            slug, who = _licensor(session, licensor), _person(by)
            given = {"email": email, "name": name, "role": role}
            if licensee is None:
                person: Any = add_user(session, slug, who, **given, password=chosen)
            else:
                whose = _licensee_id(session, licensee)
                person = add_licensee_user(session, whose, who, **given, licensor_id=_licensor_id(session, slug))
                if chosen is not None:
                    put_password(session, person, chosen, who)
            said = f"Added {person.email} as {role} of {licensee or slug}."
            link = _link(session, person, who) if invite else None
            session.commit()
    typer.echo(said)
    if link:
        typer.echo(f"For them, once and within a week: {link}")


@users.command("invite")
def invite_again(email: Email, by: By = None) -> None:
    """Print a link with which a person sets a password, once and within a week. Links from before are dead."""
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        link = _link(session, _found(session, email), _person(by))
        session.commit()
    typer.echo(link)


@users.command("list")
def list_users(
    licensor: Licensor = None,
    licensee: Annotated[str | None, typer.Option(help="List a licensee's people instead.")] = None,
    as_json: AsJson = False,
) -> None:
    """List a licensor's people, or a licensee's."""
    from core.access.people import licensee_users_of
    from core.access.users import users_of
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        if licensee is None:
            found: list[Any] = list(users_of(session, _licensor_id(session, licensor)))
        else:
            found = list(licensee_users_of(session, _licensee_id(session, licensee)))
        rows = [
            {
                "email": user.email,
                "name": user.name,
                "role": user.role,
                "active": user.active,
                "password": user.password_hash is not None,
            }
            for user in found
        ]
    _show(rows, as_json=as_json)


@users.command()
def role(email: Email, new_role: RoleArgument, by: By = None) -> None:
    """Give a person another role. It holds from the next request on, with all of the person's keys."""
    from core.access.people import change_licensee_role, licensors_of
    from core.access.tables import LicenseeUser
    from core.access.users import change_role
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        person, who = _found(session, email), _person(by)
        if isinstance(person, LicenseeUser):
            licensor_id = licensors_of(session, person)[0]
            change_licensee_role(session, person.licensee_id, person.email, who, role=new_role, licensor_id=licensor_id)
        else:
            change_role(session, email, who, new_role)
        said = f"{person.email} is {new_role} now."
        session.commit()
    typer.echo(said)


@users.command()
def password(email: Email, by: By = None) -> None:
    """Set a person's password. Whoever is signed in as them is out."""
    from core.access.people import put_password
    from core.access.users import set_password
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals():
        chosen = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        with open_session() as session:
            person, who = _found(session, email), _person(by)
            if hasattr(person, "licensee_id"):
                put_password(session, person, chosen, who)
            else:
                set_password(session, email, who, chosen)
            session.commit()
    typer.echo(f"Set the password of {email}.")


@users.command()
def deactivate(email: Email, by: By = None) -> None:
    """End a person's access for good, with all of the person's sessions and keys. What the person did stays."""
    from core.access.people import deactivate_licensee_user, licensors_of
    from core.access.tables import LicenseeUser
    from core.access.users import deactivate as verb
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        person, who = _found(session, email), _person(by)
        if isinstance(person, LicenseeUser):
            licensor_id = licensors_of(session, person)[0]
            deactivate_licensee_user(session, person.licensee_id, person.email, who, licensor_id=licensor_id)
        else:
            verb(session, email, who)
        session.commit()
    typer.echo(f"Deactivated {email}.")


@keys.command("issue-finance")
def issue_finance(
    *,
    user: Annotated[str | None, typer.Option(help="Whose key: a user's e-mail address.")] = None,
    machine: Annotated[str | None, typer.Option(help="Or a machine's name, such as month-end; needs --role.")] = None,
    machine_role: Annotated[str | None, typer.Option("--role", help="The machine's: viewer, clerk, approver.")] = None,
    scope: Annotated[list[str] | None, typer.Option(help="What for; may be given again. `read` if not given.")] = None,
    label: Annotated[str, typer.Option(help="What the key is for.")] = "",
    expires_on: Annotated[str | None, typer.Option(metavar="DATE", help="The day (UTC) on which it stops.")] = None,
    licensor: Licensor = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Make a key for the finance API and print it, this once."""
    from core.access.credentials import parse_finance_key
    from core.access.keys import issue_machine_key, issue_user_key
    from core.agreements.reading import day
    from core.errors import InvalidInput
    from core.period import day_start
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals():
        if (user is None) == (machine is None) or (machine is None) != (machine_role is None):
            raise InvalidInput("whose_key", "give either --user, or --machine with --role")
        expires_at = None if expires_on is None else day_start(day(expires_on, "--expires-on"), "UTC")
        given: dict[str, Any] = {"scopes": scope or ["read"], "label": label, "expires_at": expires_at}
        with open_session() as session:
            if user is not None:
                text = issue_user_key(session, user, _person(by), **given)
            else:
                whose = {"machine": machine, "role": machine_role}
                text = issue_machine_key(session, _licensor(session, licensor), _person(by), **whose, **given)
            session.commit()
    public_id = (parse_finance_key(text) or ("", ""))[0]
    if as_json:
        typer.echo(json.dumps({"key": text, "public_id": public_id, "owner": user or f"machine:{machine}"}))
        return
    typer.echo(text)
    typer.echo(f"This is the only time the key is shown. Its public id is {public_id}.", err=True)


@keys.command("list-finance")
def list_finance(licensor: Licensor = None, as_json: AsJson = False) -> None:
    """List a licensor's finance keys by their public ids; secrets are kept nowhere."""
    from core.access.keys import keys_of
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        rows = [
            {
                "public_id": key.public_id,
                "owner": owner,
                "role": key.role,
                "scopes": key.scopes,
                "label": key.label,
                "expires_at": key.expires_at.isoformat() if key.expires_at else None,
                "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
            }
            for key, owner in keys_of(session, _licensor_id(session, licensor))
        ]
    _show(rows, as_json=as_json)


@keys.command("revoke-finance")
def revoke_finance(
    public_id: Annotated[str, typer.Argument(help="The key's public id, or the whole key.")], by: By = None
) -> None:
    """End a finance key; the next request with it is refused."""
    from core.access.credentials import parse_finance_key
    from core.access.keys import revoke_finance_key
    from service.cli.database import open_session
    from service.cli.errors import refusals

    found = parse_finance_key(public_id)
    named = found[0] if found else public_id
    with refusals(), open_session() as session:
        revoke_finance_key(session, named, _person(by))
        session.commit()
    typer.echo(f"Revoked {named}.")


def _person(by: str | None) -> "Actor":
    """Who sits at the terminal, as they say: whoever holds the address of the database may write anything into it."""
    import getpass

    from core.actors import Actor

    return Actor(by if by is not None else getpass.getuser(), "admin")


def _found(session: Any, email: str) -> Any:
    """Whoever has this address, on either side."""
    from core.access.people import find_person
    from core.access.users import user_named

    return find_person(session, email) or user_named(session, email)  # which says that there is nobody


def _link(session: Any, person: Any, by: "Actor") -> str:
    """Where this person sets a password."""
    from config.settings import settings
    from core.access.invitations import invite

    base = settings().service_url.rstrip("/") or "http://localhost:8765"
    return f"{base}/welcome/{invite(session, person, by)}"


def _licensee_id(session: Any, slug: str) -> int:
    from core.registry.register import ids
    from core.registry.tables import Licensee

    return ids(session, Licensee, {slug})[slug]


def _licensor(session: Any, slug: str | None) -> str:
    from service.cli.payments import only_licensor

    return slug or only_licensor(session)


def _licensor_id(session: Any, slug: str | None) -> int:
    from core.registry.register import ids
    from core.registry.tables import Licensor as LicensorRow

    found = _licensor(session, slug)
    return ids(session, LicensorRow, {found})[found]


def _show(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        typer.echo("None yet.")
        return
    table = Table()
    for heading in rows[0]:
        table.add_column(heading.replace("_", " "))
    for row in rows:
        cells = ("" if v is None else ", ".join(v) if isinstance(v, list) else str(v) for v in row.values())
        table.add_row(*(Text(cell) for cell in cells))
    Console().print(table)
