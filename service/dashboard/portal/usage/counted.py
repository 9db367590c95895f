"""What was counted: images by model and plan, day by day and month by month."""

from fastapi import Request
from starlette.responses import Response

from core.accruals.licensee_figures import usage_by_day, usage_by_month
from core.accruals.series import Series as Figures
from core.accruals.waiting import held_usage, unreviewed_airs
from core.invoicing.drafts.unlicensed import unlicensed_usage
from core.period import Period
from core.usage.counts.licensor_counts import usage_by_plan
from service.dashboard.charts import Chart, Series, chart
from service.dashboard.figures import drawn
from service.dashboard.listing import Column, Listing
from service.dashboard.portal._accounts import account_asked, month_asked, today
from service.dashboard.portal.usage.router import router, usage_page
from service.dashboard.rendering import page
from service.dashboard.signed_in import PortalEyes, PortalViewer
from service.dashboard.written import month as month_said

MONTHS = 12
USAGE = Listing(
    columns=(
        Column("model", "Model", lambda row: row.model, sort=True),
        Column("plan", "Plan", lambda row: row.plan or "none named", sort=True),
        Column("images", "Images", lambda row: row.image_count, kind="count", sort=True),
        Column("events", "Events", lambda row: row.event_count, kind="count", sort=True, wide_only=True),
    ),
    sort="-images", file="usage", label="Usage by model and plan", empty="Nothing was counted in this month",
)  # fmt: skip


@router.get("")
def portal_usage(request: Request, person: PortalViewer, eyes: PortalEyes) -> Response:
    chosen = account_asked(request, eyes, person)
    if chosen is None:
        return page(request, "portal/no_account.html", title="Usage")
    month, licensor_id = month_asked(request), chosen.licensor.id
    by = "plan" if request.query_params.get("by") == "plan" else "model"
    rows = usage_by_plan(eyes, licensor_id, person.licensee_id, month)
    listed = USAGE.of(request, rows)
    if listed.wants_csv:
        return listed.csv()
    daily = usage_by_day(eyes, licensor_id, person.licensee_id, month, by="plan" if by == "plan" else "model")
    year = Period(month.months_before(MONTHS - 1).start, month.end)
    monthly = usage_by_month(eyes, licensor_id, person.licensee_id, year, by="plan" if by == "plan" else "model")
    return usage_page(
        request, "counted.html", "Counted", chosen=chosen, listed=listed, month=month, by=by,
        total=sum(each.image_count for each in rows), models=len({each.model for each in rows}),
        earlier=month.months_before(), later=month.months_before(-1) if month.end <= today() else None,
        daily=drawn(daily, "daily", "Images a day") if daily.total else None,
        monthly=_by_month(monthly) if monthly.total else None, certify=(),
        held=held_usage(eyes, limit=50), guessed=unreviewed_airs(eyes, limit=50),
        unlicensed=unlicensed_usage(eyes, chosen.account.id),
    )  # fmt: skip


def _by_month(found: Figures) -> Chart:
    lines = [Series(line.name, line.values, tone="quiet" if line.slug is None else None) for line in found.lines]
    months = [month_said(day) for day in found.days]
    return chart("monthly", "Images a month", x=months, series=lines, kind="stacked", x_label="Month")
