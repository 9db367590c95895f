"""What each event of the trade writes into the books. Positive is debit, negative is credit; entries sum to zero.

| book | what it holds |
|---|---|
| receivable | what licensees owe, by invoice (`item` is its number); never below zero for an invoice |
| unapplied | licensees' money and credit not used yet, by payment or credit note: a debt of ours, so never above zero |
| cash | what came in and went out |
| licence_fees, interest_income | what was earned |
| tax_payable | tax that was asked for and is owed to an authority |
| bad_debt | what was written off |
| bank_charges, withholding_tax | what was kept back on the way: the licensee has paid it all the same |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from core.errors import InvalidInput
from core.money import Money, total

BOOKS = (
    *("receivable", "unapplied", "cash", "licence_fees", "interest_income", "tax_payable"),
    *("bad_debt", "bank_charges", "withholding_tax"),
)


class Leg(NamedTuple):
    """One posting to be: an amount on a book, and the open item that it adds to or takes from."""

    book: str
    money: Money
    item: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A ledger transaction to be: its reference makes it happen once per licensor. `on` is the day it counts for;
    None leaves it to the database's today."""

    reference: str
    postings: tuple[Leg, ...]
    on: date | None = None


def invoice_issued(number: str, fees: Money, tax: Money | None = None, interest: Money | None = None,
                   on: date | None = None) -> Entry:  # fmt: skip
    """The licensee owes fees, interest and tax, and the licensor has earned all but the tax."""
    nothing = Money(fees.currency, 0)
    tax, interest = tax or nothing, interest or nothing
    earned = _legs(Leg("licence_fees", -fees), Leg("interest_income", -interest), Leg("tax_payable", -tax))
    return Entry(f"issue:{number}", (Leg("receivable", fees + interest + tax, number), *earned), on)


def credit_note_issued(
    number: str,
    fees: Money,
    tax: Money,
    interest: Money,
    *,
    settles: Mapping[str, Money],
    on: date | None = None,
) -> Entry:
    """A credit of fees, tax and interest, all given as what is taken back, zero or less.

    It first settles what `settles` says (invoice number to a positive amount); the rest is the licensee's to use.
    """
    credit = -(fees + tax + interest)
    rest = credit - total(list(settles.values()), fees.currency)
    if rest.minor < 0:
        raise InvalidInput("overapplied", f"a credit of {credit} cannot settle more than that")
    earned = _legs(Leg("licence_fees", -fees), Leg("interest_income", -interest), Leg("tax_payable", -tax))
    settled = _legs(*(Leg("receivable", -amount, invoice) for invoice, amount in settles.items()))
    return Entry(f"issue:{number}", (*settled, *_legs(Leg("unapplied", -rest, number)), *earned), on)


def voided(number: str, issued: Entry, on: date | None = None) -> Entry:
    """Everything that issuing wrote, the other way round."""
    return reversal(f"void:{number}", issued, on)


def payment_received(
    reference: str,
    received: Money,
    applied: Mapping[str, Money],
    *,
    charges: Money | None = None,
    withheld: Money | None = None,
    on: date | None = None,
) -> Entry:
    """Money came in: `received` on the bank account, `charges` and `withheld` tax kept back on the way.

    `applied` maps invoice numbers to what is settled of them; what is left is kept as unapplied under the payment's
    own reference, `payment:<reference>`.
    """
    nothing = Money(received.currency, 0)
    charges, withheld = charges or nothing, withheld or nothing
    rest = received + charges + withheld - total(list(applied.values()), received.currency)
    if rest.minor < 0:
        raise InvalidInput("overapplied", f"{-rest} more is applied than was paid: apply less")
    legs = _legs(
        Leg("cash", received),
        Leg("bank_charges", charges),
        Leg("withholding_tax", withheld),
        *(Leg("receivable", -amount, number) for number, amount in applied.items()),
        Leg("unapplied", -rest, f"payment:{reference}"),
    )
    return Entry(f"payment:{reference}", legs, on)


def credit_applied(reference: str, source: str, number: str, amount: Money, on: date | None = None) -> Entry:
    """Unapplied money or credit (`source`: `payment:<reference>` or a credit note's number) settles an invoice."""
    return Entry(f"apply:{reference}", (Leg("unapplied", amount, source), Leg("receivable", -amount, number)), on)


def refund_paid(reference: str, source: str, amount: Money, on: date | None = None) -> Entry:
    """Unapplied money or credit went back to the licensee."""
    return Entry(f"refund:{reference}", (Leg("unapplied", amount, source), Leg("cash", -amount)), on)


def written_off(number: str, times: int, amount: Money, on: date | None = None) -> Entry:
    """What is left of an invoice is given up, for the first, second, ... time. The books no longer expect it."""
    return Entry(f"write-off:{number}:{times}", (Leg("bad_debt", amount), Leg("receivable", -amount, number)), on)


def written_back(number: str, times: int, amount: Money, on: date | None = None) -> Entry:
    """What was given up is expected again."""
    return Entry(f"write-back:{number}:{times}", (Leg("receivable", amount, number), Leg("bad_debt", -amount)), on)


def reversal(reference: str, entry: Entry, on: date | None = None) -> Entry:
    """An entry undone by a further one: the same legs, the other way round."""
    return Entry(reference, tuple(Leg(leg.book, -leg.money, leg.item) for leg in entry.postings), on)


def _legs(*legs: Leg) -> tuple[Leg, ...]:
    """Those that move anything."""
    return tuple(leg for leg in legs if leg.money.minor)
