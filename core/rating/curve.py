"""Curves: what offers cost at any volume, where a commitment stops binding, and where another offer becomes cheaper.

Nothing here is a formula of its own. Every figure is `owed` at a volume, and what is searched for is searched for among
whole images: at a break-even of N images the commitment does not bind, at N - 1 it does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from core.agreements.reading import MAX_COUNT
from core.errors import InvalidInput
from core.money import MAX_RATE_DECIMALS, Money, plain
from core.period import Period
from core.rating.contract import Contract
from core.rating.offers import Offer, at_rate, band_of
from core.rating.quote import horizon_name, horizon_of, lines_in, worth_of
from core.rating.rate import RatedLine
from core.rating.spread import Spread

MOST_EDGES = 500  # tier edges, month by month, at which a falling price may let a commitment bind again
MOST_CROSSOVERS = 20


@dataclass(frozen=True, slots=True)
class Point:
    """What a volume costs. `binding` names the (agreement, commitment) pairs that make it dearer than its images."""

    images: int
    total: Money
    shortfall: Money
    unit: str | None
    effective_rate: Fraction | None
    effective_unit_rate: Fraction | None
    binding: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class BreakEven:
    """The smallest volume over `days` at which no commitment binds; None where none ever does, or always one does.

    `by_commitment` has (agreement, commitment, its own break-even).
    """

    images: int | None
    over: str
    days: Period
    by_commitment: tuple[tuple[str, str, int | None], ...]


@dataclass(frozen=True, slots=True)
class Crossover:
    """From `images` on `after` is cheaper than `before`, which at one image less was (or was among) the cheapest."""

    images: int
    before: str
    after: str
    total_before: Money
    total_after: Money


class Curve:
    """Offers that are owed together, over one horizon, at any volume. Volumes once asked for are remembered."""

    def __init__(self, offers: Sequence[Offer], over: str | None = None) -> None:
        self.offers = tuple(offers)
        self.over = horizon_name(offers, over)
        self.currency = offers[0].terms.currency
        self.contracts = [offer.contract for offer in offers]
        self.horizons = [horizon_of(contract, self.over) for contract in self.contracts]
        self._spreads = [
            Spread(contract, horizon) for contract, horizon in zip(self.contracts, self.horizons, strict=True)
        ]
        self._known: dict[int, Point] = {}

    @property
    def cells(self) -> int:
        """How much work a point is: runs of days over which nothing changes, times what is billed in each."""
        return sum(
            len(contract.cells) * max(len(contract.fees_of_subjects(n)) for _, n in contract.amendments)
            for contract in self.contracts
        )

    @property
    def promised(self) -> bool:
        """Whether there is a commitment at all."""
        return any(contract.promises for contract in self.contracts)

    def at(self, images: int) -> Point:
        """What `images` images of each agreement cost, exactly as `quote` would say."""
        if images not in self._known:
            self._known[images] = self._at(images)
        return self._known[images]

    def _at(self, images: int) -> Point:
        lines, binding = [], set()
        for offer, contract, horizon, spread in zip(
            self.offers, self.contracts, self.horizons, self._spreads, strict=True
        ):
            mine = lines_in(contract, spread.by_cell(images), horizon)
            lines += mine
            binding |= {(offer.name, subject) for subject in _missed(mine) | _unused(mine)}
        total = sum((line.money for line in lines), start=Money(self.currency, 0))
        short = sum((line.money for line in lines if line.key.kind == "shortfall"), start=Money(self.currency, 0))
        unit, worth = worth_of(lines, self.currency)
        rate = Fraction(total.amount) / images if images else None
        in_unit = rate / Fraction(worth) if unit and rate is not None else None
        return Point(images, total, short, unit, rate, in_unit, frozenset(binding))

    def reached_edges(self) -> list[int] | None:
        """The last volumes before each edge of a volume tier in each month, ascending; None when they are too many."""
        edges: set[int] = set()
        for contract, horizon, spread in zip(self.contracts, self.horizons, self._spreads, strict=True):
            for service, subject_models, paid_up_to in _volume_edges(contract, horizon):
                if len(edges) > MOST_EDGES:
                    return None

                def within(
                    images: int,
                    spread: Spread = spread,
                    service: Period = service,
                    models: tuple[str, ...] = subject_models,
                    most: int = paid_up_to,
                ) -> bool:
                    placed = spread.by_cell(images).items()
                    return sum(n for (model, day), n in placed if model in models and day in service) <= most

                beyond = _smallest(lambda images: not within(images))
                if beyond:
                    edges.add(beyond - 1)
        return sorted(edges)


def _missed(lines: Sequence[RatedLine]) -> set[str]:
    """The commitments that fell short."""
    return {line.key.subject for line in lines if line.key.kind == "shortfall"}


def _unused(lines: Sequence[RatedLine]) -> set[str]:
    """The commitments paid in advance of which something was not used, as the workings of their lines say."""
    bought: dict[str, dict[str, Fraction]] = {}
    drawn: dict[str, Fraction] = {}
    for line in lines:
        if line.key.kind == "prepayment":
            block = line.workings[0]  # of an instalment it is that of the whole block, and comes with every part
            bought.setdefault(line.key.subject, {})[block["from"]] = Fraction(block["quantity"])
        elif line.key.kind == "drawdown":
            used = Fraction(-line.image_count) if line.image_count else -Fraction(line.money.amount)
            drawn[line.key.subject] = drawn.get(line.key.subject, Fraction(0)) + used
    return {name for name, blocks in bought.items() if sum(blocks.values()) > drawn.get(name, 0)}


def break_even(curve: Curve, guess: int | None = None) -> BreakEven:
    """Where the commitments of a curve stop binding, searched for with `owed`.

    A commitment that is judged over more than the curve's month is looked at over the term. `guess` is a volume to look
    at first, such as the break-even at another price: it is taken only where it is one.
    """
    if curve.over == "month" and horizon_name(curve.offers, None) == "term":
        curve = Curve(curve.offers, "term")
    days = Period(min(days.start for days in curve.horizons), max(days.end for days in curve.horizons))
    names = sorted({pair for images in (0, 1) for pair in curve.at(images).binding})
    if not names:
        return BreakEven(None, curve.over, days, ())
    each = tuple((offer, name, _first_free(curve, {(offer, name)}, guess)) for offer, name in names)
    if len(each) == 1:
        return BreakEven(each[0][2], curve.over, days, each)
    return BreakEven(_first_free(curve, set(names), guess), curve.over, days, each)


def _first_free(curve: Curve, names: set[tuple[str, str]], guess: int | None) -> int | None:
    """The smallest volume at which none of the commitments binds."""

    def free(images: int) -> bool:
        return not curve.at(images).binding & names

    found = guess if guess and free(guess) and not free(guess - 1) else _smallest(free)
    # Under volume tiers the fees may fall past an edge, so they are highest just before one: look there first.
    low = -1
    for edge in curve.reached_edges() or ():
        if found is not None and edge >= found:
            break
        if free(edge):
            return _smallest(free, low, edge)
        low = edge
    return found


def _smallest(true: Callable[[int], bool], low: int = -1, high: int | None = None) -> int | None:
    """The smallest number above `low` for which it is true, given that it stays true; None when it never is."""
    if high is None:
        high = max(1, low + 1)
        while not true(high):
            low, high = high, high * 2
            if high > 2 * MAX_COUNT:
                return None
    while high - low > 1:
        middle = (low + high) // 2
        if true(middle):
            high = middle
        else:
            low = middle
    return high


def _volume_edges(contract: Contract, horizon: Period) -> list[tuple[Period, tuple[str, ...], int]]:
    """(month, models counted together, images a tier reaches up to) for volume schedules beside money promises."""
    if all(promise.commitment.kind != "money" for promise in contract.promises):
        return []
    found = []
    for service, cells in contract.months:
        if service.start >= horizon.start and service.end <= horizon.end:
            for number in sorted({cell.amendment for cell in cells}):
                for _, fee, models in contract.fees_of_subjects(number):
                    if fee.schedule.kind == "volume":
                        tiers = fee.schedule.tiers[:-1]
                        found += [(service, models, fee.included_images + (tier.up_to or 0)) for tier in tiers]
    return found


# Tables


def price_table(
    offers: Sequence[Offer], rates: Sequence[Decimal], volumes: Sequence[int], over: str | None = None
) -> list[tuple[Decimal, list[Point]]]:
    """For each price the points at the volumes: each cell is what a quote at that price and volume says."""
    curves = [(rate, Curve(at_rate(offers, rate)[0], over)) for rate in rates]
    return [(rate, [curve.at(images) for images in volumes]) for rate, curve in curves]


def band_rates(offers: Sequence[Offer]) -> list[Decimal]:
    """Five prices evenly from the low end of the price band to the high end: 12, 13, 14, 15, 16."""
    band = band_of(offers)
    if band is None:
        raise InvalidInput("no_band", "these terms have no price band: say which prices to compare")
    low, high = (Fraction(end) for end in band[1])
    steps = [low + (high - low) * n / 4 for n in range(5)]
    if any((step * 10**MAX_RATE_DECIMALS).denominator != 1 for step in steps):
        raise InvalidInput("no_band", "the price band cannot be divided exactly: say which prices to compare")
    return [Decimal(plain(step)) for step in steps]


def telling_volumes(images: int | None, found: BreakEven | None) -> list[int]:
    """Volumes worth a look: quarters of the break-even, or of the volume asked about, below and above it."""
    middle = (found.images if found else None) or images
    if not middle:
        raise InvalidInput("no_volumes", "there is no volume to build a table around: say which volumes to compare")
    return sorted({max(1, middle * n // 4) for n in (1, 2, 3, 4, 5, 6, 8)} | ({images} if images else set()))


# Comparison


def cheapest(curves: Sequence[tuple[str, Curve]], images: int) -> list[str]:
    """The names of the offers that cost least at a volume, several where they cost the same."""
    totals = [(name, curve.at(images).total.minor) for name, curve in curves]
    least = min(total for _, total in totals)
    return [name for name, total in totals if total == least]


def crossovers(curves: Sequence[tuple[str, Curve]], volumes: Sequence[int]) -> list[Crossover]:
    """Where another offer becomes the cheapest, between none and the largest of the volumes.

    Looked for between the volumes, the break-evens and the powers of two; each is then exact to the image.
    """
    by_name = dict(curves)
    most = max(volumes)
    grid = {0, *volumes, *(2**n for n in range(most.bit_length()))}
    grid |= {even for _, curve in curves if (even := break_even(curve).images)}
    points = sorted(images for images in grid if images <= most)
    found: list[Crossover] = []
    leader, low = cheapest(curves, 0)[0], 0
    if len(cheapest(curves, 0)) > 1:  # nobody leads at nothing: begin with whoever leads at one image
        leader = cheapest(curves, min(1, most))[0]
    for high in points[1:]:
        while leader not in cheapest(curves, high) and len(found) < MOST_CROSSOVERS:

            def beaten(images: int, leader: str = leader) -> bool:
                return leader not in cheapest(curves, images)

            at = _smallest(beaten, low, high)
            if at is None:  # pragma: no cover - it is beaten at `high`
                break
            after = cheapest(curves, at)[0]
            found.append(Crossover(at, leader, after, by_name[leader].at(at).total, by_name[after].at(at).total))
            leader, low = after, at
        low = high
    return found
