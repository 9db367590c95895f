"""Commitments that are paid before they are used: blocks of images or money, and what was drawn from them.

Usage is rated as always; a drawdown takes back the fee of what a block pays for. A block is open for the days that it
was agreed for. What is unused at its end expires, or a fraction of it stays open beside the next blocks until it
expires. Several blocks are drawn in the order of their commitments, of one commitment the oldest first.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction

from core.agreements.terms import Rollover
from core.money import Money, exponent
from core.period import Period
from core.rating.commitment import Promise, instalment_days
from core.rating.contract import Contract
from core.rating.line import RatedLine
from core.rating.meter import Meter, in_scope, meters_of
from core.rating.prepaid_line import Draw, Price, Taken, drawdown, prepayment, prepayment_part, refund

_NO_ROLLOVER = Rollover()


@dataclass(slots=True)
class Balance:
    """What is left of a block: where it comes from, what a unit of it cost, the last period in which it is open."""

    origin: Period
    left: int
    worth: Fraction
    open_until: int


@dataclass(frozen=True, slots=True)
class Block:
    """A prepaid promise and what became of it up to a day.

    `quantity` is what was bought, `agreed_quantity` before an early end cut it, both less what excess of earlier
    periods made free. `carried_in` came over from earlier blocks; `left` is what remains of all; `used` what its scope
    used that no block before it in the order had paid for, whether it was enough for that or not.
    """

    promise: Promise
    price: Price
    quantity: int
    agreed_quantity: int
    carried_in: int
    draws: tuple[Draw, ...]
    used: int
    left: tuple[Balance, ...]

    @property
    def remaining(self) -> int:
        return sum(balance.left for balance in self.left)


def blocks(contract: Contract, fees: Sequence[RatedLine], until: date) -> Iterator[Block]:
    """Every block that was due by `until`, drawn down by the fee lines given, in the order of drawing."""
    meters = meters_of(fees) if any(promise.commitment.prepaid for promise in contract.promises) else []
    for chain in contract.chains:
        bought = [promise for promise in chain if promise.commitment.prepaid]
        balances: list[Balance] = []
        free: list[tuple[int, int]] = []  # (quantity, number of the last period in which it counts)
        for number, promise in enumerate(bought):
            if promise.days.start > until:
                break
            if number and not bought[number - 1].goes_on_as(promise):
                balances, free = [], []
            lowered, free = _lowered(promise, free, number)
            clause = promise.commitment.rollover or _NO_ROLLOVER
            price = price_of(contract, promise)
            own = Balance(promise.agreed, max(0, promise.target - lowered), price.worth, number + clause.expires_after)
            carried_in = sum(balance.left for balance in balances)
            draws, used = _draw(promise, [*balances, own], meters)
            yield Block(
                promise=promise,
                price=price,
                quantity=max(0, promise.target - lowered),
                agreed_quantity=promise.agreed_target - lowered,
                carried_in=carried_in,
                draws=tuple(draws),
                used=used,
                left=tuple(replace(balance) for balance in (*balances, own)),
            )
            covered = sum(draw.quantity for draw in draws)
            if excess := int((used - covered) * Fraction(clause.excess)):
                free.append((excess, number + clause.expires_after))
            own.left = int(own.left * Fraction(clause.unused))
            balances = [b for b in (*balances, own) if b.left and b.open_until > number]


def _lowered(promise: Promise, free: list[tuple[int, int]], number: int) -> tuple[int, list[tuple[int, int]]]:
    """By how much excess of earlier periods lowers a block, and what of that excess is left, oldest used first."""
    lowered, left = 0, []
    for quantity, last in free:
        used = min(quantity, promise.agreed_target - lowered) if number <= last else 0
        lowered += used
        if quantity > used and number < last:
            left.append((quantity - used, last))
    return lowered, left


def _draw(promise: Promise, balances: Sequence[Balance], meters: Iterable[Meter]) -> tuple[list[Draw], int]:
    """Takes from the scope's lines what the balances pay for, month by month; and how much the scope used."""
    kind, used = promise.commitment.kind, 0
    months: dict[Period, Draw] = {}
    for meter in meters:
        if not in_scope(promise, meter.line) or (kind == "images" and meter.line.key.kind not in ("usage", "overage")):
            continue
        before = meter.images, meter.minor
        used += meter.quantity(kind)
        images, minor = meter.take(kind, sum(balance.left for balance in balances))
        taken = images if kind == "images" else minor
        if not taken:
            continue
        draw = months.setdefault(meter.line.key.service, Draw(promise, meter.line.key.service))
        draw.lines.append((meter.line, before, (images, minor)))
        for balance in balances:
            part = min(balance.left, taken)
            if part:
                draw.taken.append(Taken(balance.origin, balance.left, part))
                balance.left -= part
                taken -= part
    return list(months.values()), used


def price_of(contract: Contract, promise: Promise) -> Price:
    """What a unit of a block costs: for images, what the terms in force on its first day say, worth what it is then.

    A block is bought on its first day, so a price that changes later changes nothing about it. Terms that did not hold
    the commitment yet on that day say nothing about it; then those by which the promise is judged do.
    """
    if promise.commitment.kind == "money":
        return Price(None, contract.currency, None, Fraction(1, 10 ** exponent(contract.currency)))
    first = promise.agreed.start
    terms = contract.cells_of(Period(first, date.fromordinal(first.toordinal() + 1)))[0].terms
    commitment = terms.commitment(promise.commitment.name)
    if commitment is None or commitment.kind != "images" or not commitment.prepaid:
        terms, commitment = contract.versions[promise.amendment][1], promise.commitment
    each = commitment.prepaid_rate or next(
        fee.schedule.flat_rate for fee in terms.scope(commitment) if fee.schedule.flat_rate is not None
    )
    begun = [c.rate for c in terms.conversions if c.effective_on is None or c.effective_on <= first]
    rate = begun[-1] if begun else terms.conversions[0].rate if terms.conversions else None
    return Price(each, terms.unit, rate, Fraction(each) * Fraction(rate or 1))


def prepaid_lines(contract: Contract, fees: Sequence[RatedLine], until: date) -> Iterator[RatedLine]:
    """Prepayments that are due by `until`, a drawdown per commitment and month, and refunds of what an end left."""
    draws: dict[tuple[str, Period], list[Draw]] = {}
    for block in blocks(contract, fees, until):
        yield from _prepayments(contract, block, until)
        promise = block.promise
        for draw in block.draws:
            draws.setdefault((promise.commitment.name, draw.month), []).append(draw)
        refunded = promise.ended_early and promise.commitment.unused_at_termination == "refunded"
        if refunded and promise.days.end <= until and block.remaining:
            yield refund(contract, promise, [(b.origin, b.left, b.worth) for b in block.left if b.left])
    for same in draws.values():
        yield drawdown(contract, same)


def _prepayments(contract: Contract, block: Block, until: date) -> Iterator[RatedLine]:
    """The block in one line, or its instalments. What an early end took off is taken from the last of them."""
    promise, whole = block.promise, Money.rounded(block.quantity * block.price.worth, contract.currency).minor
    if promise.commitment.billing == "advance":
        if block.quantity:
            yield prepayment(contract, promise, block.price, block.quantity)
        return
    agreed = Money.rounded(block.agreed_quantity * block.price.worth, contract.currency).minor
    parts, asked = instalment_days(promise), 0
    for number, days in enumerate(parts):
        planned = agreed * (number + 1) // len(parts) - agreed * number // len(parts)
        part = min(planned, whole - asked)
        asked += part
        if part and days.start <= until:
            place = number + 1, len(parts)
            yield prepayment_part(contract, promise, block.price, block.quantity, days=days, place=place, minor=part)
