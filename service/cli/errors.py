"""How a command says no: one sentence on standard error, exit code 2, never a traceback for what a user can mend."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

REFUSED = 2


@contextmanager
def refusals() -> Iterator[None]:
    """Around the body of a command: the core's refusals and a database out of reach become a sentence.

    Anything else is a mistake of ours and keeps its traceback.
    """
    from psycopg.errors import UndefinedTable
    from sqlalchemy.exc import OperationalError, ProgrammingError

    from core.errors import PerimageError

    try:
        yield
    except PerimageError as error:
        say_no(error.sentence)
    except OperationalError as error:
        said = " ".join(str(error.orig).split())
        say_no(f"the database does not answer: start `perimage up` or set DATABASE_URL ({said})")
    except ProgrammingError as error:
        if not isinstance(error.orig, UndefinedTable):
            raise
        say_no("the database has no tables of Perimage yet: run `perimage migrate`, or start `perimage up`")


def say_no(sentence: str) -> None:
    """Ends the command with a sentence and the exit code of a refusal."""
    typer.echo(f"perimage: {sentence}", err=True)
    raise typer.Exit(REFUSED) from None
