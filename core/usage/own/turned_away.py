"""Events that were not taken: which, why, and what to do about each.

They are stored nowhere but in the runs of their report's receipt. Of reports from before runs kept ids, only how many
there were and why is known.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from core.usage.intake.receipt import CAPPED, HOLDS, NOT_STORED, Run

AGAIN = "report it again once that is mended; a refused event was not counted, so its event_id is still free"
NOTHING_LOST = "nothing is lost: it is counted by itself once that has happened"
_FIXES = {
    "event_id_reused": "if it is another event, report it under an event_id of its own; if the first one was wrong, "
    "correct the first one",
    "timestamp_too_far_in_past": f"ask the licensor for a meter key with a back-fill permission; {AGAIN}",
    "timestamp_in_future": f"set the sender's clock and send occurred_at with its zone; {AGAIN}",
    "duplicate_field": f"write every field once; {AGAIN}",
    "unknown_field": f"leave the field out, or correct its name; {AGAIN}",
    CAPPED: f"agree on a higher cap with the licensor; {AGAIN}",
    "unknown_model": f"ask the licensor to register the model under this name; {NOTHING_LOST}",
    "unknown_adapter": f"ask the licensor to register the adapter under this name; {NOTHING_LOST}",
    "no_account": f"open an account with the model's licensor; {NOTHING_LOST}",
    "no_agreement": "sign an agreement that covers the model on that day; until then it is counted as unlicensed usage",
}


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """An event that was refused, or stood against what was said before under its id, by its place in the report.

    `event_id` is None where it could not be read, or was not kept.
    """

    place: int
    event_id: str | None
    status: str
    code: str
    message: str
    how_to_fix: str


@dataclass(frozen=True, slots=True)
class HeldRun:
    """Neighbouring events of a report that were held when it came in; they are stored with it."""

    place: int
    event_count: int
    code: str
    message: str
    how_to_fix: str


def how_to_fix(code: str) -> str:
    """What to do about an event with this code."""
    return _FIXES.get(code, f"correct what the message says; {AGAIN}")


def stored_runs(outcomes: object) -> list[Run]:
    """The runs of a report as its row keeps them."""
    return msgspec.convert(outcomes, list[Run])


def turned_away(runs: Iterable[Run]) -> Iterator[TurnedAway]:
    """Every event that is not stored for its own fault, in the order in which they were sent."""
    for run in runs:
        if run.status in NOT_STORED:
            ids: Sequence[str | None] = run.ids or (None,) * run.count
            code, message = str(run.code), str(run.message)
            for n, event_id in enumerate(ids):
                yield TurnedAway(run.first + n, event_id, run.status, code, message, how_to_fix(code))


def held_runs(runs: Iterable[Run]) -> list[HeldRun]:
    """What was held of a report when it came in."""
    return [
        HeldRun(run.first, run.count, str(run.code), HOLDS.get(str(run.code), ""), how_to_fix(str(run.code)))
        for run in runs
        if run.status == "held"
    ]
