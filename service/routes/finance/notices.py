"""Notices of a licensor: what was told, the webhook endpoints that hear of it, each delivery, tests and replays."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.notices.deliver import replay, replay_given_up, send_test
from core.notices.endpoints import add_endpoint, change_endpoint, rotate_secret, switch_off, switch_on
from core.notices.kinds import KINDS
from core.notices.queries import attempts, deliveries, endpoints_shown, notices
from core.notices.tables import Delivery, WebhookEndpoint
from core.notices.wording import written
from service.finance_caller import Eyes, Reader
from service.pages import NEXT, After, Limit, next_mark, read_mark
from service.routes.finance.door import ACTS, READS, READS_ONE, Acting, acting, finance_router
from service.routes.finance.own import own_delivery, own_endpoint, own_licensee
from service.routes.finance.shapes import Body, Id, Nothing, Slug, Why

router = finance_router("notices")
Administers = Annotated[Acting, acting("admin")]
Kind = Annotated[str, Field(max_length=100, json_schema_extra={"enum": list(KINDS)})]
Url = Annotated[str, Field(max_length=2000, examples=["https://billing.example.com/hooks"])]
State = Literal["waiting", "delivered", "given_up"]


class NoticeShown(BaseModel):
    """Something that people were told. `said` is one sentence; what `data` holds depends on the kind."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 17,
                    "told_at": "2026-11-02T09:00:00+00:00",
                    "kind": "invoice.issued",
                    "message_id": "msg_5f0c",
                    "said": "Invoice OWG-000017: 18504.00 USD",
                    "data": {"invoice": "OWG-000017", "currency": "USD", "total": "18504.00"},
                }
            ]
        }
    )
    id: int
    told_at: datetime
    kind: str
    message_id: str
    said: str
    data: dict[str, Any]


class NoticePage(BaseModel):
    """The newest notices first."""

    notices: list[NoticeShown]
    next: str | None = Field(default=None, description=NEXT)


class WebhookEndpointShown(BaseModel):
    """Where notices are sent to. `kinds` empty means all; with a licensee it hears of that one alone."""

    id: int
    licensee: str | None
    url: str
    kinds: list[str]
    active: bool
    off_reason: str
    give_ups: int = Field(description="deliveries given up in a row")
    created_at: datetime


class WebhookEndpoints(BaseModel):
    """The licensor's webhook endpoints, oldest first."""

    endpoints: list[WebhookEndpointShown]


class WebhookSecret(WebhookEndpointShown):
    """An endpoint with the secret that signs its deliveries (Standard Webhooks), shown here alone."""

    secret: str = Field(examples=["whsec_..."])


class AddEndpoint(Body):
    """An address on a public network; of which kinds (none named: all); for which licensee alone, if for one."""

    url: Url
    kinds: list[Kind] = Field(default_factory=list, max_length=len(KINDS))
    licensee: Slug | None = None


class ChangeEndpoint(Body):
    """What is left out stays."""

    url: Url | None = None
    kinds: list[Kind] | None = Field(default=None, max_length=len(KINDS))


class ReplayMissed(Body):
    """How far back to go."""

    days: int = Field(default=30, strict=True, ge=1, le=3650)


class DeliveryShown(BaseModel):
    """A notice on its way to one endpoint or address. `next`: when it is tried again, while it waits."""

    id: int
    kind: str
    message_id: str
    channel: str
    to: str
    state: State
    attempts: int
    next: datetime | None
    status: int | None
    said: str


class DeliveryPage(BaseModel):
    """The newest deliveries first."""

    deliveries: list[DeliveryShown]
    next: str | None = Field(default=None, description=NEXT)


class AttemptShown(BaseModel):
    """What came of one attempt: delivered, failed (tried again), refused or gone, and how the answer began."""

    attempt: int
    at: datetime
    result: str
    status: int | None
    took_ms: int
    said: str


class DeliveryLog(BaseModel):
    """Every attempt at one delivery, oldest first."""

    attempts: list[AttemptShown]


class DeliveryWaits(BaseModel):
    """A delivery that is on its way; its log says what comes of it."""

    delivery_id: int
    state: str


class Replayed(BaseModel):
    """The deliveries that are on their way again, each under the id that its receiver knows."""

    deliveries: list[int]


@router.get("/notices", summary="What was told", responses=READS)
def list_notices(
    session: Eyes,
    _caller: Reader,
    *,
    kind: Annotated[str | None, Query(max_length=100, examples=["invoice.overdue"])] = None,
    limit: Limit = 100,
    after: After = None,
) -> NoticePage:
    """Each thing once, to whomever it went and however."""
    return page_of(notices(session, kind=kind, before=before_mark(after), limit=limit), limit)


@router.get("/webhook-endpoints", summary="Webhook endpoints", responses=READS)
def list_webhook_endpoints(session: Eyes, _caller: Reader) -> WebhookEndpoints:
    """Without their secrets."""
    found = [WebhookEndpointShown(**asdict(each)) for each in endpoints_shown(session)]
    return WebhookEndpoints(endpoints=found)


@router.post(
    "/webhook-endpoints",
    summary="Tell an address from now on",
    response_model=WebhookSecret,
    responses=ACTS,
    status_code=201,
)
def add_webhook_endpoint(acts: Administers, said: AddEndpoint) -> Response:
    """The answer has the secret that signs each delivery: keep it. Past notices are not told."""

    def act(session: Session) -> WebhookSecret:
        licensee = own_licensee(session, acts.caller, said.licensee).id if said.licensee else None
        made = add_endpoint(
            session,
            acts.caller.actor,
            acts.caller.licensor_id,
            said.url,
            kinds=said.kinds,
            licensee_id=licensee,
            allow_private=acts.settings.allow_private_webhooks,
        )
        return _with_secret(session, made)

    return acts.once(act, status=201)


@router.post(
    "/webhook-endpoints/{endpoint_id}/change",
    summary="Change an endpoint's address or kinds",
    response_model=WebhookEndpointShown,
    responses=ACTS,
)
def change_webhook_endpoint(acts: Administers, endpoint_id: Id, said: ChangeEndpoint) -> Response:
    """From the next delivery on; the secret stays."""
    private = acts.settings.allow_private_webhooks

    def act(session: Session) -> None:
        change_endpoint(session, endpoint_id, acts.caller.actor, url=said.url, kinds=said.kinds, allow_private=private)

    return _changed(acts, endpoint_id, act)


@router.post(
    "/webhook-endpoints/{endpoint_id}/switch-off",
    summary="Tell an endpoint nothing any more",
    response_model=WebhookEndpointShown,
    responses=ACTS,
)
def switch_webhook_endpoint_off(acts: Administers, endpoint_id: Id, said: Why) -> Response:
    """What was on its way is given up, and can be replayed later."""
    return _changed(acts, endpoint_id, lambda session: switch_off(session, endpoint_id, acts.caller.actor, said.reason))


@router.post(
    "/webhook-endpoints/{endpoint_id}/switch-on",
    summary="Tell an endpoint again",
    response_model=WebhookEndpointShown,
    responses=ACTS,
)
def switch_webhook_endpoint_on(acts: Administers, endpoint_id: Id, said: Nothing | None = None) -> Response:
    """What was given up meanwhile stays so until it is replayed."""
    return _changed(acts, endpoint_id, lambda session: switch_on(session, endpoint_id, acts.caller.actor))


@router.post(
    "/webhook-endpoints/{endpoint_id}/rotate-secret",
    summary="Sign with a new secret",
    response_model=WebhookSecret,
    responses=ACTS,
)
def rotate_webhook_secret(acts: Administers, endpoint_id: Id, said: Nothing | None = None) -> Response:
    """For a day deliveries are signed with the old one as well, so that a receiver can change over in peace."""

    def act(session: Session) -> WebhookSecret:
        return _with_secret(session, rotate_secret(session, endpoint_id, acts.caller.actor))

    return _about(acts, endpoint_id, act)


@router.post(
    "/webhook-endpoints/{endpoint_id}/test",
    summary="Send a test",
    response_model=DeliveryWaits,
    responses=ACTS,
    status_code=202,
)
def send_webhook_test(acts: Administers, endpoint_id: Id, said: Nothing | None = None) -> Response:
    """A worker sends it, once; the delivery's log says what came of it."""

    def act(session: Session) -> DeliveryWaits:
        return _waiting(send_test(session, acts.caller.actor, endpoint_id))

    return _about(acts, endpoint_id, act, status=202)


@router.post(
    "/webhook-endpoints/{endpoint_id}/replay",
    summary="Send again what an endpoint missed",
    response_model=Replayed,
    responses=ACTS,
    status_code=202,
)
def replay_missed_notices(acts: Administers, endpoint_id: Id, said: ReplayMissed | None = None) -> Response:
    """Everything that was given up there in the last days."""
    since = datetime.now(UTC) - timedelta(days=(said or ReplayMissed()).days)

    def act(session: Session) -> Replayed:
        return Replayed(deliveries=replay_given_up(session, acts.caller.actor, endpoint_id, since))

    return _about(acts, endpoint_id, act, status=202)


@router.get("/notice-deliveries", summary="Deliveries of notices", responses=READS)
def list_notice_deliveries(
    session: Eyes,
    _caller: Reader,
    *,
    state: Annotated[State | None, Query(description="only those that stand so")] = None,
    endpoint: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="only those to this endpoint")] = None,
    limit: Limit = 100,
    after: After = None,
) -> DeliveryPage:
    """By webhook and by e-mail."""
    states = (state,) if state else ()
    rows = deliveries(session, states=states, endpoint_id=endpoint, before=before_mark(after), limit=limit)
    found = [DeliveryShown.model_validate(row) for row in rows]
    return DeliveryPage(deliveries=found, next=next_mark(rows, limit, lambda row: (row["id"],)))


@router.get("/notice-deliveries/{delivery_id}/attempts", summary="A delivery's log", responses=READS_ONE)
def list_delivery_attempts(session: Eyes, caller: Reader, delivery_id: Id) -> DeliveryLog:
    """Every attempt, and what was answered."""
    own_delivery(session, caller, delivery_id)
    return DeliveryLog(attempts=[AttemptShown.model_validate(row) for row in attempts(session, delivery_id)])


@router.post(
    "/notice-deliveries/{delivery_id}/replay",
    summary="Send one delivery again",
    response_model=DeliveryWaits,
    responses=ACTS,
    status_code=202,
)
def replay_notice_delivery(acts: Administers, delivery_id: Id, said: Nothing | None = None) -> Response:
    """Whether it was given up or arrived, under the same id."""

    def act(session: Session) -> DeliveryWaits:
        own_delivery(session, acts.caller, delivery_id)
        return _waiting(replay(session, acts.caller.actor, delivery_id))

    return acts.once(act, status=202)


def before_mark(after: str | None) -> int | None:
    """The id below which a page of notices or deliveries begins."""
    mark = read_mark(after, tuple[int])
    return None if mark is None else min(max(mark[0], 0), 2**63 - 1)


def page_of(rows: list[dict[str, Any]], limit: int) -> NoticePage:
    """Notices as an answer shows them."""
    found = [NoticeShown.model_validate({**row, "said": written(row["kind"], row["data"])[0]}) for row in rows]
    return NoticePage(notices=found, next=next_mark(rows, limit, lambda row: (row["id"],)))


def _about(acts: Acting, endpoint_id: int, act: Callable[[Session], BaseModel], *, status: int = 200) -> Response:
    """Does something about an endpoint of the caller's own licensor; any other is not there."""

    def about_own(session: Session) -> BaseModel:
        own_endpoint(session, acts.caller, endpoint_id)
        return act(session)

    return acts.once(about_own, status=status)


def _changed(acts: Acting, endpoint_id: int, change: Callable[[Session], object]) -> Response:
    """Changes an endpoint, and shows it as it is then."""

    def act(session: Session) -> WebhookEndpointShown:
        change(session)
        return _shown(session, endpoint_id)

    return _about(acts, endpoint_id, act)


def _shown(session: Session, endpoint_id: int) -> WebhookEndpointShown:
    [found] = endpoints_shown(session, endpoint_id)
    return WebhookEndpointShown(**asdict(found))


def _with_secret(session: Session, made: WebhookEndpoint) -> WebhookSecret:
    return WebhookSecret(**_shown(session, made.id).model_dump(), secret=made.secret)


def _waiting(delivery: Delivery) -> DeliveryWaits:
    return DeliveryWaits(delivery_id=delivery.id, state=delivery.state)
