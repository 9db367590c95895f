"""What is owed: double entry, append only. The postings of a transaction sum to zero; the database sees to it."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.database import Base


class LedgerTransaction(Base):
    """One event in the books of a licensor. `reference` makes it happen once: "issue:OWL-000001"."""

    __tablename__ = "ledger_transactions"
    __table_args__ = (UniqueConstraint("licensor_id", "reference"),)
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    licensor_id: Mapped[int] = mapped_column(ForeignKey("licensors.id"))
    licensee_id: Mapped[int] = mapped_column(ForeignKey("licensees.id"))
    reference: Mapped[str]
    posted_at: Mapped[datetime] = mapped_column(server_default=func.now())
    postings: Mapped[list["Posting"]] = relationship(back_populates="transaction", order_by="Posting.id")


class Posting(Base):
    """An amount on one side of the books: positive is debit, negative is credit."""

    __tablename__ = "postings"
    __table_args__ = (CheckConstraint("book IN ('receivable', 'licence_fees')", name="book"),)
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    transaction_id: Mapped[int] = mapped_column(ForeignKey("ledger_transactions.id"), index=True)
    book: Mapped[str]
    currency: Mapped[str]
    amount_minor: Mapped[int]
    transaction: Mapped[LedgerTransaction] = relationship(back_populates="postings")
