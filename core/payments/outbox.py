"""The outbox: steps as rows, claimed one at a time, carried out by `perform.py`, and recorded. Nobody commits here.

    with a session: work = claim(session, ...); commit      the step is leased, its attempt is counted
    without one:    outcome = perform(gateway, work)        the call
    with a session: record(session, work, outcome)          or fail(session, work, error); commit

Whoever dies in between leaves a step whose lease runs out. The next one repeats the call under the same key, and the
gateway answers as it did before; once the key is too old to be sure of, it looks first.
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from core.errors import Conflict
from core.invoicing.tables import Invoice
from core.payments.gateway import (
    KEYS_ARE_SURE_FOR,
    GatewayBusy,
    GatewayError,
    GatewayLockedOut,
    GatewayRefused,
    GatewayUnsure,
    RemoteInvoice,
    from_gateway,
    idempotency_key,
    wait_before_next,
)
from core.payments.perform import Done, NothingFound, Work
from core.payments.tables import GatewayCustomer, GatewayInvoice, GatewayPace, GatewayPause, GatewayStep
from core.registry.tables import Licensor

MILLION = 1_000_000
LOCKED_OUT_WAIT = timedelta(minutes=5)
AFTER_FINALISING = ("finalise", "send", "collect", "void", "credit", "mark_paid", "write_off")


@dataclass(frozen=True, slots=True)
class Wait:
    """There is work, and nobody may call before so long has passed."""

    time: timedelta


def claim(session: Session, lease: timedelta, calls_a_second: int) -> Work | Wait | None:
    """Takes the lease of the next step that may be done now; None where there is none, or the outbox is paused."""
    if is_paused(session):
        return None
    step = _next_step(session)
    if step is None:
        return None
    if wait := take_token(session, calls_a_second):
        return Wait(wait)
    now: datetime = session.execute(select(func.now())).scalar_one()
    started = step.first_attempt_at
    must_look = step.look_first or (started is not None and now - started > KEYS_ARE_SURE_FOR)
    step.attempts += 1
    step.first_attempt_at = started or now
    step.leased_until = now + lease
    session.flush()
    return _work(session, step, lease, must_look=must_look)


def record(session: Session, work: Work, outcome: Done | NothingFound) -> None:
    """Writes down what came of it. A step that somebody else has finished meanwhile stays as it is."""
    step = session.get_one(GatewayStep, work.step_id, with_for_update=True, populate_existing=True)
    if step.state == "done":
        if isinstance(outcome, Done) and outcome.gateway_id not in (None, step.gateway_id):
            raise Conflict(
                "second_gateway_object",
                f"step {step.id} ({step.kind}) made {outcome.gateway_id} and, before, {step.gateway_id}",
            )
        return
    step.leased_until = step.not_before = None
    if isinstance(outcome, NothingFound):
        if step.generation == work.generation:
            step.generation, step.look_first, step.first_attempt_at, step.attempts = work.generation + 1, False, None, 0
    else:
        step.state, step.gateway_id, step.error, step.finished_at = "done", outcome.gateway_id, outcome.note, func.now()
        _take_effect(session, step, work, outcome)
    session.flush()


def fail(session: Session, work: Work, error: GatewayError) -> None:
    """Writes down why it was not done, and when it may be tried again; a refusal stops the step for people to see."""
    step = session.get_one(GatewayStep, work.step_id, with_for_update=True, populate_existing=True)
    if step.state != "waiting":
        return
    step.error = error.sentence[:1000]
    step.leased_until = None
    wait = wait_before_next(step.attempts)
    if isinstance(error, GatewayRefused):
        step.state = "stopped"
    elif isinstance(error, GatewayUnsure):
        step.look_first = True
    elif isinstance(error, GatewayLockedOut):
        wait = LOCKED_OUT_WAIT
    elif isinstance(error, GatewayBusy):
        wait = error.wait or wait
        if error.everybody:
            _nobody_before(session, wait)
    step.not_before = func.now() + wait
    session.flush()


def is_paused(session: Session) -> bool:
    """Whether the outbox is paused, by the last word on it."""
    last = select(GatewayPause.paused).order_by(GatewayPause.id.desc()).limit(1)
    return bool(session.scalar(last))


def steps_waiting(session: Session) -> int:
    """How many steps are to be done, now or later."""
    return session.scalar(select(func.count()).select_from(GatewayStep).where(GatewayStep.state == "waiting")) or 0


def look_before_everything(session: Session) -> None:
    """From now on no unfinished step trusts that it was never attempted: as after a restore."""
    session.execute(
        update(GatewayStep)
        .where(GatewayStep.state.in_(("waiting", "stopped")))
        .values(look_first=True, leased_until=None, not_before=None)
    )


def want_refresh(session: Session, invoice_id: int) -> None:
    """The invoice is to be read again at the gateway."""
    session.execute(
        update(GatewayInvoice)
        .where(GatewayInvoice.invoice_id == invoice_id)
        .values(refresh_wanted_at=func.clock_timestamp())
    )


def see(session: Session, invoice_id: int, seen: RemoteInvoice) -> None:
    """Keeps what the invoice looks like at the gateway."""
    mirror = session.get_one(GatewayInvoice, invoice_id, with_for_update=True, populate_existing=True)
    mirror.status, mirror.seen_at = seen.status, func.now()
    mirror.total_minor = from_gateway(seen.total, seen.currency).minor
    mirror.remaining_minor = from_gateway(seen.remaining, seen.currency).minor
    mirror.page_url = seen.page_url
    session.flush()


def _next_step(session: Session) -> GatewayStep | None:
    earlier = aliased(GatewayStep)
    blocked = exists().where(
        earlier.lane == GatewayStep.lane,
        earlier.id < GatewayStep.id,
        # What could not be mailed or charged holds up nothing, and a void invoice waits for no repair.
        or_(
            earlier.state == "waiting",
            and_(earlier.state == "stopped", earlier.kind.not_in(("send", "collect")), GatewayStep.kind != "void"),
        ),
    )
    known_customer = exists().where(
        GatewayCustomer.licensor_id == GatewayStep.licensor_id,
        GatewayCustomer.licensee_id == GatewayStep.licensee_id,
        GatewayCustomer.gateway_id.is_not(None),
    )
    return session.scalars(
        select(GatewayStep)
        .where(
            GatewayStep.state == "waiting",
            func.coalesce(GatewayStep.leased_until, func.to_timestamp(0)) <= func.now(),
            func.coalesce(GatewayStep.not_before, func.to_timestamp(0)) <= func.now(),
            ~blocked,
            or_(GatewayStep.kind == "customer", known_customer),
        )
        .order_by(GatewayStep.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    ).one_or_none()


def _work(session: Session, step: GatewayStep, lease: timedelta, *, must_look: bool) -> Work:
    licensor = session.get_one(Licensor, step.licensor_id).slug
    customer = session.get(GatewayCustomer, (step.licensor_id, step.licensee_id), populate_existing=True)
    mirror = session.get(GatewayInvoice, step.invoice_id, populate_existing=True) if step.invoice_id else None
    number = session.get_one(Invoice, step.invoice_id).number if step.invoice_id else None
    subject = number or step.lane
    key = idempotency_key(licensor, subject, (step.kind, step.part), step.content, step.generation)
    return Work(
        step_id=step.id,
        kind=step.kind,
        part=step.part,
        content=step.content,
        key=None if must_look else key,
        number=subject,
        generation=step.generation,
        customer_id=customer.gateway_id if customer else None,
        invoice_gateway_id=mirror.gateway_id if mirror else None,
        until_ns=time.monotonic_ns() + lease // timedelta(microseconds=1) * 1000,
    )


def _take_effect(session: Session, step: GatewayStep, work: Work, outcome: Done) -> None:
    """What the other tables have to know of a step that is done."""
    if step.kind == "customer":
        customer = session.get_one(GatewayCustomer, (step.licensor_id, step.licensee_id), with_for_update=True)
        customer.gateway_id = outcome.gateway_id
        return
    assert step.invoice_id is not None  # noqa: S101 - only a customer's step has none
    # The invoice before what is kept of it, as whoever records its payments does: a row that is changed twice in a
    # transaction has its foreign key looked at again, and the two would wait for each other.
    session.execute(select(Invoice.id).filter_by(id=step.invoice_id).with_for_update(read=True, key_share=True))
    if step.kind == "create":
        mirror = session.get_one(GatewayInvoice, step.invoice_id, with_for_update=True)
        mirror.gateway_id = outcome.gateway_id
        session.flush()
    if outcome.seen is not None:
        see(session, step.invoice_id, outcome.seen)
    elif step.kind == "void":  # a draft that was deleted, or never was
        session.get_one(GatewayInvoice, step.invoice_id, with_for_update=True).status = "void"
        session.flush()
    if step.kind in AFTER_FINALISING or work.key is None:  # an invoice that was found may have been paid meanwhile
        want_refresh(session, step.invoice_id)


def take_token(session: Session, calls_a_second: int) -> timedelta:
    """Takes one token of the bucket that all workers share, or says how long to wait for one: nothing if it is taken.

    The bucket is locked until the claim is committed, and holds a second's worth.
    """
    full = calls_a_second * MILLION
    pace = session.get(GatewayPace, 1, with_for_update=True, populate_existing=True)
    if pace is None:
        session.execute(insert(GatewayPace).values(id=1, micro_tokens=full).on_conflict_do_nothing())
        pace = session.get_one(GatewayPace, 1, with_for_update=True)
    now: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    if now < pace.not_before:
        return pace.not_before - now
    passed = max(0, (now - pace.filled_at) // timedelta(microseconds=1))
    tokens = min(full, pace.micro_tokens + passed * calls_a_second)
    pace.filled_at = now
    pace.micro_tokens = tokens - MILLION if tokens >= MILLION else tokens
    session.flush()
    short = MILLION - tokens
    return timedelta(0) if short <= 0 else timedelta(microseconds=-(-short // calls_a_second))


def _nobody_before(session: Session, wait: timedelta) -> None:
    pace = session.get_one(GatewayPace, 1, with_for_update=True, populate_existing=True)
    now: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    pace.not_before = max(pace.not_before, now + wait)
