"""Corrections as they are asked for, and the rule by which each is taken or refused.

A correction withdraws an event, or says how many images it really was: as a count (`image_count`) or as what to add to
the count that stands (`image_delta`). The sender makes its id and keeps it, as for an event: the same correction again
gets the same answer, another one under the same id is a conflict. Reading is as strict as for reports, and each
correction of a list is read and judged alone, in the order of the list.

The corrections of an event are a chain: each begins where the one before ended, and none goes below zero.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from core.errors import InvalidInput
from core.usage.intake.report import MAX_IMAGE_COUNT, MAX_NAME, Name, Refusal, is_clean

MAX_CORRECTIONS = 1000
MAX_REASON = 1000
Kind = Literal["withdraw", "amend"]
Status = Literal["accepted", "duplicate", "conflict", "rejected"]
STATUSES: tuple[str, ...] = get_args(Status)


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """One correction as it was sent."""

    correction_id: Name
    event_id: Name
    kind: Kind
    reason: Annotated[str, Meta(min_length=1, max_length=MAX_REASON)]
    reference: Name | UnsetType = UNSET
    image_count: Annotated[int, Meta(ge=0, le=MAX_IMAGE_COUNT)] | UnsetType = UNSET
    image_delta: Annotated[int, Meta(ge=-MAX_IMAGE_COUNT, le=MAX_IMAGE_COUNT)] | UnsetType = UNSET


class _Named(msgspec.Struct):
    """Only the id of a correction that is otherwise wrong."""

    correction_id: Name


_ENVELOPE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=MAX_CORRECTIONS)])
_ASKED = msgspec.json.Decoder(Asked)
_NAMED = msgspec.json.Decoder(_Named)
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_CLEAN = "without control characters or white space around it"
_A_NAME = f"must be text of 1 to {MAX_NAME} characters, {_CLEAN}"
_RULES = {
    "correction_id": f"correction_id {_A_NAME}",
    "event_id": f"event_id {_A_NAME}",
    "kind": f"kind must be one of {', '.join(get_args(Kind))}",
    "reason": f"reason must be one line of 1 to {MAX_REASON:,} characters, {_CLEAN}",
    "reference": f"reference {_A_NAME}, or be left out",
    "image_count": f"image_count must be a whole number from 0 to {MAX_IMAGE_COUNT:,}, in digits only",
    "image_delta": f"image_delta must be a whole number of at most {MAX_IMAGE_COUNT:,} either way, in digits only",
}
_FIELDS = "correction_id, event_id, kind, image_count or image_delta, reason and reference"
_PLACE = re.compile(r" - at `\$\.(\w+)[^`]*`\Z")
_MISSING = re.compile(r"Object missing required field `(\w+)`")


@dataclass(frozen=True, slots=True)
class Order:
    """A correction that was understood. An amendment has either the count it leaves or what it adds."""

    correction_id: str
    event_id: str
    kind: Kind
    reason: str
    reference: str | None = None
    image_count: int | None = None
    image_delta: int | None = None


@dataclass(frozen=True, slots=True)
class Misread:
    """A correction that was not understood: its id, if that could be read, and what is wrong."""

    correction_id: str | None
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Correction:
    """A correction as it was made: what the event counted before and after it, and its place in the chain."""

    correction_id: str
    event_id: str
    number: int
    kind: str
    image_count_before: int
    image_count_after: int
    reason: str
    reference: str | None
    actor: str
    made_at: datetime

    @property
    def image_delta(self) -> int:
        return self.image_count_after - self.image_count_before


@dataclass(frozen=True, slots=True)
class Standing:
    """What an event counts now, and how many corrections it has had."""

    image_count: int
    corrections: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one correction; `correction` is what was made of it, now or when it was first sent."""

    correction_id: str | None
    event_id: str | None
    status: Status
    code: str | None = None
    message: str | None = None
    correction: Correction | None = None


def read_corrections(body: bytes) -> tuple[list[Order | Misread], bool]:
    """The corrections in a request's body, each understood or not; and whether it was one alone.

    Raises InvalidInput when the body as a whole cannot be understood.
    """
    try:
        body.decode()
        envelope = _ENVELOPE.decode(body)
        pairs = _pairs(body)
    except UnicodeDecodeError:
        raise InvalidInput("invalid_json", "the body must be JSON in UTF-8; it holds bytes that are not") from None
    except msgspec.ValidationError:
        raise InvalidInput("invalid_corrections", f"the body must be a JSON object with {_FIELDS}") from None
    except (*_UNREADABLE, ValueError) as error:
        raise InvalidInput("invalid_json", f"the body is not JSON that can be read: {error}") from None
    if "corrections" not in envelope:
        return [_read_one(body)], True
    if len(pairs) > len(envelope):
        raise InvalidInput("duplicate_field", "a field of the body is given twice")
    if len(envelope) > 1:
        raise InvalidInput("unknown_field", "beside corrections the body may have no other field")
    try:
        sent = _LIST.decode(bytes(envelope["corrections"]))
    except msgspec.ValidationError:
        said = f"corrections must be a list of 1 to {MAX_CORRECTIONS:,} corrections"
        raise InvalidInput("invalid_corrections", said) from None
    return [_read_one(bytes(raw)) for raw in sent], False


def order_of(fields: Mapping[str, Any]) -> Order | Refusal:
    """The correction that a row of a file says; its texts and numbers are judged as those of a request."""
    try:
        return _checked(msgspec.convert(dict(fields), Asked))
    except msgspec.ValidationError as error:
        return _explain(error)


def judge(
    orders: Iterable[Order | Misread],
    *,
    made: Mapping[str, Correction],
    standing: Mapping[str, Standing],
    actor: str,
    now: datetime,
) -> list[Answer]:
    """What becomes of each, one after the other. `made` are corrections by the ids asked for, `standing` the events."""
    made, standing, answers = dict(made), dict(standing), []
    for order in orders:
        if isinstance(order, Misread):
            answers.append(_rejected(order.correction_id, None, order.refusal))
            continue
        if before := made.get(order.correction_id):
            answers.append(_again(order, before))
            continue
        found = _decide(order, standing.get(order.event_id), actor, now)
        if isinstance(found, Refusal):
            answers.append(_rejected(order.correction_id, order.event_id, found))
            continue
        made[order.correction_id] = found
        standing[order.event_id] = Standing(found.image_count_after, found.number)
        answers.append(Answer(order.correction_id, order.event_id, "accepted", correction=found))
    return answers


def accepted(answers: Sequence[Answer]) -> list[Correction]:
    """The corrections that are new, in their order."""
    return [each.correction for each in answers if each.status == "accepted" and each.correction]


def _rejected(correction_id: str | None, event_id: str | None, refusal: Refusal) -> Answer:
    return Answer(correction_id, event_id, "rejected", refusal.code, refusal.message)


def _decide(order: Order, stands: Standing | None, actor: str, now: datetime) -> Correction | Refusal:
    if stands is None:
        return Refusal(
            "unknown_event", "there is no event of yours with this event_id: check the id, or wait for its receipt"
        )
    count = stands.image_count
    after = 0 if order.kind == "withdraw" else order.image_count
    if after is None:
        after = count + (order.image_delta or 0)
    if after == count:
        said = "it is withdrawn already" if not count else f"{count:,} images is what the event counts already"
        return Refusal("no_change", f"this would change nothing: {said}")
    if after < 0:
        return Refusal("below_zero", f"the event counts {count:,} images now: at most those can be taken back")
    if after > MAX_IMAGE_COUNT:
        return Refusal("too_many_images", f"an event counts at most {MAX_IMAGE_COUNT:,} images: report the rest anew")
    return Correction(
        correction_id=order.correction_id,
        event_id=order.event_id,
        number=stands.corrections + 1,
        kind=order.kind,
        image_count_before=count,
        image_count_after=after,
        reason=order.reason,
        reference=order.reference,
        actor=actor,
        made_at=now,
    )


def _again(order: Order, before: Correction) -> Answer:
    """The answer to an id that was used before: the first one, if the correction says the same."""
    said = order.event_id, order.kind, order.reason, order.reference
    same = said == (before.event_id, before.kind, before.reason, before.reference)
    same &= order.image_count in (None, before.image_count_after)
    if same and order.image_delta in (None, before.image_delta):
        return Answer(order.correction_id, order.event_id, "duplicate", correction=before)
    return Answer(
        order.correction_id,
        order.event_id,
        "conflict",
        "correction_id_reused",
        "this correction_id was used before for a correction with other content, which stands: give it a new one",
    )


def _read_one(raw: bytes) -> Order | Misread:
    try:
        asked = _ASKED.decode(raw)
        pairs = _pairs(raw)
    except msgspec.ValidationError as error:
        return Misread(_id_of(raw), _explain(error))
    except (*_UNREADABLE, ValueError):
        return Misread(_id_of(raw), Refusal("invalid_correction", "the correction is not an object of plain fields"))
    if len(pairs) > len(dict(pairs)):
        return Misread(_id_of(raw), Refusal("duplicate_field", "a field of the correction is given twice"))
    order = _checked(asked)
    return Misread(_id_of(raw), order) if isinstance(order, Refusal) else order


def _checked(asked: Asked) -> Order | Refusal:
    """The order, if its texts are clean and its numbers are those that its kind asks for."""
    for field in ("correction_id", "event_id", "reason", "reference"):
        text = getattr(asked, field)
        if text is not UNSET and not is_clean(text):
            return Refusal(f"invalid_{field}", _RULES[field])
    numbers = [n for n in (asked.image_count, asked.image_delta) if n is not UNSET]
    if asked.kind == "withdraw" and numbers:
        return Refusal(
            "image_count_not_wanted", "a withdrawal takes the whole event back: leave image_count and image_delta out"
        )
    if asked.kind == "amend" and len(numbers) != 1:
        return Refusal(
            "image_count_or_delta",
            "an amendment says either image_count, what the event counts from now on, or image_delta, what to add to "
            "it: give one of the two",
        )
    order = Order(asked.correction_id, asked.event_id, asked.kind, asked.reason)
    return replace(
        order,
        reference=None if asked.reference is UNSET else asked.reference,
        image_count=None if asked.image_count is UNSET else asked.image_count,
        image_delta=None if asked.image_delta is UNSET else asked.image_delta,
    )


def _id_of(raw: bytes) -> str | None:
    """The id of a correction that was refused, if that much of it can be read."""
    try:
        named = _NAMED.decode(raw)
    except _UNREADABLE:
        return None
    return named.correction_id if is_clean(named.correction_id) else None


def _explain(error: msgspec.ValidationError) -> Refusal:
    """The decoder's complaint in our words: a code for the field, and the rule it broke."""
    said = str(error)
    if (place := _PLACE.search(said)) and place[1] in _RULES:
        return Refusal(f"invalid_{place[1]}", _RULES[place[1]])
    if missing := _MISSING.match(said):
        return Refusal("missing_field", f"the correction has no {missing[1]}: {_RULES[missing[1]]}")
    if "unknown field" in said:
        return Refusal("unknown_field", f"the correction has a field that is not known; it may have {_FIELDS}")
    return Refusal("invalid_correction", f"the correction must be a JSON object with {_FIELDS}")


def _pairs(raw: bytes) -> list[tuple[str, Any]]:
    """The fields of the outermost object in the order of the text, those given twice among them."""
    found: list[tuple[str, Any]] = []

    def keep(pairs: list[tuple[str, Any]]) -> None:
        found[:] = pairs  # the outermost object is the last to end

    json.loads(raw, object_pairs_hook=keep, parse_int=len, parse_float=len, parse_constant=len)
    return found
