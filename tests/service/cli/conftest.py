"""Commands as a user runs them, on a database of the test's own."""

from collections.abc import Callable, Iterator

import pytest
from click.testing import Result
from typer.testing import CliRunner

from config.settings import settings
from service.cli import agreements, app, apply, explain, keys, quote  # noqa: F401 - the verbs under test enter themselves

Perimage = Callable[..., Result]


@pytest.fixture
def perimage(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Perimage]:
    """Runs `perimage` with arguments; gives exit code, output and errors."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("COLUMNS", "200")
    settings.cache_clear()

    def run(*arguments: object, answer: str | None = None) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=answer)

    yield run
    settings.cache_clear()
