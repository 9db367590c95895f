"""Bank statements: read, proposed, and decided by a person. Nothing is a payment before somebody confirms it."""

from datetime import date
from typing import Annotated

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.money import Money
from core.payments.bank import NAMES
from core.payments.bank_statements import confirm, import_statement, proposals, set_aside
from service.finance_caller import Eyes, Reader
from service.pages import NEXT, After, Limit, next_mark, read_mark
from service.routes.finance.door import ACTS, READS, Acting, acting, finance_router
from service.routes.finance.own import own_bank_row, own_invoice, own_licensee
from service.routes.finance.payments import Number
from service.routes.finance.shapes import Body, Currency, Id, Slug, Why, written

router = finance_router("payments")
Payments = Annotated[Acting, acting("payments")]
Column = Annotated[str, Field(min_length=1, max_length=100)]


class BankStatementRequest(Body):
    """A bank's CSV file. Larger ones than fit here are for `perimage payments import-bank`."""

    name: str = Field(min_length=1, max_length=200, examples=["2026-11"], description="the statement's own name")
    content: str = Field(min_length=1, examples=["date,amount,payer,reference\n2026-11-03,1250.00,North,OWG-000001\n"])
    currency: Currency = Field(default="USD", description="where no column says one")
    columns: dict[str, Column] = Field(
        default_factory=dict,
        max_length=len(NAMES),
        json_schema_extra={"propertyNames": {"enum": list(NAMES)}},
        description="what a column is called, where it has no usual name",
    )


class BankStatementTaken(BaseModel):
    """What became of a file: rows that are new, and rows that another file had shown before."""

    statement_id: int
    new: int
    known: int


class BankRowProposal(BaseModel):
    """A row that waits for a person, and what it seems to be."""

    row_id: int
    booked_on: date
    currency: str
    amount: str
    payer: str
    reference: str
    confidence: str
    reason: str
    licensee: str | None
    invoices: list[str]


class BankRowPage(BaseModel):
    """Rows that wait for a person, oldest first."""

    rows: list[BankRowProposal]
    next: str | None = Field(default=None, description=NEXT)


class ConfirmRequest(Body):
    """As proposed; or whose it is, and which invoices it pays in this order."""

    licensee: Slug | None = None
    invoices: list[Number] | None = Field(default=None, max_length=100)


class BankRowDecided(BaseModel):
    """What a row was decided to be: a payment, or none."""

    row_id: int
    payment_id: int | None


@router.post(
    "/bank-statements",
    summary="Read a bank statement",
    response_model=BankStatementTaken,
    responses=ACTS,
    status_code=201,
)
def import_bank_statement(acts: Payments, said: BankStatementRequest) -> Response:
    """A statement read twice, or one that overlaps another, adds nothing twice."""

    def act(session: Session) -> BankStatementTaken:
        made = import_statement(
            session,
            acts.caller.actor,
            acts.caller.licensor_id,
            name=said.name,
            content=said.content.encode(),
            currency=said.currency,
            columns={what: name for what, name in said.columns.items() if what in NAMES},
        )
        return BankStatementTaken(statement_id=made.statement_id, new=made.new, known=made.known)

    return acts.once(act, status=201)


@router.get("/bank-rows", summary="Bank rows that wait for a person", responses=READS)
def list_bank_rows(session: Eyes, caller: Reader, *, limit: Limit = 100, after: After = None) -> BankRowPage:
    """With what each seems to pay as invoices stand now."""
    mark = read_mark(after, tuple[str, int])
    found = [
        each
        for each in proposals(session, caller.licensor_id)
        if mark is None or (each.row.booked_on.isoformat(), each.row.id) > tuple(mark)
    ][:limit]
    rows = [
        BankRowProposal(
            row_id=each.row.id,
            booked_on=each.row.booked_on,
            currency=each.row.currency,
            amount=written(Money(each.row.currency, each.row.amount_minor)),
            payer=each.row.payer,
            reference=each.row.reference,
            confidence=each.match.confidence,
            reason=each.match.reason,
            licensee=each.match.licensee,
            invoices=list(each.match.numbers),
        )
        for each in found
    ]
    return BankRowPage(
        rows=rows, next=next_mark(found, limit, lambda each: (each.row.booked_on.isoformat(), each.row.id))
    )


@router.post(
    "/bank-rows/{row_id}/confirm", summary="Say that a row is a payment", response_model=BankRowDecided, responses=ACTS
)
def confirm_bank_row(acts: Payments, row_id: Id, said: ConfirmRequest) -> Response:
    """As proposed, or as you say. What is too much stays with the account."""

    def act(session: Session) -> BankRowDecided:
        own_bank_row(session, acts.caller, row_id)
        if said.licensee is not None:
            own_licensee(session, acts.caller, said.licensee)
        for number in said.invoices or ():
            own_invoice(session, acts.caller, number)
        numbers = None if said.invoices is None else tuple(said.invoices)
        made = confirm(session, acts.caller.actor, row_id, licensee=said.licensee, numbers=numbers)
        return BankRowDecided(row_id=row_id, payment_id=made.id)

    return acts.once(act)


@router.post(
    "/bank-rows/{row_id}/set-aside",
    summary="Say that a row is no licensee's payment",
    response_model=BankRowDecided,
    responses=ACTS,
)
def set_bank_row_aside(acts: Payments, row_id: Id, said: Why) -> Response:
    def act(session: Session) -> BankRowDecided:
        own_bank_row(session, acts.caller, row_id)
        set_aside(session, acts.caller.actor, row_id, said.reason)
        return BankRowDecided(row_id=row_id, payment_id=None)

    return acts.once(act)
