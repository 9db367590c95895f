"""Payments: recorded, applied, released, refunded."""

from datetime import date, datetime
from typing import Annotated

from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.access.keys import FinanceCaller
from core.errors import InvalidInput, NotFound
from core.invoicing.tables import Invoice
from core.ledger.balances import settled
from core.money import Money
from core.payments.apply import (
    Source,
    allocate,
    apply_oldest_first,
    hold_account,
    record_payment,
    refund,
    release,
    source_of_payment,
)
from core.payments.queries import Listed
from core.payments.queries import payments as listed
from core.payments.tables import PaymentAllocation
from service.finance_caller import Eyes
from service.pages import NEXT, After, Limit, next_mark, read_mark
from service.routes.finance.door import ACTS, READS, READS_ONE, Acting, acting, finance_router
from service.routes.finance.own import own_application, own_invoice, own_licensee, own_payment
from service.routes.finance.shapes import Amount, Body, Currency, Day, Id, Slug, SlugQuery, Why, money_of, written

router = finance_router("payments")
Payments = Annotated[Acting, acting("payments")]
Number = Annotated[str, Field(pattern=r"^[A-Z0-9-]{1,64}$", examples=["OWG-000001"])]


class PaymentRequest(Body):
    """Money that came in. `amount` is what counts for it; `charges` and `withheld` tax are parts that were kept back.

    The invoices named are settled first, then the others, oldest first, unless `keep_rest` leaves the rest unapplied.
    """

    licensee: Slug
    amount: Amount
    currency: Currency
    received_on: Day
    reference: str = Field(min_length=1, max_length=200, examples=["bank-2026-11-4711"], description="unique for each")
    invoices: list[Number] = Field(default_factory=list, max_length=100)
    charges: Amount = "0"
    withheld: Amount = "0"
    payer: str = Field(default="", max_length=500)
    note: str = Field(default="", max_length=500)
    keep_rest: bool = Field(default=False, strict=True)


class ApplyRequest(Body):
    """One invoice, or the oldest ones when left out; and not more than this."""

    invoice: Number | None = None
    amount: Amount | None = Field(default=None, description="needs an invoice")


class RefundRequest(Why):
    """Money that went back; what was applied has to be released first."""

    amount: Amount
    on: Day
    reference: str = Field(min_length=1, max_length=200, description="unique for each")


class Application(BaseModel):
    """What a payment or a credit note settles of an invoice; below zero when it undoes an earlier one."""

    id: int
    invoice: str
    currency: str
    amount: str


class Applications(BaseModel):
    """What was applied."""

    applied: list[Application]


class FinancePayment(BaseModel):
    """A payment and what became of it."""

    id: int
    licensee: str
    method: str = Field(examples=["manual"])
    reference: str
    received_on: date
    recorded_at: datetime
    currency: str
    amount: str
    charges: str
    withheld: str
    applied: str
    refunded: str
    left: str
    payer: str
    note: str
    recorded_by: str
    invoices: list[str] = Field(description="those of which it settles something now")


class FinancePaymentDetail(FinancePayment):
    """A payment with every application of it."""

    applications: list[Application]


class FinancePaymentPage(BaseModel):
    """Payments in the order in which they were recorded."""

    payments: list[FinancePayment]
    next: str | None = Field(default=None, description=NEXT)


class Refund(BaseModel):
    """Money that went back."""

    id: int
    payment: int
    currency: str
    amount: str
    on: date
    reference: str
    reason: str


@router.get("/payments", summary="Payments", responses=READS)
def list_payments(
    session: Eyes, *, licensee: SlugQuery = None, with_rest: bool = False, limit: Limit = 100, after: After = None
) -> FinancePaymentPage:
    """In the order in which they were recorded; `with_rest`: only those with something left to use."""
    mark = read_mark(after, tuple[int])
    at = max(0, min(mark[0], 2**63 - 1)) if mark else 0
    rows = listed(session, licensee=licensee, after=at, limit=limit, with_rest=with_rest)
    return FinancePaymentPage(
        payments=[FinancePayment(**_fields(row)) for row in rows],
        next=next_mark(rows, limit, lambda row: (row.payment.id,)),
    )


@router.get("/payments/{payment_id}", summary="One payment", responses=READS_ONE)
def get_payment(session: Eyes, payment_id: Id) -> FinancePaymentDetail:
    return _shown(session, payment_id)


@router.post(
    "/payments", summary="Record a payment", response_model=FinancePaymentDetail, responses=ACTS, status_code=201
)
def record_one_payment(acts: Payments, said: PaymentRequest) -> Response:
    """Records it and settles invoices with it. The same reference with the same content is recorded once, for ever."""

    def act(session: Session) -> FinancePaymentDetail:
        caller = acts.caller
        licensee_id = own_licensee(session, caller, said.licensee).id
        for number in said.invoices:
            own_invoice(session, caller, number)
        hold_account(session, caller.licensor_id, licensee_id, said.invoices)
        made = record_payment(
            session,
            caller.actor,
            licensor_id=caller.licensor_id,
            licensee_id=licensee_id,
            amount=money_of(said.amount, said.currency),
            received_on=said.received_on,
            method="manual",
            reference=said.reference,
            payer=said.payer,
            note=said.note,
            charges=money_of(said.charges, said.currency),
            withheld=money_of(said.withheld, said.currency),
        )
        for number in said.invoices:
            _settle(session, caller, source_of_payment(session, made.id), number)
        if not said.keep_rest:
            source = source_of_payment(session, made.id)
            apply_oldest_first(session, caller.actor, caller.licensor_id, licensee_id, source)
        return _shown(session, made.id)

    return acts.once(act, status=201)


@router.post(
    "/payments/{payment_id}/apply",
    summary="Settle invoices with a payment",
    response_model=Applications,
    responses=ACTS,
)
def apply_payment(acts: Payments, payment_id: Id, said: ApplyRequest) -> Response:
    """One invoice with what both allow, or with an amount; without an invoice the oldest ones."""

    def act(session: Session) -> Applications:
        caller = acts.caller
        payment = own_payment(session, caller, payment_id)
        if said.invoice is not None:
            own_invoice(session, caller, said.invoice)
        hold_account(session, caller.licensor_id, payment.licensee_id, [said.invoice] if said.invoice else ())
        source = source_of_payment(session, payment_id)
        if said.invoice is None:
            if said.amount is not None:
                raise InvalidInput("bad_amount", "an amount needs the invoice that it is for")
            done = apply_oldest_first(session, caller.actor, caller.licensor_id, payment.licensee_id, source)
            return applications(session, done)
        return applications(session, _settle(session, caller, source, said.invoice, said.amount))

    return acts.once(act)


@router.post(
    "/payments/{payment_id}/refund",
    summary="Record that money went back",
    response_model=Refund,
    responses=ACTS,
    status_code=201,
)
def refund_payment(acts: Payments, payment_id: Id, said: RefundRequest) -> Response:
    """What was not applied. The same reference with the same content is recorded once, for ever."""

    def act(session: Session) -> Refund:
        payment = own_payment(session, acts.caller, payment_id)
        money = money_of(said.amount, payment.currency)
        made = refund(
            session,
            acts.caller.actor,
            source_of_payment(session, payment_id),
            money,
            on=said.on,
            reference=said.reference,
            reason=said.reason,
        )
        return Refund(
            id=made.id,
            payment=payment_id,
            currency=money.currency,
            amount=written(money),
            on=said.on,
            reference=made.reference,
            reason=made.reason,
        )

    return acts.once(act, status=201)


@router.post(
    "/applications/{application_id}/release", summary="Undo an application", response_model=Applications, responses=ACTS
)
def release_application(acts: Payments, application_id: Id, said: Why) -> Response:
    """The invoice is open again by as much, and the money is there to be used."""

    def act(session: Session) -> Applications:
        own_application(session, acts.caller, application_id)
        return applications(session, [release(session, acts.caller.actor, application_id, said.reason)])

    return acts.once(act)


def applications(session: Session, rows: list[PaymentAllocation]) -> Applications:
    """Applications as the API shows them."""
    return Applications(applied=[_application(session, row) for row in rows])


def _application(session: Session, row: PaymentAllocation) -> Application:
    invoice = session.get_one(Invoice, row.invoice_id)
    money = Money(invoice.currency, row.amount_minor)
    return Application(id=row.id, invoice=invoice.number or "", currency=invoice.currency, amount=written(money))


def _settle(
    session: Session, caller: FinanceCaller, source: Source, number: str, amount: str | None = None
) -> list[PaymentAllocation]:
    """One invoice with one payment: what both allow, or the amount given."""
    still_open = settled(session, caller.licensor_id, [number])[number].left
    most = Money(source.left.currency, min(source.left.minor, still_open))
    money = most if amount is None else money_of(amount, source.left.currency)
    return [allocate(session, caller.actor, source, number, money)] if money.minor or amount else []


def _shown(session: Session, payment_id: int) -> FinancePaymentDetail:
    rows = [row for row in listed(session, after=payment_id - 1, limit=1) if row.payment.id == payment_id]
    if not rows:
        raise NotFound("payment_not_found", f"there is no payment {payment_id}")
    asked = select(PaymentAllocation).filter_by(payment_id=payment_id).order_by(PaymentAllocation.id)
    applied = [_application(session, row) for row in session.scalars(asked)]
    return FinancePaymentDetail(**_fields(rows[0]), applications=applied)


def _fields(row: Listed) -> dict[str, object]:
    payment = row.payment

    def amount(minor: int) -> str:
        return written(Money(payment.currency, minor))

    return {
        "id": payment.id,
        "licensee": row.licensee,
        "method": payment.method,
        "reference": payment.reference,
        "received_on": payment.received_on,
        "recorded_at": payment.recorded_at,
        "currency": payment.currency,
        "amount": amount(payment.amount_minor),
        "charges": amount(payment.charges_minor),
        "withheld": amount(payment.withheld_minor),
        "applied": written(row.applied),
        "refunded": written(row.refunded),
        "left": written(row.left),
        "payer": payment.payer,
        "note": payment.note,
        "recorded_by": payment.actor,
        "invoices": list(row.to),
    }
