"""Makes the accruals of an agreement anew: the running month and the one before it, until that is issued and after.

What a later look is compared with is read first, before anything that the figures are made from, so that whatever
changes in between is found the next time. Nothing is locked but a number of the accruals' own.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.accruals.forecast import counts_in, expected
from core.accruals.position import (
    by_day,
    by_subject,
    cap_positions,
    commitment_positions,
    due_by,
    horizon,
    own_lines,
)
from core.accruals.tables import Accrual
from core.agreements.tables import Agreement
from core.errors import PerimageError
from core.invoicing.drafts.bill import Bill, load_bill
from core.invoicing.drafts.close import due_lines
from core.invoicing.drafts.estimates import with_estimates
from core.invoicing.drafts.invoice import DraftLine
from core.invoicing.drafts.tax import tax_groups
from core.invoicing.tables import Invoice, InvoiceLine
from core.period import Period, day_of
from core.usage.reporting.calendar import missing_runs
from core.usage.reporting.days import agreement_days, expecting

OFTEN = timedelta(minutes=15)  # new counts alone make a row due again no sooner
_DAY = timedelta(days=1)
_WINDOW = timedelta(days=63)  # looked back upon for silent days and for the run rate
_LOCKS = 730_549_102  # any number: the advisory locks of accruals
_BASIS = """concat_ws('|', a.status, a.starts_on, a.ends_on, a.ended_on, c.tax_category, c.tax_rate,
    (SELECT max(number) FROM amendments WHERE agreement_id = a.id),
    (SELECT concat_ws(':', count(*), count(*) FILTER (WHERE status = 'issued'), max(closed_at)) FROM invoices
     WHERE agreement_id = a.id AND status <> 'void' AND corrects_invoice_id IS NULL),
    (SELECT count(*) FROM agreed_adjustments WHERE agreement_id = a.id),
    (SELECT count(*) FROM zero_reports WHERE licensee_id = c.licensee_id))"""
_LOOK = f"""
SELECT a.id, c.licensor_id, c.licensee_id, c.zone, c.currency, now() AS now, (now() AT TIME ZONE c.zone)::date AS today,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS seen_xid, {_BASIS} AS basis,
       (SELECT moved_at FROM rollup_watermarks WHERE name = 'usage') AS counted_at
FROM agreements a JOIN accounts c ON c.id = a.account_id
WHERE a.status <> 'draft'
"""  # noqa: S608
_ONE = text(f"{_LOOK} AND a.id = :id")
_DUE = text(f"""
SELECT look.id FROM ({_LOOK} AND a.starts_on <= (now() AT TIME ZONE c.zone)::date) look
LEFT JOIN accruals r ON r.agreement_id = look.id AND r.period_start = date_trunc('month', look.today)::date
WHERE (CAST(:id AS bigint) IS NULL OR look.id = :id) AND (
    r.agreement_id IS NULL OR r.as_of < look.today OR r.basis <> look.basis
    OR r.made_at <= now() - CAST(:often AS interval) AND EXISTS (
        SELECT FROM licensee_months m WHERE m.licensee_id = look.licensee_id AND m.licensor_id = look.licensor_id
        AND m.changed_xid >= r.seen_xid))
ORDER BY r.made_at NULLS FIRST, look.id LIMIT :limit
""")  # noqa: S608


@dataclass(frozen=True, slots=True)
class _Month:
    """One month of a bill, seen from a day, with the document that stands for it."""

    bill: Bill
    period: Period
    today: date
    standing: Invoice | None
    heard: Collection[date]

    @property
    def over(self) -> bool:
        return self.today >= self.period.end

    @property
    def state(self) -> str:
        if self.standing is not None:
            return "issued" if self.standing.status == "issued" else "closed"
        return "over" if self.over else "running"


def agreements_to_accrue(
    session: Session, limit: int = 500, *, often: timedelta = OFTEN, only: int | None = None
) -> list[int]:
    """The agreements whose accruals are due: never made, or something has changed since, the oldest first."""
    return list(session.scalars(_DUE, {"limit": limit, "often": often, "id": only}))


def accrue_if_due(session: Session, agreement_id: int, *, often: timedelta = OFTEN) -> bool:
    """`accrue`, unless somebody else is doing it or has done it since; whether it was done."""
    mine = func.pg_try_advisory_xact_lock(_LOCKS, agreement_id % 2**31)
    if not session.scalar(select(mine)) or not agreements_to_accrue(session, 1, often=often, only=agreement_id):
        return False
    accrue(session, agreement_id)
    return True


def accrue_due(session: Session) -> int:
    """Every accrual that is due, in one transaction: for a command, a demonstration or a test. How many agreements."""
    due = agreements_to_accrue(session, 1_000_000, often=timedelta())
    for agreement_id in due:
        accrue(session, agreement_id)
    return len(due)


def accrue(session: Session, agreement_id: int, now: datetime | None = None) -> None:
    """Makes the rows of the running month and of the one before anew, as of now. Terms that cannot be rated leave a
    row that says why.
    """
    look = session.execute(_ONE, {"id": agreement_id}).one()
    today = look.today if now is None else day_of(now, look.zone)
    month = Period.month_of(today)
    agreement = session.get_one(Agreement, agreement_id, populate_existing=True)
    try:
        rows = _rows(session, agreement, today, month)
    except PerimageError as error:
        rows = [_refused(month, error)]
    for row in rows:
        _keep(session, look, today, row)


def _rows(session: Session, agreement: Agreement, today: date, month: Period) -> list[dict[str, Any]]:
    before = Period.month_of(month.start - _DAY)
    bill = with_estimates(session, load_bill(session, agreement, until=month.end), month.end)
    standing = _standing(session, agreement.id, (before.start, month.start))
    days = agreement_days(session, expecting(session, agreement.slug), Period(today - _WINDOW, today + _DAY))
    over = [each for each in days if each.day < today]
    heard = [each.day for each in over if each.state in ("reported", "zero")]
    silent = [run for run in missing_runs(over) if run.end == today]
    said = {
        "last_counted_on": max((day for (_, day), images in bill.counts.items() if images), default=None),
        "silent_since": silent[0].start if silent else None,
    }
    found = []
    if bill.contract.in_force.overlap(before):
        found.append(_Month(bill, before, today, standing.get(before.start), heard))
    waits = bool(found) and found[0].state != "issued"
    found.append(_Month(bill, month, today, standing.get(month.start), heard))
    return [
        {
            **said,
            **_figures(session, each, leave_out_earlier=waits and each.period == month),
            "missing_day_count": sum(d.state == "missing" for d in over if d.day in each.period),
        }
        for each in found
    ]


def _figures(session: Session, of: _Month, *, leave_out_earlier: bool) -> dict[str, Any]:
    """What one month comes to. Amounts of earlier months are left out where a row of theirs still has them."""
    bill, period = of.bill, of.period
    contract, counts = bill.contract, bill.counts
    last_seen = min(of.today, period.end - _DAY)
    to_come = Period(
        period.end if of.over else period.start, max(horizon(contract, period, last_seen), of.today + _DAY)
    )
    ahead = expected(contract, counts, of.heard, of.today, to_come)

    def due(images: dict[tuple[str, date], int], by: date) -> Sequence[DraftLine]:
        lines = due_lines(session, replace(bill, counts=images), period, leaving_out=of.standing)
        first = period.start if leave_out_earlier else date.min
        return [line for line in lines if line.key.due_on > first and due_by(line.key, by)]

    if of.standing is not None and of.state == "issued":
        accrued = forecast = (of.standing.net_minor, of.standing.tax_minor, _adjusting(session, of.standing.id))
    else:
        accrued = _sums(due(counts, min(of.today, period.end)), period)
        forecast = accrued if of.over else _sums(due(ahead.counts, period.end), period)
    own = own_lines(contract, counts, period)
    images, fees = by_day(own, counts, period, min(of.today + _DAY, period.end))
    commitments = commitment_positions(contract, counts, ahead, last_seen)
    subjects = by_subject(own)
    return {
        "period": period,
        "state": of.state,
        "image_count": counts_in(counts, period),
        "forecast_image_count": counts_in(ahead.counts, period),
        "accrued_minor": accrued[0],
        "accrued_tax_minor": accrued[1],
        "earlier_minor": accrued[2],
        "forecast_minor": forecast[0],
        "forecast_tax_minor": forecast[1],
        "fees_minor": sum(line.money.minor for line in own),
        "method": "the month is over: as counted" if of.over else ahead.method,
        "subjects": [each.subject for each in subjects],
        "subject_images": [each.images for each in subjects],
        "subject_minor": [each.minor for each in subjects],
        "day_images": images,
        "day_minor": fees,
        "shortfall_minor": sum(each.shortfall.minor for each in commitments),
        "commitments": [_plain(asdict(each)) for each in commitments],
        "caps": [asdict(each) for each in cap_positions(contract, counts, ahead.counts, period)],
    }


def _sums(lines: Sequence[DraftLine], period: Period) -> tuple[int, int, int]:
    """Net, tax, and what of the net belongs to earlier months."""
    tax = sum(group.tax_minor for group in tax_groups((line.tax, line.money.minor) for line in lines))
    earlier = sum(line.money.minor for line in lines if not line.key.belongs_to(period))
    return sum(line.money.minor for line in lines), tax, earlier


def _adjusting(session: Session, invoice_id: int) -> int:
    """What of an invoice adjusts earlier months."""
    minor = func.coalesce(func.sum(InvoiceLine.amount_minor), 0)
    asked = select(minor).where(InvoiceLine.invoice_id == invoice_id, InvoiceLine.adjustment)
    return int(session.execute(asked).scalar_one())


def _standing(session: Session, agreement_id: int, starts: Collection[date]) -> dict[date, Invoice]:
    """The documents that stand for months, by their first day."""
    asked = select(Invoice).where(
        Invoice.agreement_id == agreement_id,
        Invoice.period_start.in_(starts),
        Invoice.corrects_invoice_id.is_(None),
        Invoice.status != "void",
    )
    rows = session.scalars(asked.execution_options(populate_existing=True))
    return {row.period_start: row for row in rows}


def _refused(period: Period, error: PerimageError) -> dict[str, Any]:
    numbers = (
        *("image_count", "forecast_image_count", "accrued_minor", "accrued_tax_minor", "earlier_minor"),
        *("forecast_minor", "forecast_tax_minor", "fees_minor", "shortfall_minor", "missing_day_count"),
    )
    lists = ("subjects", "subject_images", "subject_minor", "day_images", "day_minor", "commitments", "caps")
    nothing: dict[str, Any] = {**dict.fromkeys(numbers, 0), **{name: [] for name in lists}}
    nothing |= {"last_counted_on": None, "silent_since": None}
    return {**nothing, "period": period, "state": "refused", "method": error.sentence}


def _keep(session: Session, look: Row[Any], today: date, figures: dict[str, Any]) -> None:
    """Puts a row in the place of the one before, unless that one has seen more."""
    period: Period = figures.pop("period")
    row = {
        "agreement_id": look.id,
        "period_start": period.start,
        "period_end": period.end,
        "licensor_id": look.licensor_id,
        "licensee_id": look.licensee_id,
        "currency": look.currency,
        "as_of": today,
        "counted_at": look.counted_at,
        "made_at": look.now,
        "basis": look.basis,
        "seen_xid": look.seen_xid,
        **figures,
    }
    put = insert(Accrual).values(row)
    rest = {name: put.excluded[name] for name in row if name not in ("agreement_id", "period_start")}
    session.execute(
        put.on_conflict_do_update(
            index_elements=["agreement_id", "period_start"],
            set_=rest,
            where=Accrual.seen_xid <= put.excluded.seen_xid,
        )
    )


def _plain(value: Any) -> Any:
    """A position as JSON keeps it: exact numbers and days as text."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, date) else value
