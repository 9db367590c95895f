"""Runs as people see them: listed with their progress, stopped, resumed; and the runs that the clock asks for.

A run is running until it is stopped, and done when every item has come to its end; what was closed or issued before a
stop stands. Resuming hands out what is left. The clock asks for each agreement and month once, `grace_days` after the
month's end, whatever the number of its ticks: the pair is unique in the database.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.actors import Actor
from core.agreements.queries import versions_of
from core.agreements.tables import Agreement
from core.errors import Conflict, NotFound
from core.invoicing.runs.run import audit_run
from core.invoicing.tables import BillingRun, BillingRunItem
from core.period import Period, day_of
from core.registry.tables import Account
from core.usage.counts.counting import Timetable


@dataclass(frozen=True, slots=True)
class RunProgress:
    """A run and how far it is."""

    run: BillingRun
    state: str
    items: int
    finished: int
    failed: int
    held: int


def runs(session: Session, *, run_id: int | None = None, limit: int = 50) -> list[RunProgress]:
    """The newest runs first, or one."""
    item = BillingRunItem
    asked = (
        select(
            BillingRun,
            func.count(item.agreement_id),
            func.count(item.finished_at),
            func.count().filter(item.state == "failed"),
            func.count().filter(item.error.startswith("held: ")),
        )
        .outerjoin(item, item.run_id == BillingRun.id)
        .group_by(BillingRun.id)
        .order_by(BillingRun.id.desc())
        .limit(limit)
        .execution_options(populate_existing=True)
    )
    if run_id is not None:
        asked = asked.where(BillingRun.id == run_id)
    rows = session.execute(asked).all()
    if run_id is not None and not rows:
        raise NotFound("run_not_found", f"there is no run {run_id}: see `perimage runs list`")
    return [
        RunProgress(run, "done" if finished == items else run.state, items, finished, failed, held)
        for run, items, finished, failed, held in rows
    ]


def stop(session: Session, run_id: int, by: Actor) -> BillingRun:
    """Nothing more of the run is begun. A step that is under way is finished; what was issued stays issued."""
    run = _locked(session, run_id)
    by.demand("clerk", "stop a run")
    [now] = runs(session, run_id=run_id)
    if now.state == "done":
        raise Conflict("run_is_done", f"run {run_id} is done: there is nothing left to stop")
    if run.state == "running":
        run.state, run.stopped_by = "stopped", by.name
        audit_run(session, run, by, "run.stopped")
    return run


def resume(session: Session, run_id: int, by: Actor) -> BillingRun:
    """What is left of a stopped run is handed out again, after the events have been counted anew."""
    # Items before the run, as workers lock them: each waits for the other otherwise.
    unfinished = BillingRunItem.run_id == run_id, BillingRunItem.finished_at.is_(None)
    items = select(BillingRunItem.agreement_id).where(*unfinished).order_by(BillingRunItem.agreement_id)
    session.execute(items.with_for_update())
    run = _locked(session, run_id)
    by.demand("approver" if run.issues else "clerk", "resume a run")
    if run.state == "stopped":
        run.state, run.stopped_by, run.counted_at = "running", None, None
        # A worker that still holds one notices nothing; the item itself is locked for each step.
        left = update(BillingRunItem).where(*unfinished)
        session.execute(left.values(leased_until=None), execution_options={"synchronize_session": False})
        audit_run(session, run, by, "run.resumed")
    return run


def schedule(session: Session, *, default_grace_days: int | None = None) -> BillingRun | None:
    """The run that is due by now: last month's, for every agreement whose grace days are over and which no such run
    has had. None where there is nothing to do. Without a default the clock leaves those alone whose terms say nothing.
    """
    now: datetime = session.execute(select(func.now())).scalar_one()
    clocked = [(agreement, zone, _last_month(now, zone)) for agreement, zone in _clocked(session, now)]
    had = _scheduled_for(session, {month for _, _, month in clocked})
    left = [
        (agreement, zone, month)
        for agreement, zone, month in clocked
        if agreement.starts_on < month.end and (agreement.id, month.start) not in had
    ]
    versions = versions_of(session, [agreement.id for agreement, _, _ in left])
    due: dict[Period, list[int]] = {}
    for agreement, zone, month in left:
        last_day = min(month.end, agreement.ended_on or agreement.ends_on) - timedelta(days=1)
        grace = Timetable(versions[agreement.id]).on(last_day).grace_days
        grace = default_grace_days if grace is None else grace
        if grace is not None and now >= month.bounds(zone)[1] + timedelta(days=grace):
            due.setdefault(month, []).append(agreement.id)
    for month, ids in due.items():
        if run := _scheduled(session, month, ids):
            return run
    return None


def _scheduled(session: Session, month: Period, agreement_ids: list[int]) -> BillingRun | None:
    with session.begin_nested() as trial:
        run = BillingRun(period_start=month.start, period_end=month.end, issues=True, scheduled=True)
        session.add(run)
        session.flush()
        rows = [{"run_id": run.id, "agreement_id": id_, "scheduled_for": month.start} for id_ in agreement_ids]
        taken = insert(BillingRunItem).on_conflict_do_nothing().returning(BillingRunItem.agreement_id)
        if not session.scalars(taken, rows).all():  # another tick was quicker, and took all
            trial.rollback()
            return None
    return run


def _clocked(session: Session, now: datetime) -> list[tuple[Agreement, str]]:
    """(agreement, zone) of the signed agreements, those that ended lately included: they have a last month to close."""
    asked = (
        select(Agreement, Account.zone)
        .join(Account, Account.id == Agreement.account_id)
        .where(
            Agreement.status != "draft",
            func.coalesce(Agreement.ended_on, Agreement.ends_on) > now.date() - timedelta(days=100),
        )
        .order_by(Agreement.id)
    )
    return [(agreement, zone) for agreement, zone in session.execute(asked)]


def _scheduled_for(session: Session, months: Collection[Period]) -> set[tuple[int, date]]:
    """The agreements and months for which the clock has asked already."""
    asked = select(BillingRunItem.agreement_id, BillingRunItem.scheduled_for)
    rows = session.execute(asked.where(BillingRunItem.scheduled_for.in_([month.start for month in months])))
    return {(agreement_id, day) for agreement_id, day in rows if day is not None}


def _last_month(now: datetime, zone: str) -> Period:
    last_day = day_of(now, zone).replace(day=1) - timedelta(days=1)
    return Period.month(f"{last_day:%Y-%m}")


def _locked(session: Session, run_id: int) -> BillingRun:
    # Not against whoever only makes sure that the run is there: a worker that updates an item, with the log locked.
    asked = select(BillingRun).where(BillingRun.id == run_id).with_for_update(key_share=True)
    run = session.scalars(asked.execution_options(populate_existing=True)).one_or_none()
    if run is None:
        raise NotFound("run_not_found", f"there is no run {run_id}: see `perimage runs list`")
    return run
