"""A rated line: what is owed for one thing in one period, exactly, and how anyone can work it out again."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from core.money import Money, plain
from core.period import Period

# In the order in which an invoice shows them. Prepayment and drawdown are named here and rated by a later release.
KINDS = ("base", "included", "usage", "overage", "zero", "prepayment", "drawdown", "shortfall")


@dataclass(frozen=True, slots=True, order=True)
class LineKey:
    """What a line is for. Billing by difference compares what is owed and what was billed key by key.

    `subject` is a model's slug, a fee's name when its models are billed as a group, or a commitment's name. `part` is
    the first day of the price segment (ISO), "" for a shortfall. It does not mention amendments or prices, so:

    - the same price on more or fewer images, or another price on the same days: same keys, one adjustment each;
    - a back-dated price in mid-month: the segment it cuts keeps its key and shrinks, the rest gets a new key;
    - a model added or removed: no other subject's keys change, for equal prices are never cut;
    - a moved end of the term or of a commitment period: that service period is another one, the old key falls to zero.

    Whatever happens, a key that is no longer owed counts as owed zero, so the sum is right in every case.
    """

    kind: str
    subject: str
    service: Period
    part: str


@dataclass(frozen=True, slots=True)
class RatedLine:
    """What is owed for a key: `unit_amount` exact in the agreement's unit, `money` rounded once in the currency.

    `unit_price` is None where no single price per image applies (several tiers, packages, money). `price_id` names the
    amendment and the fee or commitment that set the price. `days` are the days of the price segment, `models` those
    whose images were counted. `workings` hold JSON types only, numbers that may be fractions as decimal strings.
    """

    key: LineKey
    description: str
    image_count: int
    unit: str
    unit_price: Decimal | None
    unit_amount: Fraction
    conversion_rate: Decimal
    money: Money
    price_id: str
    workings: tuple[dict[str, Any], ...]
    days: Period
    models: tuple[str, ...]


def finish_line(
    key: LineKey,
    description: str,
    *,
    image_count: int,
    unit: str,
    unit_price: Decimal | None,
    unit_amount: Fraction,
    conversion_rate: Decimal,
    currency: str,
    price_id: str,
    workings: tuple[dict[str, Any], ...],
    days: Period,
    models: tuple[str, ...],
) -> RatedLine:
    """The line with its amount converted to the invoice currency and rounded there, both shown in the workings."""
    exact, steps = unit_amount, workings
    if unit != currency and unit_amount:
        exact = unit_amount * Fraction(conversion_rate)
        converted = {"step": "convert", "amount": plain(unit_amount), "unit": unit, "rate": plain(conversion_rate)}
        steps = (*steps, {**converted, "currency": currency, "exact": plain(exact)})
    money = Money.rounded(exact, currency)
    steps = (*steps, {"step": "round", "rule": "half up, once", "amount": f"{money.amount:f}", "currency": currency})
    return RatedLine(
        key,
        description,
        image_count,
        unit,
        unit_price,
        unit_amount,
        conversion_rate,
        money,
        price_id,
        steps,
        days,
        models,
    )


def in_order(line: RatedLine) -> tuple[object, ...]:
    """The order of an invoice: period by period, its shortfalls last; per subject by segment, then by kind."""
    key = line.key
    shortfall = key.kind == "shortfall"
    return key.service.end, shortfall, key.subject, key.part, KINDS.index(key.kind), key.service.start


def days_said(days: Period) -> str:
    """ "2026-05-10 to 2026-05-31": first and last day, as people say it."""
    return f"{days.start} to {days.end - timedelta(days=1)}"
