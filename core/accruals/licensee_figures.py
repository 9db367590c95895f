"""One licensee's figures, for its licensor or for itself: images by model and plan, its calendar."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.accruals.series import TOP, Line, Series, named
from core.agreements.tables import Agreement, AgreementModel
from core.errors import NotFound
from core.period import Period, day_of
from core.registry.lineage import OWED_BY_DEFAULT
from core.registry.tables import Account, Model
from core.usage.counts.totals import Total, of_licensees
from core.usage.reporting.calendar import CalendarDay, Counted, Zero, calendar, expected_days
from core.usage.tables import DailyCount, ZeroReport

By = Literal["total", "model", "plan"]
_GROUPS = {"total": (), "model": ("model_id",), "plan": ("plan",)}


def usage_by_day(
    session: Session, licensor_id: int, licensee_id: int, days: Period, *, by: By = "total", top: int = TOP
) -> Series:
    """Images a licensee made with a licensor's models, a day. Two statements."""
    models = _models(session, licensor_id)
    groups = ["day", *_GROUPS[by]]
    found = of_licensees(session, models, [licensee_id], days, groups)
    return _series(found, models, tuple(days.each_day()), by, top)


def usage_by_month(
    session: Session, licensor_id: int, licensee_id: int, months: Period, *, by: By = "total", top: int = TOP
) -> Series:
    """The same a calendar month, whole months. Two statements; for some years, not for decades."""
    points = tuple(month.start for month in months.months())
    days = Period(points[0], Period.month_of(points[-1]).end)
    models = _models(session, licensor_id)
    found = of_licensees(session, models, [licensee_id], days, ["month", *_GROUPS[by]])
    return _series(found, models, points, by, top)


def calendar_of(session: Session, licensor_id: int, licensee_id: int, within: Period) -> list[CalendarDay]:
    """Of each day on which any agreement of the account covers a model, whether anything was heard, and how much was
    counted for the models that were covered on it. Four statements.
    """
    zone, now = _zone(session, licensor_id, licensee_id)
    mine = (Account.licensor_id == licensor_id, Account.licensee_id == licensee_id, Agreement.status != "draft")
    covered = session.execute(
        select(Model.slug, AgreementModel.days)
        .join(Model, Model.id == AgreementModel.model_id)
        .join(Agreement, Agreement.id == AgreementModel.agreement_id)
        .join(Account, Account.id == AgreementModel.account_id)
        .where(*mine, ~func.isempty(AgreementModel.days))
    )
    cover = [(slug, Period(days.lower, days.upper)) for slug, days in covered if days.lower and days.upper]
    expected = expected_days(cover, within, zone)
    owed = func.sum(DailyCount.image_count).filter(DailyCount.role.in_(OWED_BY_DEFAULT))
    rows = session.execute(
        select(DailyCount.day, func.sum(DailyCount.event_count), func.coalesce(owed, 0))
        .join(AgreementModel, (AgreementModel.model_id == DailyCount.model_id)
              & AgreementModel.days.contains(DailyCount.day))
        .join(Agreement, Agreement.id == AgreementModel.agreement_id)
        .join(Account, Account.id == AgreementModel.account_id)
        .where(*mine, DailyCount.licensee_id == licensee_id)
        .where(DailyCount.day >= within.start, DailyCount.day < within.end)
        .group_by(DailyCount.day)
    )  # fmt: skip
    counted = {day: Counted(int(events), int(images)) for day, events, images in rows if events}
    zeros = session.execute(
        select(ZeroReport.starts_on, ZeroReport.ends_on, ZeroReport.model).where(
            ZeroReport.licensee_id == licensee_id, ZeroReport.starts_on < within.end, ZeroReport.ends_on > within.start
        )
    )
    said = [Zero(Period(starts_on, ends_on), model) for starts_on, ends_on, model in zeros]
    return calendar(expected, counted, said, day_of(now, zone))


def _models(session: Session, licensor_id: int) -> dict[int, tuple[str, str]]:
    rows = session.execute(select(Model.id, Model.slug, Model.name).where(Model.licensor_id == licensor_id))
    return {id_: (slug, name) for id_, slug, name in rows}


def _series(
    found: Sequence[Total], models: Mapping[int, tuple[str, str]], points: tuple[date, ...], by: By, top: int
) -> Series:
    values: defaultdict[Any, dict[date, int]] = defaultdict(dict)
    for each in found:
        key = {"total": "", "model": each.model_id, "plan": each.plan or ""}[by]
        if each.day:
            values[key][each.day] = each.image_count
    if by == "total":
        return Series(points, (Line("", "all", tuple(values[""].get(day, 0) for day in points)),))
    names = models if by == "model" else {plan: (plan, plan or "no plan named") for plan in values}
    return named(points, values, names, top)


def _zone(session: Session, licensor_id: int, licensee_id: int) -> tuple[str, datetime]:
    asked = select(Account.zone, func.now()).where(
        Account.licensor_id == licensor_id, Account.licensee_id == licensee_id
    )
    found = session.execute(asked).one_or_none()
    if found is None:
        raise NotFound("unknown_account", "these two have no account with each other")
    return found[0], found[1]
