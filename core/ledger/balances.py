"""Balances are sums over postings; nothing stores one."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.ledger.tables import LedgerTransaction, Posting
from core.money import Money


def balances(session: Session, licensor_id: int, licensee_id: int) -> dict[tuple[str, str], Money]:
    """Each book of an account in each currency, debit positive: {("receivable", "USD"): Money("USD", 18504_00)}."""
    rows = session.execute(
        select(Posting.book, Posting.currency, func.sum(Posting.amount_minor))
        .join(LedgerTransaction)
        .where(LedgerTransaction.licensor_id == licensor_id, LedgerTransaction.licensee_id == licensee_id)
        .group_by(Posting.book, Posting.currency)
    )
    return {(book, currency): Money(currency, int(minor)) for book, currency, minor in rows}
