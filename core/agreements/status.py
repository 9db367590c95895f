"""Where an agreement stands, and what may be done with it there: one table, and a sentence for everything else.

That a term is over needs nobody to write it down: a signed agreement reads as ended from the day after its last. So no
task can be late, and what becomes known only after the end (an extension, an early end, a repair of old prices) finds
the agreement as it was.
"""

from collections.abc import Mapping
from datetime import date
from typing import Literal, get_args

from core.errors import Conflict

Status = Literal["draft", "signed", "ended", "terminated", "revoked"]
Act = Literal["redraft", "sign", "amend", "extend", "terminate", "revoke"]
STATUSES: tuple[Status, ...] = get_args(Status)
ACTS: tuple[Act, ...] = get_args(Act)

MOVES: Mapping[tuple[Status, Act], Status] = {
    ("draft", "redraft"): "draft",
    ("draft", "sign"): "signed",
    ("signed", "amend"): "signed",
    ("signed", "extend"): "signed",
    ("signed", "terminate"): "terminated",
    ("signed", "revoke"): "revoked",
    # What is over can still be repaired, agreed to go on, or be known to have ended before its time.
    ("ended", "amend"): "ended",
    ("ended", "extend"): "signed",
    ("ended", "terminate"): "terminated",
    ("ended", "revoke"): "revoked",
    ("terminated", "amend"): "terminated",
    ("terminated", "revoke"): "revoked",  # sooner than the termination would have ended it
    ("revoked", "amend"): "revoked",
}
_SIGNED: dict[Act, str] = {
    "redraft": "is signed: change it by an amendment",
    "sign": "is signed already",
}
_REFUSED: Mapping[Status, Mapping[Act, str]] = {
    "draft": {
        "amend": "is a draft: change its terms, then sign it",
        "extend": "is a draft: change its dates, then sign it",
        "terminate": "is a draft and covers nothing: leave it unsigned",
        "revoke": "is a draft and covers nothing: leave it unsigned",
    },
    "signed": _SIGNED,
    "ended": _SIGNED,
    "terminated": _SIGNED
    | {
        "extend": "was terminated: sign another agreement for the days after its end",
        "terminate": "was terminated already: only a revocation ends it sooner",
    },
    "revoked": _SIGNED
    | {
        "extend": "was revoked: sign another agreement for the days after its end",
        "terminate": "was revoked already: there is nothing left to terminate",
        "revoke": "was revoked already",
    },
}


def status_on(stored: str, ends_on: date, today: date) -> Status:
    """The status on a day, from the stored one: a signed agreement whose term is over has ended."""
    found = next(status for status in STATUSES if status == stored)
    return "ended" if found == "signed" and today >= ends_on else found


def move(slug: str, status: Status, act: Act) -> Status:
    """The status after an act. Raises `Conflict` with what to do instead where the act is not possible."""
    after = MOVES.get((status, act))
    if after is None:
        code = "not_signed" if status == "draft" else "already_signed" if act in _SIGNED else f"already_{status}"
        raise Conflict(code, f"agreement {slug} {_REFUSED[status][act]}", status=status)
    return after
