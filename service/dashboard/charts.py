"""Figures for charts: what the browser draws, and the same as a table for whoever does not see it.

    by_day = chart("images", "Images a day", x=days, series=[Series("anima", counts)], unit="images")
    # in the template: {{ ui.chart(by_day) }}

Amounts go out in whole currency units with their decimals, for drawing only; what is billed is never read from a chart.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

from core.money import Money
from service.dashboard import written

Kind = Literal["line", "area", "bars", "stacked"]
Value = int | Decimal | Fraction | Money | None


@dataclass(frozen=True)
class Series:
    """One line, or one kind of bar. `dashed`: a forecast, a plan, a commitment. `tone`: 1 to 8, or `quiet`."""

    label: str
    values: Sequence[Value]
    dashed: bool = False
    tone: int | str | None = None


@dataclass(frozen=True)
class Chart:
    """What a chart shows. `x` are days, or words for bars, or numbers."""

    name: str
    title: str
    kind: Kind
    x: Sequence[date | str | int]
    series: Sequence[Series]
    unit: str = ""
    height: int = 240
    x_label: str = "Day"
    limit: tuple[str, Value] | None = None  # a level drawn across, such as a commitment
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def data(self) -> dict[str, Any]:
        """For the browser, as JSON."""
        return {
            "kind": self.kind,
            "time": bool(self.x) and isinstance(self.x[0], date),
            "x": [_place(each) for each in self.x],
            "series": [
                {"label": each.label, "dashed": each.dashed, "tone": each.tone or number % 8 + 1,
                 "values": [_drawn(value) for value in each.values]}
                for number, each in enumerate(self.series)
            ],
            "unit": self.unit,
            "height": self.height,
            "limit": None if self.limit is None else {"label": self.limit[0], "value": _drawn(self.limit[1])},
            "options": self.options,
        }  # fmt: skip

    @property
    def numbered_head(self) -> list[tuple[str, bool]]:
        """The head of that table, and whether what stands below is a number."""
        return [(self.x_label, False), *((each.label, True) for each in self.series)]

    @property
    def rows(self) -> list[list[str]]:
        """The same for the table beneath."""
        return [[_placed(x), *(_said(each.values[at]) for each in self.series)] for at, x in enumerate(self.x)]


def chart(
    name: str, title: str, *, x: Sequence[date | str | int], series: Sequence[Series], kind: Kind = "line", **more: Any
) -> Chart:
    """A chart. `name` is its id on the page."""
    for each in series:
        if len(each.values) != len(x):
            raise ValueError(f"{each.label} has {len(each.values)} values for {len(x)} places")
    return Chart(name=name, title=title, kind=kind, x=x, series=series, **more)


@dataclass(frozen=True)
class HeatDay:
    """A day of a heat map: how full (0 empty to 4), what kind of day it was, and a sentence that says it."""

    day: date
    level: int
    said: str
    kind: str = ""  # `gap`, `zero`, `held`: drawn in a way that does not hang on colour alone


def weeks_of(days: Sequence[HeatDay]) -> list[list[HeatDay | None]]:
    """The days in weeks from Monday, for a grid; None before the first and after the last."""
    if not days:
        return []
    cells: list[HeatDay | None] = [None] * days[0].day.weekday()
    cells += list(days)
    cells += [None] * (-len(cells) % 7)
    return [cells[at : at + 7] for at in range(0, len(cells), 7)]


def week_months(weeks: Sequence[Sequence[HeatDay | None]]) -> list[str]:
    """The month above each week that one begins in; above the first week, too, where there is room."""
    begins = [next((each.day for each in week if each and each.day.day == 1), None) for week in weeks]
    if weeks and begins[0] is None and not any(begins[1:3]):
        begins[0] = next(each.day for each in weeks[0] if each)
    return ["" if day is None else written.month_short(day) for day in begins]


def spark_points(values: Sequence[int | None], width: int = 120, height: int = 28) -> str:
    """The points of a little line: `0,28 10,4`. Whole numbers only; nothing to draw for fewer than two values."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return ""
    low, high = min(*known, 0), max(known)
    span, steps = (high - low) or 1, len(values) - 1
    return " ".join(
        f"{at * width // steps},{height - 2 - (value - low) * (height - 4) // span}"
        for at, value in enumerate(values)
        if value is not None
    )


def _place(x: date | str | int) -> str | int:
    if isinstance(x, date):
        return int(datetime(x.year, x.month, x.day, tzinfo=UTC).timestamp())
    return x


def _placed(x: date | str | int) -> str:
    """A place of the x axis, as it is written in the table."""
    if isinstance(x, date):
        return written.day_text(x)
    return written.count(x) if isinstance(x, int) else x


def _drawn(value: Value) -> float | None:
    if isinstance(value, Money):
        value = value.amount
    return None if value is None else float(value)


def _said(value: Value) -> str:
    if isinstance(value, Money):
        return written.money_text(value)
    return written.count(value) if isinstance(value, int) or value is None else written.decimal(value, 4)
