"""Writes entries into the books."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import NotFound
from core.ledger.posting import Entry, Leg
from core.ledger.tables import LedgerTransaction, Posting
from core.money import Money


def post(session: Session, licensor_id: int, licensee_id: int, entry: Entry) -> LedgerTransaction:
    """Adds the entry. The database refuses a second one with the same reference, and one that does not balance."""
    return post_many(session, licensor_id, [(licensee_id, entry)])[0]


def post_many(session: Session, licensor_id: int, entries: Iterable[tuple[int, Entry]]) -> list[LedgerTransaction]:
    """Adds entries, each with its licensee's id, with as many statements as one."""
    transactions = [_transaction(licensor_id, licensee_id, entry) for licensee_id, entry in entries]
    session.add_all(transactions)
    session.flush()
    return transactions


def _transaction(licensor_id: int, licensee_id: int, entry: Entry) -> LedgerTransaction:
    day: dict[str, Any] = {} if entry.on is None else {"booked_on": entry.on}
    return LedgerTransaction(
        licensor_id=licensor_id,
        licensee_id=licensee_id,
        reference=entry.reference,
        postings=[
            Posting(book=leg.book, currency=leg.money.currency, amount_minor=leg.money.minor, item=leg.item)
            for leg in entry.postings
        ],
        **day,
    )


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
