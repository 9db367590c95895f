"""Proof that invoices agree with themselves, with the books, and with their frozen hashes."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.invoicing.snapshot import content_hash
from core.invoicing.tables import Invoice, InvoiceLine, NumberSeries
from core.ledger.tables import LedgerTransaction, Posting
from core.registry.tables import Licensor


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked: how many were looked at, and a sentence for each that is wrong."""

    name: str
    looked_at: int
    problems: tuple[str, ...]


def verify_invoices(session: Session) -> list[Check]:
    """Lines add up to totals, issued invoices stand in the books and match their hashes, numbers have no gap."""
    return [_totals(session), _books(session), _hashes(session), _numbers(session)]


def _totals(session: Session) -> Check:
    by_invoice = select(InvoiceLine.invoice_id, func.sum(InvoiceLine.amount_minor).label("minor")).group_by(
        InvoiceLine.invoice_id
    )
    sums = {row.invoice_id: int(row.minor) for row in session.execute(by_invoice)}
    invoices = session.execute(select(Invoice.id, Invoice.number, Invoice.total_minor)).all()
    wrong = tuple(
        f"invoice {number or f'(draft {id_})'}: lines add up to {sums.get(id_, 0)}, the total says {total}"
        for id_, number, total in invoices
        if sums.get(id_, 0) != total
    )
    return Check("lines add up to totals", len(invoices), wrong)


def _books(session: Session) -> Check:
    booked = {
        (licensor_id, reference): minor
        for licensor_id, reference, minor in session.execute(
            select(LedgerTransaction.licensor_id, LedgerTransaction.reference, func.sum(Posting.amount_minor))
            .join(Posting)
            .where(Posting.book == "receivable")
            .group_by(LedgerTransaction.licensor_id, LedgerTransaction.reference)
        )
    }
    issued = session.execute(
        select(Invoice.licensor_id, Invoice.number, Invoice.total_minor).where(Invoice.number.is_not(None))
    ).all()
    wrong = tuple(
        f"invoice {number}: {total} asked for, {booked.get((licensor_id, f'issue:{number}'))} in the books"
        for licensor_id, number, total in issued
        if booked.get((licensor_id, f"issue:{number}")) != total
    )
    unbalanced = session.scalars(
        select(Posting.transaction_id)
        .group_by(Posting.transaction_id, Posting.currency)
        .having(func.sum(Posting.amount_minor) != 0)
    )
    wrong += tuple(f"ledger transaction {id_} does not sum to zero" for id_ in unbalanced)
    return Check("invoices stand in the books", len(issued), wrong)


def _hashes(session: Session) -> Check:
    looked_at, wrong = 0, []
    frozen = select(Invoice.number, Invoice.snapshot, Invoice.content_hash).where(Invoice.snapshot.is_not(None))
    for number, snapshot, stored in session.execute(frozen, execution_options={"yield_per": 100}):
        looked_at += 1
        if content_hash(snapshot or {}) != stored:
            wrong.append(f"invoice {number}: its content does not match its hash")
    return Check("frozen content matches its hash", looked_at, tuple(wrong))


def _numbers(session: Session) -> Check:
    wrong = []
    looked_at = 0
    for licensor, last in session.execute(select(Licensor, NumberSeries.last_number).join(NumberSeries)):
        numbers = set(session.scalars(select(Invoice.number).where(Invoice.licensor_id == licensor.id)))
        looked_at += last
        wrong += [
            f"number {licensor.invoice_prefix}-{n:06d} is missing"
            for n in range(1, last + 1)
            if f"{licensor.invoice_prefix}-{n:06d}" not in numbers
        ]
    return Check("numbers have no gap", looked_at, tuple(wrong))
