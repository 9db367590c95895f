"""OpenMeter's ingest of CloudEvents: POST /api/v1/events, answered 204 and nothing else.

The protocol has no answer for a single event. So a batch with anything wrong in it is refused whole and nothing of it
is stored; what can only be found out when writing (an event that contradicts an earlier one, a full cap) is told as a
problem that lists the events concerned, after the others were stored. Either way the whole batch may be sent again:
what was stored is known by (`source`, `id`) and counts once.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from msgspec import UnsetType
from starlette.responses import Response

from core.errors import Conflict, InvalidInput, NotAllowed, PerimageError
from core.usage.intake.receipt import CAPPED, Receipt
from core.usage.intake.report import MAX_EVENTS, Event, Window, micros
from service import taking
from service.caller import credentials_of
from service.compatible import reading
from service.compatible.door import Door, Scope
from service.compatible.facts import Fact, known_by, report_of
from service.limits import announced, check_kind, read_body
from service.problems import Said, problem

ONE, BATCH, EITHER = b"application/cloudevents+json", b"application/cloudevents-batch+json", b"application/json"
KINDS = (ONE, BATCH, EITHER)
TYPE = "image.generated"
REQUIRED = ("id", "source", "specversion", "type", "subject")
ATTRIBUTES = (*REQUIRED, "time", "datacontenttype", "dataschema", "data")
# Documented extensions that say nothing about how much was used; `sampledrate`, which does, is not among them.
EXTENSIONS = ("traceparent", "tracestate", "partitionkey", "sequence", "sequencetype", "correlationid", "causationid")
DATA = ("model", "count", "adapters", "plan", "output")
LONGEST = 1024  # characters of an id or a source, which the protocol does not bound
T = TypeVar("T")
TOLD = 20  # places that a problem tells of


class CloudEvents(Door):
    """One event or a batch of up to 1,000."""

    path = "/api/v1/events"

    async def take(self, scope: Scope, receive: Any) -> Response:
        state = scope["app"].state
        caller = await taking.admit(state, credentials_of(scope["headers"]))
        kind = check_kind(announced(scope, state.settings.max_body_bytes), KINDS)
        body = await read_body(receive, state.settings.max_body_bytes)
        now = state.catalogue.now()
        sent, batch = sent_events(reading.read_json(body), kind)
        facts = read(sent, taking.window(state, caller, now), now, batch=batch)
        check_subjects(sent, caller.licensee, batch=batch)
        report = report_of("cloudevents", facts)
        held = await taking.holds(state, caller, report)
        tell(sent, await taking.commit(state, caller, report, body, held))
        return Response(status_code=204)

    def refuse(self, said: Said) -> Response:
        status = 400 if said.status == 422 else said.status
        return problem(status, said.code, said.sentence, said.headers, **said.members)


def sent_events(body: Any, kind: bytes) -> tuple[list[Any], bool]:
    """The events of a body, which must be what its media type says, and whether they came as a batch."""
    if isinstance(body, dict) and kind != BATCH:
        return [body], False
    if isinstance(body, list) and kind != ONE:
        if 1 <= len(body) <= MAX_EVENTS:
            return body, True
        raise InvalidInput("invalid_events", f"a batch has 1 to {MAX_EVENTS:,} events; send several batches instead")
    wanted = {ONE: "one event, a JSON object", BATCH: "a JSON array of events", EITHER: "an event or an array of them"}
    raise InvalidInput("invalid_events", f"with Content-Type {kind.decode()} the body must be {wanted[kind]}")


def read(sent: Sequence[Any], window: Window, now: datetime, *, batch: bool) -> list[Fact]:
    """The facts that were sent, or InvalidInput that says of each place what is wrong with it."""
    facts: list[Fact] = []
    errors: list[dict[str, Any]] = []
    for place, event in enumerate(sent):
        try:
            facts.append(_fact(event, window, now))
        except InvalidInput as error:
            at = _place(place, error.detail.get("at", ""), batch=batch)
            errors.append({"at": at, "code": error.code, "message": error.sentence})
    if errors:
        first = f"{errors[0]['at']}: " if errors[0]["at"] else ""
        more = f" (and {len(errors) - 1:,} more of the {len(sent):,} events)" if errors[1:] else ""
        code = errors[0]["code"] if len(errors) == 1 else "invalid_events"
        sentence = f"{first}{errors[0]['message']}{more}; nothing was stored"
        raise InvalidInput(code, sentence, errors=errors[:TOLD], error_count=len(errors))
    return facts


def check_subjects(sent: Sequence[Any], licensee: str, *, batch: bool) -> None:
    """Refuses a batch with an event of somebody other than the licensee whose key it came with."""
    for place, event in enumerate(sent):
        if event["subject"] != licensee:
            raise NotAllowed(
                "wrong_subject",
                f"subject must be {licensee}, the licensee whose key this is; nothing was stored",
                at=_place(place, "subject", batch=batch),
            )


def _fact(sent: Any, window: Window, now: datetime) -> Fact:
    if not isinstance(sent, dict):
        raise InvalidInput("invalid_event", "an event must be a JSON object")
    reading.only(sent, (*ATTRIBUTES, *EXTENSIONS), "the event")
    for name in REQUIRED:
        if name not in sent:
            raise InvalidInput("missing_field", f"the event has no {name}", at=name)
    source, id_ = (reading.a_name(sent[name], name, f"invalid_{name}", LONGEST) for name in ("source", "id"))
    reading.a_name(sent["subject"], "subject", "invalid_subject")
    if sent["specversion"] != "1.0":
        raise InvalidInput("invalid_specversion", 'specversion must be "1.0"', at="specversion")
    if sent["type"] != TYPE:
        raise InvalidInput("invalid_type", f"type must be {TYPE}: send here only what reports images", at="type")
    if sent.get("datacontenttype") not in (None, "application/json"):
        raise InvalidInput(
            "invalid_datacontenttype", "datacontenttype must be application/json, or be left out", at="datacontenttype"
        )
    if sent.get("dataschema") is not None:
        reading.a_name(sent["dataschema"], "dataschema", "invalid_dataschema", LONGEST)
    for name in EXTENSIONS:
        if isinstance(sent.get(name), dict | list):
            raise InvalidInput(f"invalid_{name}", f"{name} must be text or a number, or be left out", at=name)
    occurred_at = None if sent.get("time") is None else reading.a_time(sent["time"], "time", "invalid_time")
    if occurred_at and (refusal := window.refusal(micros(occurred_at), "time")):
        raise InvalidInput(refusal.code, refusal.message, at="time")
    return Fact(_event(known_by("cloudevents", source, id_), sent.get("data"), occurred_at or now), bool(occurred_at))


def _event(event_id: str, data: Any, instant: datetime) -> Event:
    """The event that the data of one of theirs describes."""
    if not isinstance(data, dict):
        raise InvalidInput("invalid_data", "data must be a JSON object with at least the model", at="data")
    reading.only(data, DATA, "data", inside="data.")
    if "model" not in data:
        raise InvalidInput("missing_field", "data has no model: name the model that made the images", at="data.model")

    def given(name: str, read_as: Callable[[Any, str, str], T]) -> T | UnsetType:
        return reading.if_given(data, name, lambda value: read_as(value, f"data.{name}", f"invalid_{name}"))

    return Event(
        event_id,
        reading.a_name(data["model"], "data.model", "invalid_model"),
        given("count", partial(reading.a_count, as_text=True)) or 1,
        instant.astimezone(UTC),
        adapters=given("adapters", reading.names),
        plan=given("plan", reading.a_name),
        output=given("output", reading.an_output),
    )


def tell(sent: Sequence[Any], receipt: Receipt) -> None:
    """Raises a refusal that lists what was not counted though nothing was wrong with it alone."""
    conflicts: list[dict[str, Any]] = []
    capped: list[dict[str, Any]] = []
    for run in receipt.verdict.runs:
        if run.status not in ("conflict", "rejected"):
            continue
        listed = conflicts if run.status == "conflict" else capped
        for event in sent[run.first : run.first + run.count]:
            listed.append({"source": event["source"], "id": event["id"], "message": str(run.message)})
    if not (conflicts or capped):
        return
    others = f"the other {len(sent) - len(conflicts) - len(capped):,} of {len(sent):,} events are stored"
    said = {"conflicts": conflicts, "rejected": capped}
    error: PerimageError
    if capped:
        error = NotAllowed(CAPPED, f"{capped[0]['message']}; {others}", **said)
    else:
        ids = ", ".join(f"{each['id']} of {each['source']}" for each in conflicts[:TOLD])
        sentence = f"these were reported before with other content, which stands: {ids}; {others}"
        error = Conflict("event_id_reused", sentence, **said)
    raise error


def _place(place: int, at: str, *, batch: bool) -> str:
    """Where in the body something is: a JSON path without its dollar."""
    if not batch:
        return at
    return f"[{place}].{at}" if at else f"[{place}]"
