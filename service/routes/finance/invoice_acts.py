"""What finance people do with invoices. Who may do what, and where it takes two, is for the verbs to say."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.actors import Actor
from core.errors import InvalidInput
from core.invoicing.drafts.close import close
from core.invoicing.drafts.extras import adjust
from core.invoicing.life.acts import ask
from core.invoicing.life.approve import approve, hold, release
from core.invoicing.life.claims import dispute, settle_dispute, write_back, write_off
from core.invoicing.life.credit import credit
from core.invoicing.life.credit_plan import credit_amounts
from core.invoicing.life.issue import issue
from core.invoicing.life.void import void
from core.invoicing.tables import Invoice
from core.period import Period
from core.registry.tables import Account
from core.usage.counts.rollup import roll_up
from service.routes.finance.door import ACTS, Acting, acting, finance_router
from service.routes.finance.invoices import FinanceInvoice, shown
from service.routes.finance.own import own_agreement, own_invoice
from service.routes.finance.shapes import Amount, Body, InvoiceName, Month, Nothing, SlugPath, Why, money_of

router = finance_router("invoices")
Invoices = Annotated[Acting, acting("invoices")]
Closes = Annotated[Acting, acting("close")]


class CreditRequest(Why):
    """How much to take back before tax: everything that is left, an amount, or an amount of one line."""

    amount: Amount | None = None
    line: int | None = Field(default=None, strict=True, ge=1, le=10**6)


class AskRequest(CreditRequest):
    """What another person is to do; the amount is for a credit only."""

    verb: Literal["void", "credit", "write_off"]


class SettleRequest(Why):
    """How the dispute ended."""

    outcome: Literal["agreed", "rejected", "withdrawn"]


class CloseRequest(Body):
    """The month to close; it must be over."""

    period: Month


class AdjustmentRequest(Why):
    """An amount before tax, agreed on beside the terms for a month that is over; below zero it is given back."""

    period: Month
    amount: Amount
    description: str = Field(min_length=1, max_length=255, examples=["Launch campaign"])


class ClosedPeriod(BaseModel):
    """What stands for the period now; nothing where nothing is due. `wrote`: the draft was written by this close."""

    wrote: bool
    invoice: FinanceInvoice | None


class Adjustment(BaseModel):
    """An agreed adjustment; the next close bills it."""

    id: int
    agreement: str
    period: str
    currency: str
    amount: str
    description: str
    reason: str


def _act(name: str, said: str, *, status: int = 200) -> Any:
    return router.post(
        f"/invoices/{{invoice}}/{name}",
        summary=said,
        response_model=FinanceInvoice,
        responses=ACTS,
        status_code=status,
    )


@_act("hold", "Hold a draft back")
def hold_invoice(acts: Invoices, invoice: InvoiceName, said: Why) -> Response:
    """It stays held through every close until somebody releases it."""
    return _once(acts, invoice, lambda session, found, by: hold(session, found.id, by, said.reason))


@_act("release", "Release a held draft")
def release_invoice(acts: Invoices, invoice: InvoiceName, said: Why) -> Response:
    """For the lines it has now: a draft that changes is judged anew."""
    return _once(acts, invoice, lambda session, found, by: release(session, found.id, by, said.reason))


@_act("approve", "Approve a draft")
def approve_invoice(acts: Invoices, invoice: InvoiceName, said: Nothing | None = None) -> Response:
    """Above the limit by somebody else than whoever closed it."""
    return _once(acts, invoice, lambda session, found, by: approve(session, found.id, by))


@_act("issue", "Issue a draft")
def issue_invoice(acts: Invoices, invoice: InvoiceName, said: Nothing | None = None) -> Response:
    """Numbers and freezes it. Above the limit by somebody else than whoever approved it. An issued one stays."""
    acts.caller.actor.demand("approver", "issue an invoice")  # also where it is issued already
    return _once(acts, invoice, lambda session, found, by: issue(session, found.id, by))


@_act("void", "Void an issued invoice")
def void_invoice(acts: Invoices, invoice: InvoiceName, said: Why) -> Response:
    """Only where nothing was paid or credited. Closing its period again makes it anew."""
    return _once(acts, invoice, lambda session, found, by: void(session, _name(found), by, said.reason))


@_act("credit", "Credit an issued invoice", status=201)
def credit_invoice(acts: Invoices, invoice: InvoiceName, said: CreditRequest) -> Response:
    """Issues a credit note over all that is left of it, an amount, or an amount of one line; answers with the note."""

    def do(session: Session, found: Invoice, by: Actor) -> Invoice:
        return credit(session, _name(found), by, said.reason, _amounts(session, found, said))

    return _once(acts, invoice, do, status=201)


@_act("write-off", "Write off what is left of an invoice")
def write_off_invoice(acts: Invoices, invoice: InvoiceName, said: Why) -> Response:
    return _once(acts, invoice, lambda session, found, by: write_off(session, _name(found), by, said.reason))


@_act("write-back", "Expect a written-off invoice again")
def write_back_invoice(acts: Invoices, invoice: InvoiceName, said: Why) -> Response:
    return _once(acts, invoice, lambda session, found, by: write_back(session, _name(found), by, said.reason))


@_act("dispute", "Write down that the licensee disputes an invoice")
def dispute_invoice(acts: Invoices, invoice: InvoiceName, said: Why) -> Response:
    return _once(acts, invoice, lambda session, found, by: dispute(session, _name(found), by, said.reason))


@_act("settle-dispute", "End the dispute of an invoice")
def settle_invoice_dispute(acts: Invoices, invoice: InvoiceName, said: SettleRequest) -> Response:
    """What was agreed is made good by a credit or a correction, which is another act."""

    def do(session: Session, found: Invoice, by: Actor) -> object:
        return settle_dispute(session, _name(found), by, said.outcome, said.reason)

    return _once(acts, invoice, do)


@_act("ask", "Ask for a void, a credit or a write-off")
def ask_for(acts: Invoices, invoice: InvoiceName, said: AskRequest) -> Response:
    """For somebody else to do: above the limit it takes two."""

    def do(session: Session, found: Invoice, by: Actor) -> object:
        if said.verb != "credit" and (said.amount is not None or said.line is not None):
            raise InvalidInput("bad_amount", "only a credit takes an amount or a line")
        return ask(session, _name(found), said.verb, by, said.reason, amounts=_amounts(session, found, said))

    return _once(acts, invoice, do)


@router.post(
    "/agreements/{agreement}/close",
    summary="Close a month of one agreement",
    response_model=ClosedPeriod,
    responses=ACTS,
)
def close_agreement(acts: Closes, agreement: SlugPath, said: CloseRequest) -> Response:
    """Writes the draft of the month, or writes it anew; twice is once. For all agreements at once, ask for a run."""
    month = Period.month(said.period)
    acts.caller.actor.demand("clerk", "close a period")
    count_what_came(acts, lambda session: own_agreement(session, acts.caller, agreement))

    def act(session: Session) -> ClosedPeriod:
        closed = close(session, own_agreement(session, acts.caller, agreement).id, month, acts.caller.actor)
        invoice = shown(session, closed.invoice) if closed.invoice else None
        return ClosedPeriod(wrote=closed.wrote, invoice=invoice)

    return acts.once(act)


@router.post(
    "/agreements/{agreement}/adjustments",
    summary="Agree on an amount beside the terms",
    response_model=Adjustment,
    responses=ACTS,
    status_code=201,
)
def add_adjustment(acts: Invoices, agreement: SlugPath, said: AdjustmentRequest) -> Response:
    """The next close bills it, as a line that names its period. A wrong one is undone by its opposite."""

    def act(session: Session) -> Adjustment:
        currency = session.get_one(Account, own_agreement(session, acts.caller, agreement).account_id).currency
        made = adjust(
            session,
            agreement,
            Period.month(said.period),
            money_of(said.amount, currency).minor,
            description=said.description,
            by=acts.caller.actor,
            reason=said.reason,
        )
        return Adjustment(
            id=made.id,
            agreement=agreement,
            period=said.period,
            currency=currency,
            amount=said.amount,
            description=made.description,
            reason=made.reason,
        )

    return acts.once(act, status=201)


def _once(acts: Acting, name: str, do: Callable[[Session, Invoice, Actor], object], *, status: int = 200) -> Response:
    """Does something with the caller's own invoice; answers with it, or with the invoice that came of it."""

    def act(session: Session) -> FinanceInvoice:
        found = own_invoice(session, acts.caller, name)
        made = do(session, found, acts.caller.actor)
        session.flush()
        return shown(session, made if isinstance(made, Invoice) else found)

    return acts.once(act, status=status)


def _name(invoice: Invoice) -> str:
    return invoice.number or f"draft-{invoice.id}"


def _amounts(session: Session, invoice: Invoice, said: CreditRequest) -> dict[int, int] | None:
    if said.amount is None:
        if said.line is not None:
            raise InvalidInput("bad_amount", "say how much of the line: give an amount")
        return None
    return credit_amounts(session, invoice, said.amount, said.line)


def count_what_came(acts: Acting, first: Callable[[Session], object] | None = None) -> None:
    """Rolls up first, in transactions of its own: the watermark is everybody's. `first` may refuse before that."""
    with Session(acts.engine) as session:
        if first is not None:
            first(session)
        while roll_up(session).more:
            session.commit()
        session.commit()
