"""What the service's answer means for a report: pure, from a status, headers and a body to one of a few words.

    Settled    every event was answered: forget the report, and park what was not counted
    Refused    the report as a whole was turned away for good: park all of it
    TooLarge   make two of it
    Reused     its id is taken: send the events under another
    Later      nothing was decided: keep it and send it again

Only an answer that is evidently the service's own, and about this very report, decides anything. Whatever else comes
back, a proxy's page, a redirect, somebody else's receipt, means Later.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from perimage._reports import Report

COUNTED = ("accepted", "duplicate", "held")
KNOWN = (*COUNTED, "conflict", "rejected")
EARLY = "timestamp_in_future"
LONGEST_WAIT = 3600.0  # seconds, whatever Retry-After says
UNAUTHORIZED = 401, 403, 407
BUSY = 408, 429, 503


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one event."""

    event_id: str
    status: str
    code: str = ""
    message: str = ""

    @property
    def counted(self) -> bool:
        """Whether the service has it."""
        return self.status in COUNTED


@dataclass(frozen=True, slots=True)
class Settled:
    """One result for each event, in the order they were sent."""

    results: list[Result]
    answered_at: datetime | None = None  # by the service's clock


@dataclass(frozen=True, slots=True)
class Refused:
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class TooLarge:
    message: str


@dataclass(frozen=True, slots=True)
class Reused:
    message: str


@dataclass(frozen=True, slots=True)
class Later:
    """`wait`: what Retry-After asked for, in seconds. `kind`: whose fault it seems to be."""

    reason: str
    kind: Literal["unreachable", "busy", "unauthorized", "failed", "spool"] = "failed"
    wait: float = 0.0


Outcome = Settled | Refused | TooLarge | Reused | Later


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer as it came. Header names are in small letters."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def read_answer(answer: Answer, report: Report) -> Outcome:
    """What this answer means for this report."""
    found = _object(answer.body)
    if answer.status == 200:
        return _settled(answer, found, report)
    code, detail = (str(found.get(name, "")) for name in ("code", "detail"))
    said = f"the service answered {answer.status}" + (f" {code}: {detail}" if code else "")
    about_it = bool(code) and found.get("report_id", report.report_id) == report.report_id
    outcome: Outcome
    if about_it and (code == "hard_cap_reached" or answer.status == 422):
        outcome = Refused(code, detail)
    elif about_it and code == "report_id_reused":
        outcome = Reused(detail)
    elif answer.status == 413:
        outcome = TooLarge(said)
    elif answer.status in UNAUTHORIZED:
        outcome = Later(f"{said}; check the meter key", "unauthorized")
    elif answer.status in BUSY:
        outcome = Later(said, "busy", _retry_after(answer))
    elif answer.status < 500:
        outcome = Later(f"{said}; check the url, and what stands between", "failed", _retry_after(answer))
    else:
        outcome = Later(said, "failed", _retry_after(answer))
    return outcome


def _settled(answer: Answer, found: dict[str, Any], report: Report) -> Outcome:
    if found.get("report_id") != report.report_id:
        return Later("the answer is not a receipt of this report; check the url, and what stands between")
    ids = [event["event_id"] for event in report.content()]
    try:
        results = [
            Result(str(each["event_id"]), str(each["status"]), str(each.get("code", "")), str(each.get("message", "")))
            for each in found["results"]
        ]
    except (KeyError, TypeError, AttributeError):
        results = []
    if [each.event_id for each in results] != ids:
        return Later("the receipt does not speak of the events that were sent")
    if unknown := {each.status for each in results} - set(KNOWN):
        return Later(f"the receipt speaks of {', '.join(sorted(unknown))}, which this version does not know; update it")
    return Settled(results, _date(answer.headers.get("date", "")))


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _retry_after(answer: Answer) -> float:
    """Seconds, from either form of the header."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isdecimal():
        return min(float(text), LONGEST_WAIT)
    if until := _date(text):
        now = _date(answer.headers.get("date", "")) or datetime.now(UTC)
        return min(max((until - now).total_seconds(), 0.0), LONGEST_WAIT)
    return 0.0


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
