"""`perimage notices`: what was told, to whom, what came of it; webhook endpoints, tests and replays."""

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from service.cli import app
from service.cli.payments import OPERATOR, By, Json, Licensor, actor_of, only_licensor, parties, show

notices = typer.Typer(help="See what was told and to whom; add, test and replay webhooks.", no_args_is_help=True)
app.add_typer(notices, name="notices")

Endpoint = Annotated[int, typer.Argument(help="The id of the endpoint: see `perimage notices endpoints`.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="How many at most, newest first.")]
PATIENCE = 30.0  # seconds that a test is waited for


@notices.command("list")
def list_notices(
    *,
    kind: Annotated[str | None, typer.Option(help="Only of this kind, such as invoice.overdue.")] = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List what people were told, newest first."""
    from core.notices.queries import notices as told
    from core.notices.wording import written
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        rows = told(session, kind=kind, limit=limit)
    if not as_json:
        rows = [
            {**{name: row[name] for name in ("id", "told_at", "kind")}, "said": written(row["kind"], row["data"])[0]}
            for row in rows
        ]
    show(rows, "Notices", as_json=as_json)


@notices.command("endpoints")
def list_endpoints(*, secrets: bool = False, as_json: Json = False) -> None:
    """List the webhook endpoints; with --secrets also what signs their deliveries."""
    from core.notices.endpoints import endpoints
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        rows = [_endpoint_row(each, secrets=secrets) for each in endpoints(session)]
    show(rows, "Webhook endpoints", as_json=as_json)


@notices.command("add-endpoint")
def add(
    url: Annotated[str, typer.Argument(help="An https address.")],
    *,
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind; may be given again. All without it.")] = None,
    licensee: Annotated[str | None, typer.Option(help="A licensee's own: told of nobody else.")] = None,
    licensor: Licensor = None,
    by: By = OPERATOR,
    as_json: Json = False,
) -> None:
    """Tell an address from now on, and show the secret that signs each delivery."""
    from config.settings import settings
    from core.notices.endpoints import add_endpoint
    from core.registry.register import ids
    from core.registry.tables import Licensor as LicensorRow
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        slug, theirs = licensor or only_licensor(session), None
        if licensee is not None:
            ours, theirs = parties(session, slug, licensee)
        else:
            ours = ids(session, LicensorRow, {slug})[slug]
        made = add_endpoint(
            session,
            actor_of(by),
            ours,
            url,
            kinds=kind or (),
            licensee_id=theirs,
            allow_private=settings().allow_private_webhooks,
        )
        session.commit()
        row = _endpoint_row(made, secrets=True)
    show([row], "Webhook endpoint", as_json=as_json)


@notices.command("switch-off")
def off(endpoint: Endpoint, reason: Annotated[str, typer.Argument(help="Why.")], by: By = OPERATOR) -> None:
    """Tell an endpoint nothing any more."""
    from core.notices.endpoints import switch_off
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        switch_off(session, endpoint, actor_of(by), reason)
        session.commit()
    typer.echo(f"Endpoint {endpoint} is told nothing any more.")


@notices.command("switch-on")
def on(endpoint: Endpoint, by: By = OPERATOR) -> None:
    """Tell an endpoint again."""
    from core.notices.endpoints import switch_on
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        switch_on(session, endpoint, actor_of(by))
        session.commit()
    typer.echo(
        f"Endpoint {endpoint} is told again. Replay what it missed: perimage notices replay --endpoint {endpoint}"
    )


@notices.command("new-secret")
def new_secret(endpoint: Endpoint, *, by: By = OPERATOR, as_json: Json = False) -> None:
    """Sign with a new secret and show it. For a day the old one signs as well."""
    from core.notices.endpoints import rotate_secret
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        row = _endpoint_row(rotate_secret(session, endpoint, actor_of(by)), secrets=True)
        session.commit()
    show([row], "Webhook endpoint", as_json=as_json)


@notices.command("test")
def test(endpoint: Endpoint, by: By = OPERATOR) -> None:
    """Send a test to an endpoint and wait for what comes of it. Exit code 1 if it did not arrive."""
    from core.notices.deliver import send_test
    from core.notices.queries import attempts
    from service.cli.database import open_session
    from service.cli.errors import refusals, say_no

    with refusals(), open_session() as session:
        delivery = send_test(session, actor_of(by), endpoint).id
        session.commit()
        until = time.monotonic() + PATIENCE
        while not (log := attempts(session, delivery)):
            session.rollback()
            if time.monotonic() > until:
                say_no(f"nobody sent it within {PATIENCE:g} seconds: does a worker run? See delivery {delivery} later")
            time.sleep(0.2)
    [done] = log
    status = f" (status {done['status']})" if done["status"] else ""
    typer.echo(f"{done['result']}{status} after {done['took_ms']} ms: {done['said'] or 'nothing was said'}")
    if done["result"] != "delivered":
        raise typer.Exit(1)


@notices.command("deliveries")
def list_deliveries(
    *,
    state: Annotated[list[str] | None, typer.Option(help="waiting, delivered or given_up; may be given again.")] = None,
    endpoint: Annotated[int | None, typer.Option(help="Only those to this endpoint.")] = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List deliveries, newest first."""
    from core.notices.queries import deliveries
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        rows = deliveries(session, states=state or (), endpoint_id=endpoint, limit=limit)
    show(rows, "Deliveries", as_json=as_json, right=("attempts",))


@notices.command("log")
def show_log(
    delivery: Annotated[int, typer.Argument(help="The id of a delivery: see `perimage notices deliveries`.")],
    *,
    as_json: Json = False,
) -> None:
    """Show every attempt at a delivery and what came of it."""
    from core.notices.queries import attempts
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        rows = attempts(session, delivery)
    show(rows, f"Attempts at delivery {delivery}", as_json=as_json, right=("took_ms",))


@notices.command("replay")
def replay_some(
    delivery: Annotated[int | None, typer.Argument(help="One delivery, whatever came of it.")] = None,
    *,
    endpoint: Annotated[int | None, typer.Option(help="Everything that was given up at this endpoint.")] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="With --endpoint: told in the last so many days.")] = 30,
    by: By = OPERATOR,
) -> None:
    """Send again: one delivery, or what an endpoint missed. Each keeps its id, so a receiver knows a repeat."""
    from core.errors import InvalidInput
    from core.notices.deliver import replay, replay_given_up
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        if (delivery is None) == (endpoint is None):
            raise InvalidInput("which_delivery", "name one delivery, or an endpoint with --endpoint")
        if delivery is not None:
            again = [replay(session, actor_of(by), delivery).id]
        else:
            since = datetime.now(UTC) - timedelta(days=days)
            again = replay_given_up(session, actor_of(by), endpoint or 0, since)
        session.commit()
    typer.echo(f"{len(again)} {'delivery is' if len(again) == 1 else 'deliveries are'} on the way again.")


def _endpoint_row(endpoint: Any, *, secrets: bool) -> dict[str, Any]:
    row = {
        "id": endpoint.id,
        "url": endpoint.url,
        "kinds": list(endpoint.kinds) or ["all"],
        "active": "yes" if endpoint.active else f"no: {endpoint.off_reason}",
    }
    return {**row, "secret": endpoint.secret} if secrets else row
