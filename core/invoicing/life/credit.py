"""Crediting an issued invoice: a credit note of its own number takes back all or part of it, by agreement or goodwill.

Each line of it names the invoice and line that it credits. It changes nothing about what is owed and was billed, so the
next close neither takes the credit back nor gives it again. Tax is credited as it was asked for, and the credit that
takes back the last of an invoice takes the last of its tax, so that the two sum to nothing.
"""

from collections.abc import Mapping
from decimal import Decimal

from sqlalchemy.orm import Session

from core.actors import Actor
from core.agreements.tables import Agreement
from core.invoicing.drafts.bill import Bill, contract_of
from core.invoicing.drafts.draft import hash_of_lines
from core.invoicing.life.acts import Act, begin_named, demand_asked, note
from core.invoicing.life.credit_plan import CreditPlan, plan_credit
from core.invoicing.life.issue import Freezing, number_and_freeze
from core.invoicing.tables import Invoice, InvoiceLine
from core.money import Money
from core.registry.tables import Account


def credit(session: Session, number: str, by: Actor, reason: str, amounts: Mapping[int, int] | None = None) -> Invoice:
    """Issues a credit note over an issued invoice, and returns it. It first settles what is still open of the invoice;
    the rest is the licensee's to use.
    """
    act = begin_named(session, number, "credit", by, reason)
    invoice = act.invoice
    plan = plan_credit(session, invoice, amounts)
    asked = demand_asked(session, act, plan.total_minor, amounts=amounts)
    agreement = session.get_one(Agreement, invoice.agreement_id)
    account = session.get_one(Account, agreement.account_id, populate_existing=True)
    made = _draft(act, plan)
    made.closed_by, made.approved_by = asked.actor if asked else by.name, by.name
    session.add(made)
    session.flush()
    lines = {line.no: line for line in invoice.lines}
    made.lines.extend(
        _line(place, invoice, lines[no], minor=minor, reason=act.reason)
        for place, (no, minor) in enumerate(plan.by_line.items(), start=1)
    )
    made.lines_hash = hash_of_lines(made.lines, Money(made.currency, made.total_minor))
    session.flush()
    bill = Bill(agreement, account, contract_of(session, agreement), {})
    number_and_freeze(session, [Freezing(made, bill, payment_days=0)], by)
    detail = {"credit_note": made.number, "total_minor": made.total_minor}
    note(session, invoice, "credited", by, reason=act.reason, detail=detail, answers=asked.id if asked else None)
    return made


def _draft(act: Act, plan: CreditPlan) -> Invoice:
    invoice = act.invoice
    return Invoice(
        agreement_id=invoice.agreement_id,
        licensor_id=invoice.licensor_id,
        licensee_id=invoice.licensee_id,
        kind="credit_note",
        corrects_invoice_id=invoice.id,
        period_start=invoice.period_start,
        period_end=invoice.period_end,
        status="draft",
        hold_reasons=[],
        currency=invoice.currency,
        total_minor=plan.total_minor,
        tax_minor=plan.tax_minor,
        closed_with={"commitments": [], "usage": {}},
    )


def _line(place: int, invoice: Invoice, line: InvoiceLine, *, minor: int, reason: str) -> InvoiceLine:
    money = Money(invoice.currency, minor)
    return InvoiceLine(
        no=place,
        kind="credit",
        subject=line.subject,
        service_start=line.service_start,
        service_end=line.service_end,
        part=f"{invoice.number}/{line.no}",
        adjustment=True,
        description=f"Credit on invoice {invoice.number}, line {line.no}: {line.description}",
        image_count=0,
        unit=invoice.currency,
        unit_price=None,
        unit_amount=Decimal(money.amount),
        conversion_rate=None,
        amount_minor=minor,
        price_id="",
        workings=[{"step": "credit", "text": f"Given back: {reason}"}],
        tax_category=line.tax_category,
        tax_rate=line.tax_rate,
        corrects_line_id=line.id,
    )
