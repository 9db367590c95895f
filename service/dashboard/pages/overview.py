"""The front page of a licensor: what the month brings, what is owed, and what needs somebody."""

from collections.abc import Sequence
from datetime import timedelta

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from core.accruals.overview import CurrencyFees, Overview, Receivables, overview
from core.accruals.series import By, currencies_of, fees_by_month, images_by_day
from core.accruals.series import Series as Figures
from core.money import Money
from core.period import Period
from service.dashboard import written
from service.dashboard.charts import Chart, Series, chart
from service.dashboard.door import page_router
from service.dashboard.rendering import page
from service.dashboard.signed_in import Anybody, FinanceEyes, Viewer

router = page_router()
DAYS, MONTHS = 35, 13
SHOWN_MONTHS = 6  # at least, however short the history
BY: dict[str, By] = {"model": "model", "licensee": "licensee", "total": "total"}


@router.get("/")
def front(request: Request, person: Anybody) -> Response:
    """Leads people to the side that is theirs."""
    return RedirectResponse("/portal" if person.side == "portal" else "/overview", 303)


@router.get("/overview")
def finance_overview(request: Request, person: Viewer, eyes: FinanceEyes) -> Response:
    shown = overview(eyes, person.licensor_id)
    currencies = currencies_of(eyes, person.licensor_id) or [each.accrued.currency for each in shown.fees] or ["USD"]
    currency = request.query_params.get("currency", "")
    currency = currency if currency in currencies else currencies[0]
    by = BY.get(request.query_params.get("by", ""), "model")
    today = shown.counted_at.date() if shown.counted_at else shown.month.start
    recent = Period(today - timedelta(days=DAYS - 1), today + timedelta(days=1))
    images = images_by_day(eyes, person.licensor_id, recent, by=by)
    year = Period(shown.month.months_before(MONTHS - 1).start, shown.month.end)
    fees = fees_by_month(eyes, person.licensor_id, year, currency, by="licensee" if by == "licensee" else "total")
    of_currency = next((each for each in shown.fees if each.accrued.currency == currency), None)
    return page(
        request, "overview/overview.html", title="Overview", shown=shown, currencies=currencies, currency=currency,
        by=by, fees=of_currency, change=_change(of_currency, shown.month), owed=_owed(shown.receivables, currency),
        images_chart=_images(images), fees_chart=_fees(fees, of_currency, currency), waiting=_waiting(shown),
    )  # fmt: skip


def _change(fees: CurrencyFees | None, month: Period) -> tuple[str, str, str] | None:
    """Last month against the one before it, in words."""
    if fees is None or not fees.month_before.minor:
        return None
    before = written.month(month.months_before(2))
    more = fees.last_month.minor - fees.month_before.minor
    if not more:
        return f"as much as in {before}", "same", "quiet"
    share = written.percent(abs(more), abs(fees.month_before.minor))
    return f"{share} {'more' if more > 0 else 'less'} than in {before}", *(
        ("up", "good") if more > 0 else ("down", "bad")
    )


def _owed(receivables: Sequence[Receivables], currency: str) -> Receivables | None:
    return next((each for each in receivables if each.open.currency == currency), None)


def _waiting(shown: Overview) -> list[tuple[str, str, str]]:
    """What needs somebody, as (words, address, tone), the most urgent first."""
    overdue = sum(each.overdue_count for each in shown.receivables)
    found = [
        (shown.held_count, "draft waits", "drafts wait", " for a release", "/month-end?state=held", "warn"),
        (overdue, "invoice is", "invoices are", " overdue", "/invoices?standing=overdue", "bad"),
        (shown.stopped_count, "licensee has", "licensees have", " stopped reporting", "#stopped", "warn"),
        (shown.at_risk_count, "commitment is", "commitments are", " at risk", "#at-risk", "info"),
    ]
    return [
        (f"{written.count(number)} {one if number == 1 else many}{rest}", address, tone)
        for number, one, many, rest, address, tone in found
        if number
    ]


def _images(images: Figures) -> Chart | None:
    if not images.total:
        return None
    lines = [Series(line.name, line.values, tone="quiet" if line.slug is None else None) for line in images.lines]
    return chart("images", "Images a day", x=images.days, series=lines, kind="stacked", unit="images that owe a fee")


def _fees(fees: Figures, running: CurrencyFees | None, currency: str) -> Chart | None:
    if not fees.total and not (running and running.forecast.minor):
        return None
    used = [n for n, _ in enumerate(fees.days) if any(line.values[n] for line in fees.lines)]
    first = min(used[0] if used else len(fees.days) - 1, len(fees.days) - SHOWN_MONTHS)
    months = [written.month(day) for day in fees.days[first:]]
    lines = [
        Series(
            "fees" if line.slug == "" else line.name,
            fees.money(line)[first:],
            tone="quiet" if line.slug is None else None,
        )
        for line in fees.lines
    ]
    still = max(0, running.forecast.minor - running.accrued.minor) if running else 0
    ahead = Series("expected until the month ends", [*[Money(currency, 0)] * (len(months) - 1), Money(currency, still)],
                   dashed=True, tone="quiet")  # fmt: skip
    return chart(
        "fees", "Fees a month", x=months, series=[*lines, *([ahead] if still else [])], kind="stacked",
        unit=f"{currency}, before tax", x_label="Month",
    )  # fmt: skip
