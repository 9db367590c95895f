"""Commitments that are charged when their period is over: what came in, what is missing, what goes on to the next.

Unused: a fraction of what is missing is not charged yet but added to the next target; what is still missing of it
after `expires_after` periods is charged then. Excess: a fraction of what went beyond a target is kept, and makes up for
what is missing in later periods, oldest first, until it expires. Nothing goes on where there is no next period.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from core.agreements.terms import Rollover
from core.money import exponent, plain
from core.rating.commitment import Promise
from core.rating.contract import Contract, Tally
from core.rating.line import LineKey, RatedLine, days_said, finish_line
from core.rating.meter import Meter, in_scope, meters_of

_ONE, _NOTHING = Decimal(1), Decimal(0)
_NO_ROLLOVER = Rollover()


@dataclass(slots=True)
class _Carried:
    """A quantity that goes on, and the number of the last period of the chain in which it may."""

    quantity: int
    until: int


@dataclass(slots=True)
class _Purse:
    """What came over from earlier periods: debts raise the next target, credits make up for what is missing.

    There is never both, since a debt only arises when every credit is used up, and a credit when every debt is paid.
    """

    debts: list[_Carried] = field(default_factory=list)
    credits: list[_Carried] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reckoning:
    """How a promise stands: `counted` against its target plus `carried_in`, less `credit`; `missing` and its fate.

    `held` is the credit that could have been used.
    """

    promise: Promise
    counted: int
    carried_in: int
    held: int
    credit: int
    missing: int
    carried_on: int

    @property
    def charged(self) -> int:
        return self.missing - self.carried_on


def reckonings(contract: Contract, tally: Tally, fees: Sequence[RatedLine], until: date) -> Iterator[Reckoning]:
    """How every promise that began before `until` stands. Only for periods that are over is that the last word."""
    meters = meters_of(fees) if any(promise.commitment.order is not None for promise in contract.promises) else []
    for chain in contract.chains:
        kept = [promise for promise in chain if not promise.commitment.prepaid]
        purse = _Purse()
        for number, promise in enumerate(kept):
            if promise.days.start >= until:
                break
            if number and not kept[number - 1].goes_on_as(promise):
                purse = _Purse()
            goes_on = number + 1 < len(kept) and promise.goes_on_as(kept[number + 1])
            counted = _counted(contract, promise, tally, fees, meters)
            yield _reckon(promise, number, counted, purse, goes_on=goes_on)


def _reckon(promise: Promise, number: int, counted: int, purse: _Purse, *, goes_on: bool) -> Reckoning:
    """Settles one period and leaves in the purse what goes on."""
    clause = promise.commitment.rollover or _NO_ROLLOVER
    carried_in, came = sum(debt.quantity for debt in purse.debts), counted
    for debt in purse.debts:
        paid = min(debt.quantity, came)
        debt.quantity -= paid
        came -= paid
    unpaid = sum(debt.quantity for debt in purse.debts)
    lacking, credit = max(0, promise.target - came), 0
    credit_held = sum(held.quantity for held in purse.credits)
    for held in purse.credits:
        used = min(held.quantity, lacking - credit)
        held.quantity -= used
        credit += used
    missing = lacking - credit
    purse.debts = [debt for debt in purse.debts if debt.quantity and number < debt.until] if goes_on else []
    if goes_on and (deferred := _part(missing, clause.unused)):
        purse.debts.append(_Carried(deferred, number + clause.expires_after))
    purse.credits = [held for held in purse.credits if held.quantity and number < held.until]
    if goes_on and (kept := _part(max(0, came - promise.target), clause.excess)):
        purse.credits.append(_Carried(kept, number + clause.expires_after))
    carried_on = sum(debt.quantity for debt in purse.debts)
    return Reckoning(promise, counted, carried_in, credit_held, credit, missing + unpaid, carried_on)


def _part(quantity: int, fraction: Decimal) -> int:
    """A fraction of a quantity in whole images or minor units, rounded down: a right is not rounded up."""
    return int(quantity * Fraction(fraction))


def _counted(
    contract: Contract, promise: Promise, tally: Tally, fees: Sequence[RatedLine], meters: Sequence[Meter]
) -> int:
    """What has come in for a promise: images of its scope, or minor units of the rounded fee lines of its scope.

    With an order it is what the promises before it left over, and what it needs of that is gone for those after it.
    """
    commitment = promise.commitment
    if commitment.order is not None:
        mine = [meter for meter in meters if in_scope(promise, meter.line)]
        counted = needed = 0
        for meter in mine:
            counted += meter.quantity(commitment.kind)
            needed += meter.take(commitment.kind, max(0, promise.target - needed))[commitment.kind == "money"]
        return counted
    if commitment.kind == "money":
        return sum(line.money.minor for line in fees if in_scope(promise, line))
    wanted = commitment.models
    return sum(
        tally[model][cell.index]
        for cell in contract.cells_of(promise.days)
        for fee in cell.terms.scope(commitment)
        for model in fee.models
        if model in tally and (wanted is None or model in wanted)
    )


def shortfall_lines(contract: Contract, tally: Tally, fees: Sequence[RatedLine], until: date) -> Iterator[RatedLine]:
    """A line for each promise whose period is over by `until` and of which something is to be paid."""
    for reckoning in reckonings(contract, tally, fees, until):
        if reckoning.charged > 0 and reckoning.promise.days.end <= until:
            yield _line(contract, reckoning)


def _line(contract: Contract, found: Reckoning) -> RatedLine:
    promise, charged = found.promise, found.charged
    commitment, images = promise.commitment, promise.commitment.kind == "images"
    last = contract.cells_of(promise.days)[-1]
    scope = last.terms.scope(commitment)
    unit, conversion, price = contract.currency, _ONE, None
    if images:
        price = commitment.shortfall_rate or next(fee.schedule.flat_rate for fee in scope) or _NOTHING
        unit = last.terms.unit
        conversion = last.terms.conversions[last.conversion_index].rate if last.terms.conversions else _ONE
        exact = charged * Fraction(price)
    else:
        exact = Fraction(charged, 10 ** exponent(contract.currency))
    return finish_line(
        LineKey("shortfall", commitment.name, promise.days, ""),
        f"Shortfall of {commitment.name}, {days_said(promise.days)}",
        image_count=charged if images else 0,
        unit=unit,
        unit_price=price,
        unit_amount=exact,
        conversion_rate=conversion,
        currency=contract.currency,
        price_id=f"{promise.amendment}/{commitment.name}",
        workings=_workings(contract, found, price, exact),
        days=promise.days,
        models=tuple(
            model for fee in scope for model in fee.models if commitment.models is None or model in commitment.models
        ),
    )


def _workings(
    contract: Contract, found: Reckoning, price: Decimal | None, exact: Fraction
) -> tuple[dict[str, Any], ...]:
    """Target, what came in, what is missing, what rolled over; and the price when the promise was in images."""
    promise = found.promise
    step: dict[str, Any] = {"step": "commitment", "from": promise.days.start.isoformat()}
    step |= {"until": promise.days.end.isoformat(), "days": promise.days.days}
    shown = {"target": promise.target, "counted": found.counted, "missing": found.missing}
    over = {"carried_in": found.carried_in, "credit": found.credit, "carried_on": found.carried_on}
    shown |= {name: quantity for name, quantity in over.items() if quantity}
    if price is not None:
        priced = {"step": "price", "images": found.charged, "price": plain(price), "amount": plain(exact)}
        return step | shown, priced
    scale = 10 ** exponent(contract.currency)
    agreed = {"agreed": plain(promise.commitment.quantity)}
    return (step | agreed | {name: plain(Fraction(quantity, scale)) for name, quantity in shown.items()},)
