"""The curve as a picture: total and effective price against volume, as SVG written by hand.

Coordinates are whole tenths of a pixel, so that nothing is computed in floating point. The picture brings its own
colours for light and for dark surroundings and needs no other file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from html import escape

from core.money import plain
from core.rating.curve import BreakEven, Curve, Point, break_even
from core.rating.line import days_said

WIDTH, LEFT, RIGHT = 9600, 1150, 9250  # the picture, and the two ends of the volume axis
TOP, PANEL, GAP, BELOW = 900, 2350, 650, 800
LEGEND_ROW = 260
SAMPLES = 120
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # told apart by most colour-blind eyes
_STYLE = """
svg { color-scheme: light dark; font: 150px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
.page { fill: #ffffff; } text { fill: #24292f; } .soft { fill: #57606a; } .title { font-size: 210px; font-weight: 600; }
.grid { stroke: #d0d7de; stroke-width: 8; } .axis { stroke: #57606a; stroke-width: 12; }
.line { fill: none; stroke-width: 26; stroke-linejoin: round; } .even { stroke-width: 14; stroke-dasharray: 60 45; }
@media (prefers-color-scheme: dark) { .page { fill: #0d1117; } text { fill: #e6edf3; } .soft { fill: #9da7b3; }
.grid { stroke: #30363d; } .axis { stroke: #9da7b3; } }
"""


@dataclass(frozen=True, slots=True)
class Drawn:
    """An offer to draw: its name, its points by volume, its break-even."""

    name: str
    points: tuple[Point, ...]
    even: BreakEven


@dataclass(frozen=True, slots=True)
class _Panel:
    """One diagram: the volume across, `most` of what it shows upwards."""

    top: int
    most_images: int
    most: Fraction

    def x(self, images: int) -> int:
        return LEFT + images * (RIGHT - LEFT) // self.most_images

    def y(self, value: Fraction) -> int:
        up = value * PANEL / self.most
        return self.top + PANEL - up.numerator // up.denominator


def draw(curves: Sequence[tuple[str, Curve]], images: int | None = None) -> str:
    """The picture of some offers, up to twice the largest break-even or volume asked about."""
    evens = {name: break_even(curve) for name, curve in curves}
    reach = [even.images for even in evens.values() if even.images] + [images or 0]
    most = _round_up(2 * max(reach) or 1_000_000)
    samples = {most * n // SAMPLES for n in range(SAMPLES + 1)}
    for even in evens.values():
        samples |= {even.images - 1, even.images} if even.images and even.images <= most else set()
    drawn = [Drawn(name, tuple(curve.at(n) for n in sorted(samples)), evens[name]) for name, curve in curves]
    return _picture(drawn, curves, most, images)


def _picture(drawn: Sequence[Drawn], curves: Sequence[tuple[str, Curve]], most: int, images: int | None) -> str:
    currency = curves[0][1].currency
    units = {point.unit for offer in drawn for point in offer.points if point.effective_unit_rate is not None}
    unit = units.pop() if len(units) == 1 else None
    first = TOP + LEGEND_ROW * len(drawn)
    totals = _Panel(first, most, _nice_top(max(Fraction(p.total.amount) for offer in drawn for p in offer.points)))
    prices = [_priced(offer, unit) for offer in drawn]
    shown = [price for offer in prices for n, price in offer if n * 8 >= most]
    panel = _Panel(first + PANEL + GAP, most, _nice_top(max(shown, default=Fraction(1)) * Fraction(5, 4)))
    height = panel.top + PANEL + BELOW
    horizon = days_said(curves[0][1].horizons[0])
    same = all(curve.horizons == curves[0][1].horizons for _, curve in curves)
    across = f"images over {f'the days {horizon}' if same else 'each offer’s own ' + curves[0][1].over}"
    title = drawn[0].name if len(drawn) == 1 else f"{len(drawn)} offers"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH // 10}" '
        f'height="{height // 10}" role="img">',
        f"<title>{_safe(title)}: what a volume of images costs</title><style>{_STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}"/>',
        _text(LEFT, 420, f"{title}: total and price per image by volume", "title"),
        *_legend(drawn, currency),
        *_grid(totals, f"total, {currency}"),
        *_grid(panel, f"effective price, {unit or currency} an image"),
        _text((LEFT + RIGHT) // 2, height - 250, across, "soft", "middle"),
    ]
    for n, offer in enumerate(drawn):
        colour = COLOURS[n % len(COLOURS)]
        parts += [
            _line(totals, [(p.images, Fraction(p.total.amount)) for p in offer.points], colour),
            _line(panel, _clipped(prices[n], panel.most), colour),
            *_break_even(totals, panel, offer, colour),
        ]
        if images is not None:
            at = curves[n][1].at(images)
            parts.append(_dot(totals, images, Fraction(at.total.amount), colour))
            price = at.effective_unit_rate if unit else at.effective_rate
            if price is not None and price <= panel.most:
                parts.append(_dot(panel, images, price, colour))
    return "\n".join([*parts, "</svg>", ""])


def _priced(offer: Drawn, unit: str | None) -> list[tuple[int, Fraction]]:
    """The effective price at each volume, in the one unit of all offers, or in the currency."""
    rates = [(p.images, p.effective_unit_rate if unit else p.effective_rate) for p in offer.points]
    return [(images, rate) for images, rate in rates if rate is not None]


def _clipped(points: Sequence[tuple[int, Fraction]], most: Fraction) -> list[tuple[int, Fraction]]:
    """The points below the panel's top, and the place where the line comes in through it."""
    inside = [n for n, (_, value) in enumerate(points) if value <= most]
    if not inside:
        return []
    first = inside[0]
    if not first:
        return list(points)
    (x0, y0), (x1, y1) = points[first - 1], points[first]
    enters = x0 + (y0 - most) * (x1 - x0) / (y0 - y1)
    return [(enters.numerator // enters.denominator, most), *points[first:]]


def _line(panel: _Panel, points: Sequence[tuple[int, Fraction]], colour: str) -> str:
    path = " ".join(f"{panel.x(images)},{panel.y(value)}" for images, value in points)
    return f'<polyline class="line" stroke="{colour}" points="{path}"/>'


def _dot(panel: _Panel, images: int, value: Fraction, colour: str) -> str:
    return f'<circle cx="{panel.x(images)}" cy="{panel.y(value)}" r="48" fill="{colour}"/>'


def _break_even(totals: _Panel, prices: _Panel, offer: Drawn, colour: str) -> list[str]:
    """A dashed line through both diagrams where the commitment stops binding."""
    at = offer.even.images
    if at is None or at > totals.most_images:
        return []
    x = totals.x(at)
    return [
        f'<line class="even" stroke="{colour}" x1="{x}" y1="{panel.top}" x2="{x}" y2="{panel.top + PANEL}"/>'
        for panel in (totals, prices)
    ]


def _legend(drawn: Sequence[Drawn], currency: str) -> list[str]:
    parts = []
    for n, offer in enumerate(drawn):
        y, colour = TOP - 180 + LEGEND_ROW * n, COLOURS[n % len(COLOURS)]
        said = offer.name
        if offer.even.images is not None:
            total = next((p.total for p in offer.points if p.images == offer.even.images), None)
            at = f" ({total.amount:,f} {currency})" if total else ""
            said += f": break-even at {offer.even.images:,} images{at}, dashed"
        parts.append(f'<rect x="{LEFT}" y="{y - 90}" width="260" height="40" fill="{colour}"/>')
        parts.append(_text(LEFT + 340, y - 20, said))
    return parts


def _grid(panel: _Panel, label: str) -> list[str]:
    bottom = panel.top + PANEL
    parts = [_text(LEFT, panel.top - 110, label, "soft")]
    for value in _ticks(panel.most):
        y = panel.y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{RIGHT}" y2="{y}"/>')
        parts.append(_text(LEFT - 90, y + 50, _compact(value), "soft", "end"))
    for value in _ticks(Fraction(panel.most_images)):
        x = panel.x(value.numerator // value.denominator)
        parts.append(f'<line class="axis" x1="{x}" y1="{bottom}" x2="{x}" y2="{bottom + 60}"/>')
        parts.append(_text(x, bottom + 230, _compact(value), "soft", "middle"))
    parts.append(f'<line class="axis" x1="{LEFT}" y1="{bottom}" x2="{RIGHT}" y2="{bottom}"/>')
    return parts


def _text(x: int, y: int, said: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{_safe(said)}</text>'


def _safe(said: str) -> str:
    """Text as XML may hold it, with what cannot be printed made visible."""
    return escape("".join(c if c.isprintable() else "\ufffd" for c in said))


def _step(most: Fraction) -> Fraction:
    """A round distance between ticks, four to eight of them."""
    step = Fraction(1)
    while step * 8 < most:
        step *= 10
    while step > most:
        step /= 10
    for factor in (Fraction(1), Fraction(2), Fraction(5), Fraction(10)):
        for unit in (step / 10, step):
            if 4 <= most / (unit * factor) <= 8:
                return unit * factor
    return most / 5


def _ticks(most: Fraction) -> list[Fraction]:
    step = _step(most)
    count = most / step
    return [step * n for n in range(count.numerator // count.denominator + 1)]


def _nice_top(most: Fraction) -> Fraction:
    """A little above the largest value, on a tick; something to draw even when everything is free."""
    if most <= 0:
        return Fraction(1)
    step = _step(most)
    ticks = most / step
    return step * -((-ticks.numerator) // ticks.denominator)


def _round_up(images: int) -> int:
    top = _nice_top(Fraction(images))
    return max(1, -((-top.numerator) // top.denominator))


def _compact(value: Fraction) -> str:
    """A number on an axis: 12.5M, 400k, 0.02."""
    for scale, suffix in ((10**9, "bn"), (10**6, "M"), (10**3, "k")):
        if value >= scale:
            return f"{plain(value / scale, 3)}{suffix}"
    return plain(value, 6)
