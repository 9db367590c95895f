"""What a report is answered: one result for each event, and the sums.

Most events are accepted, and most of the rest share one fate with their neighbours. So a stored receipt holds only runs
of events that were not accepted; together with the report itself, which a repeat brings along, it gives the first
answer again word for word. Of events that are stored nowhere else, because they were refused or stood against what was
said before, it keeps the ids as well, so that they can be listed later.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import UNSET, UnsetType

from core.usage.intake.report import Content, Refusal, Report, content

STATUSES = ("accepted", "duplicate", "held", "conflict", "rejected")
NOT_STORED = ("conflict", "rejected")
HOLDS = {
    "unknown_model": "no model of this name is registered yet; the event is kept and is counted once one is",
    "unknown_adapter": "an adapter of this name is not registered yet; the event is kept and is counted once it is",
    "no_account": "there is no account with the model's licensor yet; the event is kept",
    "no_agreement": "no signed agreement covers the model on that day yet; the event is kept",
}
CAPPED = "hard_cap_reached"
_PARTS = ("model", "image_count", "occurred_at", "adapters", "plan", "output")
_Fate = tuple[str, str | UnsetType, str | UnsetType]


class Run(msgspec.Struct, omit_defaults=True, frozen=True):
    """Neighbouring events of a report with the same result. `image_count` is kept of images that a cap kept out.

    `ids` are theirs, in order, kept of conflicts and refusals only; None where not even the id could be read.
    """

    first: int
    status: str
    code: str | UnsetType = UNSET
    message: str | UnsetType = UNSET
    count: int = 1
    image_count: int = 0
    ids: tuple[str | None, ...] = ()


class Result(msgspec.Struct, omit_defaults=True):
    """What became of one event."""

    event_id: str | None
    status: str
    code: str | UnsetType = UNSET
    message: str | UnsetType = UNSET


class Counts(msgspec.Struct):
    """Events of a report by what became of them."""

    accepted: int = 0
    duplicate: int = 0
    held: int = 0
    conflict: int = 0
    rejected: int = 0


class Verdict(msgspec.Struct):
    """What became of a report: the sums, the images newly counted, and the runs of events that were not accepted."""

    counts: Counts
    image_count: int
    runs: Sequence[Run] = ()


class Receipt(msgspec.Struct):
    """A verdict that is committed, and since when. `replayed`: it was given before, for the same report.

    `digest` is the SHA-256 of the body that the verdict is about.
    """

    received_at: datetime
    verdict: Verdict
    replayed: bool = False
    digest: bytes = b""


class Answer(msgspec.Struct):
    """A receipt as it is sent."""

    report_id: str
    received_at: datetime
    body_sha256: str  # of the report's body as it was sent, in hexadecimal digits
    counts: Counts
    image_count: int
    results: list[Result]


def judge(
    report: Report,
    holds: Mapping[int, str],
    stored: Mapping[str, Content],
    capped: Mapping[int, Refusal] | None = None,
) -> Verdict:
    """What becomes of each event, given what is stored of its id already (by another report) and why some are held.

    Events are taken in order: of one id twice in a report the first counts, and the second is compared with it.
    `holds` and `capped` are by place. An event that was taken before its cap was reached is a duplicate ever after. An
    event that was sent without a time says nothing about it, so it is compared with what stands by everything else.
    """
    if report.distinct and not (stored or holds or capped or report.refusals):
        return Verdict(Counts(accepted=len(report.events)), sum([event.image_count for event in report.events]))
    known = dict(stored)
    results: dict[int, _Fate] = {}
    kept_out: dict[int, int] = {}
    image_count = 0
    for place, event, instant in zip(report.places, report.events, report.instants, strict=True):
        said = content(event, instant)
        if capped and place in capped and event.event_id not in known:
            results[place] = ("rejected", capped[place].code, capped[place].message)
            kept_out[place] = event.image_count
            continue
        before = known.setdefault(event.event_id, said)
        if before is not said:
            if place in report.untimed:
                said = _at_the_time_of(before, said)
            results[place] = ("duplicate", UNSET, UNSET) if before == said else ("conflict", *_difference(before, said))
            continue
        image_count += event.image_count
        if hold := holds.get(place):
            results[place] = ("held", hold, HOLDS[hold])
    for place, refusal in report.refusals.items():
        results[place] = ("rejected", refusal.code, refusal.message)
    runs = _runs(results, kept_out, report.ids)
    tally = {status: sum(run.count for run in runs if run.status == status) for status in STATUSES}
    tally["accepted"] = len(report.ids) - len(results)
    return Verdict(Counts(**tally), image_count, runs)


def _at_the_time_of(before: Content, said: Content) -> Content:
    """What was said, as if it had been said of the same instant as what was said before."""
    model, image_count, _, adapters, plan, output = said
    return model, image_count, before[2], adapters, plan, output


def _difference(before: Content, said: Content) -> tuple[str, str]:
    """How a conflict is told: by the parts that differ, not by what was said before."""
    parts = [name for name, old, new in zip(_PARTS, before, said, strict=True) if old != new]
    return "event_id_reused", f"this event_id was reported before with another {' and '.join(parts)}; the first stands"


def _runs(results: Mapping[int, _Fate], kept_out: Mapping[int, int], ids: Sequence[str | None]) -> list[Run]:
    runs: list[Run] = []
    first, count, last = 0, 0, None

    def end() -> None:
        if last:
            images = sum(kept_out.get(place, 0) for place in range(first, first + count))
            kept = tuple(ids[first : first + count]) if last[0] in NOT_STORED else ()
            runs.append(Run(first, *last, count=count, image_count=images, ids=kept))

    for place in sorted(results):
        if count and place == first + count and results[place] == last:
            count += 1
            continue
        end()
        first, count, last = place, 1, results[place]
    end()
    return runs


def images_kept_out(report: Report, receipt: Receipt) -> int:
    """The images of a report of which a reached cap kept out every event; 0 for every other report."""
    runs = receipt.verdict.runs
    if sum(run.count for run in runs) < len(report.ids) or any(run.code != CAPPED for run in runs):
        return 0
    return sum(run.image_count for run in runs)


def answer(report: Report, receipt: Receipt) -> Answer:
    """The receipt of this report in full, one result for each event in the order they were sent."""
    results = [Result(event_id, "accepted") for event_id in report.ids]
    for run in receipt.verdict.runs:
        for place in range(run.first, run.first + run.count):
            results[place] = Result(report.ids[place], run.status, run.code, run.message)
    verdict, received_at = receipt.verdict, receipt.received_at.astimezone(UTC)
    digest = receipt.digest.hex()
    return Answer(report.report_id, received_at, digest, verdict.counts, verdict.image_count, results)
