"""A billing run: one period, every agreement, each agreement's share a row that is worked step by step.

An item goes waiting -> counted -> closed -> issued -> finished, each step in a transaction and safe to repeat. What is
closed and needs nobody is issued in the same transaction, in a savepoint: where issuing fails, the draft stays. Whoever
works an item holds it by a lease; when the lease is over, the sweep hands it to the next. A run that only closes stops
at `closed`. One item that fails says so in its row and holds up no other. A run that is stopped
(`core/invoicing/runs/control.py`) is left alone between two steps.
"""

from datetime import timedelta

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from core.actors import SYSTEM, Actor
from core.agreements.tables import Agreement
from core.errors import PerimageError, Unavailable
from core.invoicing.documents import make_document
from core.invoicing.drafts.bill import Bill
from core.invoicing.drafts.close import Closed, agreements_to_close, close, demand_that_it_is_over
from core.invoicing.drafts.extras import in_force_on_last_day
from core.invoicing.life.issue import issue, issue_locked, needs_person
from core.invoicing.tables import BillingRun, BillingRunItem, Invoice
from core.kill_points import kill_point
from core.period import Period
from core.registry.tables import Account
from core.usage.counts.rollup import roll_up

MAX_ATTEMPTS = 5
COUNTED_LATELY = timedelta(seconds=30)  # one roll-up serves the items of a run for so long
FIRST_ZONE = "Etc/GMT-14"  # UTC+14, where every day begins and ends first


def request_run(
    session: Session, period: Period, *, issues: bool, licensor_id: int | None = None, by: Actor = SYSTEM
) -> BillingRun:
    """A run over every signed agreement that began before the period's end, or one licensor's; with `issues`, up to
    the documents.

    Refuses a period that is over nowhere on earth yet; where it is over later, that agreement's item says so.
    """
    demand_that_it_is_over(session, period, FIRST_ZONE)
    by.demand("approver" if issues else "clerk", "run a month" + (" and issue it" if issues else ""), system_may=True)
    asked_by = {"requested_by": by.name, "requested_role": by.role}
    run = BillingRun(period_start=period.start, period_end=period.end, issues=issues, **asked_by)
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
        .join(BillingRun, BillingRun.id == BillingRunItem.run_id)
        .where(
            BillingRun.state == "running",
            BillingRunItem.finished_at.is_(None),
            func.coalesce(BillingRunItem.leased_until, func.to_timestamp(0)) <= func.now(),
        )
        .order_by(BillingRunItem.run_id, BillingRunItem.agreement_id)
        .limit(limit)
    )
    return [(run_id, agreement_id) for run_id, agreement_id in rows]


def take_item(session: Session, run_id: int, agreement_id: int, lease: timedelta) -> bool:
    """Takes the lease, unless somebody holds it, the item is finished or its run is stopped. The caller commits before
    it works.

    An item that was taken five times without coming to its end is given up: it may be what its workers died of.
    """
    item = session.scalars(
        select(BillingRunItem)
        .join(BillingRun, BillingRun.id == BillingRunItem.run_id)
        .where(
            BillingRunItem.run_id == run_id,
            BillingRunItem.agreement_id == agreement_id,
            BillingRunItem.finished_at.is_(None),
            BillingRun.state == "running",
            func.coalesce(BillingRunItem.leased_until, func.to_timestamp(0)) <= func.now(),
        )
        .with_for_update(skip_locked=True, of=BillingRunItem)
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
    item, run, lately = _locked(session, run_id, agreement_id)
    if item.finished_at is not None:
        return False
    if run.state == "stopped":
        item.leased_until = None
        item.attempts -= 1  # it did not come to its end because somebody asked it not to
        session.flush()
        return False
    if item.state == "waiting" and not lately:
        # Alone in its transaction: the watermark is everybody's, and closes should not take turns on it.
        if not roll_up(session).more:
            item.state = "counted"
            # Only now, and past the session: nobody should hold the run's row while events are counted.
            session.flush()
            session.execute(update(BillingRun).where(BillingRun.id == run_id).values(counted_at=func.now()))
    elif (
        item.state in {"waiting", "counted"} or item.invoice_id is None
    ):  # without one, a later close has discarded our draft
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
    invoice = closed.invoice
    if invoice is None:
        _finish(item, "finished")
        return
    waits = None if invoice.status in ("held", "issued") else needs_person(session, invoice)
    if not _may_issue(run, closed) or waits or invoice.status == "held":
        item.invoice_id = invoice.id
        item.error = f"held: {invoice.hold_reason}" if invoice.status == "held" else waits
        _finish(item, "closed")
        return
    issued = closed.bill is None or _issued(session, invoice, closed.bill)
    # Written once, after the savepoint: without it the next step issues, or says why it cannot.
    item.invoice_id, item.state = invoice.id, "issued" if issued else "closed"
    kill_point("after_issue_before_outbox")


def _issued(session: Session, invoice: Invoice, bill: Bill) -> bool:
    """Issues what this transaction has just closed. Where that fails, the draft stays and nothing else has happened."""
    try:
        with session.begin_nested():
            issue_locked(session, invoice, SYSTEM, bill, limit_is_kept=True)
    except OperationalError:
        raise  # the server is going away
    except (PerimageError, DBAPIError):
        return False
    return True


def _may_issue(run: BillingRun, closed: Closed) -> bool:
    """A person's run issues if the person said so; the clock's where the agreement does."""
    if not run.scheduled:
        return run.issues
    if closed.bill is None:  # issued before
        return True
    return in_force_on_last_day(closed.bill.contract, run.period_end).issue == "automatic"


def _locked(session: Session, run_id: int, agreement_id: int) -> tuple[BillingRunItem, BillingRun, bool]:
    """The item, kept from others, its run, and whether all events were counted for the run a moment ago."""
    asked = (
        select(BillingRunItem, BillingRun, func.coalesce(BillingRun.counted_at > func.now() - COUNTED_LATELY, False))
        .join(BillingRun, BillingRun.id == BillingRunItem.run_id)
        .where(BillingRunItem.run_id == run_id, BillingRunItem.agreement_id == agreement_id)
        .with_for_update(of=BillingRunItem)
        .execution_options(populate_existing=True)
    )
    item, run, lately = session.execute(asked).one()
    return item, run, lately


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
