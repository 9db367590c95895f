"""The usage report of a licensor's licence API: POST /v1/licenses/models/{model}/usage, with the key in `x-key`.

Its clients post after each image they save, often without any body, and take every status but 200 for a failure. They
send no id, so a repeat of theirs cannot be told from a second image: without the optional `Idempotency-Key` or
`external_id` each request counts, and `GET /v1/usage/possible-duplicates` lists those that look like repeats.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from msgspec import UNSET, UnsetType
from starlette.responses import JSONResponse, Response

from core.errors import Conflict, InvalidInput, NotAllowed
from core.usage.intake.receipt import CAPPED
from core.usage.intake.report import MAX_NAME, Event, Report, is_clean
from core.usage.own.unkeyed import unkeyed_id
from service import taking
from service.compatible import reading
from service.compatible.door import Door, Scope, fate, header, idempotency_key
from service.compatible.facts import Fact, known_by, report_of
from service.limits import JSON, announced, check_kind, read_body
from service.problems import Said

T = TypeVar("T")
RECORDED = {"message": "Usage recorded successfully"}
FIELDS = ("number_of_generations", "occurred_at", "external_id", "derivatives")
NO_KEY = "send a live meter key in the header x-key"
UNSUPPORTED = "unsupported_model"
UNLICENSED = ("no_account", "no_agreement")
# Where this protocol has another status than the rest of the service.
STATUSES = {"unauthenticated": 403, "invalid_json": 422, "incomplete_body": 422, UNSUPPORTED: 400}


class Asked(NamedTuple):
    """The body of a request; all of it is optional."""

    image_count: int
    occurred_at: datetime | None
    external_id: str | None
    derivatives: tuple[str, ...] | UnsetType


class LicenceApi(Door):
    """One report of so many generations with one model."""

    path = "/v1/licenses/models/{model:path}/usage"

    async def take(self, scope: Scope, receive: Any) -> Response:
        state = scope["app"].state
        caller = await taking.admit(state, header(scope, b"x-key") or "")
        content_type = announced(scope, state.settings.max_body_bytes)
        body = await read_body(receive, state.settings.max_body_bytes)
        if body:
            check_kind(content_type, JSON)
        asked, now = read(body), state.catalogue.now()
        if asked.occurred_at:
            taking.check_time(state, caller, now, asked.occurred_at, "occurred_at")
        model = scope["path_params"]["model"]
        report = _report(model, asked, idempotency_key(scope), now)
        held = await taking.holds(state, caller, report)
        if held.get(0) == "unknown_model":
            raise unsupported(model)
        receipt = await taking.commit(state, caller, report, body, held)
        became = fate(receipt)
        if became and became.status == "conflict":
            raise Conflict(str(became.code), str(became.message).replace("event_id", "external_id or Idempotency-Key"))
        if became and became.code == CAPPED:
            raise NotAllowed(CAPPED, str(became.message))
        if held.get(0) in UNLICENSED:
            raise unlicensed(model, asked)
        return JSONResponse(RECORDED)

    def refuse(self, said: Said) -> Response:
        detail = NO_KEY if said.code == "unauthenticated" else said.sentence
        headers = {name: value for name, value in said.headers.items() if name == "Retry-After"}
        return JSONResponse({"detail": detail}, STATUSES.get(said.code, said.status), headers)


def read(body: bytes) -> Asked:
    """What a request asks to count. No body at all means one image, as the oldest clients send it."""
    fields = reading.read_json(body) if body else {}
    if not isinstance(fields, dict):
        raise InvalidInput("invalid_body", f"the body must be a JSON object with {', '.join(FIELDS)}, or be left out")
    reading.only(fields, FIELDS, "the body")

    def given(name: str, read_as: Callable[[Any, str, str], T]) -> T | UnsetType:
        return reading.if_given(fields, name, lambda value: read_as(value, name, f"invalid_{name}"))

    return Asked(
        given("number_of_generations", reading.a_count) or 1,
        given("occurred_at", reading.a_time) or None,
        given("external_id", reading.a_name) or None,
        given("derivatives", reading.names),
    )


def identity(external_id: str | None, key: str | None, now: datetime) -> str:
    """The event id: `external_id` names the fact; the key of the request stands in for it; else nothing does."""
    if external_id is not None:
        return known_by("licence", external_id)
    return known_by("licence-key", key) if key is not None else unkeyed_id(now)


def _report(model: str, asked: Asked, key: str | None, now: datetime) -> Report:
    if not (1 <= len(model) <= MAX_NAME and is_clean(model)):
        raise unsupported(model)
    event = Event(
        identity(asked.external_id, key, now),
        model,
        asked.image_count,
        asked.occurred_at or now.astimezone(UTC),
        adapters=asked.derivatives or UNSET,
    )
    return report_of("licence-api", [Fact(event, asked.occurred_at is not None)])


def unsupported(model: str) -> InvalidInput:
    """Nobody knows the model. Nothing is stored: this protocol has no way to say that it was kept and waits."""
    return InvalidInput(UNSUPPORTED, f"Model slug {model[:MAX_NAME]} is not supported for usage reporting")


def unlicensed(model: str, asked: Asked) -> NotAllowed:
    """No agreement covers it. The usage is kept all the same, as evidence, and the client is told so."""
    return NotAllowed(
        "no_agreement",
        f"This key holds no licence for model {model}"
        + (" with these derivatives" if asked.derivatives else "")
        + f" at that time. The {asked.image_count:,} generations are kept as unlicensed usage, and are billed once an"
        " agreement covers them: do not report them again.",
    )
