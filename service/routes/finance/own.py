"""Finds what an act is about, and only where it is the caller's licensor's: all others are not there.

Verbs of the core take names and ids and trust their caller. Reads look through `licensor_eyes`; acts come here first.
"""

from typing import Any, NoReturn

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.access.keys import FinanceCaller
from core.agreements.tables import Agreement
from core.errors import Conflict, NotFound
from core.invoicing.life.stands import find_invoice
from core.invoicing.tables import BillingRun, BillingRunItem, Invoice
from core.notices.tables import Delivery, Notice, WebhookEndpoint
from core.payments.tables import BankRow, Payment, PaymentAllocation
from core.registry.tables import Account, Licensee
from core.statements.tables import Dispute

_BIGGEST = 2**63 - 1


def own_invoice(session: Session, caller: FinanceCaller, name: str) -> Invoice:
    """An invoice by its number, or a draft by `draft-17`."""
    try:
        found = find_invoice(session, name)
    except NotFound:
        _missing("invoice", name)
    if found.licensor_id != caller.licensor_id:
        _missing("invoice", name)
    return found


def own_agreement(session: Session, caller: FinanceCaller, slug: str) -> Agreement:
    """An agreement by its slug."""
    asked = select(Agreement).join(Account, Account.id == Agreement.account_id)
    asked = asked.where(Agreement.slug == slug, Account.licensor_id == caller.licensor_id)
    return session.scalars(asked).one_or_none() or _missing("agreement", slug)


def own_licensee(session: Session, caller: FinanceCaller, slug: str) -> Licensee:
    """A licensee with whom the caller's licensor has an account, by its slug."""
    asked = select(Licensee).join(Account, Account.licensee_id == Licensee.id)
    asked = asked.where(Licensee.slug == slug, Account.licensor_id == caller.licensor_id)
    return session.scalars(asked).one_or_none() or _missing("licensee", slug)


def own_payment(session: Session, caller: FinanceCaller, payment_id: int) -> Payment:
    """A payment by its id."""
    return _by_id(session, caller, Payment, "payment", payment_id)


def own_bank_row(session: Session, caller: FinanceCaller, row_id: int) -> BankRow:
    """A row of a bank statement by its id."""
    return _by_id(session, caller, BankRow, "bank row", row_id)


def own_application(session: Session, caller: FinanceCaller, application_id: int) -> PaymentAllocation:
    """What a payment or credit note settled of an invoice, by its id."""
    asked = select(PaymentAllocation).join(Invoice, Invoice.id == PaymentAllocation.invoice_id)
    asked = asked.where(PaymentAllocation.id == application_id, Invoice.licensor_id == caller.licensor_id)
    return session.scalars(asked).one_or_none() or _missing("application", application_id)


def own_dispute(session: Session, caller: FinanceCaller, licensee: str, dispute_id: int) -> Dispute:
    """A dispute about a statement, by its licensee and number."""
    found = session.get(Dispute, (own_licensee(session, caller, licensee).id, dispute_id))
    if found is None or found.licensor_id != caller.licensor_id:
        _missing("dispute", dispute_id)
    return found


def own_endpoint(session: Session, caller: FinanceCaller, endpoint_id: int) -> WebhookEndpoint:
    """A webhook endpoint by its id."""
    return _by_id(session, caller, WebhookEndpoint, "endpoint", endpoint_id)


def own_delivery(session: Session, caller: FinanceCaller, delivery_id: int) -> Delivery:
    """A delivery of a notice by its id."""
    asked = select(Delivery).join(Notice, Notice.id == Delivery.notice_id)
    asked = asked.where(Delivery.id == delivery_id, Notice.licensor_id == caller.licensor_id)
    return session.scalars(asked).one_or_none() or _missing("delivery", delivery_id)


def own_run(session: Session, caller: FinanceCaller, run_id: int) -> BillingRun:
    """A billing run that is the caller's licensor's alone: nobody stops another's share of one."""
    asked = (
        select(Account.licensor_id)
        .join(Agreement, Agreement.account_id == Account.id)
        .join(BillingRunItem, BillingRunItem.agreement_id == Agreement.id)
        .where(BillingRunItem.run_id == run_id)
    )
    whose = set(session.scalars(asked.distinct()))
    if caller.licensor_id not in whose:
        _missing("run", run_id)
    if len(whose) > 1:
        raise Conflict("shared_run", f"run {run_id} is over several licensors: only its operator can do this")
    return session.get_one(BillingRun, run_id)


def _by_id(session: Session, caller: FinanceCaller, table: Any, called: str, id_: int) -> Any:
    asked = select(table).where(table.id == id_, table.licensor_id == caller.licensor_id)
    return session.scalars(asked).one_or_none() or _missing(called, id_)


def _missing(called: str, name: object) -> NoReturn:
    raise NotFound(f"{called.replace(' ', '_')}_not_found", f"there is no {called} {name}")
