"""Fee schedules: what a run of images costs, exactly, and how that was worked out.

Images of a subject are numbered through the month, in the order of its days. A run is the half-open range of numbers
`[first, last)` that falls into one price segment, so tiers, packages and included images run on over a price change.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from core.agreements.clauses import Schedule
from core.errors import InvalidInput
from core.money import plain
from core.rating.line import rate_digits, times


@dataclass(slots=True)
class Priced:
    """The exact amount of a run in the agreement's unit, its single price if it has one, and one working per price."""

    unit_amount: Fraction
    unit_price: Decimal | None
    workings: tuple[dict[str, Any], ...]


def split_included(first: int, last: int, included: int) -> tuple[int, int, int]:
    """How many images of a run are included, and the run of the others, numbered from zero after the included ones."""
    paid_first, paid_last = max(0, first - included), max(0, last - included)
    return (last - first) - (paid_last - paid_first), paid_first, paid_last


def price_run(schedule: Schedule, first: int, last: int, month_total: int) -> Priced:
    """The price of the paid images `[first, last)` of a month in which `month_total` were paid in all.

    Only volume pricing looks at the month's total: it decides the tier of every image. Its amount may therefore fall
    when usage grows past a tier's edge; that is what such a contract says.
    """
    if schedule.kind == "flat":
        return _at_one_price(schedule.tiers[0].rate, last - first)
    if schedule.kind == "graduated":
        return _graduated(schedule, first, last)
    if schedule.kind == "volume":
        reached = next(tier for tier in schedule.tiers if tier.up_to is None or month_total <= tier.up_to)
        return _at_one_price(reached.rate, last - first, tier_up_to=reached.up_to, month_total=month_total)
    if schedule.kind == "package":
        return _packages(schedule, first, last)
    raise InvalidInput("not_priced", f"a {schedule.kind} schedule has no price for images")


def _at_one_price(rate: Decimal, images: int, **noted: int | None) -> Priced:
    exact = times(images, rate)
    return Priced(exact, rate, (_priced(images, rate, exact) | noted,))


def _graduated(schedule: Schedule, first: int, last: int) -> Priced:
    total, workings, low = Fraction(0), [], 0
    rates = set()
    for tier in schedule.tiers:
        high = last if tier.up_to is None else tier.up_to
        images = min(last, high) - max(first, low)
        low = high
        if images <= 0:
            continue
        exact = times(images, tier.rate)
        total += exact
        rates.add(tier.rate)
        workings.append(_priced(images, tier.rate, exact) | {"tier_up_to": tier.up_to})
    return Priced(total, rates.pop() if len(rates) == 1 else None, tuple(workings))


def _packages(schedule: Schedule, first: int, last: int) -> Priced:
    begun = -(-last // schedule.size) - -(-first // schedule.size)
    price = schedule.tiers[0].rate
    exact = times(begun, price)
    working = _priced(last - first, price, exact) | {"packages": begun, "package_size": schedule.size}
    return Priced(exact, None, (working,))


def _priced(images: int, price: Decimal, exact: Fraction) -> dict[str, Any]:
    return {"step": "price", "images": images, "price": rate_digits(price), "amount": plain(exact)}
