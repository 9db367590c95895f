"""The tasks around notices: finding what must be told, and delivering it.

The rows are the work: each delivery is claimed, sent and recorded, in a transaction before and one after the sending. A
few threads do so beside each other, since all of it is waiting for others.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import structlog

from config.settings import settings
from core.kill_points import kill_point
from core.notices.deliver import Outcome, Parcel, claim, record
from core.notices.watch import watch, watch_days
from worker.app import app
from worker.notices.mail import send_mail
from worker.notices.webhook import send_webhook
from worker.session import new_session
from worker.tasks import database_may_be_away

log = structlog.get_logger()
A_TICK = 25.0  # seconds; then the next tick goes on
THREADS = 4
LEASE = timedelta(minutes=5)  # well above the longest exchange with a server


@app.task
def watch_notices() -> None:
    """Finds invoices issued and held, commitments and caps reached."""
    with database_may_be_away("notices"):
        more = True
        while more:
            with new_session() as session:
                found = watch(session, mail=_by_mail())
                session.commit()
            more = found.more
            if found.told:
                log.info("notices told", notices=found.told)
            for why in found.unrated:
                log.warning("not watched", why=why)


@app.task
def watch_notice_days() -> None:
    """Finds invoices due soon and overdue, and days without a report."""
    with database_may_be_away("notices"), new_session() as session:
        found = watch_days(session, mail=_by_mail())
        session.commit()
        if found.told:
            log.info("notices told", notices=found.told)


@app.task
def deliver_notices() -> None:
    """Delivers what may be delivered now."""
    until = time.monotonic() + A_TICK
    with database_may_be_away("deliveries"), ThreadPoolExecutor(THREADS) as pool:
        for worked in [pool.submit(_work, until) for _ in range(THREADS)]:
            worked.result()


def one_delivery() -> bool:
    """Claims a delivery, sends it, records it: False where there is none to do now."""
    with new_session() as session:
        parcel = claim(session, LEASE)
        session.commit()
    if parcel is None:
        return False
    outcome = _sent(parcel)
    kill_point("after_send_before_record")
    with new_session() as session:
        state = record(session, parcel, outcome, mail=_by_mail())
        session.commit()
    (log.info if state == "delivered" else log.warning)(
        "notice delivery", delivery=parcel.delivery_id, kind=parcel.kind, state=state, status=outcome.status
    )
    return True


def _work(until: float) -> None:
    while time.monotonic() < until and one_delivery():
        pass


def _sent(parcel: Parcel) -> Outcome:
    """One attempt. What nobody thought of is a failure with its name, and a traceback in the log."""
    ours = settings()
    try:
        if parcel.address:
            return send_mail(parcel, ours.smtp_url, ours.mail_from)
        return send_webhook(parcel, allow_private=ours.allow_private_webhooks)
    except Exception as error:
        log.exception("delivery failed", delivery=parcel.delivery_id)
        return Outcome("failed", f"could not be sent: {type(error).__name__}")


def _by_mail() -> bool:
    return bool(settings().smtp_url and settings().mail_from)
