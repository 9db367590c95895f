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
    from service.cli import (  # noqa: F401
        accruals,
        agreements,
        apply,
        audit,
        close,
        correct,
        demo,
        explain,
        import_file,
        invoice,
        keys,
        migrate,
        notices,
        payments,
        payments_bank,
        payments_stripe,
        quote,
        run,
        statements,
        up,
        usage,
        users,
        verify,
    )

    app()
