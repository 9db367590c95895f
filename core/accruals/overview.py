"""The first page of a licensor's finance people: what the month brings, what is owed, and what needs somebody."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import case, false, func, select
from sqlalchemy.orm import Session

from core.accruals.tables import Accrual
from core.agreements.tables import Agreement
from core.invoicing.tables import Invoice
from core.ledger.tables import Outstanding
from core.money import Money
from core.period import Period
from core.registry.tables import Licensee

STOPPED_AFTER = 2  # silent days: one may be on its way
MOST = 10  # rows of each list; the counts are of all
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class CurrencyFees:
    """Fees before tax in one currency: of the running month so far and expected at its end, of the month before, and
    of the one before that. A month that is not issued yet counts with what was accrued for it.
    """

    accrued: Money
    forecast: Money
    last_month: Money
    month_before: Money
    expected_shortfall: Money


@dataclass(frozen=True, slots=True)
class Receivables:
    """What licensees owe in one currency, tax included, and what of it is overdue."""

    open: Money
    overdue: Money
    invoice_count: int
    overdue_count: int
    unapplied: Money


@dataclass(frozen=True, slots=True)
class AtRisk:
    """An agreement of whose commitments something is expected to be missing, and what would be asked for it."""

    agreement: str
    licensee: str
    licensee_name: str
    shortfall: Money
    commitments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stopped:
    """An agreement for which nothing was heard since a day."""

    agreement: str
    licensee: str
    licensee_name: str
    silent_since: date
    days: int


@dataclass(frozen=True, slots=True)
class HeldInvoice:
    """A draft that waits for somebody: its id, and why."""

    invoice_id: int
    licensee: str
    licensee_name: str
    period: Period
    total: Money
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything of the first page but its charts. Lists hold the worst ten, counts are of all."""

    month: Period
    counted_at: datetime | None
    image_count: int
    forecast_image_count: int
    fees: tuple[CurrencyFees, ...]
    receivables: tuple[Receivables, ...]
    at_risk: tuple[AtRisk, ...]
    at_risk_count: int
    stopped: tuple[Stopped, ...]
    stopped_count: int
    held: tuple[HeldInvoice, ...]
    held_count: int


def overview(session: Session, licensor_id: int, today: date | None = None) -> Overview:
    """The figures of a licensor as of today in UTC. Seven statements."""
    day = today or session.execute(select(func.timezone("UTC", func.now()))).scalar_one().date()
    month = Period.month_of(day)
    sums = _sums(session, licensor_id, month)
    at_risk, at_risk_count = _at_risk(session, licensor_id, month)
    stopped, stopped_count = _stopped(session, licensor_id, month)
    held, held_count = _held(session, licensor_id)
    return Overview(
        month=month,
        counted_at=min((row.counted_at for row in sums if row.period_start == month.start), default=None),
        image_count=sum(int(row.images) for row in sums if row.period_start == month.start),
        forecast_image_count=sum(int(row.forecast_images) for row in sums if row.period_start == month.start),
        fees=_fees(sums, _issued(session, licensor_id, month), month),
        receivables=receivables(session, licensor_id, day),
        at_risk=at_risk,
        at_risk_count=at_risk_count,
        stopped=stopped,
        stopped_count=stopped_count,
        held=held,
        held_count=held_count,
    )


def receivables(session: Session, licensor_id: int, on: date) -> tuple[Receivables, ...]:
    """What a licensor's licensees owe as of today's books, by currency; overdue is what was due before `on`. One
    statement.
    """
    found: defaultdict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    late = func.coalesce(Invoice.due_on < on, false())
    asked = (
        select(Outstanding.currency, Outstanding.book, late, func.count(), func.sum(Outstanding.amount_minor))
        .outerjoin(
            Invoice,
            (Invoice.licensor_id == Outstanding.licensor_id) & (Invoice.number == Outstanding.item)
            & (Invoice.status == "issued") & (Outstanding.book == "receivable"),
        )
        .where(Outstanding.licensor_id == licensor_id)
        .group_by(Outstanding.currency, Outstanding.book, late)
    )  # fmt: skip
    for currency, book, overdue, count, minor in session.execute(asked):
        if book == "unapplied":
            found[currency]["unapplied"] -= int(minor)
            continue
        for name in ("open", "overdue") if overdue else ("open",):
            found[currency][name] += int(minor)
            found[currency][f"{name}_count"] += count
    return tuple(
        Receivables(
            *(Money(currency, of["open"]), Money(currency, of["overdue"]), of["open_count"], of["overdue_count"]),
            Money(currency, of["unapplied"]),
        )
        for currency, of in sorted(found.items())
    )


def _sums(session: Session, licensor_id: int, month: Period) -> list[Any]:
    """Accruals of this month and the two before, by currency and month; of issued ones only that they are there."""
    open_minor = case((Accrual.state == "issued", 0), else_=Accrual.accrued_minor - Accrual.earlier_minor)
    running = Accrual.period_start == month.start
    asked = (
        select(
            Accrual.currency,
            Accrual.period_start,
            func.min(Accrual.counted_at).label("counted_at"),
            func.sum(Accrual.image_count).label("images"),
            func.sum(Accrual.forecast_image_count).label("forecast_images"),
            func.sum(case((running, Accrual.accrued_minor), else_=open_minor)).label("accrued"),
            func.sum(Accrual.forecast_minor).label("forecast"),
            func.sum(Accrual.shortfall_minor).label("shortfall"),
        )
        .where(Accrual.licensor_id == licensor_id, Accrual.period_start >= month.months_before(2).start)
        .group_by(Accrual.currency, Accrual.period_start)
    )
    return list(session.execute(asked))


def _issued(session: Session, licensor_id: int, month: Period) -> dict[tuple[str, date], int]:
    """What was issued for the two months before, before tax, credit notes included."""
    asked = (
        select(Invoice.currency, Invoice.period_start, func.sum(Invoice.net_minor))
        .where(
            Invoice.licensor_id == licensor_id,
            Invoice.status == "issued",
            Invoice.period_start >= month.months_before(2).start,
            Invoice.period_start < month.start,
        )
        .group_by(Invoice.currency, Invoice.period_start)
    )
    return {(currency, start): int(minor) for currency, start, minor in session.execute(asked)}


def _fees(sums: list[Any], issued: dict[tuple[str, date], int], month: Period) -> tuple[CurrencyFees, ...]:
    rows = {(row.currency, row.period_start): row for row in sums}
    last, before = month.months_before().start, month.months_before(2).start
    found = []
    for currency in sorted({key[0] for key in (*rows, *issued)}):

        def minor(start: date, name: str, currency: str = currency) -> int:
            row = rows.get((currency, start))
            return int(getattr(row, name)) if row else 0

        found.append(
            CurrencyFees(
                accrued=Money(currency, minor(month.start, "accrued")),
                forecast=Money(currency, minor(month.start, "forecast")),
                last_month=Money(currency, minor(last, "accrued") + issued.get((currency, last), 0)),
                month_before=Money(currency, minor(before, "accrued") + issued.get((currency, before), 0)),
                expected_shortfall=Money(currency, minor(month.start, "shortfall")),
            )
        )
    return tuple(found)


def _at_risk(session: Session, licensor_id: int, month: Period) -> tuple[tuple[AtRisk, ...], int]:
    asked = (
        select(Agreement.slug, Licensee.slug, Licensee.name, Accrual.currency, Accrual.shortfall_minor,
               Accrual.commitments, func.count().over())
        .join(Agreement, Agreement.id == Accrual.agreement_id)
        .join(Licensee, Licensee.id == Accrual.licensee_id)
        .where(Accrual.licensor_id == licensor_id, Accrual.period_start == month.start, Accrual.shortfall_minor > 0)
        .order_by(Accrual.shortfall_minor.desc(), Agreement.slug)
        .limit(MOST)
    )  # fmt: skip
    rows = session.execute(asked).all()
    found = tuple(
        AtRisk(agreement, slug, name, Money(currency, minor),
               tuple(each["name"] for each in commitments if each["shortfall"]["minor"] > 0))
        for agreement, slug, name, currency, minor, commitments, _ in rows
    )  # fmt: skip
    return found, rows[0][-1] if rows else 0


def _stopped(session: Session, licensor_id: int, month: Period) -> tuple[tuple[Stopped, ...], int]:
    silent = Accrual.as_of - Accrual.silent_since
    asked = (
        select(Agreement.slug, Licensee.slug, Licensee.name, Accrual.silent_since, Accrual.as_of,
               func.count().over())
        .join(Agreement, Agreement.id == Accrual.agreement_id)
        .join(Licensee, Licensee.id == Accrual.licensee_id)
        .where(
            Accrual.licensor_id == licensor_id, Accrual.period_start == month.start, silent >= STOPPED_AFTER,
        )
        .order_by(Accrual.silent_since, Agreement.slug)
        .limit(MOST)
    )  # fmt: skip
    rows = session.execute(asked).all()
    found = tuple(
        Stopped(agreement, slug, name, since, (as_of - since).days)
        for agreement, slug, name, since, as_of, _ in rows
        if since is not None
    )
    return found, rows[0][-1] if rows else 0


def _held(session: Session, licensor_id: int) -> tuple[tuple[HeldInvoice, ...], int]:
    asked = (
        select(Invoice.id, Licensee.slug, Licensee.name, Invoice.period_start, Invoice.period_end, Invoice.currency,
               Invoice.total_minor, Invoice.hold_reasons, func.count().over())
        .join(Licensee, Licensee.id == Invoice.licensee_id)
        .where(Invoice.licensor_id == licensor_id, Invoice.status == "held")
        .order_by(func.abs(Invoice.total_minor).desc(), Invoice.id)
        .limit(MOST)
    )  # fmt: skip
    rows = session.execute(asked).all()
    found = tuple(
        HeldInvoice(row[0], row[1], row[2], Period(row[3], row[4]), Money(row[5], row[6]),
                    tuple(reason["sentence"] for reason in row[7]))
        for row in rows
    )  # fmt: skip
    return found, rows[0][-1] if rows else 0
