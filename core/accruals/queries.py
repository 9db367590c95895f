"""Accruals as values: what an agreement's months come to, with its commitments, caps, days and subjects."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.accruals.position import CapPosition, CommitmentPosition, Point, Share
from core.accruals.tables import Accrual
from core.agreements.tables import Agreement
from core.money import Money
from core.period import Period
from core.registry.tables import Licensee


@dataclass(frozen=True, slots=True)
class DayFees:
    """A day's billed images and its share of the month's fees."""

    day: date
    image_count: int
    fees: Money


@dataclass(frozen=True, slots=True)
class Accrued:
    """How an agreement stands in a month (`core/accruals/tables.py` says what each figure is). Amounts are before tax
    where they do not say otherwise. `method` says in words how the days to come were filled in.
    """

    agreement_id: int
    agreement: str
    agreement_name: str
    licensee: str
    licensee_name: str
    period: Period
    state: str
    as_of: date
    counted_at: datetime
    image_count: int
    forecast_image_count: int
    accrued: Money
    accrued_tax: Money
    earlier: Money
    forecast: Money
    forecast_tax: Money
    fees: Money
    method: str
    last_counted_on: date | None
    silent_since: date | None
    missing_day_count: int
    expected_shortfall: Money
    subjects: tuple[Share, ...]
    days: tuple[DayFees, ...]
    commitments: tuple[CommitmentPosition, ...]
    caps: tuple[CapPosition, ...]


def accruals_of(
    session: Session,
    *,
    licensor_id: int | None = None,
    licensee: str | None = None,
    agreement: str | None = None,
    month: Period | None = None,
) -> list[Accrued]:
    """The accruals that the session may see, narrowed down by slug and month, by agreement and month. One statement.

    Without a licensee or an agreement it is a row for each agreement of the licensor: for exports, not for a page.
    """
    asked = (
        select(Accrual, Agreement.slug, Agreement.name, Licensee.slug, Licensee.name)
        .join(Agreement, Agreement.id == Accrual.agreement_id)
        .join(Licensee, Licensee.id == Accrual.licensee_id)
        .order_by(Agreement.slug, Accrual.period_start)
        .execution_options(populate_existing=True)
    )
    if licensor_id is not None:
        asked = asked.where(Accrual.licensor_id == licensor_id)
    if licensee is not None:
        asked = asked.where(Licensee.slug == licensee)
    if agreement is not None:
        asked = asked.where(Agreement.slug == agreement)
    if month is not None:
        asked = asked.where(Accrual.period_start == month.start)
    return [_accrued(*row) for row in session.execute(asked)]


def _accrued(row: Accrual, agreement: str, agreement_name: str, licensee: str, licensee_name: str) -> Accrued:
    def money(minor: int) -> Money:
        return Money(row.currency, minor)

    return Accrued(
        agreement_id=row.agreement_id,
        agreement=agreement,
        agreement_name=agreement_name,
        licensee=licensee,
        licensee_name=licensee_name,
        period=Period(row.period_start, row.period_end),
        state=row.state,
        as_of=row.as_of,
        counted_at=row.counted_at,
        image_count=row.image_count,
        forecast_image_count=row.forecast_image_count,
        accrued=money(row.accrued_minor),
        accrued_tax=money(row.accrued_tax_minor),
        earlier=money(row.earlier_minor),
        forecast=money(row.forecast_minor),
        forecast_tax=money(row.forecast_tax_minor),
        fees=money(row.fees_minor),
        method=row.method,
        last_counted_on=row.last_counted_on,
        silent_since=row.silent_since,
        missing_day_count=row.missing_day_count,
        expected_shortfall=money(row.shortfall_minor),
        subjects=tuple(map(Share, row.subjects, row.subject_images, row.subject_minor)),
        days=tuple(
            DayFees(row.period_start + timedelta(days=n), images, money(minor))
            for n, (images, minor) in enumerate(zip(row.day_images, row.day_minor, strict=True))
        ),
        commitments=tuple(commitment_of(each) for each in row.commitments),
        caps=tuple(CapPosition(**each) for each in row.caps),
    )


def commitment_of(document: Mapping[str, Any]) -> CommitmentPosition:
    """A commitment's position as its row keeps it."""
    exact = ("target", "counted", "remaining", "carried", "forecast", "expected_shortfall", "expected_unused")
    exhausted = document["exhausted_on"]
    return CommitmentPosition(
        name=document["name"],
        kind=document["kind"],
        unit=document["unit"],
        billing=document["billing"],
        period=Period(date.fromisoformat(document["period"]["start"]), date.fromisoformat(document["period"]["end"])),
        **{name: Decimal(document[name]) for name in exact},
        shortfall=Money(**document["shortfall"]),
        exhausted_on=date.fromisoformat(exhausted) if exhausted else None,
        burn_down=tuple(
            Point(date.fromisoformat(point["day"]), Decimal(point["quantity"]), point["expected"])
            for point in document["burn_down"]
        ),
    )
