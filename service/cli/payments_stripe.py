"""`perimage payments stripe`, `steps`, `retry`, `pause`, `resume`, `reconcile`: the outbox to Stripe, for people."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from service.cli.payments import OPERATOR, By, Json, Licensor, actor_of, parties, payments, show


@payments.command("stripe")
def choose(
    licensee: Annotated[str, typer.Argument(help="The licensee's slug.")],
    *,
    email: Annotated[str, typer.Option(help="Who gets the invoices.")] = "",
    charge: Annotated[
        bool, typer.Option("--charge", help="Charge the payment method on file instead of mailing.")
    ] = False,
    off: Annotated[bool, typer.Option("--off", help="Hand over no further invoices.")] = False,
    licensor: Licensor = None,
    by: By = OPERATOR,
) -> None:
    """Collect a licensee's invoices through Stripe: those issued from now on."""
    from core.payments.collect import collect_by_gateway, stop_collecting
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        ours, theirs = parties(session, licensor, licensee)
        if off:
            stop_collecting(session, actor_of(by), ours, theirs)
        else:
            collection = "charge_automatically" if charge else "send_invoice"
            collect_by_gateway(session, actor_of(by), ours, theirs, collection=collection, email=email)
        session.commit()
    typer.echo(
        f"Stripe {'collects no further invoices' if off else 'collects invoices issued from now on'} of {licensee}."
    )


@payments.command("steps")
def list_steps(
    *,
    every: Annotated[bool, typer.Option("--all", help="Also those that are done or cancelled.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 200,
    as_json: Json = False,
) -> None:
    """List what is still to be done at Stripe, and what was stopped and why."""
    from core.payments.outbox import is_paused
    from core.payments.queries import steps
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        states = ("waiting", "stopped", "done", "cancelled") if every else ("waiting", "stopped")
        rows = steps(session, states=states, limit=limit)
        paused = is_paused(session)
    show(rows, "Steps at Stripe", as_json=as_json, right=("attempts",))
    if paused and not as_json:
        typer.echo("The outbox is paused: `perimage payments resume` lets it work again.")


@payments.command("retry")
def retry_step(step: Annotated[int, typer.Argument(help="The id of a stopped step.")], by: By = OPERATOR) -> None:
    """Give a stopped step another chance, once its reason has been seen to."""
    from core.payments.collect import retry
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        retry(session, actor_of(by), step)
        session.commit()
    typer.echo(f"Step {step} is tried again.")


@payments.command("pause")
def pause_outbox(reason: Annotated[str, typer.Argument(help="Why.")], by: By = OPERATOR) -> None:
    """Send nothing to Stripe any more, as after a restore from a backup."""
    from core.payments.reconcile import pause
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        pause(session, actor_of(by), reason)
        session.commit()
    typer.echo(
        "Nothing is sent to Stripe until `perimage payments resume`; compare first: `perimage payments reconcile`."
    )


@payments.command("resume")
def resume_outbox(
    reason: Annotated[str, typer.Argument(help="What was seen to.")],
    *,
    anyway: Annotated[bool, typer.Option("--anyway", help="Also with differences that are still open.")] = False,
    by: By = OPERATOR,
) -> None:
    """Let the outbox work again. Every unfinished step looks at Stripe before it does anything."""
    from core.payments.reconcile import resume
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        resume(session, actor_of(by), reason, anyway=anyway)
        session.commit()
    typer.echo("The outbox works again.")


@payments.command("reconcile")
def reconcile_now(
    *,
    last: Annotated[bool, typer.Option("--last", help="Show what the last comparison found; ask nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Compare every invoice and payment with Stripe, and list what differs. Exit code 1 if anything does."""
    from config.settings import settings
    from core.errors import Unavailable
    from core.payments.gateway import GatewayError
    from core.payments.reconcile import LOOKS_BACK, known_ids, look, open_differences, ours, reconcile
    from core.payments.stripe import stripe_gateway
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        if not last:
            if not settings().stripe_api_key:
                raise Unavailable("no_gateway", "no key for Stripe: set PERIMAGE_STRIPE_API_KEY")
            now = datetime.now(UTC)
            before, older = ours(session), known_ids(session, now - LOOKS_BACK)
            session.rollback()
            gateway = stripe_gateway(settings().stripe_api_key, settings().stripe_api_base)
            try:
                there = look(gateway, now, older)
            except GatewayError as error:
                raise Unavailable("gateway_away", error.sentence) from None
            reconcile(session, before, there)
            session.commit()
        rows = [
            {
                "what": each.kind,
                "about": each.subject,
                "detail": each.detail,
                "since": each.found_at.isoformat(timespec="seconds"),
            }
            for each in open_differences(session)
        ]
    show(rows, "Differences with Stripe", as_json=as_json)
    if rows:
        raise typer.Exit(1)
