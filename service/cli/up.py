"""`perimage up`: the whole system on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli import app

DEFAULT_PORT = 8765


@app.command()
def up(
    data: Annotated[
        Path | None,
        typer.Option(help="Folder for databases, logs and addresses.", show_default=".local/perimage or PERIMAGE_DATA"),
    ] = None,
    port: Annotated[int, typer.Option(help="Where the service listens; 0 takes any free port.", max=65535, min=0)] = (
        DEFAULT_PORT
    ),
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not show the logs; they are in DATA/logs anyway.")] = False,
) -> None:
    """Run PostgreSQL, Valkey, the service, the worker and beat until Ctrl-C.

    Nothing needs to be installed or configured: the servers come with the
    package and keep their data in DATA. The schema is brought up to date
    first, a part that dies is started again, and stopping leaves nothing running.

    With DATABASE_URL or REDIS_URL in the environment that server is used
    instead of an embedded one.

    Two stacks run side by side on different folders and ports:
    `perimage up --data /tmp/other --port 0`
    """
    from rich.console import Console

    from stack.supervisor import Stack
    from stack.terminal import run_at_terminal

    raise typer.Exit(run_at_terminal(Stack(data, port=port, host=host), Console(), quiet=quiet))
