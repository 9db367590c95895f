"""Figures of one licensee, drawn the same for its licensor and for itself: recent usage, calendar, commitments."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

from sqlalchemy.orm import Session

from core.accruals.licensee_figures import calendar_of, usage_by_day
from core.accruals.position import CommitmentPosition
from core.accruals.queries import Accrued, accruals_of
from core.accruals.series import Series as Figures
from core.period import Period
from core.usage.reporting.calendar import CalendarDay
from service.dashboard import written
from service.dashboard.charts import Chart, HeatDay, Series, chart

DAYS = 35
CALENDAR_DAYS = 7 * 26
_SAID = {"reported": "reported", "zero": "said to be none", "open": "may still come", "missing": "nothing came"}


def recent_usage(eyes: Session, licensor_id: int, licensee_id: int, today: date, by: str = "model") -> Chart | None:
    """The images of the last weeks, by model or plan; None where there are none."""
    days = Period(today - timedelta(days=DAYS - 1), today + timedelta(days=1))
    found = usage_by_day(eyes, licensor_id, licensee_id, days, by="plan" if by == "plan" else "model")
    return drawn(found, "usage", "Images a day") if found.total else None


def drawn(found: Figures, name: str, title: str) -> Chart:
    """A series as stacked bars."""
    lines = [Series(line.name, line.values, tone="quiet" if line.slug is None else None) for line in found.lines]
    return chart(name, title, x=found.days, series=lines, kind="stacked", unit="images that owe a fee")


def heat_of(eyes: Session, licensor_id: int, licensee_id: int, today: date) -> tuple[list[HeatDay], int]:
    """The reporting calendar of half a year as a heat map, and how many of its days are missing."""
    within = Period(today - timedelta(days=CALENDAR_DAYS), today + timedelta(days=1))
    days = calendar_of(eyes, licensor_id, licensee_id, within)
    most = max((each.image_count for each in days), default=0)
    return [_heat(each, most) for each in days], sum(each.state == "missing" for each in days)


def _heat(each: CalendarDay, most: int) -> HeatDay:
    kind = {"missing": "gap", "zero": "zero"}.get(each.state, "")
    said = f"{written.count(each.image_count)} images" if each.event_count else _SAID[each.state]
    return HeatDay(each.day, min(4, -(-4 * each.image_count // most)) if most else 0, said, kind=kind)


def commitments_of(eyes: Session, slug: str, today: date) -> list[tuple[str, CommitmentPosition, str, Chart | None]]:
    """Each running commitment with its agreement, a sentence on how it stands, and its burn-down."""
    return commitments_in(accruals_of(eyes, licensee=slug, month=Period.month_of(today)))


def commitments_in(found: Sequence[Accrued]) -> list[tuple[str, CommitmentPosition, str, Chart | None]]:
    """The same of accruals that were read before."""
    return [
        (accrued.agreement, position, standing(position), burn_down(position, f"{accrued.agreement}-{at}"))
        for accrued in found
        for at, position in enumerate(accrued.commitments)
    ]


def standing(position: CommitmentPosition) -> str:
    """How a commitment stands, in one sentence."""
    reached = f"{_said(position.counted, position.unit)} of {_said(position.target, position.unit)}"
    ends = f"by {written.day_text(position.period.end - timedelta(days=1))}"
    if position.shortfall.minor:
        missing = _said(position.expected_shortfall, position.unit)
        money = written.money_text(position.shortfall)
        return f"{reached}; {missing} are expected to be missing {ends}, a shortfall of {money}"
    if position.exhausted_on:
        return f"{reached}; used up on {written.day_text(position.exhausted_on)} if it goes on like this"
    if position.counted >= position.target:
        return f"{reached}: reached"
    return f"{reached}; {_said(position.forecast, position.unit)} are expected {ends}"


def burn_down(position: CommitmentPosition, name: str) -> Chart | None:
    """What has come of a commitment day by day, and what is expected, against what was promised."""
    points = position.burn_down
    if len(points) < 2:
        return None
    so_far = [None if point.expected else point.quantity for point in points]
    ahead = _ahead([point.expected for point in points], [point.quantity for point in points])
    return chart(
        f"burn-{name}", position.name.replace("_", " ").capitalize(), x=[point.day for point in points], kind="area",
        series=[Series("so far", so_far), Series("expected", ahead, dashed=True, tone=1)], unit=position.unit,
        limit=("committed", position.target), height=200,
    )  # fmt: skip


def _ahead(expected: Sequence[bool], quantities: Sequence[Decimal]) -> list[Decimal | None]:
    """The expected part of a line, joined to where the known part ends."""
    last = max((at for at, each in enumerate(expected) if not each), default=-1)
    return [quantity if at >= last else None for at, quantity in enumerate(quantities)]


def _said(quantity: Decimal, unit: str) -> str:
    if unit == "images":
        return f"{written.decimal(quantity)} images"
    return f"{written.decimal(quantity)} {unit}"
