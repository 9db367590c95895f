"""What is owed under a contract for some counts: the one place where terms meet usage.

`owed` gives every line that has fallen due; billing subtracts what was billed before. It is pure: the same contract,
counts and day give the same lines, byte for byte, in time linear in the counts.
"""

from dataclasses import dataclass
from datetime import date

from core.period import Period
from core.rating.contract import Contract, Counts
from core.rating.fees import month_lines, pieces_of
from core.rating.line import KINDS, LineKey, RatedLine, in_order
from core.rating.prepaid import prepaid_lines
from core.rating.progress import CommitmentProgress, Drawn, commitment_progress
from core.rating.shortfall import shortfall_lines

__all__ = [
    "KINDS",
    "CapUse",
    "CommitmentProgress",
    "Contract",
    "Counts",
    "Drawn",
    "LineKey",
    "RatedLine",
    "caps",
    "owed",
    "progress",
]


@dataclass(frozen=True, slots=True)
class CapUse:
    """Images counted against a monthly cap of a subject, `above` of them beyond it."""

    subject: str
    kind: str
    service: Period
    images: int
    counted: int
    above: int


def owed(contract: Contract, counts: Counts, until: date) -> tuple[RatedLine, ...]:
    """Every line that is due on or before `until` (`LineKey.due_on`), in the order of an invoice.

    `counts` are net images per (model slug, day of the account's zone). Days outside the term and models without a fee
    on that day are not rated. Each key occurs once; lines of no images and no amount are left out.
    """
    tally = contract.tally(counts, until)
    fees = [line for month in contract.months if month[0].end <= until for line in month_lines(contract, *month, tally)]
    if not contract.promises:
        return tuple(sorted(fees, key=in_order))
    shortfalls = shortfall_lines(contract, tally, fees, until)
    return tuple(sorted([*fees, *shortfalls, *prepaid_lines(contract, fees, until)], key=in_order))


def progress(contract: Contract, counts: Counts, as_of: date) -> tuple[CommitmentProgress, ...]:
    """The commitment periods that are running on the day before `as_of`, with what was counted on days before it.

    On the day after a period's end the period is shown once more, complete. Commitments in money count the fees of
    every month that has begun, the running month's base fee in full.
    """
    if not contract.promises:
        return ()
    tally = contract.tally(counts, as_of)
    begun = [
        line for month in contract.months if month[0].start < as_of for line in month_lines(contract, *month, tally)
    ]
    return commitment_progress(contract, tally, begun, as_of)


def caps(contract: Contract, counts: Counts, until: date) -> tuple[CapUse, ...]:
    """How far each monthly cap is used, for months that began before `until`; the cap of the month's last day."""
    tally = contract.tally(counts, until)
    found = []
    for service, cells in contract.months:
        if service.start >= until:
            break
        for subject, pieces in pieces_of(contract, cells, tally).items():
            cap, counted = pieces[-1].fee.cap, sum(piece.images for piece in pieces)
            if cap:
                found.append(CapUse(subject, cap.kind, service, cap.images, counted, max(0, counted - cap.images)))
    return tuple(found)
