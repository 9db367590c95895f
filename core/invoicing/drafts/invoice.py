"""The rule of closing: what is owed, minus what was billed, line by line.

Twice is once: a key whose owed total has been billed writes nothing. Late usage, corrections, re-priced amendments and
shrinking shortfalls all come out as adjustments that name the period they belong to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from core.invoicing.drafts.tax import NO_TAX, TaxRate
from core.money import Money, plain
from core.period import Period
from core.rating.rate import LineKey, RatedLine


@dataclass(frozen=True, slots=True)
class Billed:
    """What the lines of one key add up to on all invoices that stand: images, fee in the unit, minor units."""

    image_count: int
    unit_amount: Fraction
    minor: int
    description: str
    unit: str
    tax: TaxRate | None = None  # at which it was billed last


@dataclass(frozen=True, slots=True)
class DraftLine:
    """One line of an invoice in the making. Amounts are differences; `workings` say where they come from. `money` is
    before tax.
    """

    key: LineKey
    adjustment: bool
    description: str
    image_count: int
    unit: str
    unit_price: Decimal | None
    unit_amount: Fraction
    conversion_rate: Decimal | None
    money: Money
    price_id: str
    workings: tuple[dict[str, Any], ...]
    tax: TaxRate = NO_TAX


def taxed(lines: Sequence[DraftLine], billed: Mapping[LineKey, Billed], treatment: TaxRate) -> list[DraftLine]:
    """The lines with their tax: what adjusts an earlier bill is taxed as that was, anything else as it is now.

    Interest is no supply: it bears no tax, and is exempt on an invoice that has any.
    """
    interest = NO_TAX if treatment.category == NO_TAX.category else TaxRate("exempt", NO_TAX.rate)
    return [
        replace(
            line,
            tax=(before.tax if before else None) or (interest if line.key.kind == "interest" else treatment),
        )
        for line in lines
        for before in (billed.get(line.key),)
    ]


def difference(
    owed: Sequence[RatedLine], billed: Mapping[LineKey, Billed], period: Period, currency: str
) -> list[DraftLine]:
    """The lines that bring what was billed up to what is owed, in the order of the owed lines.

    A line that belongs to `period` (`LineKey.belongs_to`) is plain; any other is an adjustment naming its own period.
    What was billed for a key that is owed no longer is taken back in full.
    """
    lines = []
    for line in owed:
        before = billed.get(line.key)
        if before is None:
            due = _plain(line)
        else:
            due = replace(
                _plain(line),
                image_count=line.image_count - before.image_count,
                unit_amount=line.unit_amount - before.unit_amount,
                money=Money(currency, line.money.minor - before.minor),
                workings=(*line.workings, _billed_before(line.money, before)),
            )
        if due.image_count or due.money.minor:
            lines.append(_named(due, period, before))
    still_owed = {line.key for line in owed}
    for key, before in sorted(billed.items()):
        if key not in still_owed and (before.image_count or before.minor):
            lines.append(_taken_back(key, before, currency))
    return lines


def _plain(line: RatedLine) -> DraftLine:
    return DraftLine(
        key=line.key,
        adjustment=False,
        description=line.description,
        image_count=line.image_count,
        unit=line.unit,
        unit_price=line.unit_price,
        unit_amount=line.unit_amount,
        conversion_rate=line.conversion_rate,
        money=line.money,
        price_id=line.price_id,
        workings=tuple(line.workings),
    )


def _named(line: DraftLine, period: Period, before: Billed | None) -> DraftLine:
    """Marks a line of another period, or one billed in part before, as an adjustment and says whose it is."""
    if before is None and line.key.belongs_to(period):
        return line
    return replace(line, adjustment=True, description=f"Adjustment to {line.key.service.name}: {line.description}")


def _billed_before(owed: Money, before: Billed) -> dict[str, Any]:
    return {
        "step": "billed before",
        "text": f"{owed} owed in all, {Money(owed.currency, before.minor)} billed before for "
        f"{before.image_count:,} images; this line is the difference",
    }


def _taken_back(key: LineKey, before: Billed, currency: str) -> DraftLine:
    return DraftLine(
        key=key,
        adjustment=True,
        description=f"Adjustment to {key.service.name}: {before.description}, no longer owed",
        image_count=-before.image_count,
        unit=before.unit,
        unit_price=None,
        unit_amount=-before.unit_amount,
        conversion_rate=None,
        money=Money(currency, -before.minor),
        price_id="",
        workings=(
            {
                "step": "taken back",
                "text": f"{plain(before.unit_amount)} {before.unit} were billed and are owed no more",
            },
        ),
    )
