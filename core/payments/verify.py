"""Proof that payments, what they settle and the books say the same."""

from collections import defaultdict

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.invoicing.tables import Invoice
from core.invoicing.verify import Check
from core.ledger.tables import LedgerTransaction, Posting
from core.payments.tables import GatewayDifference, Payment, PaymentAllocation, PaymentRefund


def verify_payments(session: Session) -> list[Check]:
    """Every payment, application and refund stands in the books with its amount; nothing is used twice; and nothing
    differs from the gateway, as far as the last comparison has seen."""
    return [_books(session), _used_once(session), _gateway(session)]


def _books(session: Session) -> Check:
    booked = {
        (licensor_id, reference): -int(minor)
        for licensor_id, reference, minor in session.execute(
            select(LedgerTransaction.licensor_id, LedgerTransaction.reference, func.sum(Posting.amount_minor))
            .join(Posting)
            .where(Posting.book == "unapplied")
            .group_by(LedgerTransaction.licensor_id, LedgerTransaction.reference)
        )
    }
    facts: list[tuple[int, str, int]] = [
        (payment.licensor_id, payment.item, payment.amount_minor) for payment in session.scalars(select(Payment))
    ]
    facts += [
        (licensor_id, f"apply:{id_}", -minor)
        for licensor_id, id_, minor in session.execute(
            select(Invoice.licensor_id, PaymentAllocation.id, PaymentAllocation.amount_minor).join(
                Invoice, Invoice.id == PaymentAllocation.invoice_id
            )
        )
    ]
    facts += [
        (row.licensor_id, f"refund:{row.id}", -row.amount_minor) for row in session.scalars(select(PaymentRefund))
    ]
    wrong = tuple(
        f"{reference}: {minor} by the fact, {booked.get((licensor_id, reference))} in the books"
        for licensor_id, reference, minor in facts
        if booked.get((licensor_id, reference)) != minor
    )
    known = {(licensor_id, reference) for licensor_id, reference, _ in facts}
    wrong += tuple(
        f"{reference} stands in the books, and there is no such payment, application or refund"
        for licensor_id, reference in booked
        if reference.split(":")[0] in ("payment", "apply", "refund") and (licensor_id, reference) not in known
    )
    return Check("payments stand in the books", len(facts), wrong)


def _used_once(session: Session) -> Check:
    used: defaultdict[int, int] = defaultdict(int)
    for table in (PaymentAllocation, PaymentRefund):
        rows = session.execute(
            select(table.payment_id, func.sum(table.amount_minor))
            .where(table.payment_id.is_not(None))
            .group_by(table.payment_id)
        )
        for payment_id, minor in rows:
            used[payment_id or 0] += int(minor)
    found = session.scalars(select(Payment)).all()
    wrong = tuple(
        f"payment {each.id}: {used[each.id]} of {each.amount_minor} is used"
        for each in found
        if not 0 <= used[each.id] <= each.amount_minor
    )
    return Check("payments are used once", len(found), wrong)


def _gateway(session: Session) -> Check:
    looked_at = session.scalar(select(func.count()).select_from(GatewayDifference)) or 0
    still = session.scalars(
        select(GatewayDifference).where(GatewayDifference.resolved_at.is_(None)).order_by(GatewayDifference.id)
    )
    wrong = tuple(f"{each.subject}: {each.kind}: {each.detail}" for each in still)
    return Check("nothing differs at the payment gateway", looked_at, wrong)
