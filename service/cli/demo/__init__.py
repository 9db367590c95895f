"""`perimage demo`: months at a licensor's, one of them real, from reported images to invoices, on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli import app


@app.command()
def demo(
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Keep running after the summary.")] = True,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the stack.", show_default=".local/perimage or PERIMAGE_DATA")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Where the service listens.", show_default="8765, or any free one", min=0)
    ] = None,
    months: Annotated[int, typer.Option(help="Months of history before the real one.", min=1, max=24)] = 6,
) -> None:
    """Bill a month of a public image platform: 6,191,731 images, and the months around it.

    Starts the whole stack (or uses the one that runs on DATA), writes the
    months before as they would have gone, reports the real one over HTTP as
    three platforms, lets the workers count and bill it, and checks the totals
    against a recount of the input file. It ends with an address and people to
    sign in as. The counts are real, the agreements a scenario. Running it
    again counts and bills nothing twice.
    """
    from service.cli.demo.stage import run_demo
    from service.cli.errors import refusals, say_no
    from stack.process import StackError

    with refusals():
        try:
            agrees = run_demo(data, port, serve=serve, months=months)
        except StackError as error:
            say_no(str(error))
        if not agrees:
            raise typer.Exit(1)
