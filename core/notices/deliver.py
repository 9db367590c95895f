"""Deliveries as work: claimed by a lease, sent by somebody who knows the network, and recorded. Nobody commits here.

    with a session: parcel = claim(session, lease); commit      the attempt is counted
    without one:    outcome = send(parcel)                      worker/notices
    with a session: record(session, parcel, outcome); commit    the log has a row more

Whoever dies in between leaves a delivery whose lease runs out, and the next one sends it again under the same id: at
least once, and a receiver that keeps the ids sees each once.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from core.actors import SYSTEM, Actor
from core.errors import Conflict, NotFound
from core.notices.endpoints import locked_endpoint, switch_off
from core.notices.kinds import SWITCHED_OFF, TEST, Finding
from core.notices.retry import JITTER_STEPS, MOST_ATTEMPTS, wait_after
from core.notices.tables import Delivery, DeliveryAttempt, Notice, WebhookEndpoint
from core.notices.tell import tell
from core.registry.tables import Licensor

IN_FLIGHT = 2  # to one target at a time, so that a slow one does not keep every worker
MOST_GIVE_UPS = 5  # in a row, until an endpoint is switched off
MAX_SAID = 500
Result = Literal["delivered", "failed", "refused", "gone"]


@dataclass(frozen=True, slots=True)
class Parcel:
    """One attempt at one delivery, with all that whoever sends it needs to know. `url` or `address` says where to."""

    delivery_id: int
    attempt: int
    message_id: str
    kind: str
    told_at: datetime
    data: dict[str, Any]
    licensor: str
    endpoint_id: int | None = None
    url: str = ""
    secret: str = ""
    former_secret: str = ""  # signs as well, while a receiver changes over
    address: str = ""
    language: str = "en"
    locale: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt. `failed` is tried again, `refused` is for good, and `gone` ends the endpoint, too.

    `said` is for people: why not, or how the answer began.
    """

    result: Result
    said: str = ""
    status: int | None = None
    took_ms: int = 0


def claim(session: Session, lease: timedelta, now: datetime | None = None) -> Parcel | None:
    """Takes the delivery that has waited longest and may be tried now; None where there is none."""
    at = now or _now(session)
    while (row := session.scalars(_next(at)).one_or_none()) is not None:
        if row.attempts - row.attempts_before < MOST_ATTEMPTS:
            row.attempts += 1
            row.leased_until = at + lease
            session.flush()
            return _parcel(session, row, at)
        # Every attempt was counted and not one was recorded: whatever it is, it kills whoever sends it.
        _give_up(session, row, at, "the worker died each time it was sent")
    return None


def record(
    session: Session, parcel: Parcel, outcome: Outcome, now: datetime | None = None, *, mail: bool = True
) -> str:
    """Writes the attempt down, and what becomes of the delivery: "waiting", "delivered" or "given_up".

    An attempt whose lease was over and that somebody else has repeated counts if it arrived, and not if it failed.
    """
    at = now or _now(session)
    if parcel.endpoint_id is not None:
        locked_endpoint(session, parcel.endpoint_id)  # before its delivery, as whoever switches it off does
    row = session.get_one(Delivery, parcel.delivery_id, with_for_update=True, populate_existing=True)
    said = _clean(outcome.said)
    session.add(
        DeliveryAttempt(
            delivery_id=row.id,
            number=parcel.attempt,
            result=outcome.result,
            status=outcome.status,
            said=said,
            took_ms=outcome.took_ms,
            attempted_at=at,
        )
    )
    if row.state != "delivered" and outcome.result == "delivered":
        row.state, row.finished_at, row.leased_until = "delivered", at, None
        row.last_status, row.last_said = outcome.status, said
        _heard(session, row)
    elif row.state == "waiting" and row.attempts == parcel.attempt:
        row.last_status, row.last_said, row.leased_until = outcome.status, said, None
        tries = row.attempts - row.attempts_before
        wait = wait_after(tries, secrets.randbelow(JITTER_STEPS + 1)) if outcome.result == "failed" else None
        if wait is None or parcel.kind == TEST.name:
            _give_up(session, row, at, said, gone=outcome.result == "gone", mail=mail)
        else:
            row.next_attempt_at = at + wait
    session.flush()
    return row.state


def replay(session: Session, by: Actor, delivery_id: int, now: datetime | None = None) -> Delivery:
    """Sends a delivery once more from the start, under the same id, whether it was given up or arrived."""
    by.demand("clerk", "replay a notice")
    row = session.get(Delivery, delivery_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound("delivery_not_found", f"there is no delivery {delivery_id}: see `perimage notices deliveries`")
    if row.endpoint_id is not None and not session.get_one(WebhookEndpoint, row.endpoint_id).active:
        raise Conflict(
            "endpoint_off", f"endpoint {row.endpoint_id} is switched off: `perimage notices switch-on` it first"
        )
    if row.state != "waiting":
        row.state, row.finished_at, row.leased_until = "waiting", None, None
        row.attempts_before = row.attempts
    row.next_attempt_at = now or _now(session)
    session.flush()
    return row


def replay_given_up(
    session: Session, by: Actor, endpoint_id: int, since: datetime, now: datetime | None = None
) -> list[int]:
    """Replays everything that was given up at an endpoint and told since; the ids of these deliveries."""
    by.demand("clerk", "replay notices")
    given_up = (
        select(Delivery.id)
        .join(Notice, Notice.id == Delivery.notice_id)
        .where(Delivery.endpoint_id == endpoint_id, Delivery.state == "given_up", Notice.told_at >= since)
        .where(Notice.kind != TEST.name)
        .order_by(Delivery.id)
    )
    locked_endpoint(session, endpoint_id)
    return [replay(session, by, id_, now).id for id_ in session.scalars(given_up).all()]


def send_test(session: Session, by: Actor, endpoint_id: int) -> Delivery:
    """Puts a test on its way to one endpoint. It is tried once and does not count against the endpoint."""
    by.demand("clerk", "test a webhook endpoint")
    endpoint = locked_endpoint(session, endpoint_id)
    if not endpoint.active:
        raise Conflict("endpoint_off", f"endpoint {endpoint_id} is switched off: `perimage notices switch-on` it first")
    notice = Notice(
        licensor_id=endpoint.licensor_id,
        licensee_id=endpoint.licensee_id,
        kind=TEST.name,
        key=secrets.token_hex(16),
        message_id=f"msg_{secrets.token_hex(16)}",
        for_licensee=False,
        data={"endpoint": endpoint_id, "asked_by": by.name},
    )
    session.add(notice)
    session.flush()
    delivery = Delivery(notice_id=notice.id, endpoint_id=endpoint_id, next_attempt_at=_now(session))
    session.add(delivery)
    session.flush()
    return delivery


def _next(now: datetime) -> Any:
    other = aliased(Delivery)
    in_flight = (
        select(func.count())
        .where(
            other.state == "waiting",
            other.endpoint_id.is_not_distinct_from(Delivery.endpoint_id),
            other.address == Delivery.address,
            other.leased_until > now,
        )
        .correlate(Delivery)
        .scalar_subquery()
    )
    return (
        select(Delivery)
        .where(
            Delivery.state == "waiting",
            Delivery.next_attempt_at <= now,
            or_(Delivery.leased_until.is_(None), Delivery.leased_until <= now),
            in_flight < IN_FLIGHT,
            ~exists().where(WebhookEndpoint.id == Delivery.endpoint_id, ~WebhookEndpoint.active),
        )
        .order_by(Delivery.next_attempt_at, Delivery.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=Delivery)
        .execution_options(populate_existing=True)
    )


def _parcel(session: Session, row: Delivery, now: datetime) -> Parcel:
    notice = session.get_one(Notice, row.notice_id)
    endpoint = session.get_one(WebhookEndpoint, row.endpoint_id, populate_existing=True) if row.endpoint_id else None
    return Parcel(
        delivery_id=row.id,
        attempt=row.attempts,
        message_id=notice.message_id,
        kind=notice.kind,
        told_at=notice.told_at,
        data=notice.data,
        licensor=session.get_one(Licensor, notice.licensor_id).name,
        endpoint_id=row.endpoint_id,
        url=endpoint.url if endpoint else "",
        secret=endpoint.secret if endpoint else "",
        former_secret=endpoint.former_secret if endpoint and _still_signs(endpoint, now) else "",
        address=row.address,
        language=row.language,
        locale=row.locale,
    )


def _still_signs(endpoint: WebhookEndpoint, now: datetime) -> bool:
    return endpoint.former_until is not None and now < endpoint.former_until


def _heard(session: Session, row: Delivery) -> None:
    """Something arrived: what was given up before is forgiven."""
    if row.endpoint_id is not None:
        locked_endpoint(session, row.endpoint_id).give_ups = 0


def _give_up(
    session: Session, row: Delivery, now: datetime, said: str, *, gone: bool = False, mail: bool = True
) -> None:
    """Ends a delivery. An endpoint that is gone, or to which too many were given up, is switched off and told of."""
    row.state, row.finished_at, row.leased_until, row.last_said = "given_up", now, None, said
    session.flush()
    notice = session.get_one(Notice, row.notice_id)
    if row.endpoint_id is None or (notice.kind == TEST.name and not gone):
        return
    endpoint = locked_endpoint(session, row.endpoint_id)
    endpoint.give_ups += 1
    if not gone and endpoint.give_ups < MOST_GIVE_UPS:
        return
    why = "it answered 410: it is gone" if gone else f"{endpoint.give_ups} deliveries in a row were given up"
    if switch_off(session, endpoint.id, SYSTEM, why):
        data = {"endpoint": endpoint.id, "url": endpoint.url, "reason": why, "last_answer": said}
        key = f"{endpoint.id}:{row.id}:{row.attempts}"
        tell(session, [Finding(SWITCHED_OFF, endpoint.licensor_id, None, key, data)], mail=mail)


def _clean(said: str) -> str:
    """What a stranger's server said, short and fit for a log line."""
    return "".join(letter if letter.isprintable() else " " for letter in said[:MAX_SAID]).strip()


def _now(session: Session) -> datetime:
    now: datetime = session.execute(select(func.now())).scalar_one()
    return now
