"""Bank statements: read once, proposed, decided by a person. A file read again, or an overlapping one, adds nothing."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.actors import Actor
from core.audit.record import record
from core.errors import Conflict, InvalidInput, NotFound
from core.invoicing.tables import Invoice
from core.ledger.balances import open_items, settled
from core.money import Money
from core.payments.apply import account_of, allocate, hold_account, record_payment, source_of_payment
from core.payments.bank import Row, read_statement
from core.payments.matching import Match, OpenInvoice, match
from core.payments.tables import BankDecision, BankRow, BankStatement, Payment
from core.registry.tables import Licensee, Licensor


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file: rows that are new, and rows that another file had shown before."""

    statement_id: int
    new: int
    known: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """A row that waits for a person, with what it seems to be."""

    row: BankRow
    match: Match


def import_statement(
    session: Session, actor: Actor, licensor_id: int, *, name: str, content: bytes, currency: str,
    columns: Mapping[str, str] | None = None,
) -> Imported:  # fmt: skip
    """Takes the incoming rows of a bank's file. A file of the same name must be the same file."""
    actor.demand("clerk", "import a bank statement")
    name = name.strip()
    if not name or len(name) > 200 or not name.isprintable():
        raise InvalidInput("no_name", "a statement needs a name of its own, such as the bank's number for it")
    rows, digest = read_statement(content, currency, columns), hashlib.sha256(content).hexdigest()
    made = insert(BankStatement).values(licensor_id=licensor_id, name=name, sha256=digest, imported_by=actor.name)
    session.execute(made.on_conflict_do_nothing())
    statement = session.scalars(select(BankStatement).filter_by(licensor_id=licensor_id, name=name)).one()
    if statement.sha256 != digest:
        raise Conflict(
            "statement_differs", f"statement {name} is known with another content: give this one another name"
        )
    values = [
        {
            "statement_id": statement.id,
            "licensor_id": licensor_id,
            "fingerprint": row.fingerprint,
            "no": row.no,
            "booked_on": row.booked_on,
            "currency": row.amount.currency,
            "amount_minor": row.amount.minor,
            "payer": row.payer,
            "reference": row.reference,
        }
        for row in rows
    ]
    new = 0
    for at in range(0, len(values), 1000):
        added = insert(BankRow).values(values[at : at + 1000]).on_conflict_do_nothing().returning(BankRow.id)
        new += len(session.execute(added).all())
    if new:
        record(session, licensor_id, actor, "bank_statement_imported", f"statement:{name}", {"rows": new})
    return Imported(statement.id, new, len(rows) - new)


def proposals(session: Session, licensor_id: int) -> list[Proposal]:
    """Every row without a decision, with the invoices it seems to pay as they stand now."""
    waiting = session.scalars(
        select(BankRow)
        .outerjoin(BankDecision, BankDecision.row_id == BankRow.id)
        .where(BankRow.licensor_id == licensor_id, BankDecision.row_id.is_(None))
        .order_by(BankRow.booked_on, BankRow.id)
    ).all()
    invoices = open_invoices(session, licensor_id) if waiting else []
    return [Proposal(row, match(_as_read(row), invoices)) for row in waiting]


def open_invoices(session: Session, licensor_id: int) -> list[OpenInvoice]:
    """The licensor's invoices that are not settled, by the books."""
    left = {item.item: item.money for item in open_items(session, licensor_id) if item.book == "receivable"}
    rows = session.execute(
        select(Invoice, Licensee)
        .join(Licensee, Licensee.id == Invoice.licensee_id)
        .where(Invoice.licensor_id == licensor_id, Invoice.number.in_(left), Invoice.status == "issued")
        .order_by(Invoice.due_on, Invoice.id)
    )
    return [
        OpenInvoice(invoice.number, licensee.slug, licensee.name, left[invoice.number], invoice.due_on)
        for invoice, licensee in rows
        if invoice.number is not None and invoice.due_on is not None
    ]


def confirm(
    session: Session, actor: Actor, row_id: int, *, licensee: str | None = None, numbers: tuple[str, ...] | None = None
) -> Payment:
    """The row is a payment: as proposed, or of `licensee` for the invoices `numbers` in this order. What is too much
    stays unapplied. A row that was confirmed already is the payment that it became."""
    actor.demand("clerk", "confirm a payment")
    row = session.get(BankRow, row_id)
    if row is None:
        raise NotFound("row_not_found", f"there is no bank row {row_id}")
    if licensee is None:
        proposed = match(_as_read(row), open_invoices(session, row.licensor_id))
        if proposed.licensee is None and session.get(BankDecision, row_id) is None:
            raise Conflict("no_proposal", f"row {row_id}: {proposed.reason}; say whose it is")
        licensee, numbers = proposed.licensee, numbers if numbers is not None else proposed.numbers
    decided = session.get(BankDecision, row_id)
    if decided is not None:
        if decided.payment_id is None:
            raise Conflict("row_ignored", f"row {row_id} was set aside: {decided.reason}")
        return session.get_one(Payment, decided.payment_id)
    licensor = session.get_one(Licensor, row.licensor_id).slug
    _, licensee_id = account_of(session, licensor, licensee or "")
    hold_account(session, row.licensor_id, licensee_id, numbers or ())
    payment = record_payment(
        session,
        actor,
        licensor_id=row.licensor_id,
        licensee_id=licensee_id,
        amount=Money(row.currency, row.amount_minor),
        received_on=row.booked_on,
        method="bank",
        reference=row.fingerprint,
        payer=row.payer,
        note=row.reference,
    )
    _decide(session, row_id, actor, payment_id=payment.id)
    for number in numbers or ():
        source = source_of_payment(session, payment.id)
        still_open = settled(session, row.licensor_id, [number])[number].left
        amount = min(source.left.minor, still_open)
        if amount > 0:
            allocate(session, actor, source, number, Money(row.currency, amount))
    return payment


def set_aside(session: Session, actor: Actor, row_id: int, reason: str) -> None:
    """The row is no payment of a licensee."""
    actor.demand("clerk", "set a bank row aside")
    if session.get(BankRow, row_id) is None:
        raise NotFound("row_not_found", f"there is no bank row {row_id}")
    if not reason.strip():
        raise InvalidInput("no_reason", "say what the row is instead")
    _decide(session, row_id, actor, reason=reason.strip()[:500])


def _decide(session: Session, row_id: int, actor: Actor, *, payment_id: int | None = None, reason: str = "") -> None:
    made = insert(BankDecision).values(row_id=row_id, payment_id=payment_id, reason=reason, actor=actor.name)
    done = session.execute(made.on_conflict_do_nothing().returning(BankDecision.row_id)).scalar_one_or_none()
    if done is None:
        raise Conflict("row_decided", f"row {row_id} was decided by somebody else just now")


def _as_read(row: BankRow) -> Row:
    money = Money(row.currency, row.amount_minor)
    return Row(row.no, row.booked_on, money, row.payer, row.reference, row.fingerprint)
