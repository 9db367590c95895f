"""`perimage payments`: what was paid, what it settles, bank statements, and the outbox to Stripe."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import app

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from core.actors import Actor
    from core.money import Money
    from core.payments.apply import Source
    from core.payments.tables import PaymentAllocation

payments = typer.Typer(help="Record, apply, refund and list payments; collect through Stripe.", no_args_is_help=True)
app.add_typer(payments, name="payments")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
By = Annotated[str, typer.Option("--by", help="Who does this; kept with it.")]
Licensor = Annotated[str | None, typer.Option(help="The licensor's slug, where there are several.")]
OPERATOR = "operator"


@payments.command("record")
def record_one(
    licensee: Annotated[str, typer.Argument(help="Who paid: the licensee's slug.")],
    amount: Annotated[str, typer.Argument(help="The amount, such as 1250.00.")],
    currency: Annotated[str, typer.Argument(help="Its currency, such as USD.")],
    *,
    received_on: Annotated[str, typer.Option("--on", metavar="DATE", help="The day on which it came in.")],
    reference: Annotated[str, typer.Option(help="Which payment it is: unique, such as the bank's own number.")],
    invoice: Annotated[list[str] | None, typer.Option(help="An invoice to settle first; may be given again.")] = None,
    charges: Annotated[str, typer.Option(help="Part of the amount that banks kept back.")] = "0",
    withheld: Annotated[str, typer.Option(help="Part of the amount that was withheld as tax.")] = "0",
    note: Annotated[str, typer.Option(help="Anything worth knowing.")] = "",
    keep: Annotated[bool, typer.Option("--keep", help="Leave it unapplied.")] = False,
    licensor: Licensor = None,
    by: By = OPERATOR,
    as_json: Json = False,
) -> None:
    """Record a payment, and settle invoices with it.

    The invoices named are settled first, then the others, the oldest before
    the next. What is left over stays with the account. The same reference
    with the same content is recorded once.
    """
    from core.agreements.reading import day
    from core.payments.apply import apply_oldest_first, hold_account, record_payment, source_of_payment
    from service.cli.errors import refusals

    with refusals(), _session() as session:
        ours, theirs = parties(session, licensor, licensee)
        money, actor = amount_of(amount, currency), actor_of(by)
        hold_account(session, ours, theirs, invoice or ())
        made = record_payment(
            session,
            actor,
            licensor_id=ours,
            licensee_id=theirs,
            amount=money,
            received_on=day(received_on, "--on"),
            method="manual",
            reference=reference,
            note=note,
            charges=amount_of(charges, currency),
            withheld=amount_of(withheld, currency),
        )
        applied = [each for number in invoice or () for each in _settle(session, actor, made.id, number)]
        if not keep:
            source = source_of_payment(session, made.id)
            applied += apply_oldest_first(session, actor, ours, theirs, source)
        session.commit()
        left = source_of_payment(session, made.id).left
        show_applied(session, applied, left, as_json=as_json, payment=made.id)


@payments.command("list")
def list_payments(
    licensee: Annotated[str | None, typer.Argument(help="Only this licensee's.")] = None,
    *,
    unapplied: Annotated[bool, typer.Option("--unapplied", help="Only those with something left.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    after: Annotated[int, typer.Option(help="Begin after the payment with this id.")] = 0,
    as_json: Json = False,
) -> None:
    """List payments with what they settle and what is left of them."""
    from core.money import Money
    from core.payments.queries import payments as listed
    from service.cli.errors import refusals

    with refusals(), _session() as session:
        found = listed(session, licensee=licensee, after=after, limit=limit, with_rest=unapplied)
        rows = [
            {
                "id": each.payment.id,
                "received_on": each.payment.received_on.isoformat(),
                "licensee": each.licensee,
                "method": each.payment.method,
                "reference": each.payment.reference,
                "currency": each.payment.currency,
                "amount": str(Money(each.payment.currency, each.payment.amount_minor).amount),
                "left": str(each.left.amount),
                "invoices": list(each.to),
            }
            for each in found
        ]
    show(rows, "Payments", as_json=as_json, right=("amount", "left"))


@payments.command("apply")
def apply(
    licensee: Annotated[str, typer.Argument(help="The licensee's slug.")],
    *,
    payment: Annotated[int | None, typer.Option(help="Only this payment, by its id.")] = None,
    invoice: Annotated[str | None, typer.Option(help="Only this invoice; needs --payment.")] = None,
    amount: Annotated[str | None, typer.Option(help="Not more than this; needs --invoice.")] = None,
    licensor: Licensor = None,
    by: By = OPERATOR,
    as_json: Json = False,
) -> None:
    """Settle open invoices with what is left of payments and credit notes, the oldest invoice first."""
    from core.errors import InvalidInput
    from core.payments.apply import apply_oldest_first, hold_account
    from service.cli.errors import refusals

    with refusals(), _session() as session:
        if (invoice is not None and payment is None) or (amount is not None and invoice is None):
            raise InvalidInput("incomplete", "--invoice needs --payment, and --amount needs --invoice")
        ours, theirs = parties(session, licensor, licensee)
        hold_account(session, ours, theirs, [invoice] if invoice else ())
        source = None if payment is None else _own_source(session, payment, ours, theirs)
        if source is not None and invoice is not None:
            applied = _settle(session, actor_of(by), source.payment_id or 0, invoice, amount)
        else:
            applied = apply_oldest_first(session, actor_of(by), ours, theirs, source)
        session.commit()
        show_applied(session, applied, None, as_json=as_json)


@payments.command("release")
def release_one(
    application: Annotated[int, typer.Argument(help="The application's id, as `apply` and `record` show it.")],
    *,
    reason: Annotated[str, typer.Option(help="Why.")],
    by: By = OPERATOR,
) -> None:
    """Undo an application: the invoice is open again, and the money is there to be used."""
    from core.payments.apply import release
    from service.cli.errors import refusals

    with refusals(), _session() as session:
        release(session, actor_of(by), application, reason)
        session.commit()
    typer.echo(f"Released application {application}.")


@payments.command("refund")
def refund_one(
    payment: Annotated[int, typer.Argument(help="The payment's id.")],
    amount: Annotated[str, typer.Argument(help="How much went back, in the payment's currency.")],
    *,
    on: Annotated[str, typer.Option("--on", metavar="DATE", help="The day on which it went back.")],
    reference: Annotated[str, typer.Option(help="Which refund it is: unique.")],
    reason: Annotated[str, typer.Option(help="Why, also when a bank took it back.")],
    by: By = OPERATOR,
) -> None:
    """Record that money went back. What was applied has to be released first."""
    from core.agreements.reading import day
    from core.payments.apply import refund, source_of_payment
    from service.cli.errors import refusals

    with refusals(), _session() as session:
        source = source_of_payment(session, payment)
        money = amount_of(amount, source.left.currency)
        refund(session, actor_of(by), source, money, on=day(on, "--on"), reference=reference, reason=reason)
        session.commit()
    typer.echo(f"Recorded the refund of {money} of payment {payment}.")


def _settle(
    session: "Session", actor: "Actor", payment_id: int, number: str, amount: str | None = None
) -> "list[PaymentAllocation]":
    """One invoice with one payment: what both allow, or the amount given."""
    from core.ledger.balances import settled
    from core.money import Money
    from core.payments.apply import allocate, source_of_payment

    source = source_of_payment(session, payment_id)
    still_open = settled(session, source.licensor_id, [number])[number].left
    most = Money(source.left.currency, min(source.left.minor, still_open))
    money = most if amount is None else amount_of(amount, source.left.currency)
    return [allocate(session, actor, source, number, money)] if money.minor or amount else []


def _own_source(session: "Session", payment_id: int, licensor_id: int, licensee_id: int) -> "Source":
    from core.errors import NotFound
    from core.payments.apply import source_of_payment

    source = source_of_payment(session, payment_id)
    if (source.licensor_id, source.licensee_id) != (licensor_id, licensee_id):
        raise NotFound("payment_not_found", f"payment {payment_id} is not this account's")
    return source


def actor_of(name: str) -> "Actor":
    """Who sits at this machine's command line may do everything; the name is kept with what was done."""
    from core.actors import Actor

    return Actor(name, "admin")


def amount_of(text: str, currency: str) -> "Money":
    """An exact amount of a currency. Raises `InvalidInput` where it has more decimals than the currency."""
    from core.errors import InvalidInput
    from core.money import Money, decimal_of, exponent

    minor = decimal_of(text).scaleb(exponent(currency))
    if minor != minor.to_integral_value() or abs(minor) >= 10**18:
        raise InvalidInput("bad_amount", f"{text} has more decimals than {currency} takes, or is too large")
    return Money(currency, int(minor))


def parties(session: "Session", licensor: str | None, licensee: str) -> tuple[int, int]:
    """The ids of both; without a licensor's name the only one there is."""
    from core.payments.apply import account_of

    return account_of(session, licensor or only_licensor(session), licensee)


def only_licensor(session: "Session") -> str:
    """The slug of the only licensor. Raises `InvalidInput` where there is none or more."""
    from sqlalchemy import select

    from core.errors import InvalidInput
    from core.registry.tables import Licensor as LicensorRow

    slugs = list(session.scalars(select(LicensorRow.slug).limit(2)))
    if len(slugs) != 1:
        raise InvalidInput("which_licensor", "say which licensor with --licensor")
    return slugs[0]


@contextmanager
def _session() -> "Iterator[Session]":
    from service.cli.database import open_session

    with open_session() as session:
        yield session


def show_applied(
    session: "Session", applied: "list[PaymentAllocation]", left: "Money | None", *, as_json: bool, **more: Any
) -> None:
    """What was settled, as a table or JSON."""
    from core.invoicing.tables import Invoice
    from core.money import Money

    rows = []
    for each in applied:
        invoice = session.get_one(Invoice, each.invoice_id)
        rows.append(
            {
                "application": each.id,
                "invoice": invoice.number,
                "currency": invoice.currency,
                "amount": str(Money(invoice.currency, each.amount_minor).amount),
            }
        )
    if as_json:
        rest = {} if left is None else {"left": str(left.amount), "currency": left.currency}
        typer.echo(json.dumps({**more, "applied": rows, **rest}, indent=2))
        return
    show(rows, "Applied", as_json=False, right=("amount",))
    if left is not None and left.minor:
        typer.echo(f"{left} is left unapplied.")


def show(rows: list[dict[str, Any]], title: str, *, as_json: bool, right: tuple[str, ...] = ()) -> None:
    """Rows as a table, or as JSON."""
    from rich.console import Console
    from rich.table import Table

    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        typer.echo(f"{title}: none.")
        return
    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        table.add_column(name.replace("_", " "), justify="right" if name in right else "left")
    for row in rows:
        cells = [
            ", ".join(cell) if isinstance(cell, list) else "" if cell is None else str(cell) for cell in row.values()
        ]
        table.add_row(*cells)
    Console().print(table)
