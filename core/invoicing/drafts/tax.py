"""Tax on an invoice, as EN 16931 asks for it: on the net of each category and rate, rounded once each.

Rounding each line would drift from what an authority works out of the same invoice; so lines carry their category and
rate, and the tax is computed on their sum.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from core.money import round_half_up


class TaxRate(NamedTuple):
    """A tax category and its percentage: what the lines of one group have in common."""

    category: str
    rate: Decimal


NO_TAX = TaxRate("outside", Decimal(0))


@dataclass(frozen=True, slots=True)
class TaxGroup:
    """One row of an invoice's tax: what it is on, and what it comes to, in minor units."""

    at: TaxRate
    net_minor: int
    tax_minor: int


def tax_groups(lines: Iterable[tuple[TaxRate, int]]) -> tuple[TaxGroup, ...]:
    """The tax on lines given as (category and rate, net in minor units): a group each, half up, highest rate first."""
    nets: defaultdict[TaxRate, int] = defaultdict(int)
    for at, minor in lines:
        nets[at] += minor
    return tuple(TaxGroup(at, net, tax_on(net, at.rate)) for at, net in sorted(nets.items(), key=_by_rate))


def tax_on(net_minor: int, rate: Decimal) -> int:
    """A percentage of an amount in minor units, rounded once half up; a credit mirrors its charge."""
    return round_half_up(Fraction(net_minor) * Fraction(rate) / 100)


def with_rest(groups: Iterable[TaxGroup], taxed: Mapping[TaxRate, int]) -> tuple[TaxGroup, ...]:
    """The groups with another tax where `taxed` names one: the last credit of an invoice takes what is left of it."""
    return tuple(TaxGroup(one.at, one.net_minor, taxed.get(one.at, one.tax_minor)) for one in groups)


def _by_rate(group: tuple[TaxRate, int]) -> tuple[Decimal, str]:
    return -group[0].rate, group[0].category
