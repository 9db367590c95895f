"""The doors of the relay: whether a request looks like one of its protocol's, and what its sender is told.

Only the shape is looked at, as much as it takes to know that the service can tell this fact from every other. What the
service thinks of the rest is told later, in the log and among the parked requests.

A request goes on as it came, with two things filled in where its sender left them open, because only the relay can: an
Idempotency-Key, so that sending it again counts nothing twice, and the time, which is when the relay took it and not
when a network that was down for two days lets it through.
"""

import json
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NoReturn
from urllib.parse import parse_qsl, urlencode

from perimage._clock import instant, new_id
from perimage._relay_forward import EVENTS, LICENCES, METER_EVENTS, OWN
from perimage._relay_http import Reply, Request, Unreadable
from perimage._relay_spool import Held
from perimage._usage import MAX_EVENTS, MAX_NAME, as_json

_JSON = "application/json"
_PROBLEM = "application/problem+json"
_KEY = re.compile(r"[!-~]+(?: [!-~]+)*")
_MODEL = re.compile(re.escape(LICENCES) + r"[^/?#]{1,1000}/usage")
_DIGITS = re.compile(r"[0-9]{1,12}")
REMEMBERED = 10_000


class Times:
    """The times that were filled in, so that the same request sent again is given the same one."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, float] = OrderedDict()

    def of(self, request: Request, name: str, now: float) -> float:
        """`now`, or what it was when this very request came before. `name` is what its sender calls the fact."""
        digest = sha256("\0".join((request.path, name, "")).encode("utf-8", "surrogateescape") + request.body).digest()
        if name:
            now = self._known.setdefault(digest, now)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return now


@dataclass(frozen=True, slots=True)
class Taken:
    """What is kept, and what is answered once it is."""

    held: Held
    reply: Reply


@dataclass(frozen=True, slots=True)
class Door:
    """One protocol."""

    read: Callable[[Request, float, Times], Taken]
    refuse: Callable[[Unreadable], Reply]


def door_at(path: str) -> Door | None:
    """The door at this path, if there is one."""
    if path == OWN:
        return Door(_own, problem)
    if path == EVENTS:
        return Door(_cloudevents, problem)
    if path == METER_EVENTS:
        return Door(_meter_event, _stripe_error)
    if _MODEL.fullmatch(path):
        return Door(_licensed, _detail)
    return None


def problem(error: Unreadable) -> Reply:
    """RFC 9457."""
    said = {"type": f"urn:perimage:problem:{error.code}", "status": error.status, "detail": error.sentence}
    return Reply(error.status, as_json({**said, "code": error.code}), _PROBLEM)


def _detail(error: Unreadable) -> Reply:
    return Reply(error.status, as_json({"detail": error.sentence}))


def _stripe_error(error: Unreadable) -> Reply:
    kind = "invalid_request_error" if error.status < 500 else "api_error"
    return Reply(error.status, as_json({"error": {"type": kind, "code": error.code, "message": error.sentence}}))


def _own(request: Request, now: float, _times: Times) -> Taken:
    """A usage report of ours. Everything in it has ids of its own, so it goes on byte for byte."""
    _content_type(request, _JSON)
    report = read_json(request.body)
    events = report.get("events") if isinstance(report, dict) else None
    if not isinstance(events, list) or not 1 <= len(events) <= MAX_EVENTS or not _is_name(report.get("report_id")):
        _refuse("invalid_report", f"a report must have a report_id and 1 to {MAX_EVENTS:,} events")
    if not all(isinstance(event, dict) and _is_name(event.get("event_id")) for event in events):
        _refuse("missing_field", "every event must have an event_id of its own, by which it is counted once")
    said = {"report_id": report["report_id"], "event_count": len(events), "status": "spooled"}
    return Taken(Held(request.path, _JSON, "", now, request.body), Reply(202, as_json(said)))


def _licensed(request: Request, now: float, times: Times) -> Taken:
    """A licensor's usage report: a number of generations, or no body at all."""
    key = _key(request)
    body = request.body
    said = {}
    if body.strip():
        _content_type(request, _JSON)
        said = read_json(body)
        if not isinstance(said, dict):
            _refuse("invalid_body", 'the body must be like {"number_of_generations": 1}')
        number = said.get("number_of_generations", 1)
        if type(number) is not int or number < 1:
            _refuse("invalid_body", "number_of_generations must be a whole number from 1 on")
    if "occurred_at" not in said:
        at = times.of(request, str(said.get("external_id") or key), now)
        body = _with_field(body.strip() or b"{}", "occurred_at", _rfc3339(at))
    held = Held(request.path, _JSON, key or made_key(now), now, body)
    return Taken(held, Reply(200, as_json({"message": "Usage recorded successfully"})))


def _cloudevents(request: Request, now: float, times: Times) -> Taken:
    """One CloudEvent or several, each known by its source and id."""
    kind = _content_type(request, _JSON, "application/cloudevents+json", "application/cloudevents-batch+json")
    said = read_json(request.body)
    events = said if isinstance(said, list) else [said]
    if not 1 <= len(events) <= MAX_EVENTS:
        _refuse("invalid_batch", f"a batch must have 1 to {MAX_EVENTS:,} events", 400)
    for event in events:
        fields = ("id", "source", "specversion", "type", "subject")
        if not isinstance(event, dict) or not all(isinstance(event.get(each), str) and event[each] for each in fields):
            _refuse("invalid_event", f"every event must have the text fields {', '.join(fields)}", 400)
    body = request.body
    if not all("time" in event for event in events):
        text = _rfc3339(times.of(request, "events", now))
        body = _each_with_time(body.decode(), text).encode()
    return Taken(Held(request.path, kind, _key(request), now, body), Reply(204))


def _meter_event(request: Request, now: float, times: Times) -> Taken:
    """A Stripe meter event, known by its identifier, else by its Idempotency-Key."""
    kind = _content_type(request, "application/x-www-form-urlencoded")
    try:
        pairs = parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=64)
    except ValueError:
        _refuse("invalid_body", "the body must be form encoded, in UTF-8", 400)
    form = dict(pairs)
    if len(form) < len(pairs):
        _refuse("duplicate_field", "a field is given twice", 400)
    for field in ("event_name", "payload[stripe_customer_id]", "payload[value]"):
        if not form.get(field):
            _refuse("parameter_missing", f"Missing required param: {field}.", 400)
    key, body = _key(request), request.body
    if "timestamp" not in form:
        at = int(times.of(request, form.get("identifier") or key, now))
        body = body + b"&" + urlencode({"timestamp": at}).encode()
    elif _DIGITS.fullmatch(form["timestamp"]):
        at = int(form["timestamp"])
    else:
        _refuse("invalid_timestamp", "timestamp must be whole seconds since 1970", 400)
    key = key or made_key(now)
    payload = {name[8:-1]: value for name, value in form.items() if name.startswith("payload[") and name[-1] == "]"}
    said = {
        "object": "billing.meter_event",
        "created": int(now),
        "event_name": form["event_name"],
        "identifier": form.get("identifier") or key,
        "livemode": True,
        "payload": payload,
        "timestamp": at,
    }
    return Taken(Held(request.path, kind, key, now, body), Reply(200, as_json(said)))


def read_json(body: bytes, *, strict: bool = False) -> Any:
    """What a body says. Strict: a field given twice is refused, too. Raises Unreadable."""
    try:
        return json.loads(body.decode(), parse_constant=_no_number, object_pairs_hook=_once if strict else None)
    except RecursionError:
        _refuse("invalid_json", "the body is nested too deeply", 400)
    except ValueError:  # also a number with thousands of digits
        _refuse("invalid_json", "the body must be JSON in UTF-8, each field given once", 400)


def made_key(now: float) -> str:
    return f"relay-{new_id(now)}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field is given twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _key(request: Request) -> str:
    key = request.headers.get("idempotency-key")
    if key is None:
        return ""
    if len(key) > MAX_NAME or not _KEY.fullmatch(key):
        _refuse("invalid_idempotency_key", f"Idempotency-Key must be 1 to {MAX_NAME} printable ASCII characters", 400)
    return key


def _content_type(request: Request, *allowed: str) -> str:
    """The content type as it was sent."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        _refuse("unsupported_content_encoding", "the body must not be compressed", 415)
    sent = request.headers.get("content-type", "")
    kind, _, parameters = sent.partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if kind.strip().lower() not in allowed or charset not in ("", "charset=utf-8"):
        _refuse("unsupported_content_type", f"the body must be sent with Content-Type: {' or '.join(allowed)}", 415)
    return sent


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= MAX_NAME


def _rfc3339(at: float) -> str:
    return instant(int(at * 1_000_000))


def _with_field(document: bytes, name: str, value: str) -> bytes:
    """A JSON object with one more field, and not a byte of the rest touched."""
    rest = document[1:].lstrip()
    comma = b"" if rest.startswith(b"}") else b","
    return b"{" + as_json({name: value})[1:-1] + comma + rest


def _each_with_time(text: str, at: str) -> str:
    """The same events, each that had no time with this one."""
    decoder, parts, place, done = json.JSONDecoder(), [], 0, 0
    while (place := text.find("{", place)) >= 0:
        event, end = decoder.raw_decode(text, place)
        if "time" not in event:
            parts.append(text[done : place + 1] + as_json({"time": at})[1:-1].decode() + ",")
            done = place + 1
        place = end
    return "".join([*parts, text[done:]])


def _refuse(code: str, sentence: str, status: int = 422) -> NoReturn:
    raise Unreadable(status, code, sentence)
