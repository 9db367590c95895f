"""One licensee at a glance: its month, its commitments, its reporting calendar, and what waits for somebody."""

from datetime import UTC, datetime

from fastapi import Request
from starlette.responses import Response

from core.accruals.licensee_list import LICENSEES
from core.accruals.waiting import held_usage, unreviewed_airs
from core.invoicing.drafts.unlicensed import unlicensed_usage
from core.period import Period
from core.registry.tables import Licensee
from service.dashboard.figures import commitments_of, heat_of, recent_usage
from service.dashboard.pages.licensees.router import licensee_of, licensee_page, router
from service.dashboard.signed_in import FinanceEyes, Viewer


@router.get("/{licensee}")
def one_licensee(request: Request, person: Viewer, eyes: FinanceEyes, licensee: str) -> Response:
    whose = licensee_of(eyes, person, licensee)
    today = datetime.now(UTC).date()
    figures = eyes.execute(LICENSEES.where(Licensee.id == whose.id)).one()
    return licensee_page(
        request, "one.html", whose, "Overview", figures=figures, month=Period.month_of(today),
        usage=recent_usage(eyes, person.licensor_id, whose.id, today),
        heat=heat_of(eyes, person.licensor_id, whose.id, today),
        commitments=commitments_of(eyes, whose.slug, today), held=held_usage(eyes, whose.slug, 20),
        guessed=unreviewed_airs(eyes, whose.slug, 20), unlicensed=unlicensed_usage(eyes, whose.account_id),
    )  # fmt: skip
