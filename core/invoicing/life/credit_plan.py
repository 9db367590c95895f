"""What a credit would take back of an issued invoice: by line, with its tax, and never more than was asked for."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.errors import Conflict, InvalidInput
from core.invoicing.drafts.tax import TaxRate, tax_groups
from core.invoicing.tables import Invoice, InvoiceLine
from core.money import Money, decimal_of, exponent


@dataclass(frozen=True, slots=True)
class CreditPlan:
    """What a credit would take back: net by line of the invoice, its tax and total, in minor units below zero."""

    by_line: Mapping[int, int]
    tax_minor: int

    @property
    def total_minor(self) -> int:
        return sum(self.by_line.values()) + self.tax_minor


def plan_credit(session: Session, invoice: Invoice, amounts: Mapping[int, int] | None = None) -> CreditPlan:
    """What crediting would take back. `amounts` are net minor units to give back by line number, above zero for a line
    above zero; everything that has not been credited yet when left out. Refuses more than was asked for.
    """
    left = _left_by_line(session, invoice)
    wanted = {no: minor for no, minor in left.items() if minor} if amounts is None else dict(amounts)
    if not wanted or not any(wanted.values()):
        raise Conflict("nothing_to_credit", f"nothing is left to credit on {invoice.number}")
    for no, minor in wanted.items():
        if no not in left:
            raise InvalidInput("line_not_found", f"{invoice.number} has no line {no}: its lines are 1 to {len(left)}")
        if minor == 0 or (minor > 0) != (left[no] > 0) or abs(minor) > abs(left[no]):
            rest = Money(invoice.currency, left[no])
            raise Conflict("credit_too_large", f"line {no} of {invoice.number} has {rest} left to credit, before tax")
    lines = {line.no: line for line in invoice.lines}
    groups = tax_groups((_rate_of(lines[no]), -minor) for no, minor in wanted.items())
    tax = sum(group.tax_minor for group in groups)
    credited_net, credited_tax = _credited(session, invoice)
    if sum(left.values()) == sum(wanted.values()) and all(wanted.get(no, 0) == rest for no, rest in left.items()):
        tax = -(invoice.tax_minor + credited_tax)
    plan = CreditPlan({no: -minor for no, minor in sorted(wanted.items())}, tax)
    if plan.total_minor >= 0:
        raise Conflict("credit_too_large", "this would ask for money instead of giving it back: credit other lines")
    if -(plan.total_minor + credited_net + credited_tax) > invoice.total_minor:
        rest = Money(invoice.currency, invoice.total_minor + credited_net + credited_tax)
        raise Conflict("credit_too_large", f"{invoice.number} has {rest} left to credit, with tax")
    return plan


def credit_amounts(session: Session, invoice: Invoice, amount: str, line: int | None = None) -> dict[int, int]:
    """Amounts by line for a net amount in words, such as "50.00": of one line, or of the lines in their order."""
    currency = invoice.currency
    exact = decimal_of(amount, "the amount")
    minor = exact.scaleb(exponent(currency))
    if exact <= 0 or minor != int(minor):
        raise InvalidInput(
            "bad_amount", f"write an amount above zero with at most {exponent(currency)} decimals, such as "
            f"{Money(currency, 5000).amount:f}"
        )  # fmt: skip
    wanted = int(minor)
    if line is not None:
        return {line: wanted}
    amounts: dict[int, int] = {}
    for no, rest in _left_by_line(session, invoice).items():
        if rest > 0 and wanted:
            amounts[no] = min(rest, wanted)
            wanted -= amounts[no]
    if wanted:
        raise Conflict(
            "credit_too_large",
            f"{invoice.number} has {Money(currency, int(minor) - wanted)} left to credit, before tax",
        )
    return amounts


def _left_by_line(session: Session, invoice: Invoice) -> dict[int, int]:
    """Net minor units of each line that no credit note has taken back yet."""
    given = dict(
        session.execute(
            select(InvoiceLine.corrects_line_id, func.sum(InvoiceLine.amount_minor))
            .join(Invoice, Invoice.id == InvoiceLine.invoice_id)
            .where(Invoice.corrects_invoice_id == invoice.id, Invoice.status != "void")
            .group_by(InvoiceLine.corrects_line_id)
        ).all()
    )
    return {line.no: line.amount_minor + int(given.get(line.id, 0)) for line in invoice.lines}


def _credited(session: Session, invoice: Invoice) -> tuple[int, int]:
    """Net and tax of the credit notes that stand over an invoice, below zero."""
    net, tax = session.execute(
        select(
            func.coalesce(func.sum(Invoice.total_minor - Invoice.tax_minor), 0),
            func.coalesce(func.sum(Invoice.tax_minor), 0),
        ).where(Invoice.corrects_invoice_id == invoice.id, Invoice.status != "void")
    ).one()
    return int(net), int(tax)


def _rate_of(line: InvoiceLine) -> TaxRate:
    return TaxRate(line.tax_category, line.tax_rate)
