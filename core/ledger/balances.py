"""Balances are sums over postings. The one that is stored, what is open of each item, is kept by the database."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from core.ledger.tables import LedgerTransaction, Outstanding, Posting
from core.money import Money


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of an invoice's receivable, in minor units: what was owed, and what each kind of entry took off it.

    `paid` are payments and credit applied later, less what was returned; `credited` are credit notes about it.
    """

    owed: int = 0
    paid: int = 0
    credited: int = 0
    written_off: int = 0

    @property
    def left(self) -> int:
        """What is still open; of a voided invoice nothing."""
        return self.owed - self.paid - self.credited - self.written_off


@dataclass(frozen=True, slots=True)
class OpenItem:
    """An invoice that is not settled (`receivable`, above zero), or money and credit to use (`unapplied`, below)."""

    licensee_id: int
    book: str
    item: str
    money: Money


def balances(session: Session, licensor_id: int, licensee_id: int) -> dict[tuple[str, str], Money]:
    """Each book of an account in each currency, debit positive: {("receivable", "USD"): Money("USD", 18504_00)}."""
    rows = session.execute(
        select(Posting.book, Posting.currency, func.sum(Posting.amount_minor))
        .join(LedgerTransaction)
        .where(LedgerTransaction.licensor_id == licensor_id, LedgerTransaction.licensee_id == licensee_id)
        .group_by(Posting.book, Posting.currency)
    )
    return {(book, currency): Money(currency, int(minor)) for book, currency, minor in rows}


def open_items(session: Session, licensor_id: int, licensee_id: int | None = None) -> list[OpenItem]:
    """Everything of a licensor's books that is not settled, by licensee, book and item."""
    asked = (
        select(Outstanding.licensee_id, Outstanding.book, Outstanding.item, Outstanding.currency,
               Outstanding.amount_minor)
        .where(Outstanding.licensor_id == licensor_id)
        .order_by(Outstanding.licensee_id, Outstanding.book, Outstanding.item)
    )  # fmt: skip
    if licensee_id is not None:
        asked = asked.where(Outstanding.licensee_id == licensee_id)
    return [OpenItem(who, book, item, Money(currency, minor)) for who, book, item, currency, minor in
            session.execute(asked)]  # fmt: skip


def verify_open_items(session: Session) -> tuple[int, list[str]]:
    """Adds every open item up again from its postings: how many there are, and which differ."""
    summed = (
        select(LedgerTransaction.licensor_id, Posting.book, Posting.item, Posting.currency, _minor().label("minor"))
        .join(LedgerTransaction)
        .where(Posting.item != "")
        .group_by(LedgerTransaction.licensor_id, Posting.book, Posting.item, Posting.currency)
        .having(_minor() != 0)
    )
    sums = {tuple(row[:4]): int(row.minor) for row in session.execute(summed)}
    kept = {
        (row.licensor_id, row.book, row.item, row.currency): row.amount_minor
        for row in session.scalars(select(Outstanding).execution_options(populate_existing=True))
    }
    wrong = [
        f"{key[2]} on {key[1]}: its postings come to {sums.get(key, 0)} minor units, {kept.get(key, 0)} are shown open"
        for key in sorted(sums.keys() | kept.keys())
        if sums.get(key, 0) != kept.get(key, 0)
    ]
    return len(kept), wrong


def settled(session: Session, licensor_id: int, numbers: Collection[str]) -> dict[str, Settled]:
    """What became of the receivables of invoices, by number; one without a posting has nothing of anything."""
    word, subject = (
        func.split_part(LedgerTransaction.reference, ":", 1),
        func.split_part(LedgerTransaction.reference, ":", 2),
    )
    rows = session.execute(
        select(Posting.item, word, subject == Posting.item, _minor())
        .join(LedgerTransaction)
        .where(LedgerTransaction.licensor_id == licensor_id, Posting.book == "receivable", Posting.item.in_(numbers))
        .group_by(Posting.item, word, subject == Posting.item)
    )
    sums: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for item, what, about_itself, minor in rows:
        sums[item][_kind_of(what, about_itself=about_itself)] += int(minor)
    return {
        number: Settled(found["owed"], -found["paid"], -found["credited"], -found["written_off"])
        for number in numbers
        for found in (sums[number],)
    }


def unapplied(session: Session, licensor_id: int, items: Collection[str]) -> dict[str, int]:
    """What is left to use of payments and credit notes, by item: minor units, zero or more."""
    rows = session.execute(
        select(Posting.item, _minor())
        .join(LedgerTransaction)
        .where(LedgerTransaction.licensor_id == licensor_id, Posting.book == "unapplied", Posting.item.in_(items))
        .group_by(Posting.item)
    )
    found = {item: -int(minor) for item, minor in rows}
    return {item: found.get(item, 0) for item in items}


def reductions(session: Session, licensor_id: int, numbers: Collection[str]) -> dict[str, dict[date, int]]:
    """What was taken off the receivables of invoices on each day, whatever took it: minor units, by number and day."""
    rows = session.execute(
        select(Posting.item, LedgerTransaction.booked_on, _minor())
        .join(LedgerTransaction)
        .where(
            LedgerTransaction.licensor_id == licensor_id,
            Posting.book == "receivable",
            Posting.item.in_(numbers),
            LedgerTransaction.reference != func.concat("issue:", Posting.item),
        )
        .group_by(Posting.item, LedgerTransaction.booked_on)
    )
    taken: dict[str, dict[date, int]] = {number: {} for number in numbers}
    for item, day, minor in rows:
        taken[item][day] = -int(minor)
    return taken


def _kind_of(word: str, *, about_itself: bool) -> str:
    """Which of the sums of `Settled` an entry belongs to, by the word that opens its reference."""
    if word in ("issue", "void"):
        return "owed" if about_itself else "credited"  # a credit note's own issue and void touch what it corrects
    return "written_off" if word in ("write-off", "write-back") else "paid"


def _minor() -> ColumnElement[Any]:
    return func.sum(Posting.amount_minor)
