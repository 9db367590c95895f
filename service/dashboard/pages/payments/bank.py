"""Bank statements: a file looked at first, then taken; each row is a payment only when somebody says so."""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.errors import InvalidInput, NotFound
from core.money import Money
from core.payments.bank import read_statement
from core.payments.bank_statements import confirm, import_statement, open_invoices, proposals, set_aside
from core.payments.matching import Match, match
from core.payments.tables import BankRow, BankStatement
from service.dashboard.acting import act
from service.dashboard.form import Filled, Form
from service.dashboard.pages.payments.fields import accounts_of, currencies_in, demand_own, numbers_in
from service.dashboard.pages.payments.router import router, tabs_at
from service.dashboard.rendering import after, page
from service.dashboard.signed_in import Clerk, FinanceEyes, FinancePerson, Viewer
from service.routes.finance.own import own_bank_row

SHOWN = 100  # rows of a file that are looked at, and rows that wait
MOST_FILE = 2 * 1024 * 1024  # larger files are for the command line


@dataclass(frozen=True)
class Looked:
    """A file before it is taken: its rows with what each seems to be."""

    content: str
    name: str
    currency: str
    rows: list[tuple[object, Match]]
    count: int
    sums: list[Money]
    certain: int


@router.get("/bank")
def bank_statements(request: Request, person: Viewer, eyes: FinanceEyes) -> Response:
    return _shown(request, person, eyes, None, None)


@router.post("/bank")
def take_statement(request: Request, person: Clerk, eyes: FinanceEyes, form: Filled) -> Response:
    """Shows what a file holds, or takes it, by the button that was pressed."""
    looked, said = None, ""
    with form:
        step = form.choice("step", ("look", "take"), "look")
        name = form.text("name", most=200)
        currency = form.choice("currency", currencies_in(accounts_of(eyes, person)))
        content = _content(form)
        form.demand()
        if step == "look":
            looked = _look(eyes, person, content, name, currency)
        else:
            made = act(
                request,
                lambda session: import_statement(
                    session, person.actor, person.licensor_id, name=name, content=content, currency=currency
                ),
            )
            said = f"{made.new:,} new rows" + (f", {made.known:,} known from another file" if made.known else "")
    if form.wrong or looked:
        return _shown(request, person, eyes, form, looked)
    return after(request, "/payments/bank", f"{said}. Confirm what is a payment.")


@router.post("/bank/{row_id}/confirm")
def confirm_row(request: Request, person: Clerk, eyes: FinanceEyes, row_id: int, form: Filled) -> Response:
    """It is a payment: as proposed, or of the licensee and for the invoices that were typed."""
    _own_row(eyes, person, row_id)
    made = 0
    with form:
        accounts = accounts_of(eyes, person) if form.said("licensee") else {}
        licensee = form.choice("licensee", list(accounts)) if form.said("licensee") else None
        numbers = numbers_in(form, "invoices") if licensee else None
        form.demand()
        demand_own(eyes, numbers or ())
        made = act(
            request,
            lambda session: confirm(
                session, person.actor, row_id, licensee=licensee,
                numbers=tuple(numbers) if numbers is not None else None,
            ).id,
        )  # fmt: skip
    if form.wrong:
        return after(request, "/payments/bank", f"{next(iter(form.errors.values()))}.".replace("..", "."), tone="bad")
    return after(request, "/payments/bank", f"It is payment {made}.")


@router.post("/bank/{row_id}/set-aside")
def set_row_aside(request: Request, person: Clerk, eyes: FinanceEyes, row_id: int, form: Filled) -> Response:
    """It is no licensee's payment."""
    _own_row(eyes, person, row_id)
    with form:
        reason = form.text("reason", most=500)
        form.demand()
        act(request, lambda session: set_aside(session, person.actor, row_id, reason))
    if form.wrong:
        return after(request, "/payments/bank", f"{next(iter(form.errors.values()))}.".replace("..", "."), tone="bad")
    return after(request, "/payments/bank", "Set aside.")


def _own_row(eyes: Session, person: FinancePerson, row_id: int) -> BankRow:
    if not 0 < row_id < 2**63:
        raise NotFound("bank_row_not_found", f"there is no bank row {row_id}")
    found: BankRow = own_bank_row(eyes, person, row_id)  # type: ignore[arg-type]
    return found


def _content(form: Form) -> bytes:
    """The file that was chosen, or the one that was looked at just now."""
    upload = form.file("file")
    if upload is not None:
        content = upload.file.read(MOST_FILE + 1)
    else:
        try:
            content = b64decode(form.said("content"), validate=True)
        except (NotBase64, ValueError):
            content = b""
    if not content:
        form.refuse("file", "choose the bank's CSV file")
    elif len(content) > MOST_FILE:
        most = f"at most {MOST_FILE // 1024**2} MiB here"
        form.refuse("file", f"{most}: larger ones are for `perimage payments import-bank`")
    return content


def _look(eyes: Session, person: FinancePerson, content: bytes, name: str, currency: str) -> Looked:
    rows = read_statement(content, currency)
    if not rows:
        raise InvalidInput("no_rows", "no money came in by this file", field="file")
    invoices = open_invoices(eyes, person.licensor_id)
    found = [(row, match(row, invoices)) for row in rows[:SHOWN]]
    sums: dict[str, Money] = {}
    for row in rows:
        sums[row.amount.currency] = sums.get(row.amount.currency, Money(row.amount.currency, 0)) + row.amount
    certain = sum(each.confidence in ("certain", "likely") for _, each in found)
    return Looked(b64encode(content).decode(), name, currency, list(found), len(rows), list(sums.values()), certain)


def _shown(
    request: Request, person: FinancePerson, eyes: Session, form: Form | None, looked: Looked | None
) -> Response:
    waiting = proposals(eyes, person.licensor_id)
    taken = eyes.scalars(
        select(BankStatement).filter_by(licensor_id=person.licensor_id).order_by(BankStatement.id.desc()).limit(10)
    ).all()
    accounts = accounts_of(eyes, person)
    return page(
        request, "payments/bank.html", title="Bank statements", status=form.status if form else 200,
        tabs=tabs_at("/payments/bank"), form=form, looked=looked, waiting=waiting[:SHOWN], count=len(waiting),
        taken=taken, currencies=[(each, each) for each in currencies_in(accounts)],
        names={slug: name for slug, (_, name, _) in accounts.items()},
        licensees=[("", "Choose"), *((slug, name) for slug, (_, name, _) in accounts.items())],
    )  # fmt: skip
