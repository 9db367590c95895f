"""The front page of the portal: what this month costs, what is to be paid, and what waits for somebody."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from fastapi import Request
from starlette.responses import Response

from core.accruals.queries import Accrued, accruals_of
from core.accruals.waiting import held_usage, unreviewed_airs
from core.invoicing.drafts.unlicensed import unlicensed_usage
from core.invoicing.own import Owing, owing
from core.money import Money, total
from core.period import Period
from core.statements.own import to_certify
from core.usage.own.possible_duplicates import possible_duplicates
from core.usage.reporting.gaps import gaps
from service.dashboard import written
from service.dashboard.door import page_router
from service.dashboard.figures import commitments_in, heat_of, recent_usage
from service.dashboard.portal._accounts import account_asked, today
from service.dashboard.rendering import page
from service.dashboard.signed_in import PortalEyes, PortalViewer

router = page_router("/portal")
FEW, MANY = 10, 1000
GAP_SECONDS = 900  # reports that are sent side by side may overtake each other
Waiting = list[tuple[str, str, str]]


@router.get("")
def portal_overview(request: Request, person: PortalViewer, eyes: PortalEyes) -> Response:
    chosen = account_asked(request, eyes, person)
    if chosen is None:
        return page(request, "portal/no_account.html", title="Overview")
    now, licensor_id = today(), chosen.licensor.id
    month = Period.month_of(now)
    found = accruals_of(eyes, licensor_id=licensor_id, month=month)
    owed = owing(eyes, licensor_id, chosen.currency)
    heat = heat_of(eyes, licensor_id, person.licensee_id, now)
    held, guessed = held_usage(eyes, limit=FEW), unreviewed_airs(eyes, limit=FEW)
    unlicensed = unlicensed_usage(eyes, chosen.account.id)
    certify = to_certify(eyes, licensor_id)
    return page(
        request, "portal/overview.html", title="Overview", chosen=chosen, month=month, owed=owed, heat=heat,
        sums=_sums(found, chosen.currency), counted_at=max((each.counted_at for each in found), default=None),
        usage=recent_usage(eyes, licensor_id, person.licensee_id, now), commitments=commitments_in(found),
        caps=[cap for each in found for cap in each.caps], held=held, guessed=guessed, unlicensed=unlicensed,
        certify=certify, waiting=_waiting(owed, heat[1], len(certify)),
        last_heard=max((each.last_counted_on for each in found if each.last_counted_on), default=None),
    )  # fmt: skip


@router.get("/lost")
def portal_lost(request: Request, person: PortalViewer, eyes: PortalEyes) -> Response:
    """What it takes a look through all reports to see; the front page asks for it when it is there."""
    now = datetime.now(UTC)
    doubles = len(possible_duplicates(eyes, person.licensee_id, now - timedelta(days=7), now, most=MANY))
    lost = sum(gap.missing_count for gap in gaps(eyes, open_seconds=GAP_SECONDS, limit=MANY) if gap.kind == "missing")
    found = [
        (lost, "report", "reports", " never arrived", "/portal/usage/days#gaps", "warn"),
        (doubles, "possible duplicate", "possible duplicates", "", "/portal/usage/duplicates", "info"),
    ]
    return page(request, "portal/lost.html", waiting=_said(found))


def _sums(found: Sequence[Accrued], currency: str) -> dict[str, Money | int]:
    """What this month comes to over all agreements of the account."""
    return {
        "accrued": total([each.accrued for each in found], currency),
        "forecast": total([each.forecast for each in found], currency),
        "shortfall": total([each.expected_shortfall for each in found], currency),
        "images": sum(each.image_count for each in found),
        "ahead": sum(each.forecast_image_count for each in found),
    }


def _waiting(owed: Owing, missing: int, statements: int) -> Waiting:
    """What needs somebody, as (words, address, tone), the most urgent first."""
    found = [
        (owed.overdue_count, "invoice is", "invoices are", " overdue", "/portal/invoices?standing=overdue", "bad"),
        (missing, "day is", "days are", " without a report", "/portal/usage/days", "warn"),
        (
            statements,
            "statement waits",
            "statements wait",
            " for your word",
            "/portal/statements?standing=open",
            "info",
        ),
    ]
    return _said(found)


def _said(found: Sequence[tuple[int, str, str, str, str, str]]) -> Waiting:
    return [
        (f"{written.count(number)} {one if number == 1 else many}{rest}", address, tone)
        for number, one, many, rest, address, tone in found
        if number
    ]
