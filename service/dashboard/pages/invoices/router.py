"""The addresses below /invoices, and how an invoice is found and called there."""

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.agreements.tables import Agreement
from core.errors import InvalidInput, NotFound
from core.invoicing.life.stands import find_invoice, name_of
from core.invoicing.tables import Invoice
from core.registry.tables import Account, Licensee
from service.dashboard.browser import own_address
from service.dashboard.door import page_router
from service.dashboard.form import Form
from service.dashboard.rendering import after

router = page_router("/invoices")
# What standings are called, wherever they are shown.
WORDS = {"uncollectible": "written off", "partly_paid": "partly paid"}


def invoice_of(eyes: Session, name: str) -> Invoice:
    """The invoice of this name that these eyes see."""
    try:
        return find_invoice(eyes, name[:100])
    except (NotFound, InvalidInput):
        raise NotFound("invoice_not_found", f"there is no invoice {name[:100]}") from None


def owner_of(eyes: Session, invoice: Invoice) -> tuple[Licensee, Agreement, Account]:
    """Whose it is. One statement."""
    asked = (
        select(Licensee, Agreement, Account)
        .join_from(Agreement, Account, Account.id == Agreement.account_id)
        .join(Licensee, Licensee.id == Account.licensee_id)
        .where(Agreement.id == invoice.agreement_id)
    )
    licensee, agreement, account = eyes.execute(asked).one()
    return licensee, agreement, account


def address_of(invoice: Invoice) -> str:
    return f"/invoices/{name_of(invoice)}"


def back(request: Request, form: Form, otherwise: str, said: str, *, tone: str = "good") -> Response:
    """Leads to where the form came from, if it says so, such as the list of a month."""
    wanted = own_address(form.said("back")) if form.has("back") else otherwise
    return after(request, wanted, said, tone=tone)
