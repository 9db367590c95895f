"""The journal: every posting of a licensor's books, in the order in which it was written."""

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.ledger.tables import LedgerTransaction, Posting
from core.money import Money
from core.period import Period
from core.registry.tables import Licensee

JOURNAL_HEADER = (
    *("entry", "booked_on", "posted_at", "licensee", "reference", "book", "item", "currency", "debit", "credit"),
)
_PAGE = 1000


def journal_rows(
    session: Session, licensor_id: int, *, period: Period | None = None, licensee: str | None = None
) -> Iterator[tuple[object, ...]]:
    """Every posting under `JOURNAL_HEADER`, of days in `period` if one is given, a page of the database at a time."""
    asked = (
        select(LedgerTransaction, Licensee.slug, Posting)
        .join_from(Posting, LedgerTransaction, LedgerTransaction.id == Posting.transaction_id)
        .join(Licensee, Licensee.id == LedgerTransaction.licensee_id)
        .where(LedgerTransaction.licensor_id == licensor_id)
        .order_by(LedgerTransaction.id, Posting.id)
    )
    if period is not None:
        asked = asked.where(LedgerTransaction.booked_on >= period.start, LedgerTransaction.booked_on < period.end)
    if licensee is not None:
        asked = asked.where(Licensee.slug == licensee)
    for entry, who, posting in session.execute(asked, execution_options={"yield_per": _PAGE}):
        amount = Money(posting.currency, abs(posting.amount_minor)).amount
        yield (
            entry.id,
            entry.booked_on,
            entry.posted_at,
            who,
            entry.reference,
            posting.book,
            posting.item,
            posting.currency,
            amount if posting.amount_minor > 0 else None,
            amount if posting.amount_minor < 0 else None,
        )
