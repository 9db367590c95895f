"""Reads how an account is billed, as a catalogue declares it.

    billing: {contacts?: [{name, email}], purchase_order?: "PO-7", payment_terms?: how to pay, in words,
              bank?: {iban: "DE02 1203 ...", bic?, account_holder?, bank_name?},
              language?: en | de | ja, locale?: de-CH, e_invoice?: true,
              tax?: {category: standard | reverse_charge | exempt | outside, rate?: "19", sentence?: ...}}

What is declared is the whole of it: a key that is left out has its default, and no `billing` at all changes nothing.
"""

from decimal import Decimal

from core.agreements.reading import Section, amount, flag, many, one_of, refuse, text
from core.catalogue.texts import email, line, name
from core.errors import InvalidInput
from core.registry.bank_details import BankDetails
from core.registry.billing import LANGUAGES, TAX_CATEGORIES, Billing, BillingContact, TaxTreatment

MAX_LIMIT = 10**15


def billing_in(value: object, path: str) -> Billing:
    """Billing details, every one of them checked. Raises `InvalidInput` with the path."""

    def contact(element: object, where: str) -> BillingContact:
        inner = Section(element, where)
        found = BillingContact(inner.required("name", name), inner.required("email", email))
        inner.done()
        return found

    part = Section(value, path)
    said = {
        "contacts": part.optional("contacts", many(contact), ()),
        "purchase_order": part.optional("purchase_order", line, ""),
        "payment_terms": part.optional("payment_terms", text, ""),
        "bank": part.optional("bank", _bank, None),
        "language": part.optional("language", one_of(*LANGUAGES), "en"),
        "tax": part.optional("tax", _tax, TaxTreatment()),
        "e_invoice": part.optional("e_invoice", flag, False),
    }
    locale = part.optional("locale", line, said["language"])
    part.done()
    try:
        return Billing(**said, locale=locale)  # type: ignore[arg-type]
    except InvalidInput as error:
        refuse(part.at("locale"), error.sentence)


def limit_in(value: object, path: str) -> int:
    """An amount in minor units above which two people are needed; zero means always."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_LIMIT:
        refuse(path, "write a whole number of minor units, such as 1000000 for 10,000.00 USD")
    return value


def _bank(value: object, path: str) -> BankDetails:
    part = Section(value, path)
    said = {
        "iban": part.required("iban", name),
        "bic": part.optional("bic", name, ""),
        "account_holder": part.optional("account_holder", name, ""),
        "bank_name": part.optional("bank_name", name, ""),
    }
    part.done()
    try:
        return BankDetails(**said)
    except InvalidInput as error:
        refuse(part.at(error.detail["at"]), error.sentence)


def _tax(value: object, path: str) -> TaxTreatment:
    part = Section(value, path)
    category = part.required("category", one_of(*TAX_CATEGORIES))
    rate, sentence = part.optional("rate", amount, Decimal(0)), part.optional("sentence", text, "")
    part.done()
    try:
        return TaxTreatment(category, rate.normalize() + 0, sentence)
    except InvalidInput as error:
        refuse(part.at("sentence" if error.code == "tax_sentence" else "rate"), error.sentence)
