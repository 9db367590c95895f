"""`perimage migrate`: the database's schema, brought up to date."""

import typer

from service.cli import app


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema.

    `perimage up` does this by itself. Where DATABASE_URL is your own server,
    run it before a new release starts; DATABASE_OWNER_URL may name the
    account that owns the tables, when the service's own does not.
    """
    from config.settings import settings
    from migrations.upgrade import upgrade
    from service.cli.errors import refusals, say_no

    url = settings().database_owner_url or settings().database_url
    with refusals():
        if not url:
            say_no("no database: start `perimage up` or set DATABASE_URL")
        upgrade(url)
        typer.echo("The schema is up to date.")
