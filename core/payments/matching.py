"""Which invoice an incoming amount is for: a proposal with its confidence and reason. Pure; a person decides.

Confidence: `certain` when the reference names an open invoice and amount and currency are its own; `likely` when it
names one but the amount differs, or several that sum up to it, or when only one open invoice has the amount and the
payer's name is the licensee's; `possible` when only the amount or only the name speaks for it; `none` otherwise.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from core.money import Money
from core.payments.bank import Row

Confidence = Literal["certain", "likely", "possible", "none"]
FEW = 3  # letters of a name that say too little
_LEGAL_FORMS = frozenset(("inc", "ltd", "llc", "gmbh", "ag", "kg", "co", "corp", "kk", "sa", "bv", "limited", "the"))


@dataclass(frozen=True, slots=True)
class OpenInvoice:
    """An invoice that is not settled, as far as matching has to know it."""

    number: str
    licensee: str
    licensee_name: str
    left: Money
    due_on: date


@dataclass(frozen=True, slots=True)
class Match:
    """What a row seems to be: whose money, and what it settles in which order."""

    confidence: Confidence
    reason: str
    licensee: str | None = None
    numbers: tuple[str, ...] = ()


def match(row: Row, invoices: Sequence[OpenInvoice]) -> Match:  # noqa: PLR0911 - one for each reason
    """The best proposal for a row among the licensor's open invoices."""
    ours = [invoice for invoice in invoices if invoice.left.currency == row.amount.currency and invoice.left.minor > 0]
    named = _named(row, ours)
    if named:
        return _by_number(row, named)
    by_amount = [invoice for invoice in ours if invoice.left == row.amount]
    by_name = [invoice for invoice in ours if _same_name(row, invoice.licensee_name)]
    both = [invoice for invoice in by_amount if invoice in by_name]
    if len(both) == 1:
        return Match("likely", "amount and name agree", both[0].licensee, (both[0].number,))
    if both:
        oldest = min(both, key=lambda each: (each.due_on, each.number))
        return Match(
            "possible",
            f"amount and name agree with {len(both)} invoices; the oldest",
            oldest.licensee,
            (oldest.number,),
        )
    licensees = {invoice.licensee for invoice in by_name}
    if len(licensees) == 1:
        oldest_first = tuple(each.number for each in sorted(by_name, key=lambda each: (each.due_on, each.number)))
        return Match("possible", "only the name agrees; oldest invoices first", licensees.pop(), oldest_first)
    if len(by_amount) == 1:
        return Match("possible", "only the amount agrees", by_amount[0].licensee, (by_amount[0].number,))
    if by_amount:
        return Match("none", f"the amount agrees with {len(by_amount)} invoices, and nothing tells which")
    return Match("none", "no open invoice fits")


def _by_number(row: Row, named: Sequence[OpenInvoice]) -> Match:
    numbers = tuple(invoice.number for invoice in named)
    licensees = {invoice.licensee for invoice in named}
    if len(licensees) > 1:
        return Match("none", f"the reference names invoices of several licensees: {', '.join(numbers)}")
    left = sum(invoice.left.minor for invoice in named)
    licensee = licensees.pop()
    if left == row.amount.minor:
        if len(named) == 1:
            return Match("certain", "the reference names it, and the amount is its own", licensee, numbers)
        return Match("likely", f"the reference names {len(named)} invoices that add up to it", licensee, numbers)
    short = Money(row.amount.currency, abs(left - row.amount.minor))
    how = (
        f"{short} too little: a part payment"
        if row.amount.minor < left
        else f"{short} too much: the rest stays unapplied"
    )
    return Match("likely", f"the reference names {', '.join(numbers)}; {short} {how}", licensee, numbers)


def _named(row: Row, invoices: Sequence[OpenInvoice]) -> list[OpenInvoice]:
    """The invoices whose number stands in the reference or beside the payer, in the order of the text. Banks drop
    hyphens, add spaces and change case; a number inside a longer run of digits is not ours."""
    text = f"{row.reference} {row.payer}".upper()
    found = []
    for invoice in invoices:
        pieces = [re.escape(piece) for piece in re.split(r"[^A-Z0-9]+", invoice.number.upper()) if piece]
        at = re.search(r"(?<![A-Z0-9])" + r"[\s\-_/.]*".join(pieces) + r"(?![0-9])", text)
        if at:
            found.append((at.start(), invoice))
    return [invoice for _, invoice in sorted(found, key=lambda each: (each[0], each[1].number))]


def _same_name(row: Row, name: str) -> bool:
    """Whether every telling word of the licensee's name stands in the payer's."""
    wanted, said = _words(name), _words(f"{row.payer} {row.reference}")
    return bool(wanted) and wanted <= said and sum(map(len, wanted)) > FEW


def _words(text: str) -> set[str]:
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return {word for word in re.split(r"\W+", plain.casefold()) if word} - _LEGAL_FORMS
