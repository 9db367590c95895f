"""The terms on a forecast: what it costs month by month, where the commitment stops hurting, and the curve."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from core.errors import InvalidInput
from core.money import Money
from core.rating.floor import Floor
from core.rating.forecast import Forecast
from core.rating.quote import Quote, quote_forecast
from service.dashboard import written
from service.dashboard.charts import Chart, Series, chart
from service.dashboard.scenario.asked import Asked
from service.dashboard.scenario.bases import Base
from service.dashboard.scenario.curves import Drawn, drawn, nice_top, per_image
from service.what_if import floor_of


@dataclass(frozen=True, slots=True)
class Forecasted:
    """What comes out of a forecast."""

    quote: Quote
    drawn: Drawn
    headline: str
    saved: str
    floor: Floor | None
    cost: Chart
    price: Chart
    usual_unit: str


def forecasted(base: Base, asked: Asked) -> Forecasted:
    """The terms at the price that is asked for. Raises `InvalidInput`."""
    offer = base.at(asked.price)
    forecast = Forecast(monthly=Fraction(asked.volume, max(base.months, 1)), growth=asked.growth_share)
    found = quote_forecast([offer], forecast)
    written_even = drawn(base.offer, top_of(base, asked)).even.images
    line = drawn(offer, top_of(base, asked), written_even)
    return Forecasted(
        quote=found,
        drawn=line,
        headline=_headline(found, asked, base),
        saved=_consequence(found, line),
        floor=_floor(found, asked, base),
        cost=_cost(line, found),
        price=_price(line, found, base),
        usual_unit=found.unit or found.currency,
    )


def top_of(base: Base, asked: Asked) -> int:
    """How far the volume goes, on the slider and on the curve: twice what the terms begin with, or what is asked."""
    return nice_top(max(base.volume * 2, asked.volume * 5 // 4, 1000))


def _headline(found: Quote, asked: Asked, base: Base) -> str:
    """42,000,000 images at 12 BUZZ cost 504,000.00 USD over 12 months."""
    price = "" if asked.price is None else f" at {written.decimal(asked.price)} {base.unit}"
    months = f"{base.months} months" if base.months != 1 else "one month"
    return f"{written.count(found.images)} images{price} cost {written.money_text(found.total)} over {months}"


def _consequence(found: Quote, line: Drawn) -> str:
    """What the commitment makes of it."""
    even = line.even.images
    if found.shortfall.minor:
        short = written.money_text(found.shortfall)
        rest = "" if even is None else f" From {written.count(even)} images on, only images are paid for."
        return f"{short} of it is owed for images that were promised and not made.{rest}"
    if even is None and not line.curve.promised:
        return "Nothing is promised: only images that are made are paid for."
    if even is not None and found.images < even:
        return f"Part of what is paid in advance stays unused: all of it is used from {written.count(even)} images on."
    return "What was promised is reached: only images are paid for."


def _floor(found: Quote, asked: Asked, base: Base) -> Floor | None:
    try:
        return floor_of(asked.floor, found, [base.offer])
    except InvalidInput:  # of no images, or in several units: there is nothing to say
        return None


def _cost(line: Drawn, found: Quote) -> Chart:
    totals: list[Money | None] = [point.total for point in line.points]
    made: list[Money | None] = [point.total - point.shortfall for point in line.points]
    series = [Series("total", totals)]
    if any(point.shortfall.minor for point in line.points):
        series.append(Series("for images alone", made, dashed=True, tone="quiet"))
    return chart(
        "cost", "Cost by volume", x=[point.images for point in line.points], series=series, x_label="Images",
        unit=f"{found.currency} over the term", height=320, options=marks(line, found.images),
    )  # fmt: skip


def _price(line: Drawn, found: Quote, base: Base) -> Chart:
    """An image's price falls from very high to what is agreed; beyond four times that it is cut off."""
    prices = [per_image(point) for point in line.points]
    last = prices[-1] or Decimal(0)
    shown = [price if price is not None and price <= last * 4 else None for price in prices]
    return chart(
        "price", "What an image costs in the end", x=[point.images for point in line.points],
        series=[Series("effective price", shown, tone=2)], x_label="Images",
        unit=f"{found.unit or found.currency} an image", height=200, options=marks(line, found.images),
    )  # fmt: skip


def marks(line: Drawn, images: int) -> dict[str, object]:
    """The lines across a curve: what is asked for, and the break-even."""
    found = [{"at": images, "label": "asked"}]
    if line.even.images is not None:
        found.append({"at": line.even.images, "label": "break-even"})
    return {"marks": found}
