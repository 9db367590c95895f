"""The tasks around payments: the outbox to Stripe, reading again what changed there, the daily comparison.

The rows are the work: a tick looks for steps and readings that may be done now and does them one by one, each with a
claim that is committed before the call and a record that is committed after it.
"""

import time
from datetime import UTC, datetime, timedelta
from functools import cache

import structlog

from config.settings import settings
from core.payments.collect import plan
from core.payments.gateway import Gateway, GatewayError
from core.payments.outbox import Wait, claim, fail, record
from core.payments.perform import perform
from core.payments.reconcile import LOOKS_BACK, known_ids, look, ours, reconcile, reconciled_since
from core.payments.refresh import claim_refresh, fail_reading, read, record_reading
from core.payments.stripe import stripe_gateway
from worker.app import app
from worker.session import new_session
from worker.tasks import database_may_be_away

log = structlog.get_logger()
A_TICK = timedelta(seconds=50)  # then the next tick goes on
LONGEST_WAIT = timedelta(seconds=2)


@cache
def _gateway() -> Gateway | None:
    """Stripe, where a key is set. Without one nothing of this file does anything."""
    key = settings().stripe_api_key
    return stripe_gateway(key, settings().stripe_api_base) if key else None


@app.task
def work_gateway() -> None:
    """Plans what is missing and does what may be done now."""
    gateway = _gateway()
    if gateway is None:
        return
    with database_may_be_away("payment gateway"):
        with new_session() as session:
            plan(session)
            session.commit()
        until = time.monotonic() + A_TICK.total_seconds()
        while time.monotonic() < until and (one_step(gateway) or one_reading(gateway)):
            pass


def one_step(gateway: Gateway) -> bool:
    """Claims a step, does it, records it: False where there is none to do now."""
    lease, rate = timedelta(seconds=settings().stripe_lease_seconds), settings().stripe_calls_a_second
    with new_session() as session:
        work = claim(session, lease, rate)
        session.commit()
    if work is None or isinstance(work, Wait):
        return work is not None and _waited(work)
    try:
        outcome = perform(gateway, work)
    except GatewayError as error:
        log.warning("gateway step failed", step=work.kind, invoice=work.number, why=error.sentence)
        with new_session() as session:
            fail(session, work, error)
            session.commit()
        return True
    with new_session() as session:
        record(session, work, outcome)
        session.commit()
    log.info("gateway step", step=work.kind, invoice=work.number)
    return True


def one_reading(gateway: Gateway) -> bool:
    """Reads one invoice again and records what was paid: False where none is wanted now."""
    lease, rate = timedelta(seconds=settings().stripe_lease_seconds), settings().stripe_calls_a_second
    with new_session() as session:
        reading = claim_refresh(session, lease, rate)
        session.commit()
    if reading is None or isinstance(reading, Wait):
        return reading is not None and _waited(reading)
    try:
        what = read(gateway, reading)
    except GatewayError as error:
        log.warning("gateway reading failed", invoice=reading.gateway_id, why=error.sentence)
        with new_session() as session:
            fail_reading(session, reading, error)
            session.commit()
        return True
    with new_session() as session:
        paid = record_reading(session, reading, what)
        session.commit()
    if paid:
        log.info("paid at the gateway", invoice=reading.gateway_id, payments=len(paid))
    return True


def _waited(wait: Wait) -> bool:
    """Sleeps until a token is there. False where it takes longer: then the next tick goes on."""
    if wait.time > LONGEST_WAIT:
        return False
    time.sleep(wait.time.total_seconds())
    return True


@app.task
def reconcile_gateway() -> None:
    """The daily comparison with the gateway."""
    gateway = _gateway()
    if gateway is None:
        return
    with database_may_be_away("reconciliation"):
        now = datetime.now(UTC)
        with new_session() as session:
            if reconciled_since(session, now - timedelta(seconds=settings().stripe_reconcile_seconds)):
                return
            before, older = ours(session), known_ids(session, now - LOOKS_BACK)
        try:
            there = look(gateway, now, older)
        except GatewayError as error:
            log.warning("reconciliation failed; beat asks again", why=error.sentence)
            return
        with new_session() as session:
            differences = reconcile(session, before, there).differences
            session.commit()
        (log.warning if differences else log.info)("reconciled with the gateway", differences=differences)
