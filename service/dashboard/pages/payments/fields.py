"""What the forms of payments ask for alike: whose a payment is, and which invoices it pays."""

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import InvalidInput, NotFound
from core.invoicing.life.stands import find_invoice
from core.registry.tables import Account, Licensee
from service.dashboard.form import Form
from service.dashboard.signed_in import FinancePerson

MOST_INVOICES = 100


def accounts_of(eyes: Session, person: FinancePerson) -> dict[str, tuple[int, str, str]]:
    """The licensees with an account: id, name and currency, by slug. One statement."""
    asked = (
        select(Licensee.slug, Licensee.id, Licensee.name, Account.currency)
        .join(Account, Account.licensee_id == Licensee.id)
        .where(Account.licensor_id == person.licensor_id)
        .order_by(Licensee.name)
    )
    return {slug: (id_, name, currency) for slug, id_, name, currency in eyes.execute(asked)}


def currencies_in(accounts: Mapping[str, tuple[int, str, str]]) -> list[str]:
    """The currencies in which anybody is billed."""
    return sorted({currency for _, _, currency in accounts.values()}) or ["USD"]


def numbers_in(form: Form, name: str) -> list[str]:
    """Numbers of invoices, with spaces or commas between them."""
    found = form.text(name, required=False, most=2000).replace(",", " ").split()
    if len(found) > MOST_INVOICES:
        form.refuse(name, f"at most {MOST_INVOICES} invoices at a time")
    return list(dict.fromkeys(found))


def demand_own(eyes: Session, numbers: Sequence[str]) -> None:
    """Refuses, at the field, a number that none of ours has."""
    for number in numbers:
        try:
            find_invoice(eyes, number)
        except NotFound:
            raise InvalidInput("invoice_not_found", f"there is no invoice {number}", field="invoices") from None
