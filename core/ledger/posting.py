"""What each event of the trade writes into the books. Positive is debit, negative is credit; entries sum to zero."""

from dataclasses import dataclass

from core.money import Money


@dataclass(frozen=True, slots=True)
class Entry:
    """A ledger transaction to be: its reference makes it happen once per licensor."""

    reference: str
    postings: tuple[tuple[str, Money], ...]


def invoice_issued(number: str, total: Money) -> Entry:
    """The licensee owes the total, and the licensor has earned it."""
    return Entry(f"issue:{number}", (("receivable", total), ("licence_fees", -total)))
