"""What must be told of usage: commitments at 50, 80 and 100 %, monthly caps at 80 and 100 %, days without a report.

Working out commitments takes a whole bill, so an agreement is looked at when something came in since the last look,
at most every ten minutes, and in any case once a day: a new month, a new amendment.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

from sqlalchemy import Date, cast, exists, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.agreements.tables import Agreement, AgreementModel, Amendment
from core.errors import PerimageError
from core.invoicing.drafts.bill import Bill, load_bill
from core.notices.kinds import CAP, COMMITMENT, SILENT, Finding, Kind
from core.notices.tables import Notice, NoticeLook
from core.period import Period, day_of
from core.rating.rate import CommitmentProgress, caps, progress
from core.registry.tables import Account, Licensee, Licensor
from core.usage.reporting.calendar import missing_runs
from core.usage.reporting.days import agreement_days, expecting
from core.usage.tables import DailyCount, RollupWatermark, UsageCorrection, UsageEvent, UsageReport, ZeroReport

COMMITMENT_STEPS = (100, 80, 50)  # highest first
CAP_STEPS = (100, 80)
LOOKS = 50  # agreements in one transaction
OFTEN = timedelta(minutes=10)
SELDOM = timedelta(days=1)
GRACE = timedelta(hours=6)  # how long after midnight a report of the day may still be on its way
REMINDER = 7  # days of silence until it is said once more
_DAY = timedelta(days=1)
_GRADED = text("""amendments.terms @? '$.fees[*].cap' OR amendments.terms @? '$.commitments[*]'""")


@dataclass(frozen=True, slots=True)
class Names:
    """What an account's parties are called, and its ids."""

    licensor_id: int
    licensor: str
    licensor_name: str
    licensee_id: int
    licensee: str
    licensee_name: str
    zone: str

    @property
    def data(self) -> dict[str, Any]:
        return {
            "licensor": self.licensor,
            "licensor_name": self.licensor_name,
            "licensee": self.licensee,
            "licensee_name": self.licensee_name,
        }


def thresholds(session: Session, now: datetime) -> tuple[list[Finding], int, list[str]]:
    """Looks at the agreements whose turn it is, some at a time: what was found, how many, and which could not be rated.

    Writes down that it looked, in the same transaction as the notices, so one that dies has not looked.
    """
    until = _counted_until(session, now)
    rows = session.execute(_due_looks(now)).all()
    found: list[Finding] = []
    unrated = []
    for agreement, names in [(row[0], Names(*row[1:])) for row in rows]:
        today = day_of(now, names.zone)
        try:
            bill = load_bill(session, agreement, today + _DAY)
            found += [*_commitments(session, bill, names, today), *_caps(session, bill, names, today)]
        except PerimageError as error:
            unrated.append(f"{agreement.slug}: {error.sentence}")
        _looked(session, agreement.id, now, until)
    return found, len(rows), unrated


def silent(session: Session, now: datetime) -> Iterator[list[Finding]]:
    """Agreements for which nothing was reported on the last whole day: on the first such day, then every seventh."""
    judged_at = now - GRACE
    for zone in session.scalars(select(Account.zone).distinct().order_by(Account.zone)).all():
        today = day_of(judged_at, zone)
        rows = session.execute(_without_counts(today - _DAY, zone)).all()
        findings = [_silence(session, row[0], Names(*row[1:]), today) for row in rows]
        yield [each for each in findings if each is not None]


def _commitments(session: Session, bill: Bill, names: Names, today: date) -> Iterator[Finding]:
    """Of every commitment that runs today, or ended with yesterday, the highest step that is reached."""
    running: dict[tuple[str, date], CommitmentProgress] = {}
    for as_of in (today, today + _DAY):
        if as_of > bill.agreement.starts_on:
            running |= {(each.name, each.period.start): each for each in progress(bill.contract, bill.counts, as_of)}
    for state in running.values():
        if state.target <= 0:
            continue
        about = f"{bill.agreement.id}:{state.period.start}:{state.name}"
        step = _reached(state.fraction_done, COMMITMENT_STEPS)
        if step is None or _told_as_much(session, names, COMMITMENT, about, step):
            continue
        data = {
            **names.data,
            "agreement": bill.agreement.slug,
            "commitment": state.name,
            "period": state.period.name,
            "percent": step,
            "counted": f"{state.counted:f}",
            "target": f"{state.target:f}",
            "unit": state.unit,
            "forecast": state.computed,
        }
        yield Finding(COMMITMENT, names.licensor_id, names.licensee_id, f"{about}:{step}", data)


def _caps(session: Session, bill: Bill, names: Names, today: date) -> Iterator[Finding]:
    """Of every cap of this month and the last, the highest step that is reached."""
    month = Period.month_of(today)
    recent = Period(Period.month_of(month.start - _DAY).start, month.end)
    for use in caps(bill.contract, bill.counts, today + _DAY):
        step = _reached(Fraction(use.counted, use.images), CAP_STEPS)
        about = f"{bill.agreement.id}:{use.service.start}:{use.subject}"
        if use.service.start not in recent or step is None:
            continue
        if _told_as_much(session, names, CAP, about, step):
            continue
        data = {
            **names.data,
            "agreement": bill.agreement.slug,
            "subject": use.subject,
            "cap": use.kind,
            "period": use.service.name,
            "percent": step,
            "counted": use.counted,
            "images": use.images,
        }
        yield Finding(CAP, names.licensor_id, names.licensee_id, f"{about}:{step}", data)


def _reached(share: Fraction, steps: Sequence[int]) -> int | None:
    return next((step for step in steps if share * 100 >= step), None)


def _told_as_much(session: Session, names: Names, kind: Kind, about: str, step: int) -> bool:
    """Whether this step or a higher one was told before: a correction downwards is no news of a lower step."""
    keys = [f"{about}:{each}" for each in COMMITMENT_STEPS if each >= step]
    known = select(Notice.id).where(
        Notice.licensor_id == names.licensor_id, Notice.kind == kind.name, Notice.key.in_(keys)
    )  # fmt: skip
    return session.scalars(known.limit(1)).first() is not None


def _silence(session: Session, slug: str, names: Names, today: date) -> Finding | None:
    """The silence that lasts until `today`, if the calendar agrees that it is one: zero reports break it."""
    of = expecting(session, slug)
    runs = missing_runs(agreement_days(session, of, Period(of.term.start, today)))
    if not runs or runs[-1].end != today:
        return None
    reminders = (runs[-1].days - 1) // REMINDER
    key = f"{of.agreement_id}:{runs[-1].start}:{reminders}"
    data = {
        **names.data,
        "agreement": slug,
        "since": runs[-1].start.isoformat(),
        "day": (today - _DAY).isoformat(),
        "days": runs[-1].days,
        "reminder_on": (runs[-1].start + (reminders + 1) * REMINDER * _DAY).isoformat(),
    }
    return Finding(SILENT, names.licensor_id, names.licensee_id, key, data)


_NAMES = (Licensor.id, Licensor.slug, Licensor.name, Licensee.id, Licensee.slug, Licensee.name, Account.zone)


def _with_names(*what: Any) -> Any:
    return (
        select(*what, *_NAMES)
        .join(Account, Account.id == Agreement.account_id)
        .join(Licensor, Licensor.id == Account.licensor_id)
        .join(Licensee, Licensee.id == Account.licensee_id)
        .where(Agreement.status != "draft")
    )


def _without_counts(day: date, zone: str) -> Any:
    """Agreements of a zone that cover a model on this day and counted no event of one.

    Left out are those whose silence was told, is not to be reminded of yet, and has not been broken: most of them.
    """
    told = (
        select(
            Notice.data["agreement"].astext.label("agreement"),
            func.max(cast(Notice.data["since"].astext, Date)).label("since"),
        )
        .where(Notice.kind == SILENT.name, cast(Notice.data["reminder_on"].astext, Date) > day)
        .group_by("agreement")
        .subquery()
    )
    broken = or_(
        exists().where(
            AgreementModel.agreement_id == Agreement.id,
            DailyCount.licensee_id == Account.licensee_id,
            DailyCount.model_id == AgreementModel.model_id,
            DailyCount.day >= told.c.since,
            DailyCount.event_count > 0,
        ),
        exists().where(ZeroReport.licensee_id == Account.licensee_id, ZeroReport.ends_on > told.c.since),
    )
    covers = exists().where(AgreementModel.agreement_id == Agreement.id, AgreementModel.days.contains(day))
    counted = exists().where(
        AgreementModel.agreement_id == Agreement.id,
        AgreementModel.days.contains(day),
        DailyCount.licensee_id == Account.licensee_id,
        DailyCount.model_id == AgreementModel.model_id,
        DailyCount.day == day,
        DailyCount.event_count > 0,
    )
    ends = func.coalesce(Agreement.ended_on, Agreement.ends_on)
    return (
        _with_names(Agreement.slug)
        .outerjoin(told, told.c.agreement == Agreement.slug)
        .where(Account.zone == zone, Agreement.starts_on <= day, ends > day, covers, ~counted)
        .where(or_(told.c.since.is_(None), broken))
        .order_by(Agreement.slug)
    )


def _due_looks(now: datetime) -> Any:
    """Agreements with commitments or caps whose turn it is, those first that were never looked at."""
    came_in = or_(
        exists().where(
            UsageReport.licensee_id == Account.licensee_id, UsageReport.received_at > NoticeLook.counted_until
        ),
        exists().where(
            UsageCorrection.licensee_id == Account.licensee_id, UsageCorrection.made_at > NoticeLook.counted_until
        ),
    )
    ends = func.coalesce(Agreement.ended_on, Agreement.ends_on)
    return (
        _with_names(Agreement)
        .outerjoin(NoticeLook, NoticeLook.agreement_id == Agreement.id)
        .where(
            Agreement.starts_on <= now.date() + _DAY,
            ends >= now.date() - timedelta(days=35),
            Agreement.id.in_(select(Amendment.agreement_id).where(_GRADED)),
            or_(
                NoticeLook.looked_at.is_(None),
                NoticeLook.looked_at <= now - SELDOM,
                (NoticeLook.looked_at <= now - OFTEN) & came_in,
            ),
        )
        .order_by(NoticeLook.looked_at.nulls_first(), Agreement.id)
        .limit(LOOKS)
    )


def _looked(session: Session, agreement_id: int, now: datetime, until: datetime) -> None:
    row = {"agreement_id": agreement_id, "looked_at": now, "counted_until": until}
    session.execute(
        insert(NoticeLook).values(row).on_conflict_do_update(index_elements=["agreement_id"], set_=row)
    )  # fmt: skip


def _counted_until(session: Session, now: datetime) -> datetime:
    """Everything received before this instant is in the counts; a minute for transactions that are still open."""
    waiting = select(func.min(UsageEvent.received_at)).where(
        UsageEvent.xid >= select(RollupWatermark.xid).where(RollupWatermark.name == "usage").scalar_subquery()
    )
    oldest: datetime | None = session.execute(waiting).scalar_one()
    return min(now, oldest or now) - timedelta(minutes=1)
