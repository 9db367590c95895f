"""How far commitments have come, and where the pace so far leads: a forecast anyone can recompute."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from core.money import Money, round_half_up
from core.period import Period
from core.rating.commitment import Promise
from core.rating.contract import Contract, Tally
from core.rating.line import RatedLine
from core.rating.prepaid import Block, blocks
from core.rating.shortfall import Reckoning, reckonings

__all__ = ["CommitmentProgress", "Drawn", "commitment_progress"]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A row of the burn-down of a block: what a month drew, and what was left of all balances after it."""

    month: Period
    quantity: Decimal
    left: Decimal


@dataclass(frozen=True, slots=True)
class CommitmentProgress:
    """How far a running commitment has come.

    Quantities are in `unit`: "images", or the invoice currency. `target` includes what rolled over (`carried`, which is
    negative where excess of earlier periods lowers the target). For a prepaid commitment the target is what its
    balances held in this period, `counted` what was used, and `remaining` the balance. `forecast` carries the pace so
    far on in a straight line, by days, to the end of the period. `expected_shortfall` is what would then be missing;
    of a block nothing ever is, but `expected_unused` would be left, or `exhausted_on` is the day on which it would be
    used up. `computed` says with which numbers.
    """

    name: str
    kind: str
    unit: str
    period: Period
    target: Decimal
    counted: Decimal
    remaining: Decimal
    fraction_done: Fraction
    forecast: Decimal
    expected_shortfall: Decimal
    billing: str
    carried: Decimal
    expected_unused: Decimal
    exhausted_on: date | None
    computed: str
    burn_down: tuple[Drawn, ...]


def commitment_progress(
    contract: Contract, tally: Tally, begun: Sequence[RatedLine], as_of: date
) -> tuple[CommitmentProgress, ...]:
    """Every promise that is running on the day before `as_of`; `begun` are the fee lines of all months begun by then.

    Carried quantities are those of the periods before it as they stand now: late usage may still change them.
    """
    found = [*_of_shortfalls(contract, tally, begun, as_of), *_of_blocks(contract, begun, as_of)]
    return tuple(sorted(found, key=lambda state: (state.period, state.name)))


def _of_shortfalls(
    contract: Contract, tally: Tally, begun: Sequence[RatedLine], as_of: date
) -> Iterator[CommitmentProgress]:
    for found in reckonings(contract, tally, begun, as_of):
        if found.promise.days.end >= as_of:
            yield _shortfall_state(contract, found, as_of)


def _of_blocks(contract: Contract, begun: Sequence[RatedLine], as_of: date) -> Iterator[CommitmentProgress]:
    for block in blocks(contract, begun, as_of):
        if block.promise.days.start < as_of <= block.promise.days.end:
            yield _block_state(contract, block, as_of)


def _shortfall_state(contract: Contract, found: Reckoning, as_of: date) -> CommitmentProgress:
    promise = found.promise
    carried = found.carried_in - min(found.held, promise.target)
    target = promise.target + carried
    forecast = _forecast(promise, found.counted, as_of)
    return CommitmentProgress(
        **_common(contract, promise, target, found.counted),
        remaining=_shown(contract, promise, max(0, target - found.counted)),
        forecast=_shown(contract, promise, forecast),
        expected_shortfall=_shown(contract, promise, max(0, target - forecast)),
        carried=_shown(contract, promise, carried),
        expected_unused=_shown(contract, promise, 0),
        exhausted_on=None,
        computed=_computed(contract, promise, found.counted, forecast, as_of),
        burn_down=(),
    )


def _block_state(contract: Contract, block: Block, as_of: date) -> CommitmentProgress:
    promise, held = block.promise, block.quantity + block.carried_in
    forecast = _forecast(promise, block.used, as_of)
    left, rows = held, []
    for draw in block.draws:
        left -= draw.quantity
        rows.append(Drawn(draw.month, _shown(contract, promise, draw.quantity), _shown(contract, promise, left)))
    exhausted = _exhausted_on(promise, held, block.used, as_of)
    said = _computed(contract, promise, block.used, forecast, as_of)
    if exhausted:
        said += f"; the {_shown(contract, promise, held):,f} held would be used up on {exhausted}"
    return CommitmentProgress(
        **_common(contract, promise, held, block.used),
        remaining=_shown(contract, promise, block.remaining),
        forecast=_shown(contract, promise, forecast),
        expected_shortfall=_shown(contract, promise, 0),
        carried=_shown(contract, promise, held - promise.target),
        expected_unused=_shown(contract, promise, max(0, held - forecast)),
        exhausted_on=exhausted,
        computed=said,
        burn_down=tuple(rows),
    )


def _common(contract: Contract, promise: Promise, target: int, counted: int) -> dict[str, Any]:
    commitment = promise.commitment
    return {
        "name": commitment.name,
        "kind": commitment.kind,
        "unit": "images" if commitment.kind == "images" else contract.currency,
        "period": promise.days,
        "target": _shown(contract, promise, target),
        "counted": _shown(contract, promise, counted),
        "fraction_done": Fraction(counted, target) if target else Fraction(1),
        "billing": commitment.billing,
    }


def _shown(contract: Contract, promise: Promise, quantity: int) -> Decimal:
    return Decimal(quantity) if promise.commitment.kind == "images" else Money(contract.currency, quantity).amount


def _elapsed(promise: Promise, as_of: date) -> int:
    return (min(as_of, promise.days.end) - promise.days.start).days


def _forecast(promise: Promise, counted: int, as_of: date) -> int:
    return round_half_up(Fraction(counted * promise.days.days, _elapsed(promise, as_of)))


def _exhausted_on(promise: Promise, held: int, used: int, as_of: date) -> date | None:
    """The day on which the pace so far uses up what is held; None when it is used up already, or never would be."""
    if not 0 < used < held:
        return None
    lasts = -(-held * _elapsed(promise, as_of) // used)  # days; at a slow pace more than the calendar has
    if lasts > promise.days.days:
        return None
    day = promise.days.start + timedelta(days=lasts - 1)
    return day if as_of <= day else None


def _computed(contract: Contract, promise: Promise, counted: int, forecast: int, as_of: date) -> str:
    unit = "images" if promise.commitment.kind == "images" else contract.currency
    so_far, in_all = (f"{_shown(contract, promise, quantity):,f} {unit}" for quantity in (counted, forecast))
    elapsed, last = _elapsed(promise, as_of), promise.days.end - timedelta(days=1)
    return f"{so_far} in {elapsed} of {promise.days.days} days; at that pace {in_all} by {last}"
