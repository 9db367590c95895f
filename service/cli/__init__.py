"""The `perimage` command: one file a verb."""

import typer

app = typer.Typer(
    name="perimage",
    help="Meter images, bill licence fees. Start with `perimage up`.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Entry point of the `perimage` command."""
    from service.cli import apply, close, demo, keys, migrate, quote, up, verify  # noqa: F401

    app()
