"""One payment: what it settles, and what is done with the rest; and one recorded by hand."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.orm import Session, aliased
from starlette.responses import Response

from core.errors import InvalidInput, NotFound
from core.invoicing.tables import Invoice
from core.ledger.balances import open_items, settled
from core.money import Money
from core.payments.apply import (
    allocate,
    apply_oldest_first,
    hold_account,
    record_payment,
    refund,
    release,
    source_of_payment,
)
from core.payments.bank import Row
from core.payments.bank_statements import open_invoices
from core.payments.matching import match
from core.payments.tables import Payment, PaymentAllocation, PaymentRefund
from core.registry.tables import Licensee
from service.dashboard.acting import act
from service.dashboard.form import Filled, Form
from service.dashboard.pages.payments.everything import METHODS
from service.dashboard.pages.payments.fields import accounts_of, currencies_in, demand_own, numbers_in
from service.dashboard.pages.payments.router import router
from service.dashboard.rendering import after, page
from service.dashboard.signed_in import Approver, Clerk, FinanceEyes, FinancePerson, Viewer
from service.routes.finance.own import own_application, own_payment


@router.get("/new")
def new_payment(request: Request, person: Clerk, eyes: FinanceEyes) -> Response:
    """An empty form; with an invoice in the address, what is still open of it."""
    name = request.query_params.get("invoice", "")
    begun: dict[str, str] = {"received_on": datetime.now(UTC).date().isoformat()}
    if name:
        found = eyes.execute(
            select(Invoice, Licensee.slug)
            .join(Licensee, Licensee.id == Invoice.licensee_id)
            .where(Invoice.number == name.replace("\x00", ""), Invoice.status == "issued")
        ).first()  # fmt: skip
        if found is None:
            raise NotFound("invoice_not_found", f"there is no issued invoice {name[:100]}")
        invoice, licensee = found
        left = settled(eyes, person.licensor_id, [name])[name].left
        begun |= {"invoices": name, "licensee": licensee, "currency": invoice.currency,
                  "amount": f"{Money(invoice.currency, max(0, left)).amount:f}"}  # fmt: skip
    return _new_shown(request, person, eyes, Form(begun), "")


@router.post("/new")
def record_new_payment(request: Request, person: Clerk, eyes: FinanceEyes, form: Filled) -> Response:
    """Proposes what it is for, or records it, by the button that was pressed."""
    accounts = accounts_of(eyes, person)
    said, made = "", 0
    with form:
        step = form.choice("step", ("propose", "record"), "record")
        currency = form.choice("currency", currencies_in(accounts))
        amount = form.money("amount", currency)
        on = form.day("received_on")
        payer = form.text("payer", required=False, most=500)
        if amount is not None and amount.minor <= 0:
            form.refuse("amount", "a payment is more than nothing")
        reference = form.text("reference", required=step == "record", most=200)
        if step == "propose":
            form.demand()
            found = match(Row(1, on or datetime.now(UTC).date(), amount or Money(currency, 0), payer, reference, ""),
                          open_invoices(eyes, person.licensor_id))  # fmt: skip
            kept = {
                name: form.said(name)
                for name in ("amount", "currency", "received_on", "payer", "reference", "note", "charges", "withheld")
            }
            form = Form({**kept, "licensee": found.licensee or "", "invoices": " ".join(found.numbers)})
            said = (
                f"{found.confidence.capitalize()}: {found.reason}."
                if found.confidence != "none"
                else (f"No proposal: {found.reason}. Choose the licensee yourself.")
            )
            return _new_shown(request, person, eyes, form, said)
        licensee = form.choice("licensee", list(accounts))
        charges = form.money("charges", currency, required=False)
        withheld = form.money("withheld", currency, required=False)
        note = form.text("note", required=False, most=500)
        numbers = numbers_in(form, "invoices")
        form.demand()
        demand_own(eyes, numbers)
        made = act(
            request,
            lambda session: _record(
                session, person, accounts[licensee][0], numbers, keep_rest=form.flag("keep_rest"), amount=amount,
                received_on=on, method="manual", reference=reference, payer=payer, note=note, charges=charges,
                withheld=withheld,
            ),
        )  # fmt: skip
    if form.wrong:
        return _new_shown(request, person, eyes, form, said)
    return after(request, f"/payments/{made}", "Recorded.")


@router.get("/{payment_id}")
def one_payment(request: Request, person: Viewer, eyes: FinanceEyes, payment_id: int) -> Response:
    return _shown(request, person, eyes, payment_id, None)


@router.post("/{payment_id}/apply")
def apply_payment(request: Request, person: Clerk, eyes: FinanceEyes, payment_id: int, form: Filled) -> Response:
    """One invoice with what both allow or with an amount; without an invoice the oldest ones."""
    payment = _payment(eyes, person, payment_id)
    currency, licensee_id = payment.currency, payment.licensee_id
    with form:
        number = form.text("invoice", required=False, most=64)
        amount = form.money("amount", currency, required=False)
        form.demand()
        if number:
            demand_own(eyes, [number])
        elif amount is not None:
            raise InvalidInput("bad_amount", "an amount needs the invoice that it is for", field="invoice")

        def settle(session: Session) -> int:
            hold_account(session, person.licensor_id, licensee_id, [number] if number else ())
            source = source_of_payment(session, payment_id)
            if number:
                return _settle(session, person, payment_id, number, amount)
            return len(apply_oldest_first(session, person.actor, person.licensor_id, licensee_id, source))

        if not act(request, settle):
            raise InvalidInput("nothing_to_settle", "nothing is open that this payment could settle")
    if form.wrong:
        return _shown(request, person, eyes, payment_id, form)
    return after(request, f"/payments/{payment_id}", "Applied.")


@router.post("/{payment_id}/refund")
def refund_payment(request: Request, person: Approver, eyes: FinanceEyes, payment_id: int, form: Filled) -> Response:
    """Money that went back, of what was not applied."""
    payment = _payment(eyes, person, payment_id)
    with form:
        amount = form.money("amount", payment.currency)
        on, reference = form.day("on"), form.text("reference", most=200)
        reason = form.text("reason", most=500)
        form.demand()
        act(
            request,
            lambda session: refund(
                session, person.actor, source_of_payment(session, payment_id), amount, on=on, reference=reference,  # type: ignore[arg-type]
                reason=reason,
            ).id,
        )  # fmt: skip
    if form.wrong:
        return _shown(request, person, eyes, payment_id, form)
    return after(request, f"/payments/{payment_id}", "The refund is recorded.")


@router.post("/applications/{application_id}/release")
def release_application(
    request: Request, person: Clerk, eyes: FinanceEyes, application_id: int, form: Filled
) -> Response:
    """Undoes what a payment settled: the invoice is open again by as much."""
    if not 0 < application_id < 2**63:
        raise NotFound("application_not_found", f"there is no application {application_id}")
    payment_id = own_application(eyes, person, application_id).payment_id  # type: ignore[arg-type]
    with form:
        reason = form.text("reason", most=500)
        form.demand()
        act(request, lambda session: release(session, person.actor, application_id, reason).id)
    if form.wrong:
        if payment_id is None:
            return after(request, "/payments/credit", next(iter(form.errors.values())), tone="bad")
        return _shown(request, person, eyes, payment_id, form)
    return after(request, f"/payments/{payment_id}" if payment_id else "/payments/credit", "Released.")


def _payment(eyes: Session, person: FinancePerson, payment_id: int) -> Payment:
    if not 0 < payment_id < 2**63:
        raise NotFound("payment_not_found", f"there is no payment {payment_id}")
    found: Payment = own_payment(eyes, person, payment_id)  # type: ignore[arg-type]
    return found


def _record(
    session: Session, person: FinancePerson, licensee_id: int, numbers: Sequence[str], *, keep_rest: bool, **said: Any
) -> int:
    hold_account(session, person.licensor_id, licensee_id, numbers)
    made = record_payment(
        session, person.actor, licensor_id=person.licensor_id, licensee_id=licensee_id, **said
    )  # fmt: skip
    for number in numbers:
        _settle(session, person, made.id, number, None)
    if not keep_rest:
        apply_oldest_first(
            session, person.actor, person.licensor_id, licensee_id, source_of_payment(session, made.id)
        )  # fmt: skip
    return made.id


def _settle(session: Session, person: FinancePerson, payment_id: int, number: str, amount: Money | None) -> int:
    """One invoice with one payment: what both allow, or the amount given."""
    source = source_of_payment(session, payment_id)
    still_open = settled(session, person.licensor_id, [number])[number].left
    money = amount or Money(source.left.currency, min(source.left.minor, still_open))
    if not money.minor:
        return 0
    allocate(session, person.actor, source, number, money)
    return 1


def _new_shown(request: Request, person: FinancePerson, eyes: Session, form: Form, said: str) -> Response:
    accounts = accounts_of(eyes, person)
    return page(
        request, "payments/new.html", title="Record a payment", status=form.status, form=form, said=said,
        licensees=[("", "Choose"), *((slug, name) for slug, (_, name, _) in accounts.items())],
        currencies=[(each, each) for each in currencies_in(accounts)],
    )  # fmt: skip


def _shown(request: Request, person: FinancePerson, eyes: Session, payment_id: int, form: Form | None) -> Response:
    payment = _payment(eyes, person, payment_id)
    licensee = eyes.get_one(Licensee, payment.licensee_id)
    undoing = aliased(PaymentAllocation)
    applications = eyes.execute(
        select(PaymentAllocation, Invoice.number, undoing.id.label("undone"))
        .join(Invoice, Invoice.id == PaymentAllocation.invoice_id)
        .outerjoin(undoing, undoing.reverses_id == PaymentAllocation.id)
        .where(PaymentAllocation.payment_id == payment_id)
        .order_by(PaymentAllocation.id)
    ).all()
    refunds = eyes.scalars(select(PaymentRefund).filter_by(payment_id=payment_id).order_by(PaymentRefund.id)).all()
    open_ = [each for each in open_items(eyes, person.licensor_id, payment.licensee_id)
             if each.book == "receivable" and each.money.currency == payment.currency]  # fmt: skip
    left = source_of_payment(eyes, payment_id).left
    return page(
        request, "payments/one.html", title=f"Payment of {licensee.name}", status=form.status if form else 200,
        payment=payment, licensee=licensee, applications=applications, refunds=refunds, left=left, form=form,
        open=[("", "The oldest first"), *((each.item, f"{each.item}: {each.money}") for each in open_)],
        money=lambda minor: Money(payment.currency, minor), methods=METHODS, today=datetime.now(UTC).date(),
    )  # fmt: skip
