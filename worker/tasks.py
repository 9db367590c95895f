"""The tasks. Each opens a session, calls one verb and commits; each may run twice, late, or never."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from sqlalchemy.exc import OperationalError

from config.settings import settings
from core.errors import PerimageError
from core.invoicing.runs.control import schedule
from core.invoicing.runs.run import advance_item, fail_item, items_to_work, take_item
from core.usage.counts.rollup import roll_up
from worker.app import app
from worker.session import new_session

log = structlog.get_logger()


@app.task
def roll_up_usage() -> None:
    """Counts the events that came in since the last time, a step a transaction."""
    more = True
    with database_may_be_away("roll-up"):
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
    with database_may_be_away("billing"):
        with new_session() as session:
            taken = take_item(session, run_id, agreement_id, timedelta(seconds=settings().lease_seconds))
            session.commit()
        try:
            while taken:
                with new_session() as session:
                    taken = advance_item(session, run_id, agreement_id)
                    session.commit()
        except Exception as error:
            if _is_away(error):
                raise  # nothing can be written down now; the item comes back when its lease is over
            if isinstance(error, PerimageError):
                log.warning("item refused", run=run_id, agreement=agreement_id, why=error.sentence)
            else:
                log.exception("item failed", run=run_id, agreement=agreement_id)
            with new_session() as session:
                fail_item(session, run_id, agreement_id, error)
                session.commit()


@app.task
def sweep() -> None:
    """Finds work that nobody holds, whatever became of the message that announced it, and announces it again."""
    with database_may_be_away("sweep"):
        with new_session() as session:
            items = items_to_work(session)
        for run_id, agreement_id in items:
            work_item.delay(run_id, agreement_id)


@app.task
def schedule_runs() -> None:
    """Asks for the runs whose agreements' grace days are over: each agreement and month once."""
    with database_may_be_away("scheduling runs"):
        with new_session() as session:
            run = schedule(session)
            run_id = None if run is None else run.id
            session.commit()
        if run_id is not None:
            log.info("run scheduled", run=run_id)
            sweep()


@contextmanager
def database_may_be_away(what: str) -> Iterator[None]:
    """A database out of reach is one line in the log: the work is rows, and the next tick or sweep finds it."""
    try:
        yield
    except OperationalError as error:
        if not _is_away(error):
            raise
        log.warning("the database is out of reach; trying again later", task=what, why=str(error.orig).splitlines()[0])


def _is_away(error: Exception) -> bool:
    """Whether the server could not be reached or is going down, as opposed to refusing or cancelling a statement."""
    if not isinstance(error, OperationalError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    return state is None or state.startswith(("08", "57P"))
