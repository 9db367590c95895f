"""The tasks. Each opens a session, calls one verb and commits; each may run twice, late, or never."""

from datetime import timedelta

import structlog

from config.settings import settings
from core.invoicing.run import advance_item, fail_item, items_to_work, take_item
from core.usage.rollup import roll_up
from worker.app import app
from worker.session import new_session

log = structlog.get_logger()


@app.task
def roll_up_usage() -> None:
    """Counts the events that came in since the last time, a step a transaction."""
    more = True
    while more:
        with new_session() as session:
            done = roll_up(session)
            session.commit()
        more = done.more
        if done.event_count or done.resolved_late:
            log.info("rolled up", events=done.event_count, resolved_late=done.resolved_late)


@app.task
def work_item(run_id: int, agreement_id: int) -> None:
    """Works one item of a billing run to its end, a step a transaction."""
    with new_session() as session:
        taken = take_item(session, run_id, agreement_id, timedelta(seconds=settings().lease_seconds))
        session.commit()
    try:
        while taken:
            with new_session() as session:
                taken = advance_item(session, run_id, agreement_id)
                session.commit()
    except Exception as error:
        log.exception("item failed", run=run_id, agreement=agreement_id)
        with new_session() as session:
            fail_item(session, run_id, agreement_id, error)
            session.commit()


@app.task
def sweep() -> None:
    """Finds work that nobody holds, whatever became of the message that announced it, and announces it again."""
    with new_session() as session:
        items = items_to_work(session)
    for run_id, agreement_id in items:
        work_item.delay(run_id, agreement_id)
