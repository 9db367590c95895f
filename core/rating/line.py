"""A rated line: what is owed for one thing in one period, exactly, and how anyone can work it out again."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any

from core.money import Money, exponent, plain
from core.period import Period

# In the order in which an invoice shows them.
FEES = ("base", "included", "usage", "overage", "zero")
KINDS = (*FEES, "drawdown", "shortfall", "refund", "prepayment")
COUNTED = ("included", "usage", "overage", "zero")  # the kinds whose image counts are images that were made, each once


def digits(minor: int, currency: str) -> str:
    """Minor units as the amount with the currency's own number of decimals: 99900 USD is "999.00"."""
    places = exponent(currency)
    if not places:
        return str(minor)
    whole, rest = divmod(abs(minor), 10**places)
    return f"{'-' if minor < 0 else ''}{whole}.{rest:0{places}d}"


@lru_cache(maxsize=10_000)
def rate_digits(rate: Decimal) -> str:
    """A rate in plain digits. The same few rates are asked for over and over."""
    return plain(rate)


@lru_cache(maxsize=10_000)
def _ratio(rate: Decimal) -> tuple[int, int]:
    return rate.as_integer_ratio()


def times(quantity: int | Fraction, rate: Decimal) -> Fraction:
    """A quantity at a rate, exactly. Two products of whole numbers, twice as fast as making a fraction of each."""
    numerator, denominator = _ratio(rate)
    if isinstance(quantity, int):
        return Fraction(quantity * numerator, denominator)
    return Fraction(quantity.numerator * numerator, quantity.denominator * denominator)


@dataclass(frozen=True, slots=True, order=True)
class LineKey:
    """What a line is for. Billing by difference compares what is owed and what was billed key by key.

    `subject` is a model's slug, a fee's name when its models are billed as a group, or a commitment's name. `part` is
    the first day of the price segment (ISO); of an instalment the days of the whole block; "" for what else a
    commitment brings. A prepayment's service period are the days agreed, whatever an early end leaves of them. The key
    does not mention amendments or prices, so:

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

    @property
    def due_on(self) -> date:
        """The first `until` at which `owed` shows this key, and from which on it is billed: never before, always after.

        A prepayment is due when its period begins, anything else when its period is over. It follows from the key
        alone, so what is due can be told for lines that were billed, too.
        """
        return self.service.start if self.kind == "prepayment" else self.service.end

    def belongs_to(self, period: Period) -> bool:
        """Whether the bill of a period shows it as its own; on any other it is an adjustment that names its period."""
        if self.kind == "prepayment":
            return period.start <= self.due_on <= period.end
        return period.start < self.due_on <= period.end


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
        exact = times(unit_amount, conversion_rate)
        converted = {
            "step": "convert",
            "amount": plain(unit_amount),
            "unit": unit,
            "rate": rate_digits(conversion_rate),
        }
        steps = (*steps, {**converted, "currency": currency, "exact": plain(exact)})
    money = Money.rounded(exact, currency)
    steps = (
        *steps,
        {"step": "round", "rule": "half up, once", "amount": digits(money.minor, currency), "currency": currency},
    )
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


_RANK = {kind: max(0, KINDS.index(kind) - len(FEES) + 1) for kind in KINDS}


def in_order(line: RatedLine) -> tuple[object, ...]:
    """The order of an invoice: as things fall due, fees first; per subject by segment, then by kind."""
    key = line.key
    return key.due_on, _RANK[key.kind], key.subject, key.part, KINDS.index(key.kind), key.service.start


def days_said(days: Period) -> str:
    """ "2026-05-10 to 2026-05-31": first and last day, as people say it."""
    return f"{days.start} to {days.end - timedelta(days=1)}"
