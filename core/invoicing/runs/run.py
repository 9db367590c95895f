"""A billing run: one period, every agreement, each agreement's share a row that is worked step by step.

An item goes waiting -> counted -> closed -> issued -> finished, each step in a transaction and safe to repeat. Items
are taken and worked many at a time up to their invoices: read, rated and written with the same few statements, closed
and issued in one transaction, issuing in a savepoint: where it fails, the drafts stay. What goes wrong with one while
it is rated is written in its row; where the database refuses something, whoever works the items goes on with each by
itself, so one that fails holds up no other. An item that was taken before and came to no end is taken alone.

Whoever works an item holds it by a lease; when the lease is over, the sweep hands it to the next. A run that only
closes stops at `closed`. A run that is stopped (`core/invoicing/runs/control.py`) is left alone between two steps.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from core.actors import SYSTEM, Actor
from core.agreements.tables import Agreement
from core.audit.record import record
from core.database import among
from core.errors import PerimageError, Unavailable
from core.invoicing.documents import make_document
from core.invoicing.drafts.bill import Bill
from core.invoicing.drafts.close import Closed, Outcome, agreements_to_close, close_many, demand_that_it_is_over
from core.invoicing.drafts.extras import in_force_on_last_day
from core.invoicing.life.issue import issue, issue_many, needs_person
from core.invoicing.tables import BillingRun, BillingRunItem, Invoice
from core.kill_points import kill_point
from core.period import Period
from core.registry.tables import Account
from core.usage.counts.rollup import roll_up

TOGETHER = 50  # items worked at a time up to their invoices: well under a second
PAPERS = 5  # issued items whose documents are made at a time
MAX_ATTEMPTS = 5
COUNTED_LATELY = timedelta(seconds=30)  # one roll-up serves the items of a run for so long
FIRST_ZONE = "Etc/GMT-14"  # UTC+14, where every day begins and ends first
_FREE = (
    BillingRun.state == "running",
    BillingRunItem.finished_at.is_(None),
    func.coalesce(BillingRunItem.leased_until, func.to_timestamp(0)) <= func.now(),
)
_UNSEEN = {"synchronize_session": False}
_log = logging.getLogger("perimage.runs")


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
    if by.is_person:  # the clock's own runs say so themselves
        audit_run(session, run, by, "run.requested")
    return run


def audit_run(session: Session, run: BillingRun, by: Actor, action: str) -> None:
    """Into the log of every licensor with a share in the run, always in the same order."""
    session.flush()
    theirs = (
        select(Account.licensor_id, func.count())
        .join(Agreement, Agreement.account_id == Account.id)
        .join(BillingRunItem, BillingRunItem.agreement_id == Agreement.id)
        .where(BillingRunItem.run_id == run.id)
        .group_by(Account.licensor_id)
        .order_by(Account.licensor_id)
    )
    said = {"period": Period(run.period_start, run.period_end).name, "issue": run.issues}
    for licensor_id, agreements in session.execute(theirs).all():
        record(session, licensor_id, by, action, f"run {run.id}", {**said, "agreements": agreements})


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
        .where(*_FREE)
        .order_by(BillingRunItem.run_id, BillingRunItem.agreement_id)
        .limit(limit)
    )
    return [(run_id, agreement_id) for run_id, agreement_id in rows]


def pieces_to_work(session: Session, run_id: int | None = None) -> list[int]:
    """The runs with items that nobody works on, each as often as `take_items` is to be called for them."""
    fresh = BillingRunItem.attempts == 0
    asked = (
        select(
            BillingRunItem.run_id,
            func.count().filter(fresh & (BillingRunItem.state != "issued")),
            func.count().filter(fresh & (BillingRunItem.state == "issued")),
            func.count().filter(~fresh),
        )
        .join(BillingRun, BillingRun.id == BillingRunItem.run_id)
        .where(*_FREE)
        .group_by(BillingRunItem.run_id)
        .order_by(BillingRunItem.run_id)
    )
    if run_id is not None:
        asked = asked.where(BillingRunItem.run_id == run_id)
    return [
        run
        for run, unissued, issued, again in session.execute(asked)
        for _ in range(ceil(unissued / TOGETHER) + ceil(issued / PAPERS) + again)
    ]


@dataclass(frozen=True, slots=True)
class Taken:
    """Items of a run whose lease was taken: to be worked `together` up to their invoices, or each to its end."""

    agreement_ids: list[int]
    together: bool


def take_items(session: Session, run_id: int, lease: timedelta) -> Taken:
    """Takes the lease of the next items of a run that nobody holds, in the order of their agreements: many of those
    without an invoice, else a few of those without documents, else one that was taken in vain before. The caller
    commits before it works.
    """
    fresh = BillingRunItem.attempts == 0
    for which, most in (
        (fresh & (BillingRunItem.state != "issued"), TOGETHER),
        (fresh & (BillingRunItem.state == "issued"), PAPERS),
        (~fresh, 1),
    ):
        taken = _take(session, [BillingRunItem.run_id == run_id, which], most, lease)
        if taken:
            return Taken(taken, together=most == TOGETHER)
    return Taken([], together=False)


def take_item(session: Session, run_id: int, agreement_id: int, lease: timedelta) -> bool:
    """Takes the lease of one item, unless somebody holds it, it is finished or its run is stopped. The caller commits
    before it works.
    """
    of_item = [BillingRunItem.run_id == run_id, BillingRunItem.agreement_id == agreement_id]
    return bool(_take(session, of_item, 1, lease))


def _take(session: Session, which: Sequence[ColumnElement[bool]], limit: int, lease: timedelta) -> list[int]:
    """An item that was taken five times without coming to its end is given up: it may be what its workers died of."""
    rows = session.execute(
        select(BillingRunItem, func.now())
        .join(BillingRun, BillingRun.id == BillingRunItem.run_id)
        .where(*which, *_FREE)
        .order_by(BillingRunItem.agreement_id)
        .limit(limit)
        .with_for_update(skip_locked=True, of=BillingRunItem)
        .execution_options(populate_existing=True)
    ).all()
    taken = []
    for item, now in rows:
        if item.attempts >= MAX_ATTEMPTS:
            said = item.error or f"given up: {item.attempts} workers took it and none came to its end"
            _finish(item, "failed", now, said)
            continue
        item.attempts += 1
        item.leased_until = now + lease
        taken.append(item.agreement_id)
    session.flush()
    if taken:
        kill_point("after_claim")
    return taken


def renew_lease(session: Session, run_id: int, agreement_id: int, lease: timedelta) -> None:
    """Holds an item for another while: what comes next takes longer."""
    held = update(BillingRunItem).where(
        BillingRunItem.run_id == run_id,
        BillingRunItem.agreement_id == agreement_id,
        BillingRunItem.finished_at.is_(None),
    )
    session.execute(held.values(leased_until=func.now() + lease), execution_options=_UNSEEN)


def hand_over(session: Session, run_id: int, agreement_ids: Collection[int]) -> int:
    """Gives back those of the items that have their invoices by now: whoever makes documents takes them. How often
    `take_items` is to be called for them.
    """
    handed = (
        update(BillingRunItem)
        .where(
            BillingRunItem.run_id == run_id,
            among(BillingRunItem.agreement_id, agreement_ids),
            BillingRunItem.state == "issued",
            BillingRunItem.finished_at.is_(None),
        )
        .values(leased_until=None, attempts=BillingRunItem.attempts - 1)
    )
    done = session.execute(handed.returning(BillingRunItem.agreement_id), execution_options=_UNSEEN)
    return ceil(len(done.all()) / PAPERS)


def advance_item(session: Session, run_id: int, agreement_id: int, said: str | None = None) -> bool:
    """Does one item's next step; True while there is another. The caller commits after each. `said` is what a worker
    has to say of an item that is finished.
    """
    return bool(advance_items(session, run_id, [agreement_id], said))


def advance_items(
    session: Session, run_id: int, agreement_ids: Collection[int], said: str | None = None
) -> dict[int, str]:
    """Does the next step of items that have none behind the others: the states of those with another. The caller
    commits after each, and works each by itself where this raises.
    """
    items, run, lately, now = _locked(session, run_id, agreement_ids)
    items = [item for item in items if item.finished_at is None]
    if run.state == "stopped":
        for item in items:
            item.leased_until = None
            item.attempts -= 1  # it did not come to its end because somebody asked it not to
        session.flush()
        return {}
    waiting = [item for item in items if item.state == "waiting"]
    # Without an invoice a later close has discarded our draft.
    to_close = [item for item in items if item.state in {"waiting", "counted"} or item.invoice_id is None]
    to_issue = [item for item in items if item.state == "closed"]
    if waiting and not lately:
        _count(session, run, waiting)
        left = items
    elif to_close:
        left = [*_close_step(session, run, to_close, now), *(item for item in items if item not in to_close)]
    elif to_issue:  # one at a time: an invoice is locked before the log, and not after it
        issue(session, to_issue[0].invoice_id or 0)
        to_issue[0].state = "issued"
        kill_point("after_issue_before_outbox")
        left = items
    else:
        for item in items:
            make_document(session, item.invoice_id or 0)
            _finish(item, "finished", now, said)
        left = []
    for item in left:
        if item.state == "issued":
            item.error = None  # of an attempt that failed before
    session.flush()
    return {item.agreement_id: item.state for item in left}


def fail_item(session: Session, run_id: int, agreement_id: int, error: Exception) -> None:
    """Writes down what went wrong. A refusal of ours is final; anything else is tried again when the lease is over."""
    [item], _, _, now = _locked(session, run_id, [agreement_id])
    _fail(item, error, now)
    session.flush()


def _fail(item: BillingRunItem, error: Exception, now: datetime) -> None:
    refused = isinstance(error, PerimageError) and not isinstance(error, Unavailable)
    item.error = (error.sentence if isinstance(error, PerimageError) else f"{type(error).__name__}: {error}")[:1000]
    if refused or item.attempts >= MAX_ATTEMPTS:
        _finish(item, "failed", now, item.error)


def _count(session: Session, run: BillingRun, waiting: Sequence[BillingRunItem]) -> None:
    """Alone in its transaction: the watermark is everybody's, and closes should not take turns on it."""
    if roll_up(session).more:
        return
    for item in waiting:
        item.state = "counted"
    # Only now, and past the session: nobody should hold the run's row while events are counted.
    session.flush()
    session.execute(update(BillingRun).where(BillingRun.id == run.id).values(counted_at=func.now()))


def _close_step(
    session: Session, run: BillingRun, items: Sequence[BillingRunItem], now: datetime
) -> list[BillingRunItem]:
    """Closes the items' agreements, and issues what is ready for it. Returns the items with another step."""
    by_id = {item.agreement_id: item for item in items}
    outcomes = close_many(session, by_id, Period(run.period_start, run.period_end))
    waits = needs_person(session, [draft for draft in map(_draft_of, outcomes.values()) if draft], _asker(run))
    ready: list[tuple[BillingRunItem, Invoice, Bill]] = []
    left = []
    for id_, item in by_id.items():
        closed = outcomes[id_]
        if isinstance(closed, Exception):
            if not isinstance(closed, PerimageError):
                _log.error("run %s, agreement %s failed", run.id, id_, exc_info=closed)
            _fail(item, closed, now)
        elif closed.invoice is None:
            _finish(item, "finished", now)
        elif not _may_issue(run, closed) or closed.invoice.id in waits or closed.invoice.status == "held":
            held = closed.invoice.status == "held"
            item.invoice_id = closed.invoice.id
            said = f"held: {closed.invoice.hold_reason}" if held else waits.get(closed.invoice.id)
            _finish(item, "closed", now, said)
        elif closed.bill is None:  # issued before
            item.invoice_id, item.state = closed.invoice.id, "issued"
            left.append(item)
        else:
            ready.append((item, closed.invoice, closed.bill))
    issued = _issued(session, [(invoice, bill) for _, invoice, bill in ready])
    for item, invoice, _ in ready:
        # Written once, after the savepoint: without it the next step issues, or says why it cannot.
        item.invoice_id, item.state = invoice.id, "issued" if issued else "closed"
        left.append(item)
    kill_point("after_issue_before_outbox")
    return left


def _asker(run: BillingRun) -> Actor:
    """In whose name a run issues, as far as two people are needed: whoever approved may not have it issued, either."""
    return SYSTEM if run.requested_by == SYSTEM.name else Actor(run.requested_by, "viewer")


def _draft_of(outcome: Outcome) -> Invoice | None:
    """What was closed and could be issued, as far as its standing goes."""
    if isinstance(outcome, Exception) or outcome.invoice is None or outcome.invoice.status in ("held", "issued"):
        return None
    return outcome.invoice


def _issued(session: Session, drafts: Sequence[tuple[Invoice, Bill]]) -> bool:
    """Issues what this transaction has just closed. Where that fails, the drafts stay and nothing else has happened."""
    if not drafts:
        return True
    try:
        with session.begin_nested():
            issue_many(session, drafts)
    except OperationalError:
        raise  # the server is going away
    except (PerimageError, DBAPIError) as error:
        _log.warning("%s drafts are issued one by one: %s", len(drafts), error)
        return False
    return True


def _may_issue(run: BillingRun, closed: Closed) -> bool:
    """A person's run issues if the person said so; the clock's where the agreement does."""
    if not run.scheduled:
        return run.issues
    if closed.bill is None:  # issued before
        return True
    return in_force_on_last_day(closed.bill.contract, run.period_end).issue == "automatic"


def _locked(
    session: Session, run_id: int, agreement_ids: Collection[int]
) -> tuple[list[BillingRunItem], BillingRun, bool, datetime]:
    """The items, kept from others, their run, whether all events were counted for it a moment ago, and the time."""
    lately = func.coalesce(BillingRun.counted_at > func.now() - COUNTED_LATELY, False)
    asked = (
        select(BillingRunItem, BillingRun, lately, func.now())
        .join(BillingRun, BillingRun.id == BillingRunItem.run_id)
        .where(BillingRunItem.run_id == run_id, among(BillingRunItem.agreement_id, agreement_ids))
        .order_by(BillingRunItem.agreement_id)
        .with_for_update(of=BillingRunItem)
        .execution_options(populate_existing=True)
    )
    rows = session.execute(asked).all()
    _, run, counted, now = rows[0]
    return [row[0] for row in rows], run, counted, now


def _finish(item: BillingRunItem, state: str, now: datetime, said: str | None = None) -> None:
    item.state, item.error = state, said
    item.leased_until = None
    item.finished_at = now


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
