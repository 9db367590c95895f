"""How accounts are billed, declared in a catalogue: read strictly, shown in the plan, changed, and left alone."""

from datetime import date

import pytest

from core.catalogue.apply import apply, standing
from core.catalogue.billing import billing_in
from core.catalogue.declare import parse_catalogue
from core.errors import InvalidInput
from core.registry.billing import Billing
from tests.edits import edited

TODAY = date(2026, 11, 22)
BILLING = {
    "contacts": [{"name": "Accounts", "email": "ap@north.example"}],
    "purchase_order": "=PO-7",
    "payment_terms": "By transfer, quoting the number",
    "language": "de",
    "tax": {"category": "reverse_charge", "sentence": "Steuerschuldnerschaft des Leistungsempfängers"},
}


def catalogue(**billing: object) -> dict:
    account = {"licensor": "guild", "licensee": "north", "currency": "EUR", **billing}
    return {
        "licensors": [{"slug": "guild", "name": "Guild", "invoice_prefix": "GLD", "second_person_above_minor": 500}],
        "licensees": [{"slug": "north", "name": "North"}],
        "accounts": [account],
    }


def test_billing_is_declared_stands_and_changes_where_the_file_says_so(session) -> None:
    apply(session, parse_catalogue(catalogue(billing=BILLING, second_person_above_minor=900)), TODAY)
    entry = standing(session).accounts["guild", "north"]
    assert entry.billing is not None
    assert (entry.billing.purchase_order, entry.billing.locale, entry.billing.tax.category) == (
        *("=PO-7", "de"),
        "reverse_charge",
    )
    assert (entry.second_person_above_minor, standing(session).licensors["guild"].second_person_above_minor) == (
        900,
        500,
    )
    assert apply(session, parse_catalogue(catalogue()), TODAY).steps == (), "what a file leaves out stays"
    taxed = {**BILLING, "tax": {"category": "standard", "rate": "19"}}
    [step] = apply(session, parse_catalogue(catalogue(billing=taxed, second_person_above_minor=0)), TODAY).steps
    assert [(a.what, a.old, a.new) for a in step.alterations] == [
        ("tax_category", "reverse_charge", "standard"),
        ("tax_rate", "0", "19"),
        ("tax_sentence", "Steuerschuldnerschaft des Leistungsempfängers", ""),
        ("second_person_above_minor", "900", "0"),
    ]
    apply(session, parse_catalogue(catalogue(billing={})), TODAY)
    assert (standing(session).accounts["guild", "north"].billing or Billing()) == Billing()


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("accounts.0.billing.language", "fr", "en, de, ja"),
        ("accounts.0.billing.locale", "Deutsch", "de-CH"),
        ("accounts.0.billing.contacts", [{"name": "A", "email": "a"}], "e-mail"),
        ("accounts.0.billing.purchase_order", "a\0b", "control characters"),
        ("accounts.0.billing.purchase_order", "a\nb", "control characters"),
        ("accounts.0.billing.tax", {"category": "exempt"}, "needs the sentence"),
        ("accounts.0.billing.tax", {"category": "standard", "rate": 19.0}, "exact"),
        ("accounts.0.billing.tax", {"category": "standard", "rate": "101"}, "0 to 100"),
        ("accounts.0.billing.tax", {"category": "outside", "rate": "1"}, "no rate"),
        ("accounts.0.second_person_above_minor", "1", "minor units"),
        ("accounts.0.second_person_above_minor", True, "minor units"),
        ("licensees.0.tax_id", "DE12", "write it like DE123456789"),
    ],
)
def test_what_cannot_be_billed_by_is_refused_at_its_place(path: str, value: object, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as refused:
        parse_catalogue(edited(catalogue(billing=dict(BILLING)), path, value))
    assert refused.value.detail["path"].startswith(path.replace(".0", "[0]").split(".tax")[0].split(".contacts")[0])


def test_e_invoices_are_asked_for_with_true_and_nothing_else() -> None:
    assert billing_in({"e_invoice": True}, "billing").e_invoice
    assert not billing_in({}, "billing").e_invoice
    with pytest.raises(InvalidInput, match="write true or false"):
        billing_in({"e_invoice": "yes"}, "billing")
