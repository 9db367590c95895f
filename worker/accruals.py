"""The task that keeps accruals up: an agreement a transaction, for as long as a tick lasts.

It only reads what closes and roll-ups write, so it is in nobody's way; beside another one, each takes what the other
has not.
"""

import time
from datetime import timedelta

import structlog
from sqlalchemy.exc import OperationalError

from config.settings import settings
from core.accruals.accrue import accrue_if_due, agreements_to_accrue
from worker.app import app
from worker.session import new_session
from worker.tasks import database_may_be_away

log = structlog.get_logger()
A_TICK = timedelta(seconds=50)  # then the next tick goes on
AT_ONCE = 200


@app.task
def make_accruals() -> None:
    """Makes the accruals that are due anew, the oldest first."""
    often = timedelta(minutes=settings().accrual_minutes)
    until = time.monotonic() + A_TICK.total_seconds()
    made = 0
    with database_may_be_away("accruals"):
        with new_session() as session:
            due = agreements_to_accrue(session, AT_ONCE, often=often)
        for agreement_id in due:
            if time.monotonic() > until:
                break
            made += _one(agreement_id, often)
    if made:
        log.info("accruals made", agreements=made, left=len(due) - made)


def _one(agreement_id: int, often: timedelta) -> bool:
    """One agreement; what goes wrong with it is in no other one's way."""
    try:
        with new_session() as session:
            made = accrue_if_due(session, agreement_id, often=often)
            session.commit()
    except OperationalError:
        raise  # the database may be away, and then there is no point in trying the next
    except Exception:
        log.exception("accrual failed", agreement=agreement_id)
        return False
    return made
