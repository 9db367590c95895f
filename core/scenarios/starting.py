"""Where a scenario can begin: the agreements that somebody can see, and how many images they bring in a month."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.accruals.tables import Accrual
from core.agreements.tables import Agreement
from core.period import Period
from core.registry.tables import Account, Licensee, Licensor, Model
from core.usage.tables import DailyCount

FULL_MONTHS = 3  # that say what is usual


@dataclass(frozen=True, slots=True)
class Start:
    """An agreement to begin with."""

    slug: str
    name: str
    status: str
    licensee: str
    licensee_name: str
    licensor: str
    licensor_name: str


def starts(session: Session) -> list[Start]:
    """Every agreement that the session may see, by the name of its licensee. One statement."""
    asked = (
        select(
            Agreement.slug, Agreement.name, Agreement.status, Licensee.slug, Licensee.name, Licensor.slug, Licensor.name
        )
        .join(Account, Account.id == Agreement.account_id)
        .join(Licensee, Licensee.id == Account.licensee_id)
        .join(Licensor, Licensor.id == Account.licensor_id)
        .order_by(Licensee.name, Agreement.slug)
    )
    return [Start(*row) for row in session.execute(asked)]


def usual_month(session: Session, agreement: str) -> int:
    """The images of an average one of the last full months of an agreement; 0 while there is none. One statement."""
    months = (
        select(Accrual.image_count)
        .join(Agreement, Agreement.id == Accrual.agreement_id)
        .where(Agreement.slug == agreement, Accrual.state != "running")
        .order_by(Accrual.period_start.desc())
        .limit(FULL_MONTHS)
        .subquery()
    )
    total, number = session.execute(select(func.sum(months.c.image_count), func.count()).select_from(months)).one()
    return int(total or 0) // (number or 1)


def recorded_models(session: Session, licensee_id: int, days: Period) -> list[str]:
    """The models of which images of a licensee were counted in these days. One statement."""
    asked = (
        select(Model.slug)
        .join(DailyCount, DailyCount.model_id == Model.id)
        .where(DailyCount.licensee_id == licensee_id, DailyCount.day >= days.start, DailyCount.day < days.end)
        .distinct()
        .order_by(Model.slug)
    )
    return list(session.scalars(asked))


def first_counted(session: Session, licensee: str, since: date) -> date | None:
    """The first day since then of which images of a licensee were counted. One statement."""
    asked = (
        select(func.min(DailyCount.day))
        .join(Licensee, Licensee.id == DailyCount.licensee_id)
        .where(Licensee.slug == licensee, DailyCount.day >= since)
    )
    found: date | None = session.scalar(asked)
    return found


def licensees_seen(session: Session) -> list[tuple[str, str]]:
    """(slug, name) of every licensee that the session may see, by name. One statement."""
    asked = select(Licensee.slug, Licensee.name).order_by(Licensee.name, Licensee.slug)
    return [(slug, name) for slug, name in session.execute(asked)]
