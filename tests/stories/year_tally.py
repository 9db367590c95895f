"""The story's own books: what was sent, agreed, paid and given back, and what must follow from it.

Nothing here reads the database or shares code with the core. Counts and fees are the oracle's (`tests/oracle.py`);
interest, tax and balances are worked out below, night by night and document by document.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from tests.oracle import count_events, owed, round_half_up

Key = tuple[str, str, date, date, str]  # kind, subject, service days [start, end), part
Sums = tuple[int, int]  # images, minor units
Account = tuple[str, str]  # licensor, licensee
DAY = timedelta(days=1)


@dataclass
class Document:
    """An invoice or credit note as it must be, and what became of it. `off` is what was taken off it, by day."""

    number: str
    agreement: str
    start: date
    end: date
    lines: dict[Key, Sums]
    tax: int
    issued_on: date
    due_on: date
    place: int  # in the order of issue
    corrects: str | None = None
    void: bool = False
    off: list[tuple[date, int, str]] = field(default_factory=list)
    used: int = 0  # of a credit note, or of what a credit gave beyond what was open

    @property
    def net(self) -> int:
        return sum(minor for _, minor in self.lines.values())

    @property
    def interest(self) -> int:
        return sum(minor for (kind, *_), (_, minor) in self.lines.items() if kind == "interest")

    @property
    def total(self) -> int:
        return self.net + self.tax

    @property
    def left(self) -> int:
        """What is still to be paid; of a credit note nothing."""
        return 0 if self.void or self.total < 0 else self.total - sum(minor for _, minor, _ in self.off)

    def taken(self, what: str) -> int:
        return sum(minor for _, minor, why in self.off if why == what)


@dataclass
class Payment:
    """Money that came, and how much of it is not used."""

    account: Account
    day: date
    minor: int
    left: int
    place: int


class Tally:
    """Everything the story has done."""

    def __init__(self) -> None:
        self.zones: dict[Account, str] = {}
        self.currencies: dict[Account, str] = {}
        self.taxes: dict[Account, Fraction] = {}
        self.owes: dict[str, list[str]] = {}
        self.licensors: dict[str, str] = {}  # of each fee-bearing model
        self.contracts: dict[str, dict[str, Any]] = {}
        self.account_of: dict[str, Account] = {}
        self.events: dict[tuple[str, str], dict[str, Any]] = {}
        self.agreed: list[tuple[str, Key, int]] = []
        self.documents: dict[str, Document] = {}
        self.payments: list[Payment] = []
        self._counts: dict[str, dict[tuple[str, date], int]] = {}

    # What was agreed

    def applied(self, catalogue: Mapping[str, Any]) -> None:
        """Learns who owes what to whom."""
        for model in catalogue.get("models", []):
            self.owes[model["slug"]] = [model["slug"]]
            self.licensors[model["slug"]] = model["licensor"]
            for made in model.get("derivatives", []):
                own = [made["slug"]] if made.get("owes", "base") != "base" else []
                self.owes[made["slug"]] = [*own, model["slug"]]
                if own:
                    self.licensors[made["slug"]] = made.get("licensor", model["licensor"])
        for each in catalogue.get("accounts", []):
            account = each["licensor"], each["licensee"]
            self.zones[account], self.currencies[account] = each.get("zone", "UTC"), each["currency"]
            tax = each.get("billing", {}).get("tax", {})
            self.taxes[account] = Fraction(tax.get("rate", "0")) / 100
        for each in catalogue.get("agreements", []):
            self.account_of[each["slug"]] = each["account"]["licensor"], each["account"]["licensee"]
            self.contracts[each["slug"]] = {
                "term": (each["starts_on"], each["ends_on"]),
                "versions": [(each["starts_on"], each["terms"])],
            }
        self._counts.clear()

    # What was used

    def used(self, licensee: str, event: Mapping[str, Any]) -> None:
        """An event that was taken."""
        self.events[licensee, event["event_id"]] = {"licensee": licensee, **event}
        self._counts.clear()

    def corrected(self, licensee: str, event_id: str, image_count: int) -> None:
        """An event counts so many images now."""
        self.events[licensee, event_id]["image_count"] = image_count
        self._counts.clear()

    def named(self, derivative: str, base: str) -> None:
        """From now on everybody knows what a name is, also of what was reported before."""
        self.owes[derivative] = [base]
        self._counts.clear()

    def counts(self, licensee: str) -> dict[tuple[str, date], int]:
        """Images by fee-bearing model and day of its account's zone; what nobody knows yet counts for nothing."""
        if licensee not in self._counts:
            zones = {
                (licensee, model): self.zones[licensor, licensee]
                for model, licensor in self.licensors.items()
                if (licensor, licensee) in self.zones
            }
            known = [
                {**event, "adapters": [one for one in event.get("adapters", ()) if one in self.owes]}
                for (whose, _), event in self.events.items()
                if whose == licensee and event["model"] in self.owes
            ]
            found = count_events(known, zones, self.owes)
            self._counts[licensee] = {(model, day): images for (_, model, day), images in found.items()}
        return self._counts[licensee]

    # What is owed

    def expected(self, agreement: str, until: date) -> dict[Key, Sums]:
        """Every line that is owed by a day: fees, what was agreed beside them, and interest."""
        _, licensee = self.account_of[agreement]
        found = {k: s for k, s in owed(self.contracts[agreement], self.counts(licensee), until).items() if any(s)}
        for whose, key, minor in self.agreed:
            if whose == agreement and key[3] <= until:
                found[key] = (0, minor)
        return found | dict(self._interest(agreement, until))

    def due(self, agreement: str, until: date) -> dict[Key, Sums]:
        """What the next document of an agreement must say: what is owed, less what stands on others."""
        due: defaultdict[Key, Sums] = defaultdict(lambda: (0, 0), self.expected(agreement, until))
        for key, (images, minor) in self.billed(agreement).items():
            if (key[2] if key[0] == "prepayment" else key[3]) <= until:
                due[key] = due[key][0] - images, due[key][1] - minor
        return {key: sums for key, sums in due.items() if any(sums)}

    def billed(self, agreement: str) -> dict[Key, Sums]:
        """The lines of all documents that stand, but for credits."""
        found: defaultdict[Key, Sums] = defaultdict(lambda: (0, 0))
        for one in self.documents.values():
            if one.agreement == agreement and not one.void and one.corrects is None:
                for key, (images, minor) in one.lines.items():
                    found[key] = found[key][0] + images, found[key][1] + minor
        return {key: sums for key, sums in found.items() if any(sums)}

    def tax_on(self, agreement: str, lines: Mapping[Key, Sums]) -> int:
        """The tax of a document, rounded once; interest bears none."""
        account = self.account_of[agreement]
        net = sum(minor for (kind, *_), (_, minor) in lines.items() if kind != "interest")
        return round_half_up(Fraction(net, 10**2) * self.taxes[account], self.currencies[account])

    def _interest(self, agreement: str, until: date) -> Iterator[tuple[Key, Sums]]:
        late = self.contracts[agreement]["versions"][0][1].get("late_interest")
        for one in self.documents.values() if late else ():
            base = one.total - one.interest
            if one.agreement != agreement or one.void or one.corrects or base <= 0 or one.total < 0:
                continue
            night, open_nights, first = one.due_on, 0, one.due_on
            while night < until:
                gone = sum(minor for day, minor, _ in one.off if day <= night)
                open_nights += min(base, max(0, base - gone))
                night += DAY
                if night.day == 1:
                    exact = Fraction(open_nights) * Fraction(late["yearly_percent"]) / 100 / 365
                    minor = round_half_up(exact / 100, "USD")
                    if minor:
                        yield ("interest", one.number, first, night, ""), (0, minor)
                    open_nights, first = 0, night

    # What became of it

    def issued(self, one: Document) -> None:
        self.documents[one.number] = one

    def paid(self, account: Account, day: date, minor: int, numbers: tuple[str, ...]) -> None:
        """Money came for these invoices, in this order; what is too much stays with us."""
        payment = Payment(account, day, minor, minor, len(self.payments))
        self.payments.append(payment)
        for number in numbers:
            self._settle(self.documents[number], payment)

    def used_rest(self, account: Account, today: date) -> None:
        """What is left of credit notes and payments settles open invoices, that which was due first before the next."""
        open_ones = [one for one in self._of(account) if one.left > 0]
        notes = sorted((one for one in self._of(account) if self.on_account(one) > 0), key=lambda one: one.place)
        rests = sorted((p for p in self.payments if p.account == account), key=lambda p: (p.day, p.place))
        for invoice in sorted(open_ones, key=lambda one: (one.due_on, one.place)):
            for note in notes:
                minor = min(invoice.left, self.on_account(note))
                if minor:
                    invoice.off.append((today, minor, "paid"))
                    note.used += minor
            for payment in rests:
                self._settle(invoice, payment)

    def credited(self, one: Document, today: date) -> None:
        """A credit note about an invoice: first what is open of it, the rest is to be used."""
        self.issued(one)
        about = self.documents[one.corrects or ""]
        minor = min(about.left, -one.total)
        if minor:
            about.off.append((today, minor, "credited"))
            one.used += minor

    def on_account(self, note: Document) -> int:
        """What can still be used of a credit note."""
        return 0 if note.void or note.total >= 0 else -note.total - note.used

    def books(self, account: Account) -> dict[str, int]:
        """The balance of every book, debit positive, those at zero left out."""
        standing = [one for one in self._of(account) if not one.void]
        mine = [payment for payment in self.payments if payment.account == account]
        found = {
            "receivable": sum(one.left for one in standing),
            "unapplied": -sum(self.on_account(one) for one in standing) - sum(payment.left for payment in mine),
            "cash": sum(payment.minor for payment in mine),
            "bad_debt": sum(one.taken("written off") for one in standing),
            "licence_fees": -sum(one.net - one.interest for one in standing),
            "interest_income": -sum(one.interest for one in standing),
            "tax_payable": -sum(one.tax for one in standing),
        }
        return {book: minor for book, minor in found.items() if minor}

    def _of(self, account: Account) -> list[Document]:
        return [one for one in self.documents.values() if self.account_of[one.agreement] == account]

    @staticmethod
    def _settle(invoice: Document, payment: Payment) -> None:
        minor = min(invoice.left, payment.left)
        if minor:
            invoice.off.append((max(payment.day, invoice.issued_on), minor, "paid"))
            payment.left -= minor
