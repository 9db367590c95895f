"""Up to four offers side by side: what each costs at the volume that is asked for, and which is cheapest where."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from core.money import Money
from core.rating.curve import Crossover, cheapest, crossovers
from core.rating.forecast import Forecast
from core.rating.quote import Quote, quote_forecast
from service.dashboard import written
from service.dashboard.charts import Chart, Series, chart
from service.dashboard.scenario.asked import Asked
from service.dashboard.scenario.bases import Base
from service.dashboard.scenario.curves import Drawn, drawn
from service.dashboard.scenario.forecast import top_of
from service.dashboard.scenario.offers import other_offer, said

SHARES = (1, 2, 3, 4, 6, 8)  # quarters of the volume: the rows of the table


@dataclass(frozen=True, slots=True)
class Side:
    """One of the offers."""

    letter: str
    title: str
    said: str
    quote: Quote
    line: Drawn
    least: bool
    more: Money

    @property
    def price(self) -> Fraction | Decimal | None:
        rate = self.quote.effective_unit_rate
        return rate if rate is not None else self.quote.effective_rate

    @property
    def unit(self) -> str:
        return self.quote.unit or self.quote.currency


@dataclass(frozen=True, slots=True)
class Compared:
    """Offers side by side. `rows`: (images, the total of each, the letters that are cheapest)."""

    sides: tuple[Side, ...]
    headline: str
    chart: Chart
    rows: tuple[tuple[int, tuple[Money, ...], tuple[str, ...]], ...]


def compared(base: Base, asked: Asked) -> Compared | None:
    """The terms and the offers that are held against them; None without any of those. Raises `InvalidInput`."""
    others = [each for each in asked.others if each.kind]
    if not others:
        return None
    top = top_of(base, asked)
    offers = [("a", "A · The terms above", base.title, base.at(asked.price))]
    offers += [(each.letter, each.title, said(each, base.unit), other_offer(base, each)) for each in others]
    forecast = Forecast(monthly=Fraction(asked.volume, max(base.months, 1)), growth=asked.growth_share)
    guess = drawn(base.offer, top).even.images
    found = [
        (letter, title, words, quote_forecast([offer], forecast), drawn(offer, top, guess))
        for letter, title, words, offer in offers
    ]
    least = min(quoted.total.minor for *_, quoted, _ in found)
    sides = tuple(
        Side(letter, title, words, quoted, line, quoted.total.minor == least,
             Money(quoted.currency, quoted.total.minor - least))
        for letter, title, words, quoted, line in found
    )  # fmt: skip
    curves = [(side.letter, side.line.curve) for side in sides]
    volumes = sorted({max(1, (asked.volume or top // 4) * share // 4) for share in SHARES})
    met = crossovers(curves, [*volumes, top])
    return Compared(
        sides=sides,
        headline=_headline(sides, met),
        chart=_chart(sides, sides[0].quote.images),
        rows=tuple(
            (images, tuple(side.line.at(images).total for side in sides), tuple(cheapest(curves, images)))
            for images in volumes
        ),
    )


def _headline(sides: tuple[Side, ...], met: list[Crossover]) -> str:
    """Which is cheapest at this volume, and where that changes."""
    names = [side.letter.upper() for side in sides if side.least]
    one = len(names) == 1
    first = f"{' and '.join(names)} {'is' if one else 'are'} cheapest here"
    turns = "; ".join(f"from {written.count(each.images)} images on {each.after.upper()}" for each in met[:3])
    return f"{first}." + (
        f" At other volumes, spread evenly: {met[0].before.upper()} at first, {turns}." if met else ""
    )


def _chart(sides: tuple[Side, ...], images: int) -> Chart:
    """All lines over the same volumes: those of every offer, since each has its own break-even among them."""
    volumes = sorted({point.images for side in sides for point in side.line.points})
    series = [
        Series(side.title, [side.line.at(each).total for each in volumes], tone="abcd".index(side.letter) + 1)
        for side in sides
    ]
    return chart(
        "offers", "Offers by volume", x=volumes, series=series, x_label="Images", height=320,
        unit=f"{sides[0].quote.currency} over the term", options={"marks": [{"at": images, "label": "asked"}]},
    )  # fmt: skip
