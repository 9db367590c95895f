"""Proof that invoices agree with themselves, with the books, and with their frozen hashes."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.audit.record import logged_licensors, verify_chain
from core.invoicing.life.issue import SERIES, number_in
from core.invoicing.life.snapshot import content_hash
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
    """Lines and tax add up to totals, issued documents stand in the books and match their hashes, numbers have no gap,
    nothing is settled beyond what was asked, and the audit logs are whole.
    """
    return [_totals(session), _books(session), _settled(session), _hashes(session), _numbers(session), _logs(session)]


def _totals(session: Session) -> Check:
    by_invoice = select(InvoiceLine.invoice_id, func.sum(InvoiceLine.amount_minor).label("minor")).group_by(
        InvoiceLine.invoice_id
    )
    sums = {row.invoice_id: int(row.minor) for row in session.execute(by_invoice)}
    invoices = session.execute(select(Invoice.id, Invoice.number, Invoice.total_minor, Invoice.tax_minor)).all()
    wrong = tuple(
        f"invoice {number or f'(draft {id_})'}: lines and tax add up to {sums.get(id_, 0) + tax}, "
        f"the total says {total}"
        for id_, number, total, tax in invoices
        if sums.get(id_, 0) + tax != total
    )
    return Check("lines add up to totals", len(invoices), wrong)


def _books(session: Session) -> Check:
    """What a document asks for or gives back is what its entry says; a voided one's further entry undoes it."""
    owed = Posting.book.in_(("receivable", "unapplied"))
    booked = {
        (licensor_id, reference): int(minor)
        for licensor_id, reference, minor in session.execute(
            select(LedgerTransaction.licensor_id, LedgerTransaction.reference, func.sum(Posting.amount_minor))
            .join(Posting)
            .where(owed)
            .group_by(LedgerTransaction.licensor_id, LedgerTransaction.reference)
        )
    }
    issued = session.execute(
        select(Invoice.licensor_id, Invoice.number, Invoice.total_minor, Invoice.status).where(
            Invoice.number.is_not(None)
        )
    ).all()
    wrong = tuple(
        f"invoice {number}: {total} asked for, {booked.get((licensor_id, f'issue:{number}'))} in the books"
        for licensor_id, number, total, _ in issued
        if booked.get((licensor_id, f"issue:{number}")) != total
    )
    wrong += tuple(
        f"invoice {number} is {status}, and the books say otherwise"
        for licensor_id, number, total, status in issued
        if booked.get((licensor_id, f"void:{number}")) != (-total if status == "void" else None)
    )
    unbalanced = session.scalars(
        select(Posting.transaction_id)
        .group_by(Posting.transaction_id, Posting.currency)
        .having(func.sum(Posting.amount_minor) != 0)
    )
    wrong += tuple(f"ledger transaction {id_} does not sum to zero" for id_ in unbalanced)
    return Check("invoices stand in the books", len(issued), wrong)


def _settled(session: Session) -> Check:
    """No invoice is paid beyond what it asked for, and no credit or payment is used beyond what it was worth."""
    sums = (
        select(LedgerTransaction.licensor_id, Posting.book, Posting.item, func.sum(Posting.amount_minor).label("minor"))
        .join(LedgerTransaction)
        .where(Posting.item != "")
        .group_by(LedgerTransaction.licensor_id, Posting.book, Posting.item)
        .subquery()
    )
    looked_at = session.scalar(select(func.count()).select_from(sums)) or 0
    beyond = session.execute(
        select(sums.c.book, sums.c.item, sums.c.minor).where(
            (sums.c.book == "receivable") & (sums.c.minor < 0) | (sums.c.book == "unapplied") & (sums.c.minor > 0)
        )
    )
    wrong = tuple(f"{item}: {abs(int(minor))} more was used on {book} than there was" for book, item, minor in beyond)
    return Check("nothing is settled twice", looked_at, wrong)


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
    marks = {SERIES[kind]: kind for kind in SERIES}
    for licensor, series in session.execute(select(Licensor, NumberSeries).join(NumberSeries)):
        numbers = set(
            session.scalars(
                select(Invoice.number).where(
                    Invoice.licensor_id == licensor.id,
                    Invoice.kind == marks[series.kind],
                    Invoice.number.is_not(None),
                )
            )
        )
        expected = [number_in(licensor.invoice_prefix, series.kind, n) for n in range(1, series.last_number + 1)]
        looked_at += series.last_number
        wrong += [f"number {number} is missing" for number in expected if number not in numbers]
        wrong += [
            f"number {number} is not of its series"
            for number in sorted(each for each in numbers.difference(expected) if each)
        ]
    return Check("numbers have no gap", looked_at, tuple(wrong))


def _logs(session: Session) -> Check:
    looked_at, wrong = 0, []
    slugs = dict(session.execute(select(Licensor.id, Licensor.slug)).all())
    for licensor_id in logged_licensors(session):
        entries, broken = verify_chain(session, licensor_id)
        looked_at += entries
        wrong += [f"audit log of {slugs[licensor_id]}: {sentence}" for sentence in broken]
    return Check("audit logs are whole", looked_at, tuple(wrong))
