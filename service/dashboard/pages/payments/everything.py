"""All payments; what is left to use; receivables by age; and what became of invoices at Stripe."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from sqlalchemy import func, select
from starlette.responses import Response

from core.errors import NotFound
from core.ledger.tables import Outstanding
from core.money import Money
from core.payments.apply import apply_oldest_first
from core.payments.collect import retry
from core.payments.payment_list import REST, Aged, ageing, payments_of, unused_of
from core.payments.queries import steps
from core.payments.reconcile import open_differences
from core.payments.tables import (
    GatewayCustomer,
    GatewayPause,
    GatewayReconciliation,
    GatewayStep,
    Payment,
)
from core.registry.tables import Licensee
from service.dashboard.acting import act
from service.dashboard.listing import Column, Filter, Listing
from service.dashboard.pages.payments.router import router, tabs_at
from service.dashboard.rendering import after, page
from service.dashboard.signed_in import Clerk, FinanceEyes, Viewer
from service.routes.finance.own import own_licensee

METHODS = {"bank": "Bank", "stripe": "Stripe", "manual": "By hand"}
PAYMENTS = Listing(
    columns=(
        Column("received", "Received", lambda row: row.received_on, kind="day", sort=(Payment.received_on, Payment.id),
               href=lambda row: f"/payments/{row.id}"),
        Column("licensee", "Licensee", lambda row: row.licensee_name, sort=Licensee.name,
               href=lambda row: f"/licensees/{row.licensee}"),
        Column("reference", "Reference", lambda row: _short(row.reference), sort=Payment.reference, wide_only=True,
               note=lambda row: row.payer),
        Column("method", "How", lambda row: METHODS[row.method], sort=Payment.method, wide_only=True),
        Column("pays", "Pays", lambda row: row.pays),
        Column("amount", "Amount", lambda row: (row.amount_minor, row.currency), kind="money",
               sort=Payment.amount_minor),
        Column("rest", "Left to use", lambda row: (row.rest_minor, row.currency) if row.rest_minor else None,
               kind="money", sort=REST),
    ),
    search=(Licensee.name, Licensee.slug, Payment.reference, Payment.payer, Payment.note),
    search_label="Search by licensee, payer or reference",
    filters=(
        Filter("method", "How", tuple(METHODS.items()), column=Payment.method),
        Filter("rest", "Left", (("some", "Something left"), ("none", "Used up")),
               where=lambda which: REST > 0 if which == "some" else REST == 0),
    ),
    sort="-received",
    file="payments",
    label="Payments",
    empty="No payments yet",
)  # fmt: skip
UNUSED = Listing(
    columns=(
        Column("licensee", "Licensee", lambda row: row.licensee_name, sort=Licensee.name,
               href=lambda row: f"/licensees/{row.licensee}"),
        Column("item", "From", lambda row: _short(row.reference or row.item), sort=Outstanding.item,
               href=lambda row: f"/payments/{row.payment_id}" if row.payment_id else f"/invoices/{row.item}",
               note=lambda row: "payment" if row.payment_id else "credit note"),
        Column("rest", "Left to use", lambda row: (row.rest_minor, row.currency), kind="money",
               sort=-Outstanding.amount_minor),
        Column("acts", "", lambda row: "", kind="custom", export=False),
    ),
    search=(Licensee.name, Outstanding.item),
    sort="licensee",
    file="left-to-use",
    label="Left to use",
    empty="Everything is used",
)  # fmt: skip
AGES = Listing(
    columns=(
        Column("licensee", "Licensee", lambda row: row.licensee_name, sort=True,
               href=lambda row: f"/invoices?licensee={row.licensee}&standing=open"),
        Column("not_due", "Not due", lambda row: row.not_due, kind="money", sort=True),
        Column("to_30", "1–30 days", lambda row: _some(row.to_30), kind="money", sort=True),
        Column("to_60", "31–60 days", lambda row: _some(row.to_60), kind="money", sort=True),
        Column("to_90", "61–90 days", lambda row: _some(row.to_90), kind="money", sort=True),
        Column("over_90", "Over 90 days", lambda row: _some(row.over_90), kind="money", sort=True),
        Column("receivable", "Receivable", lambda row: row.receivable, kind="money", sort=True),
        Column("unused", "Left to use", lambda row: _some(row.unused), kind="money", sort=True),
    ),
    filters=(Filter("only", "Show", (("overdue", "Overdue only"),), keep=lambda row, _: row.overdue.minor > 0),),
    sort="none",
    file="receivables-by-age",
    label="Receivables by age",
    search_label="Search by licensee",
    empty="Nobody owes anything",
)  # fmt: skip


def _short(reference: str) -> str:
    return reference if len(reference) <= 40 else f"{reference[:37]}…"


def _some(amount: Money) -> Money | None:
    return amount if amount.minor else None


@router.get("")
def all_payments(request: Request, person: Viewer, eyes: FinanceEyes) -> Response:
    listed = PAYMENTS.read(request, eyes, payments_of(person.licensor_id))
    return listed.answer("payments/list.html", title="Payments", tabs=tabs_at("/payments"))


@router.get("/credit")
def left_to_use(request: Request, person: Viewer, eyes: FinanceEyes) -> Response:
    """Money and credit that settles nothing yet."""
    listed = UNUSED.read(request, eyes, unused_of(person.licensor_id))
    return listed.answer("payments/credit.html", title="Left to use", tabs=tabs_at("/payments/credit"))


@router.post("/credit/{licensee}")
def use_for_oldest(request: Request, person: Clerk, eyes: FinanceEyes, licensee: str) -> Response:
    """Settles a licensee's open invoices with what it has left, oldest first."""
    whose = own_licensee(eyes, person, licensee.replace("\x00", ""))  # type: ignore[arg-type]
    whose_id, name = whose.id, whose.name
    made = act(
        request, lambda session: len(apply_oldest_first(session, person.actor, person.licensor_id, whose_id))
    )  # fmt: skip
    said = f"Used for {made:,} {'invoice' if made == 1 else 'invoices'} of {name}." if made else f"{name} owes nothing."
    return after(request, "/payments/credit", said, tone="good" if made else "warn")


@router.get("/ageing")
def by_age(request: Request, person: Viewer, eyes: FinanceEyes) -> Response:
    """What each licensee owes, by how long it has been due."""
    today = datetime.now(UTC).date()
    rows = ageing(eyes, person.licensor_id, today)
    listed = AGES.of(request, rows)
    return listed.answer(
        "payments/ageing.html", title="Receivables by age", tabs=tabs_at("/payments/ageing"), today=today,
        sums=_sums(rows),
    )  # fmt: skip


def _sums(rows: Sequence[Aged]) -> list[dict[str, Any]]:
    """Each age added up by currency."""
    names = ("not_due", "to_30", "to_60", "to_90", "over_90", "receivable", "overdue")
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        of = found.setdefault(row.not_due.currency, {name: Money(row.not_due.currency, 0) for name in names})
        for name in names:
            of[name] = of[name] + getattr(row, name)
    return [{"currency": currency, **of} for currency, of in sorted(found.items())]


@router.get("/stripe")
def at_stripe(request: Request, person: Viewer, eyes: FinanceEyes) -> Response:
    """Whether invoices are collected by Stripe, what waits, and what is one way here and another there."""
    paused = eyes.execute(
        select(GatewayPause.paused, GatewayPause.changed_at).order_by(GatewayPause.id.desc()).limit(1)
    ).first()  # fmt: skip
    compared = eyes.scalar(select(func.max(GatewayReconciliation.finished_at)))
    customers = eyes.scalar(select(func.count()).select_from(GatewayCustomer).where(GatewayCustomer.active)) or 0
    return page(
        request, "payments/stripe.html", title="Stripe", tabs=tabs_at("/payments/stripe"),
        connected=bool(request.app.state.settings.stripe_api_key), paused=paused, compared=compared,
        customers=customers, differences=open_differences(eyes), steps=steps(eyes, states=("stopped", "waiting")),
    )  # fmt: skip


@router.post("/stripe/steps/{step_id}/retry")
def retry_step(request: Request, person: Clerk, eyes: FinanceEyes, step_id: int) -> Response:
    """Lets a stopped step be tried again."""
    found = eyes.get(GatewayStep, step_id) if 0 < step_id < 2**63 else None
    if found is None:
        raise NotFound("step_not_found", f"there is no step {step_id}")
    act(request, lambda session: retry(session, person.actor, step_id).id)
    return after(request, "/payments/stripe", "It is tried again.")
