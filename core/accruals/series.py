"""Images and fees over days and months, as charts show them: the largest few by name, the rest as one.

Images come from the totals of the daily counts, in the roles that owe a fee; fees before tax by month from issued
invoices, and for months that are not issued from accruals; fees by day from accruals alone, so from when they began to
be made.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, TypeVar

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from core.accruals.tables import Accrual
from core.database import among
from core.invoicing.tables import Invoice
from core.money import Money
from core.period import Period
from core.registry.tables import Licensee, Model
from core.usage.counts.totals import Total, by_days, by_months, of_licensees

By = Literal["total", "model", "licensee"]
K = TypeVar("K", bound=Any)
TOP = 7
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Line:
    """One line or bar: a model, a licensee, all (`slug` is "") or, at the end, the others (`slug` is None).

    `values` stand beside the series' days: images, or minor units of its currency.
    """

    slug: str | None
    name: str
    values: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.values)


@dataclass(frozen=True, slots=True)
class Series:
    """Lines over days, or over months by their first day; the largest first. Of fees in one `currency`."""

    days: tuple[date, ...]
    lines: tuple[Line, ...]
    currency: str | None = None

    @property
    def total(self) -> int:
        return sum(line.total for line in self.lines)

    def money(self, line: Line) -> tuple[Money, ...]:
        """A line of fees as amounts."""
        return tuple(Money(self.currency or "", minor) for minor in line.values)


def images_by_day(session: Session, licensor_id: int, days: Period, *, by: By = "total", top: int = TOP) -> Series:
    """Images of the licensor's models a day. One statement in all, two by model, five by licensee.

    By licensee: those with the most images in the months that the days touch.
    """
    points = tuple(days.each_day())
    if by == "model":
        found = by_days(session, licensor_id, days, ["day", "model_id"])
        return named(points, _values(found, "model_id"), _models(session, licensor_id), top)
    totals = {total.day: total.image_count for total in by_days(session, licensor_id, days, ["day"]) if total.day}
    if by == "total":
        return Series(points, (_line("", "all", points, totals),))
    largest = _largest_licensees(session, licensor_id, days, top)
    slugs = _models(session, licensor_id)
    rows = of_licensees(session, slugs, largest, days, ["day", "licensee_id"])
    shown = named(points, _values(rows, "licensee_id"), _licensees(session, largest), top)
    return _with_others(shown, totals)


def images_by_month(session: Session, licensor_id: int, months: Period, *, by: By = "total", top: int = TOP) -> Series:
    """Images of the licensor's models a month. One statement in all, two by model, four by licensee."""
    points = tuple(month.start for month in months.months())
    if by == "model":
        found = by_days(session, licensor_id, months, ["month", "model_id"])
        return named(points, _values(found, "model_id"), _models(session, licensor_id), top)
    found = by_months(session, licensor_id, months, ["day"])
    totals = {each.day: each.image_count for each in found if each.day}
    if by == "total":
        return Series(points, (_line("", "all", points, totals),))
    largest = _largest_licensees(session, licensor_id, months, top)
    found = by_months(session, licensor_id, months, ["day", "licensee_id"], largest)
    shown = named(points, _values(found, "licensee_id"), _licensees(session, largest), top)
    return _with_others(shown, totals)


def fees_by_day(session: Session, licensor_id: int, month: Period, currency: str) -> Series:
    """Fees of a month's own usage, day by day, of all licensees. One statement."""
    each = func.unnest(Accrual.day_minor).table_valued("minor", with_ordinality="n").render_derived()
    asked = (
        select(each.c.n, func.sum(each.c.minor))
        .select_from(Accrual)
        .join(each, Accrual.currency == currency)
        .where(Accrual.licensor_id == licensor_id, Accrual.period_start == month.start, Accrual.currency == currency)
        .group_by(each.c.n)
    )
    fees = {month.start + (int(n) - 1) * _DAY: int(minor) for n, minor in session.execute(asked)}
    points = tuple(month.each_day())
    return Series(points, (_line("", "all", points, fees),), currency)


def fees_by_subject(session: Session, licensor_id: int, month: Period, currency: str, top: int = TOP) -> Series:
    """Fees of a month's own usage by model, or group of models that is billed as one, as one bar each. One statement.

    A subject is called by its model's slug or its group's name.
    """
    each = func.unnest(Accrual.subjects, Accrual.subject_minor).table_valued("subject", "minor").render_derived()
    asked = (
        select(each.c.subject, func.sum(each.c.minor))
        .select_from(Accrual)
        .join(each, Accrual.currency == currency)
        .where(Accrual.licensor_id == licensor_id, Accrual.period_start == month.start, Accrual.currency == currency)
        .group_by(each.c.subject)
    )
    values = {subject: {month.start: int(minor)} for subject, minor in session.execute(asked)}
    return named((month.start,), values, {subject: (subject, subject) for subject in values}, top, currency)


def fees_by_month(
    session: Session, licensor_id: int, months: Period, currency: str, *, by: Literal["total", "licensee"] = "total",
    top: int = TOP,
) -> Series:  # fmt: skip
    """What was asked for each month before tax: issued, and for months that are not issued what was accrued so far.

    Two statements in all, four by licensee.
    """
    points = tuple(month.start for month in months.months())
    issued = (
        Invoice.licensor_id == licensor_id, Invoice.status == "issued", Invoice.currency == currency,
        Invoice.period_start >= points[0], Invoice.period_start < months.end,
    )  # fmt: skip
    accrued = (
        Accrual.licensor_id == licensor_id, Accrual.state != "issued", Accrual.currency == currency,
        Accrual.period_start >= points[0], Accrual.period_start < months.end,
    )  # fmt: skip
    largest: list[int] = []
    if by == "licensee":
        whose = select(Invoice.licensee_id).where(*issued).group_by(Invoice.licensee_id)
        largest = list(session.scalars(whose.order_by(func.sum(Invoice.net_minor).desc()).limit(top)))
    totals: defaultdict[date, int] = defaultdict(int)
    values: defaultdict[int, defaultdict[date, int]] = defaultdict(lambda: defaultdict(int))
    own = Accrual.accrued_minor - Accrual.earlier_minor
    later = case((Accrual.state == "running", Accrual.accrued_minor), else_=own)
    for table, minor, which in ((Invoice, Invoice.net_minor, issued), (Accrual, later, accrued)):
        who = case((among(table.licensee_id, largest), table.licensee_id), else_=0)
        asked = select(who, table.period_start, func.sum(minor)).where(*which).group_by(who, table.period_start)
        for licensee_id, start, amount in session.execute(asked):
            totals[start.replace(day=1)] += int(amount)
            if licensee_id:
                values[licensee_id][start.replace(day=1)] += int(amount)
    if by == "total":
        return Series(points, (_line("", "all", points, totals),), currency)
    return _with_others(named(points, values, _licensees(session, largest), top, currency), totals)


def currencies_of(session: Session, licensor_id: int) -> list[str]:
    """The currencies in which a licensor's agreements are billed, the most used first. One statement."""
    times = func.count()
    asked = select(Accrual.currency).where(Accrual.licensor_id == licensor_id).group_by(Accrual.currency)
    return list(session.scalars(asked.order_by(times.desc(), Accrual.currency)))


def _largest_licensees(session: Session, licensor_id: int, days: Period, top: int) -> list[int]:
    """The licensees with the most images in the months of these days."""
    found = by_months(session, licensor_id, days, ["licensee_id"])
    return [each.licensee_id or 0 for each in sorted(found, key=lambda each: -each.image_count)[:top]]


def _with_others(shown: Series, totals: Mapping[date, int]) -> Series:
    """What the lines leave of the totals, as a last line."""
    rest = [totals.get(day, 0) - sum(line.values[n] for line in shown.lines) for n, day in enumerate(shown.days)]
    return Series(shown.days, (*shown.lines, *_others(rest)), shown.currency)


def _values(totals: Iterable[Total], key: str) -> dict[int, dict[date, int]]:
    found: dict[int, dict[date, int]] = defaultdict(dict)
    for total in totals:
        if total.day is not None:
            found[getattr(total, key)][total.day] = total.image_count
    return found


def _largest(values: Mapping[K, Mapping[date, int]], top: int) -> list[K]:
    return sorted(values, key=lambda key: -sum(values[key].values()))[:top]


def named(
    points: Sequence[date], values: Mapping[K, Mapping[date, int]], names: Mapping[K, tuple[str, str]], top: int,
    currency: str | None = None,
) -> Series:  # fmt: skip
    """The largest by their names; what is left, and what has no name for these eyes, together."""
    largest = [key for key in _largest(values, top) if key in names]
    lines = [_line(*names[key], points, values[key]) for key in largest]
    rest = [sum(of.get(day, 0) for key, of in values.items() if key not in largest) for day in points]
    return Series(tuple(points), (*lines, *_others(rest)), currency)


def _line(slug: str | None, name: str, points: Sequence[date], values: Mapping[date, int]) -> Line:
    return Line(slug, name, tuple(values.get(day, 0) for day in points))


def _others(rest: Sequence[int]) -> list[Line]:
    return [Line(None, "others", tuple(rest))] if any(rest) else []


def _models(session: Session, licensor_id: int) -> dict[int, tuple[str, str]]:
    rows = session.execute(select(Model.id, Model.slug, Model.name).where(Model.licensor_id == licensor_id))
    return {id_: (slug, name) for id_, slug, name in rows}


def _licensees(session: Session, ids: Sequence[int]) -> dict[int, tuple[str, str]]:
    rows = session.execute(select(Licensee.id, Licensee.slug, Licensee.name).where(Licensee.id.in_(ids)))
    return {id_: (slug, name) for id_, slug, name in rows}
