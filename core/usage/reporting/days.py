"""The reporting calendars of agreements: what came on each day of the account's zone, and what did not."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from core.agreements.queries import cover_of, today_in
from core.agreements.tables import Agreement, AgreementModel
from core.errors import NotFound
from core.period import Period
from core.registry.lineage import OWED_BY_DEFAULT
from core.registry.tables import Account, Licensee
from core.usage.reporting.calendar import (
    CalendarDay,
    Counted,
    Zero,
    calendar,
    expected_days,
    missing_runs,
    silent_models,
)
from core.usage.tables import DailyCount, Resolution, ZeroReport


@dataclass(frozen=True, slots=True)
class Expecting:
    """A signed agreement, the days of its term, and the account whose days they are."""

    agreement_id: int
    agreement: str
    licensee_id: int
    licensee: str
    zone: str
    term: Period


@dataclass(frozen=True, slots=True)
class Unnamed:
    """Usage that waits for the name of its model. It belongs to no agreement yet, nor to any day of one."""

    event_count: int
    image_count: int


@dataclass(frozen=True, slots=True)
class MissingDays:
    """The days of an agreement up to today on which nothing was heard, as runs `[start, end)`."""

    of: Expecting
    runs: list[Period]

    @property
    def day_count(self) -> int:
        return sum(run.days for run in self.runs)


@dataclass(frozen=True, slots=True)
class Silence:
    """Of days that are over: the models of which reports were expected, and those of which nothing was heard.

    A model of which nothing was heard has neither usage nor a word of zero on a day without any usage.
    """

    expected: Mapping[date, frozenset[str]]
    silent: Mapping[date, frozenset[str]]


def expecting(session: Session, slug: str) -> Expecting:
    """The agreement with this slug, if it was ever signed."""
    found = _expecting(session, Agreement.slug == slug, limit=1)
    if not found:
        raise NotFound("unknown_agreement", f"there is no signed agreement called {slug}")
    return found[0]


def agreement_days(session: Session, of: Expecting, within: Period) -> list[CalendarDay]:
    """The calendar of an agreement on the days within. Counts follow the reports within seconds."""
    shared = of.term.overlap(within)
    if shared is None:
        return []
    expected = expected_days(cover_of(session, of.agreement_id), shared, of.zone)
    return calendar(expected, _counted(session, of, shared), _zeros(session, of, shared), today_in(session, of.zone))


def silence(session: Session, of: Expecting, within: Period) -> Silence:
    """Which days of an agreement were heard of, model by model, as far as usage is rolled up."""
    shared = of.term.overlap(within)
    if shared is None:
        return Silence({}, {})
    today = today_in(session, of.zone)
    expected = expected_days(cover_of(session, of.agreement_id), shared, of.zone)
    over = {day: models for day, models in expected.items() if day < today}
    return Silence(over, silent_models(over, _counted(session, of, shared), _zeros(session, of, shared), today))


def missing_days(
    session: Session, *, licensee: str | None = None, agreement: str | None = None, after: str = "", limit: int = 1000
) -> list[MissingDays]:
    """The missing days of every agreement that the session may see, by its slug; those without any are listed too."""
    which = [Agreement.slug > after]
    if licensee is not None:
        which.append(Licensee.slug == licensee)
    if agreement is not None:
        which.append(Agreement.slug == agreement)
    found = []
    for of in _expecting(session, *which, limit=limit):
        today = today_in(session, of.zone)
        days = agreement_days(session, of, Period(of.term.start, today)) if of.term.start < today else []
        found.append(MissingDays(of, missing_runs(days)))
    return found


def unnamed_usage(session: Session, licensee_id: int) -> Unnamed:
    """What a licensee reported of models that nobody knows, rolled up so far, whenever it occurred."""
    sums = select(func.sum(Resolution.event_count), func.sum(Resolution.image_count)).where(
        Resolution.licensee_id == licensee_id, Resolution.via_model_id.is_(None)
    )
    events, images = session.execute(sums).one()
    return Unnamed(int(events or 0), int(images or 0))


def _expecting(session: Session, *which: ColumnElement[bool], limit: int) -> list[Expecting]:
    rows = session.execute(
        select(Agreement, Account.licensee_id, Licensee.slug, Account.zone)
        .join(Account, Account.id == Agreement.account_id)
        .join(Licensee, Licensee.id == Account.licensee_id)
        .where(Agreement.status != "draft", *which)
        .order_by(Agreement.slug)
        .limit(limit)
    )
    return [
        Expecting(row.id, row.slug, licensee_id, licensee, zone, Period(row.starts_on, row.ended_on or row.ends_on))
        for row, licensee_id, licensee, zone in rows
    ]


def _counted(session: Session, of: Expecting, within: Period) -> dict[date, Counted]:
    """What was counted for the models that the agreement covers on each day, however an image involved them."""
    owed = func.sum(DailyCount.image_count).filter(DailyCount.role.in_(OWED_BY_DEFAULT))
    rows = session.execute(
        select(DailyCount.day, func.sum(DailyCount.event_count), func.coalesce(owed, 0))
        .join(
            AgreementModel,
            (AgreementModel.model_id == DailyCount.model_id) & AgreementModel.days.contains(DailyCount.day),
        )
        .where(
            AgreementModel.agreement_id == of.agreement_id,
            DailyCount.licensee_id == of.licensee_id,
            DailyCount.day >= within.start,
            DailyCount.day < within.end,
        )
        .group_by(DailyCount.day)
    )
    return {day: Counted(int(events), int(images)) for day, events, images in rows if events}


def _zeros(session: Session, of: Expecting, within: Period) -> list[Zero]:
    rows = session.execute(
        select(ZeroReport.starts_on, ZeroReport.ends_on, ZeroReport.model).where(
            ZeroReport.licensee_id == of.licensee_id,
            ZeroReport.starts_on < within.end,
            ZeroReport.ends_on > within.start,
        )
    )
    return [Zero(Period(starts_on, ends_on), model) for starts_on, ends_on, model in rows]
