"""Writes entries into the books."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import NotFound
from core.ledger.posting import Entry, Leg
from core.ledger.tables import LedgerTransaction, Posting
from core.money import Money


def post(session: Session, licensor_id: int, licensee_id: int, entry: Entry) -> LedgerTransaction:
    """Adds the entry. The database refuses a second one with the same reference, and one that does not balance."""
    day: dict[str, Any] = {} if entry.on is None else {"booked_on": entry.on}
    transaction = LedgerTransaction(
        licensor_id=licensor_id,
        licensee_id=licensee_id,
        reference=entry.reference,
        postings=[
            Posting(book=leg.book, currency=leg.money.currency, amount_minor=leg.money.minor, item=leg.item)
            for leg in entry.postings
        ],
        **day,
    )
    session.add(transaction)
    session.flush()
    return transaction


def posted(session: Session, licensor_id: int, reference: str) -> Entry:
    """An entry as it stands in the books, for instance to be reversed."""
    found = session.scalars(
        select(LedgerTransaction).where(
            LedgerTransaction.licensor_id == licensor_id, LedgerTransaction.reference == reference
        )
    ).one_or_none()
    if found is None:
        raise NotFound("entry_not_found", f"the books hold no entry {reference}")
    legs = tuple(Leg(row.book, Money(row.currency, row.amount_minor), row.item) for row in found.postings)
    return Entry(found.reference, legs, found.booked_on)
