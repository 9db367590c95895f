"""What is reported: which arguments make a fact, and how a fact is written.

The rules are the service's own, applied before anything is taken, so that a mistake is told where it was made and not
a minute later in a log. Adapters are a set, so they are kept sorted; that way equal content is recognised as equal.
"""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from operator import index
from typing import Any

from perimage._clock import instant
from perimage._errors import BadUsage

MAX_EVENTS = 1_000  # in a report
MAX_REPORT_BYTES = 1_000_000  # under the service's 1 MiB, the envelope included
MAX_ADAPTERS = 32
MAX_NAME = 255
MAX_IMAGE_COUNT = 1_000_000_000
MICROS = 1_000_000  # in a second
OUTPUTS = ("image", "preview", "upscale", "rejected", "video_frame")

Content = tuple[str, tuple[str, ...], str, str]  # model, adapters, plan, output
Event = dict[str, Any]  # as the service reads it

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UNCLEAN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]|^\\s|\\s\\Z")


def content_of(model: object, adapters: Iterable[object] | None, plan: object, output: object) -> Content:
    """What an image was made with and for. Raises BadUsage."""
    if isinstance(adapters, str | bytes):
        raise BadUsage("adapters must be a list of names, not one text")
    try:
        distinct = sorted({_name("adapters", each) for each in adapters or ()})
    except TypeError:
        raise BadUsage("adapters must be a list of names") from None
    if len(distinct) > MAX_ADAPTERS:
        raise BadUsage(f"adapters must be at most {MAX_ADAPTERS} names")
    if output not in OUTPUTS:
        raise BadUsage(f"output must be one of {', '.join(OUTPUTS)}, not {_shown(output)}")
    kept_plan = "" if plan is None or plan == "" else _name("plan", plan)
    return _name("model", model), tuple(distinct), kept_plan, str(output)


def whole(images: Any) -> int:
    """A count of images. Raises BadUsage."""
    try:
        count = index(images)
    except TypeError:
        count = 0
    if isinstance(images, bool) or not 1 <= count <= MAX_IMAGE_COUNT:
        raise BadUsage(f"images must be a whole number from 1 to {MAX_IMAGE_COUNT:,}, not {_shown(images)}")
    return count


def micros_of(occurred_at: object) -> int:
    """Microseconds since 1970 of a time with its zone. Raises BadUsage."""
    if not isinstance(occurred_at, datetime) or occurred_at.tzinfo is None or occurred_at.utcoffset() is None:
        raise BadUsage(f"occurred_at must be a datetime with its zone, or be left out; not {_shown(occurred_at)}")
    micros = (occurred_at - _EPOCH) // _MICROSECOND
    if micros < 0:
        raise BadUsage("occurred_at must be after 1970")
    return micros


def event_of(event_id: str, images: int, micros: int, content: Sequence[Any]) -> Event:
    """A fact as the service reads it."""
    model, adapters, plan, output = content
    event: Event = {"event_id": event_id, "model": model, "image_count": images, "occurred_at": instant(micros)}
    if adapters:
        event["adapters"] = list(adapters)
    if plan:
        event["plan"] = plan
    if output != "image":
        event["output"] = output
    return event


def whole_event(event: Any) -> bytes:
    """A fact that somebody else made, as JSON, if its parts are of the right kind. Raises BadUsage."""
    if not isinstance(event, dict):
        raise BadUsage(f"an event must be a dictionary, not {_shown(event)}")
    _name("event_id", event.get("event_id"))
    _name("model", event.get("model"))
    if not isinstance(event.get("image_count"), int) or whole(event["image_count"]) != event["image_count"]:
        raise BadUsage(f"image_count must be a whole number, not {_shown(event.get('image_count'))}")
    if not isinstance(event.get("occurred_at"), str):
        raise BadUsage("occurred_at must be an RFC 3339 time with its zone")
    try:
        payload = as_json(event)
    except (TypeError, ValueError) as error:
        raise BadUsage(f"the event is not JSON: {error}") from None
    if len(payload) > MAX_REPORT_BYTES // 2:
        raise BadUsage(f"an event of {len(payload):,} bytes is too large to be sent")
    return payload


def as_json(value: Any) -> bytes:
    """JSON, as short as it gets."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _name(field: str, value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME or _UNCLEAN.search(value) or not _encodes(value):
        raise BadUsage(
            f"{field} must be text of 1 to {MAX_NAME} characters, without control characters or white space around "
            f"it, not {_shown(value)}"
        )
    return str(value)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return True


def _shown(value: object) -> str:
    return ascii(value)[:80]
