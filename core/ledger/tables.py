"""What is owed: double entry, append only. The postings of a transaction sum to zero; the database sees to it."""

from datetime import date, datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.database import Base
from core.ledger.posting import BOOKS


class LedgerTransaction(Base):
    """One event in the books of a licensor. `reference` makes it happen once: "issue:OWL-000001".

    `booked_on` is the day for which it counts (a payment's value date, an invoice's day of issue); `posted_at` is when
    we wrote it.
    """

    __tablename__ = "ledger_transactions"
    __table_args__ = (
        UniqueConstraint("licensor_id", "reference"),
        Index("ix_ledger_transactions_account", "licensor_id", "licensee_id", "booked_on"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    licensor_id: Mapped[int] = mapped_column(ForeignKey("licensors.id"))
    licensee_id: Mapped[int] = mapped_column(ForeignKey("licensees.id"))
    reference: Mapped[str]
    booked_on: Mapped[date] = mapped_column(server_default=text("CURRENT_DATE"))
    posted_at: Mapped[datetime] = mapped_column(server_default=func.now())
    postings: Mapped[list["Posting"]] = relationship(back_populates="transaction", order_by="Posting.id")


class Posting(Base):
    """An amount on one side of the books: positive is debit, negative is credit.

    `item` is the open item that it adds to or takes from, where the book has such: the number of an invoice on
    `receivable`; on `unapplied` the number of a credit note or the reference of a payment.
    """

    __tablename__ = "postings"
    __table_args__ = (
        CheckConstraint(f"book IN ({', '.join(repr(book) for book in BOOKS)})", name="book"),
        CheckConstraint("item = '' OR book IN ('receivable', 'unapplied')", name="item"),
        Index("ix_postings_item", "item", postgresql_where=text("item <> ''")),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    transaction_id: Mapped[int] = mapped_column(ForeignKey("ledger_transactions.id"), index=True)
    book: Mapped[str]
    currency: Mapped[str]
    amount_minor: Mapped[int]
    item: Mapped[str] = mapped_column(server_default="")
    transaction: Mapped[LedgerTransaction] = relationship(back_populates="postings")


class Outstanding(Base):
    """What is open of an item: the sum of its postings, while that is not zero. An invoice on `receivable` above zero,
    a payment or a credit note on `unapplied` below. The database keeps it in the statement that posts; nobody else may.
    """

    __tablename__ = "open_items"
    __table_args__ = (Index("ix_open_items_licensee", "licensor_id", "licensee_id"),)
    licensor_id: Mapped[int] = mapped_column(primary_key=True)
    book: Mapped[str] = mapped_column(primary_key=True)
    item: Mapped[str] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    licensee_id: Mapped[int]
    amount_minor: Mapped[int]
