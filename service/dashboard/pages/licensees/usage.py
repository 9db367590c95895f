"""A licensee's usage by model and plan, day by day and month by month, and its statements."""

from datetime import UTC, date, datetime

from fastapi import Request
from starlette.responses import Response

from core.accruals.licensee_figures import usage_by_day, usage_by_month
from core.accruals.series import Series as Figures
from core.errors import InvalidInput
from core.period import Period
from core.usage.counts.licensor_counts import ModelUsage, usage_by_plan
from service.dashboard.charts import Series, chart
from service.dashboard.figures import drawn
from service.dashboard.listing import Column, Listing
from service.dashboard.pages.licensees.router import licensee_of, licensee_page, router
from service.dashboard.signed_in import FinanceEyes, Viewer
from service.dashboard.written import month as month_said

MONTHS = 12
USAGE = Listing(
    columns=(
        Column("model", "Model", lambda row: row.model, sort=True),
        Column("plan", "Plan", lambda row: row.plan or "none named", sort=True),
        Column("images", "Images", lambda row: row.image_count, kind="count", sort=True),
        Column("events", "Events", lambda row: row.event_count, kind="count", sort=True, wide_only=True),
    ),
    sort="-images", file="usage", label="Usage by model and plan", searchable=True,
    empty="Nothing was counted in this month",
)  # fmt: skip


@router.get("/{licensee}/usage")
def usage(request: Request, person: Viewer, eyes: FinanceEyes, licensee: str) -> Response:
    whose = licensee_of(eyes, person, licensee)
    today = datetime.now(UTC).date()
    month = month_asked(request, today)
    by = "plan" if request.query_params.get("by") == "plan" else "model"
    rows: list[ModelUsage] = usage_by_plan(eyes, person.licensor_id, whose.id, month)
    listed = USAGE.of(request, rows)
    if listed.wants_csv:
        return listed.answer("licensees/usage.html")
    daily = usage_by_day(eyes, person.licensor_id, whose.id, month, by="plan" if by == "plan" else "model")
    year = Period(month.months_before(MONTHS - 1).start, month.end)
    monthly = usage_by_month(eyes, person.licensor_id, whose.id, year, by="plan" if by == "plan" else "model")
    return licensee_page(
        request, "usage.html", whose, "Usage", listed=listed, month=month, by=by,
        total=sum(each.image_count for each in rows), earlier=month.months_before(),
        later=month.months_before(-1) if month.end <= today else None,
        daily=drawn(daily, "daily", "Images a day") if daily.total else None,
        monthly=by_month(monthly) if monthly.total else None,
    )  # fmt: skip


def by_month(found: Figures) -> object:
    """A series over months as stacked bars."""
    lines = [Series(line.name, line.values, tone="quiet" if line.slug is None else None) for line in found.lines]
    return chart("monthly", "Images a month", x=[month_said(day) for day in found.days], series=lines, kind="stacked",
                 x_label="Month")  # fmt: skip


def month_asked(request: Request, today: date) -> Period:
    """The month that the address names, else the running one."""
    try:
        return Period.month(request.query_params.get("month", ""))
    except InvalidInput:
        return Period.month_of(today)
