"""The tasks. Each opens a session, calls one verb and commits; each may run twice, late, or never."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from sqlalchemy.exc import OperationalError

from config.settings import settings
from core.errors import PerimageError
from core.invoicing.runs.control import schedule
from core.invoicing.runs.run import advance_items, fail_item, hand_over, pieces_to_work, take_item, take_items
from core.usage.counts.rollup import roll_up
from worker.app import app
from worker.papers import make_papers
from worker.session import new_session

log = structlog.get_logger()
MOST_MESSAGES = 200  # a sweep; the next one announces the rest


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
def work_run(run_id: int) -> None:
    """Works the next items of a billing run that nobody holds: many up to their invoices, or a few to their end."""
    with database_may_be_away("billing"):
        with new_session() as session:
            taken = take_items(session, run_id, _lease())
            session.commit()
        if not taken.together:
            for agreement_id in taken.agreement_ids:
                _work_alone(run_id, agreement_id)
            return
        _work_together(run_id, taken.agreement_ids)
        with new_session() as session:
            pieces = hand_over(session, run_id, taken.agreement_ids)
            session.commit()
        for _ in range(pieces):
            work_run.delay(run_id)


@app.task
def work_item(run_id: int, agreement_id: int) -> None:
    """Works one item of a billing run to its end."""
    with database_may_be_away("billing"):
        with new_session() as session:
            taken = take_item(session, run_id, agreement_id, _lease())
            session.commit()
        if taken:
            _work_alone(run_id, agreement_id)


@app.task
def sweep() -> None:
    """Finds work that nobody holds, whatever became of the message that announced it, and announces it again."""
    with database_may_be_away("sweep"):
        with new_session() as session:
            pieces = pieces_to_work(session)
        for run_id in pieces[:MOST_MESSAGES]:
            work_run.delay(run_id)


@app.task
def schedule_runs() -> None:
    """Asks for the runs whose agreements' grace days are over: each agreement and month once."""
    with database_may_be_away("scheduling runs"):
        with new_session() as session:
            run = schedule(session, default_grace_days=settings().grace_days)
            run_id = None if run is None else run.id
            session.commit()
        if run_id is not None:
            log.info("run scheduled", run=run_id)
            sweep()


def _work_together(run_id: int, agreement_ids: list[int]) -> None:
    """Works items up to their invoices, a step a transaction for all of them; where that fails, one by one."""
    working = agreement_ids
    try:
        while working:
            working = [id_ for id_, state in _step(run_id, working).items() if state != "issued"]
    except Exception as error:
        if _is_away(error):
            raise  # nothing can be written down now; the items come back when their lease is over
        log.warning("items are worked one by one", run=run_id, items=len(working), why=str(error).splitlines()[:1])
        for agreement_id in working:
            _work_alone(run_id, agreement_id, with_papers=False)


def _work_alone(run_id: int, agreement_id: int, *, with_papers: bool = True) -> None:
    """Works an item by itself, up to its invoice or to its end, and writes down what goes wrong."""
    try:
        if with_papers and make_papers(run_id, agreement_id):
            return
        state: str | None = "waiting"
        while state and state != "issued":
            state = _step(run_id, [agreement_id]).get(agreement_id)
        if with_papers and state:
            make_papers(run_id, agreement_id)
    except Exception as error:
        if _is_away(error):
            raise
        if isinstance(error, PerimageError):
            log.warning("item refused", run=run_id, agreement=agreement_id, why=error.sentence)
        else:
            log.exception("item failed", run=run_id, agreement=agreement_id)
        with new_session() as session:
            fail_item(session, run_id, agreement_id, error)
            session.commit()


def _step(run_id: int, agreement_ids: list[int]) -> dict[int, str]:
    with new_session() as session:
        states = advance_items(session, run_id, agreement_ids)
        session.commit()
    return states


def _lease() -> timedelta:
    return timedelta(seconds=settings().lease_seconds)


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
