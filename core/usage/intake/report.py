"""A usage report as it arrives: from bytes to facts, or to sentences that say what is wrong with them.

Decoding is strict, because a count that was guessed is worse than one that was refused: no `true`, `"12"` or `1.0` for
a number, no time without a zone, no unknown field, and no field twice (parsers differ in which one they keep).

Two ways lead to the same result. A good report is decoded whole, by a decoder compiled for it. What that way does not
like goes piece by piece: the envelope first, then each event alone, so that one bad event never fails the others.

Text is kept as it was sent and compared code point by code point, without Unicode normalisation: an id is the
sender's own, and two spellings of a model's name can both be registered. What would make two ids look alike, or a line
read backwards, is refused: control characters, line separators, bidirectional controls, white space at either end.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal, TypeVar, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from core.errors import InvalidInput

MAX_EVENTS = 1000
MAX_ADAPTERS = 32
MAX_NAME = 255
MAX_IMAGE_COUNT = 1_000_000_000
MAX_SEQUENCE = 2**63 - 1

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
# What was made. Agreements say which of these count as images.
Output = Literal["image", "preview", "upscale", "rejected", "video_frame"]
OUTPUTS: tuple[str, ...] = get_args(Output)
IMAGE: Output = "image"
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # PostgreSQL's
MICROSECOND = timedelta(microseconds=1)
# The earliest place on earth begins its day this long before UTC does.
FIRST_DAWN = timedelta(hours=14)

_UNCLEAN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]|^\\s|\\s\\Z")


class Event(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One fact as it was sent."""

    event_id: Name
    model: Name
    image_count: Annotated[int, Meta(ge=1, le=MAX_IMAGE_COUNT)]
    occurred_at: Annotated[datetime, Meta(tz=True)]
    adapters: Annotated[tuple[Name, ...], Meta(max_length=MAX_ADAPTERS)] | UnsetType = UNSET
    plan: Name | UnsetType = UNSET
    output: Output | UnsetType = UNSET


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """A whole report, decoded at once."""

    report_id: Name
    events: Annotated[list[Event], Meta(min_length=1, max_length=MAX_EVENTS)]
    source: Name | UnsetType = UNSET
    sequence: Annotated[int, Meta(ge=0, le=MAX_SEQUENCE)] | UnsetType = UNSET


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    """The same, its events left as they are."""

    report_id: Name
    events: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=MAX_EVENTS)]
    source: Name | UnsetType = UNSET
    sequence: Annotated[int, Meta(ge=0, le=MAX_SEQUENCE)] | UnsetType = UNSET


class _Named(msgspec.Struct):
    """Only the id of an event that is otherwise wrong."""

    event_id: Name


_WHOLE = msgspec.json.Decoder(Body)
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_EVENT = msgspec.json.Decoder(Event)
_NAMED = msgspec.json.Decoder(_Named)
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_A_NAME = f"must be text of 1 to {MAX_NAME} characters, without control characters or white space around it"
_RULES = {
    "report_id": f"report_id {_A_NAME}",
    "source": f"source {_A_NAME}, or be left out",
    "sequence": "sequence must be a whole number from 0 on, or be left out",
    "events": f"events must be a list of 1 to {MAX_EVENTS:,} events",
    "event_id": f"event_id {_A_NAME}",
    "model": f"model {_A_NAME}",
    "image_count": f"image_count must be a whole number from 1 to {MAX_IMAGE_COUNT:,}, in digits only",
    "occurred_at": "occurred_at must be an RFC 3339 time with its zone, such as 2026-10-31T23:59:59Z",
    "adapters": f"adapters must be a list of at most {MAX_ADAPTERS} names, or be left out; each {_A_NAME}",
    "plan": f"plan {_A_NAME}, or be left out",
    "output": f"output must be one of {', '.join(OUTPUTS)}, or be left out, which means {IMAGE}",
}
_PLACE = re.compile(r" - at `\$\.(\w+)[^`]*`\Z")
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(\w{1,64})`")

T = TypeVar("T")
Adapters = tuple[str, ...]
# model, image count, microseconds, adapters, plan, output: what makes events equal
Content = tuple[str, int, int, Adapters, str, str]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an event was not taken."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Window:
    """The times that a report may speak of, as microseconds since 2000 on the database's clock."""

    earliest: int
    latest: int
    past_days: int
    future_minutes: int

    @classmethod
    def at(cls, now: datetime, past_days: int, future_minutes: int, backfill_from: date | None = None) -> "Window":
        """The window at `now`. A back-fill permission counts from the first place on earth where its day began."""
        earliest = now - timedelta(days=past_days)
        if backfill_from:
            earliest = min(earliest, datetime.combine(backfill_from, time.min, UTC) - FIRST_DAWN)
        return cls(micros(earliest), micros(now + timedelta(minutes=future_minutes)), past_days, future_minutes)

    def refusal(self, instant: int, called: str = "occurred_at") -> Refusal | None:
        """Why usage of this instant, which the sender calls so, is not taken now, or None."""
        if instant < self.earliest:
            return Refusal(
                "timestamp_too_far_in_past",
                f"{called} is older than {self.past_days} days, which takes a meter key with a back-fill permission",
            )
        if instant > self.latest:
            return Refusal(
                "timestamp_in_future",
                f"{called} is more than {self.future_minutes} minutes ahead of our clock; check yours",
            )
        return None


@dataclass(slots=True)
class Report:
    """A report that was understood: the events that may be counted, and why the others may not."""

    report_id: str
    source: str | None
    sequence: int | None
    ids: Sequence[str | None]  # of every event, by its place; None where not even the id could be read
    events: list[Event]  # the good ones
    instants: list[int]  # of the good ones: their occurred_at, as microseconds since 2000
    places: Sequence[int] = ()  # of the good ones: where each stands in the report
    distinct: bool = False  # no two of the good ones have the same id
    refusals: Mapping[int, Refusal] = field(default_factory=dict)
    untimed: frozenset[int] = frozenset()  # places of events whose sender gave no time: theirs is when we received them


def micros(instant: datetime) -> int:
    """Microseconds since 2000 in UTC: how PostgreSQL keeps a time."""
    return (instant - EPOCH) // MICROSECOND


def canonical(adapters: Iterable[str] | UnsetType) -> Adapters:
    """Adapters are a set: sorted and distinct, however they were sent."""
    return () if adapters is UNSET or not adapters else tuple(sorted(set(adapters)))


def content(event: Event, instant: int) -> Content:
    """What an event says, apart from its id: two events of one id are the same fact if this is equal."""
    plan = "" if event.plan is UNSET else event.plan
    return event.model, event.image_count, instant, canonical(event.adapters), plan, output_of(event)


def output_of(event: Event) -> str:
    """What was made; images where nothing is said."""
    return IMAGE if event.output is UNSET else event.output


def is_clean(text: str) -> bool:
    """Whether text may be kept and printed."""
    return _UNCLEAN.search(text) is None


def read_report(body: bytes, window: Window) -> Report:
    """The report in a request's body, judged against the times it may speak of.

    Raises InvalidInput when the report as a whole cannot be understood; bad events become refusals.
    """
    return _read_whole(body, window) or _read_piecemeal(body, window)


def _read_whole(body: bytes, window: Window) -> Report | None:
    """The report, if there is nothing at all to say against it."""
    try:
        parsed = _WHOLE.decode(body)
    except _UNREADABLE:
        return None
    events = parsed.events
    instants = [(event.occurred_at - EPOCH) // MICROSECOND for event in events]
    if min(instants) < window.earliest or max(instants) > window.latest:
        return None
    strings = 7 * len(events) + _envelope_strings(parsed)
    strings += sum([1 + len(event.adapters) for event in events if event.adapters is not UNSET])
    strings += 2 * sum([(event.plan is not UNSET) + (event.output is not UNSET) for event in events])
    if _quotes(body) != 2 * strings:
        return None
    ids = [event.event_id for event in events]
    if not _all_clean(ids) or not _all_clean(_other_names(parsed)):
        return None
    report = Report(parsed.report_id, _given(parsed.source), _given(parsed.sequence), ids, events, instants)
    report.places = range(len(events))
    report.distinct = len(set(ids)) == len(ids)
    return report


def _read_piecemeal(body: bytes, window: Window) -> Report:
    """The report with each event read alone, so that the good ones count and the bad ones hear why."""
    envelope = _read_envelope(body)
    ids: list[str | None] = []
    events: list[Event] = []
    instants: list[int] = []
    places: list[int] = []
    refusals: dict[int, Refusal] = {}
    for place, raw in enumerate(map(bytes, envelope.events)):
        found = _read_event(raw)
        if isinstance(found, Refusal):
            ids.append(_id_of(raw))
            refusals[place] = found
            continue
        ids.append(found.event_id)
        instant = micros(found.occurred_at)
        if refusal := window.refusal(instant):
            refusals[place] = refusal
            continue
        events.append(found)
        instants.append(instant)
        places.append(place)
    report = Report(envelope.report_id, _given(envelope.source), _given(envelope.sequence), ids, events, instants)
    report.places, report.refusals = places, refusals
    report.distinct = len({event.event_id for event in events}) == len(events)
    return report


def _read_envelope(body: bytes) -> _Envelope:
    """The report without looking into its events; whatever is wrong here is wrong with the whole."""
    try:
        body.decode()
    except UnicodeDecodeError:
        raise InvalidInput("invalid_json", "the body must be JSON in UTF-8; it holds bytes that are not") from None
    try:
        envelope = _ENVELOPE.decode(body)
    except msgspec.ValidationError as error:
        refusal = _explain(error, "report", "report_id, source, sequence and events")
        raise InvalidInput(refusal.code, refusal.message) from None
    except msgspec.MsgspecError as error:
        raise InvalidInput("invalid_json", f"the body is not JSON: {error}") from None
    except RecursionError:
        raise InvalidInput("invalid_json", "the body is nested too deeply") from None
    inside = sum(_quotes(bytes(raw)) for raw in envelope.events)
    if _quotes(body) - inside != 2 * _envelope_strings(envelope):
        raise InvalidInput("duplicate_field", "a field of the report is given twice")
    for name in ("report_id", "source"):
        text = getattr(envelope, name)
        if text is not UNSET and not is_clean(text):
            raise InvalidInput(f"invalid_{name}", _RULES[name])
    return envelope


def _read_event(raw: bytes) -> Event | Refusal:
    try:
        event = _EVENT.decode(raw)
    except msgspec.ValidationError as error:
        return _explain(error, "event", "event_id, model, image_count, occurred_at, adapters, plan and output")
    except _UNREADABLE:
        return Refusal("invalid_event", "the event is not an object of plain fields")
    strings = 7 + 2 * (event.plan is not UNSET) + 2 * (event.output is not UNSET)
    strings += 0 if event.adapters is UNSET else 1 + len(event.adapters)
    if _quotes(raw) != 2 * strings:
        return Refusal("duplicate_field", "a field of the event is given twice")
    for name, text in _texts(event):
        if not is_clean(text):
            return Refusal(f"invalid_{name}", _RULES[name])
    return event


def _texts(event: Event) -> Iterator[tuple[str, str]]:
    yield "event_id", event.event_id
    yield "model", event.model
    if event.plan is not UNSET:
        yield "plan", event.plan
    if event.adapters is not UNSET:
        for adapter in event.adapters:
            yield "adapters", adapter


def _id_of(raw: bytes) -> str | None:
    """The id of an event that was refused, if that much of it can be read."""
    try:
        named = _NAMED.decode(raw)
    except _UNREADABLE:
        return None
    return named.event_id if is_clean(named.event_id) else None


def _explain(error: msgspec.ValidationError, what: str, fields: str) -> Refusal:
    """The decoder's complaint in our words: a code for the field, and the rule it broke."""
    said = str(error)
    if (place := _PLACE.search(said)) and place[1] in _RULES:
        return Refusal(f"invalid_{place[1]}", _RULES[place[1]])
    if missing := _MISSING.match(said):
        return Refusal("missing_field", f"the {what} has no {missing[1]}: {_RULES[missing[1]]}")
    if unknown := _UNKNOWN.match(said):
        return Refusal("unknown_field", f"there is no field {unknown[1]} in the {what}; it may have {fields}")
    if "unknown field" in said:
        return Refusal("unknown_field", f"the {what} has a field that is not known; it may have {fields}")
    return Refusal(f"invalid_{what}", f"the {what} must be a JSON object with {fields}")


def _quotes(text: bytes) -> int:
    """How many quotation marks delimit strings in valid JSON: all but the escaped ones, which follow an odd backslash.

    Every string that a decoder returned accounts for two of them, so any more betray a field that was given twice.
    """
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return text.count(b'"')


def _envelope_strings(report: Body | _Envelope) -> int:
    """Strings of the envelope itself: two keys and one value, and what else was given."""
    return 3 + (0 if report.source is UNSET else 2) + (0 if report.sequence is UNSET else 1)


def _other_names(report: Body) -> list[str]:
    """Every distinct text of a report but the ids of its events."""
    names: set[str | UnsetType] = {event.model for event in report.events}
    names.update([event.plan for event in report.events])
    for adapters in {event.adapters for event in report.events}:
        if adapters is not UNSET:
            names.update(adapters)
    names |= {report.report_id, report.source}
    return [name for name in names if name is not UNSET]


def _all_clean(texts: list[str]) -> bool:
    """Whether all of them are clean. Most reports hold nothing but plain text, which is seen at one glance."""
    joined = "".join(texts)
    return (" " not in joined and joined.isprintable()) or all(map(is_clean, texts))


def _given(value: T | UnsetType) -> T | None:
    return None if value is UNSET else value
