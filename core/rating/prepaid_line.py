"""The lines that a block makes: its prepayment, whole or in parts, its drawdowns, and the refund of what is left."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from core.money import Money, exponent, plain
from core.period import Period
from core.rating.commitment import Promise
from core.rating.contract import Contract
from core.rating.line import LineKey, RatedLine, days_said, digits, finish_line


@dataclass(frozen=True, slots=True)
class Price:
    """What one image of a block costs: `each` in `unit`, converted at `rate`; `worth` in the invoice currency.

    Of a block of money `each` and `rate` are None, and `worth` is that of a minor unit.
    """

    each: Decimal | None
    unit: str
    rate: Decimal | None
    worth: Fraction


@dataclass(frozen=True, slots=True)
class Taken:
    """`quantity` drawn from the balance of the block made for `origin`, of which `before` was left."""

    origin: Period
    before: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Draw:
    """What a promise's balances paid of a month: from which balance, and of which fee lines how much.

    `lines` hold the line, the images and minor units that were left of it, and those that were taken.
    """

    promise: Promise
    month: Period
    taken: list[Taken] = field(default_factory=list)
    lines: list[tuple[RatedLine, tuple[int, int], tuple[int, int]]] = field(default_factory=list)

    @property
    def quantity(self) -> int:
        return sum(taken.quantity for taken in self.taken)

    @property
    def images(self) -> int:
        return self.quantity if self.promise.commitment.kind == "images" else 0

    @property
    def minor(self) -> int:
        return sum(minor for _, _, (_, minor) in self.lines)


def prepayment(contract: Contract, promise: Promise, price: Price, quantity: int) -> RatedLine:
    """The whole block, due on its first day."""
    workings: tuple[dict[str, Any], ...] = (_block_working(contract, promise, quantity),)
    exact = Fraction(quantity) * (price.worth if price.each is None else Fraction(price.each))
    if price.each is not None:
        priced = {"step": "price", "images": quantity, "price": plain(price.each), "amount": plain(exact)}
        workings = (*workings, priced)
    return _line(
        contract,
        promise,
        LineKey("prepayment", promise.commitment.name, promise.agreed, ""),
        f"Prepayment of {promise.commitment.name}, {days_said(promise.agreed)}",
        exact=exact,
        workings=workings,
        image_count=0 if price.each is None else quantity,
        unit=price.unit,
        unit_price=price.each,
        rate=price.rate,
    )


def prepayment_part(
    contract: Contract,
    promise: Promise,
    price: Price,
    quantity: int,
    *,
    days: Period,
    place: tuple[int, int],
    minor: int,
) -> RatedLine:
    """One instalment of a block, due on the first of its days. It is money: images are bought by the block."""
    whole = Money.rounded(quantity * price.worth, contract.currency)
    working = _block_working(contract, promise, quantity)
    if price.each is not None:
        working |= {"price": plain(price.each), "unit": price.unit}
        working |= {"rate": plain(price.rate), "currency": contract.currency} if price.rate is not None else {}
    split = {"step": "instalment", "whole": digits(whole.minor, contract.currency), "part": place[0], "parts": place[1]}
    split |= {"amount": digits(minor, contract.currency), "currency": contract.currency}
    name, agreed = promise.commitment.name, promise.agreed
    return _line(
        contract,
        promise,
        LineKey("prepayment", name, days, f"{agreed.start}..{agreed.end}"),
        f"Prepayment of {name}, {days_said(agreed)}: part {place[0]} of {place[1]}",
        exact=_amount(contract, minor),
        workings=(working, split),
    )


def drawdown(contract: Contract, draws: Sequence[Draw]) -> RatedLine:
    """What the blocks of one commitment paid of a month, as a negative line."""
    promise, month = draws[-1].promise, draws[0].month
    scale = 1 if promise.commitment.kind == "images" else 10 ** exponent(contract.currency)
    workings: list[dict[str, Any]] = []
    currency = {"currency": contract.currency}
    for draw in draws:
        for origin in dict.fromkeys(part.origin for part in draw.taken):
            of_it = [part for part in draw.taken if part.origin == origin]
            held, drawn = of_it[0].before, sum(part.quantity for part in of_it)
            step: dict[str, Any] = {"step": "balance", "kind": promise.commitment.kind}
            step |= {"from": origin.start.isoformat(), "until": origin.end.isoformat()}
            shown = {"before": held, "drawn": drawn, "left": held - drawn}
            workings.append(step | {name: plain(Fraction(value, scale)) for name, value in shown.items()})
        for line, before, taken in draw.lines:
            covered = {"step": "covered", "line": line.description, "images": taken[0], "of_images": before[0]}
            covered |= {"amount": digits(taken[1], contract.currency), "of": digits(before[1], contract.currency)}
            workings.append(covered | currency)
    return _line(
        contract,
        promise,
        LineKey("drawdown", promise.commitment.name, month, ""),
        f"Paid from {promise.commitment.name}",
        exact=_amount(contract, -sum(draw.minor for draw in draws)),
        workings=tuple(workings),
        image_count=-sum(draw.images for draw in draws),
        days=Period(max(month.start, promise.days.start), min(month.end, promise.days.end)),
    )


def refund(contract: Contract, promise: Promise, left: Sequence[tuple[Period, int, Fraction]]) -> RatedLine:
    """The unused rest of the balances, (block's days, quantity, worth of one), given back after an early end."""
    scale = 1 if promise.commitment.kind == "images" else 10 ** exponent(contract.currency)
    workings: tuple[dict[str, Any], ...] = tuple(
        {
            "step": "unused",
            "kind": promise.commitment.kind,
            "from": origin.start.isoformat(),
            "until": origin.end.isoformat(),
            "quantity": plain(Fraction(quantity, scale)),
            "each": plain(worth * scale, 24),
            "amount": plain(quantity * worth, 24),
            "currency": contract.currency,
        }
        for origin, quantity, worth in left
    )
    exact = sum((quantity * worth for _, quantity, worth in left), start=Fraction(0))
    images = sum(quantity for _, quantity, _ in left) if promise.commitment.kind == "images" else 0
    return _line(
        contract,
        promise,
        LineKey("refund", promise.commitment.name, promise.days, ""),
        f"Refund of what is unused of {promise.commitment.name}",
        exact=-exact,
        workings=workings,
        image_count=-images,
        days=promise.days,
    )


def _amount(contract: Contract, minor: int) -> Fraction:
    return Fraction(minor, 10 ** exponent(contract.currency))


def _block_working(contract: Contract, promise: Promise, quantity: int) -> dict[str, Any]:
    """How much was bought: agreed, for which days, cut by an early end, lowered by excess of earlier periods."""
    scale = 1 if promise.commitment.kind == "images" else 10 ** exponent(contract.currency)
    step: dict[str, Any] = {"step": "block", "kind": promise.commitment.kind}
    step |= {"from": promise.agreed.start.isoformat(), "until": promise.agreed.end.isoformat()}
    step |= {"agreed": plain(promise.commitment.quantity), "target": plain(Fraction(promise.target, scale))}
    if promise.ended_early:
        step["ended_on"] = promise.days.end.isoformat()
    if lowered := promise.target - quantity:
        step["lowered"] = plain(Fraction(lowered, scale))
    return step | {"quantity": plain(Fraction(quantity, scale))}


def _line(
    contract: Contract,
    promise: Promise,
    key: LineKey,
    description: str,
    *,
    exact: Fraction,
    workings: tuple[dict[str, Any], ...],
    image_count: int = 0,
    unit: str | None = None,
    unit_price: Decimal | None = None,
    rate: Decimal | None = None,
    days: Period | None = None,
) -> RatedLine:
    commitment = promise.commitment
    scope = contract.versions[promise.amendment][1].scope(commitment)
    return finish_line(
        key,
        description,
        image_count=image_count,
        unit=unit or contract.currency,
        unit_price=unit_price,
        unit_amount=exact,
        conversion_rate=Decimal(1) if rate is None else rate,
        currency=contract.currency,
        price_id=f"{promise.amendment}/{commitment.name}",
        workings=workings,
        days=days or key.service,
        models=tuple(
            model for fee in scope for model in fee.models if commitment.models is None or model in commitment.models
        ),
    )
