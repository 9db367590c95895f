"""Writes entries into the books."""

from sqlalchemy.orm import Session

from core.ledger.posting import Entry
from core.ledger.tables import LedgerTransaction, Posting


def post(session: Session, licensor_id: int, licensee_id: int, entry: Entry) -> LedgerTransaction:
    """Adds the entry. The database refuses a second one with the same reference, and one that does not balance."""
    transaction = LedgerTransaction(
        licensor_id=licensor_id,
        licensee_id=licensee_id,
        reference=entry.reference,
        postings=[
            Posting(book=book, currency=money.currency, amount_minor=money.minor) for book, money in entry.postings
        ],
    )
    session.add(transaction)
    session.flush()
    return transaction
