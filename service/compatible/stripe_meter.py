"""Stripe's meter events: POST /v1/billing/meter_events, form encoded, one event a request.

`event_name` names the model, `payload[value]` is the number of images and `payload[stripe_customer_id]` the licensee,
who must be the one whose key it is. Refusals are Stripe's error object, with its codes where it has one that fits.
"""

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from starlette.responses import JSONResponse, Response

from core.errors import Conflict, InvalidInput, NotAllowed
from core.usage.intake.receipt import CAPPED
from core.usage.intake.report import Event, micros
from core.usage.own.unkeyed import UNKEYED, unkeyed_id
from service import taking
from service.caller import Caller
from service.compatible import reading
from service.compatible.door import Door, Scope, fate, header, idempotency_key
from service.compatible.facts import Fact, known_by, report_of, seconds
from service.limits import announced, check_kind, read_body
from service.problems import Said

FORM = (b"application/x-www-form-urlencoded",)
CUSTOMER, VALUE = "payload[stripe_customer_id]", "payload[value]"
REQUIRED = ("event_name", CUSTOMER, VALUE)
PARAMETERS = (*REQUIRED, "identifier", "timestamp")
_SECONDS = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
_UNIX = datetime(1970, 1, 1, tzinfo=UTC)
_IN_STRIPES_WORDS = {"rate_limited": "rate_limit"}
NOT_A_NAME = "parameter_invalid_string"
TRY_AGAIN = 500  # from this status on the client should


class Asked(NamedTuple):
    """The parameters of a request."""

    event_name: str
    customer: str
    value: int
    identifier: str | None
    unix_seconds: int | None


class StripeMeter(Door):
    """One meter event."""

    path = "/v1/billing/meter_events"

    async def take(self, scope: Scope, receive: Any) -> Response:
        state = scope["app"].state
        caller = await taking.admit(state, credentials(scope))
        check_kind(announced(scope, state.settings.max_body_bytes), FORM)
        body = await read_body(receive, state.settings.max_body_bytes)
        asked, now = read(body), state.catalogue.now()
        key = idempotency_key(scope)
        if asked.customer != caller.licensee:
            raise InvalidInput(
                "meter_event_customer_not_found",
                f"{CUSTOMER} must be {caller.licensee}, the licensee whose key this is",
                at=CUSTOMER,
            )
        occurred_at = _occurred_at(state, caller, now, asked)
        identifier, event_id = identity(asked.identifier, key, now)
        event = Event(event_id, asked.event_name, asked.value, occurred_at)
        report = report_of("stripe", [Fact(event, asked.unix_seconds is not None)])
        held = await taking.holds(state, caller, report)
        if held.get(0) == "unknown_model":
            raise InvalidInput("no_meter", f"no model is registered as {asked.event_name}", at="event_name")
        receipt = await taking.commit(state, caller, report, body, held)
        became = fate(receipt)
        if became and became.status == "conflict":
            sentence = str(became.message).replace("event_id", "identifier or Idempotency-Key")
            raise Conflict(str(became.code), sentence, at="identifier")
        if became and became.code == CAPPED:
            raise NotAllowed(CAPPED, str(became.message), at="event_name")
        return JSONResponse(_meter_event(asked, identifier, seconds(occurred_at), seconds(receipt.received_at)))

    def refuse(self, said: Said) -> Response:
        status = {422: 400, 409: 400}.get(said.status, said.status)
        kind = "invalid_request_error"
        if said.status == 409:
            kind = "idempotency_error"  # what Stripe's clients know a reused key by; they would repeat a 409
        elif said.status == 429:
            kind = "rate_limit_error"
        elif said.status >= TRY_AGAIN:
            kind = "api_error"
        error = {"type": kind, "code": _IN_STRIPES_WORDS.get(said.code, said.code), "message": said.sentence}
        headers = dict(said.headers)
        if said.status == 429:
            headers["Stripe-Should-Retry"] = "true"
        return JSONResponse({"error": {**error, "param": said.members.get("at")}}, status, headers)


def credentials(scope: Scope) -> str:
    """The meter key: as bearer, or as the user name of basic authentication with an empty password."""
    scheme, _, rest = (header(scope, b"authorization") or "").partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(rest.strip(), validate=True).decode("ascii").partition(":")
        except (binascii.Error, ValueError):
            return ""
        return "" if password else user
    return ""


def read(body: bytes) -> Asked:
    """What a form asks to count."""
    given = _form(body)
    for name in given:
        if name not in PARAMETERS:
            shown = name if len(name) <= 64 and name.isprintable() else "that is not shown"
            raise InvalidInput(
                "parameter_unknown", f"Received unknown parameter: {shown}; there are {', '.join(PARAMETERS)}", at=shown
            )
    for name in REQUIRED:
        if name not in given:
            raise InvalidInput("parameter_missing", f"Missing required param: {name}.", at=name)
    if "timestamp" in given and not _SECONDS.fullmatch(given["timestamp"]):
        raise InvalidInput("parameter_invalid_integer", "timestamp must be whole Unix seconds", at="timestamp")
    identifier, unix_seconds = given.get("identifier"), given.get("timestamp")
    return Asked(
        reading.a_name(given["event_name"], "event_name", NOT_A_NAME),
        given[CUSTOMER],
        reading.a_count(given[VALUE], VALUE, "meter_event_invalid_value", as_text=True),
        None if identifier is None else reading.a_name(identifier, "identifier", NOT_A_NAME),
        None if unix_seconds is None else int(unix_seconds),
    )


def _form(body: bytes) -> dict[str, str]:
    """The fields of a form, each once."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=50
        )
    except ValueError:
        raise InvalidInput(
            "invalid_form", f"the body must be form encoded in UTF-8, with {', '.join(REQUIRED)} and optional others"
        ) from None
    given = dict(pairs)
    if len(given) < len(pairs):
        raise InvalidInput("duplicate_field", "a parameter is given twice; give it once")
    return given


def identity(identifier: str | None, key: str | None, now: datetime) -> tuple[str, str]:
    """The identifier to answer with, and the event id: `identifier` names the fact; without it the request's key does.

    Stripe's own clients make a key for each call, so beside an identifier the key says nothing about the fact.
    """
    if identifier is not None:
        return identifier, known_by("stripe", identifier)
    if key is not None:
        return key, known_by("stripe-key", key)
    unkeyed = unkeyed_id(now)
    return unkeyed.removeprefix(UNKEYED), unkeyed


def _occurred_at(state: taking.State, caller: Caller, now: datetime, asked: Asked) -> datetime:
    """The instant of an event: as it was sent, if the caller may report about it, else when we received it."""
    if asked.unix_seconds is None:
        instant: datetime = now.astimezone(UTC)
        return instant
    since_2000 = asked.unix_seconds * 1_000_000 + micros(_UNIX)  # a datetime does not hold whatever was sent
    if refusal := taking.window(state, caller, now).refusal(since_2000, "timestamp"):
        raise InvalidInput(refusal.code, refusal.message, at="timestamp")
    return _UNIX + timedelta(seconds=asked.unix_seconds)


def _meter_event(asked: Asked, identifier: str, timestamp: int, created: int) -> dict[str, Any]:
    return {
        "object": "billing.meter_event",
        "created": created,
        "event_name": asked.event_name,
        "identifier": identifier,
        "livemode": True,
        "payload": {"stripe_customer_id": asked.customer, "value": str(asked.value)},
        "timestamp": timestamp,
    }
