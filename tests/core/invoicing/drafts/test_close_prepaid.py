"""Closing an agreement that is paid in advance: each prepayment is asked for once, however often months are closed."""

from datetime import date

from sqlalchemy.orm import Session

from core.agreements.tables import Agreement
from core.invoicing.drafts.close import close
from core.invoicing.life.issue import issue
from core.period import Period
from core.usage.counts.rollup import roll_up
from tests.trade import Trade, flat

BLOCK = {"name": "block", "kind": "images", "quantity": 1000, "period": "quarter", "billing": "advance"}


def billed(session: Session, agreement: Agreement, month: str) -> list[tuple[str, str, bool, int]]:
    """What the month's invoice asks for, after two closes and its issue."""
    session.commit()
    roll_up(session)
    for _ in range(2):
        closed = close(session, agreement.id, Period.month(month))
        session.commit()
    if closed.invoice is None:
        return []
    if closed.invoice.status == "draft":
        issue(session, closed.invoice.id)
        session.commit()
    return [(line.kind, f"{line.service_start}", line.adjustment, line.amount_minor) for line in closed.invoice.lines]


def test_a_prepayment_is_on_one_invoice_only(session: Session, trade: Trade) -> None:
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")], commitments=[BLOCK], starts_on=date(2026, 4, 1))
    trade.use("sd-1", 700, "2026-05-03T00:00Z")
    assert billed(session, agreement, "2026-04") == [("prepayment", "2026-04-01", False, 1000)]
    assert billed(session, agreement, "2026-05") == [
        ("usage", "2026-05-01", False, 700),
        ("drawdown", "2026-05-01", False, -700),
    ]
    trade.use("sd-1", 500, "2026-05-04T00:00Z")
    assert billed(session, agreement, "2026-06") == [
        ("usage", "2026-05-01", True, 500),
        ("drawdown", "2026-05-01", True, -300),
        ("prepayment", "2026-07-01", False, 1000),
    ]
    assert billed(session, agreement, "2026-07") == []
    assert billed(session, agreement, "2026-04") == [("prepayment", "2026-04-01", False, 1000)]
