"""A billing run: one period, every agreement, each agreement's share a row that is worked step by step.

An item goes waiting -> counted -> closed -> issued -> finished, each step in a transaction of its own and safe to
repeat. Whoever works an item holds it by a lease; when the lease is over, the sweep hands it to the next. A run that
only closes stops at `closed`. One item that fails says so in its row and holds up no other.
"""

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.agreements.tables import Agreement
from core.errors import PerimageError, Unavailable
from core.invoicing.close import agreements_to_close, close, demand_that_it_is_over
from core.invoicing.documents import make_document
from core.invoicing.issue import issue, needs_person
from core.invoicing.tables import BillingRun, BillingRunItem, Invoice
from core.kill_points import kill_point
from core.period import Period
from core.registry.tables import Account
from core.usage.rollup import roll_up

MAX_ATTEMPTS = 5
FIRST_ZONE = "Etc/GMT-14"  # UTC+14, where every day begins and ends first


def request_run(session: Session, period: Period, *, issues: bool, licensor_id: int | None = None) -> BillingRun:
    """A run over every signed agreement that began before the period's end, or one licensor's; with `issues`, up to
    the documents.

    Refuses a period that is over nowhere on earth yet; where it is over later, that agreement's item says so.
    """
    demand_that_it_is_over(session, period, FIRST_ZONE)
    run = BillingRun(period_start=period.start, period_end=period.end, issues=issues)
    session.add(run)
    session.flush()
    agreement_ids = agreements_of(session, agreements_to_close(session, period), licensor_id)
    if agreement_ids:
        session.execute(insert(BillingRunItem), [{"run_id": run.id, "agreement_id": id} for id in agreement_ids])
    return run


def agreements_of(session: Session, agreement_ids: list[int], licensor_id: int | None) -> list[int]:
    """Those of the agreements that are one licensor's; without one, all."""
    if licensor_id is None:
        return agreement_ids
    asked = select(Agreement.id).join(Account, Account.id == Agreement.account_id)
    theirs = set(session.scalars(asked.where(Account.licensor_id == licensor_id)))
    return [id_ for id_ in agreement_ids if id_ in theirs]


def items_to_work(session: Session, limit: int = 1000) -> list[tuple[int, int]]:
    """(run, agreement) of the items that nobody works on: never taken, or their lease is over."""
    rows = session.execute(
        select(BillingRunItem.run_id, BillingRunItem.agreement_id)
        .where(
            BillingRunItem.finished_at.is_(None),
            func.coalesce(BillingRunItem.leased_until, func.to_timestamp(0)) <= func.now(),
        )
        .order_by(BillingRunItem.run_id, BillingRunItem.agreement_id)
        .limit(limit)
    )
    return [(run_id, agreement_id) for run_id, agreement_id in rows]


def take_item(session: Session, run_id: int, agreement_id: int, lease: timedelta) -> bool:
    """Takes the lease, unless somebody holds it or the item is finished. The caller commits before it works.

    An item that was taken five times without coming to its end is given up: it may be what its workers died of.
    """
    item = session.scalars(
        select(BillingRunItem)
        .where(
            BillingRunItem.run_id == run_id,
            BillingRunItem.agreement_id == agreement_id,
            BillingRunItem.finished_at.is_(None),
            func.coalesce(BillingRunItem.leased_until, func.to_timestamp(0)) <= func.now(),
        )
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if item is None:
        return False
    if item.attempts >= MAX_ATTEMPTS:
        item.error = item.error or f"given up: {item.attempts} workers took it and none came to its end"
        _finish(item, "failed")
        session.flush()
        return False
    item.attempts += 1
    item.leased_until = func.now() + lease
    kill_point("after_claim")
    return True


def advance_item(session: Session, run_id: int, agreement_id: int) -> bool:
    """Does the item's next step; True while there is another. The caller commits after each."""
    item = session.get_one(BillingRunItem, (run_id, agreement_id), with_for_update=True)
    if item.finished_at is not None:
        return False
    run = session.get_one(BillingRun, run_id)
    if item.state == "waiting":
        # Alone in its transaction: the watermark is everybody's, and closes should not take turns on it.
        if not roll_up(session).more:
            item.state = "counted"
    elif item.state == "counted" or item.invoice_id is None:  # without one, a later close has discarded our draft
        _close_step(session, run, item)
    elif item.state == "closed":
        issue(session, item.invoice_id)
        item.state = "issued"
        kill_point("after_issue_before_outbox")
    elif item.state == "issued":
        make_document(session, item.invoice_id)
        _finish(item, "finished")
    if item.state in {"issued", "finished"}:
        item.error = None  # of an attempt that failed before
    session.flush()
    return item.finished_at is None


def fail_item(session: Session, run_id: int, agreement_id: int, error: Exception) -> None:
    """Writes down what went wrong. A refusal of ours is final; anything else is tried again when the lease is over."""
    item = session.get_one(BillingRunItem, (run_id, agreement_id), with_for_update=True)
    refused = isinstance(error, PerimageError) and not isinstance(error, Unavailable)
    item.error = (error.sentence if isinstance(error, PerimageError) else f"{type(error).__name__}: {error}")[:1000]
    if refused or item.attempts >= MAX_ATTEMPTS:
        _finish(item, "failed")
    session.flush()


def _close_step(session: Session, run: BillingRun, item: BillingRunItem) -> None:
    closed = close(session, item.agreement_id, Period(run.period_start, run.period_end))
    if closed.invoice is None:
        _finish(item, "finished")
        return
    item.invoice_id = closed.invoice.id
    item.state = "closed"
    waits = None if closed.invoice.status in ("held", "issued") else needs_person(session, closed.invoice)
    if not run.issues or waits or closed.invoice.status == "held":
        item.error = f"held: {closed.invoice.hold_reason}" if closed.invoice.status == "held" else waits
        _finish(item, "closed")


def _finish(item: BillingRunItem, state: str) -> None:
    item.state = state
    item.leased_until = None
    item.finished_at = func.now()


def progress_of(session: Session, run_id: int) -> list[tuple[BillingRunItem, Invoice | None]]:
    """Every item of a run with the invoice it led to."""
    rows = session.execute(
        select(BillingRunItem, Invoice)
        .outerjoin(Invoice, Invoice.id == BillingRunItem.invoice_id)
        .where(BillingRunItem.run_id == run_id)
        .order_by(BillingRunItem.agreement_id)
        .execution_options(populate_existing=True)
    )
    return [(item, invoice) for item, invoice in rows]
