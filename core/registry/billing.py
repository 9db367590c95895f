"""How an account is billed: whom to write to, in which language, what to quote, and which tax is due.

Values only. Issued invoices keep what they were issued with, so any of it may change at any time.
"""

import re
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from core.errors import InvalidInput
from core.registry.bank_details import BankDetails

LANGUAGES = ("en", "de", "ja")
TAX_CATEGORIES = ("standard", "reverse_charge", "exempt", "outside")
NEEDS_SENTENCE = ("reverse_charge", "exempt")
MAX_PERCENT_DECIMALS = 4
_LOCALE = re.compile(r"[a-z]{2}(-[A-Z]{2})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class TaxTreatment:
    """Which tax the licensee is asked for: a category, a percentage, and the sentence that says why there is none.

    `standard` has a rate; under `reverse_charge` the licensee owes the tax itself; `exempt` is a supply without tax;
    `outside` is none of the authority's business. Only `standard` may have a rate above zero.
    """

    category: str = "outside"
    rate: Decimal = Decimal(0)
    sentence: str = ""

    def __post_init__(self) -> None:
        if self.category not in TAX_CATEGORIES:
            raise InvalidInput(
                "unknown_tax", f"a tax category is one of {', '.join(TAX_CATEGORIES)}, not {self.category!r}"
            )
        exponent = self.rate.as_tuple().exponent
        if not self.rate.is_finite() or not 0 <= self.rate <= 100 or int(exponent) < -MAX_PERCENT_DECIMALS:
            raise InvalidInput(
                "bad_tax_rate", "a tax rate is a percentage from 0 to 100 with at most 4 decimals, such as 19"
            )
        if self.rate and self.category != "standard":
            raise InvalidInput("bad_tax_rate", f"{self.category} has no rate: leave the rate out, or write standard")
        if self.category in NEEDS_SENTENCE and not self.sentence.strip():
            raise InvalidInput(
                "tax_sentence", f"{self.category} needs the sentence that the invoice must print, such as "
                "'Reverse charge: the recipient is liable for the tax'"
            )  # fmt: skip


@dataclass(frozen=True, slots=True)
class BillingContact:
    """Somebody who gets the invoices."""

    name: str
    email: str

    def document(self) -> dict[str, str]:
        return {"name": self.name, "email": self.email}


@dataclass(frozen=True, slots=True)
class Billing:
    """Everything about an account that an invoice needs and that is not agreed in the contract."""

    contacts: tuple[BillingContact, ...] = ()
    purchase_order: str = ""
    payment_terms: str = ""
    bank: BankDetails | None = None
    language: str = "en"
    locale: str = "en"
    e_invoice: bool = False
    tax: TaxTreatment = field(default=TaxTreatment())

    def __post_init__(self) -> None:
        if self.language not in LANGUAGES:
            raise InvalidInput(
                "unknown_language", f"an invoice is written in one of {', '.join(LANGUAGES)}, not {self.language!r}"
            )
        if not _LOCALE.fullmatch(self.locale):
            raise InvalidInput("bad_locale", f"a locale is written like de or de-CH, not {self.locale!r}")

    def columns(self) -> dict[str, Any]:
        """As the account's row keeps it."""
        return {
            "contacts": [contact.document() for contact in self.contacts],
            "purchase_order": self.purchase_order,
            "payment_terms": self.payment_terms,
            "bank": self.bank.document() if self.bank else {},
            "language": self.language,
            "locale": self.locale,
            "e_invoice": self.e_invoice,
            "tax_category": self.tax.category,
            "tax_rate": self.tax.rate,
            "tax_sentence": self.tax.sentence,
        }

    def but(self, **said: Any) -> "Billing":
        """The same with what is said changed."""
        return replace(self, **said)


def billing_of(row: Any) -> Billing:
    """What an account's row keeps, as a value."""
    return Billing(
        contacts=tuple(BillingContact(one["name"], one["email"]) for one in row.contacts or ()),
        purchase_order=row.purchase_order,
        payment_terms=row.payment_terms,
        bank=BankDetails(**row.bank) if row.bank else None,
        language=row.language,
        locale=row.locale,
        e_invoice=row.e_invoice,
        tax=treatment_of(row),
    )


def treatment_of(row: Any) -> TaxTreatment:
    """The tax treatment that an account's row keeps."""
    return TaxTreatment(row.tax_category, row.tax_rate.normalize() + 0, row.tax_sentence)
