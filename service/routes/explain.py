"""How an invoice was worked out, for the licensee who has to pay it."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from core.database import licensee_eyes
from core.invoicing.workings.explain import explain_invoice
from service.caller import RequestCaller
from service.routes.invoices import Number
from service.session import RequestSession

router = APIRouter(tags=["invoices"])


@router.get("/v1/invoices/{number}/explain", summary="How an invoice was worked out")
def explain(
    session: RequestSession,
    caller: RequestCaller,
    number: Number,
    line: Annotated[int | None, Query(ge=1, le=10**6, description="only this line")] = None,
) -> dict[str, Any]:
    """For every line: the images by day and their corrections, the price in force and the amendment it stands in, each
    step to the amount, and the other invoices that bill the same thing. Anyone can recompute it by hand."""
    with licensee_eyes(session, caller.licensee_id):
        return explain_invoice(session, number, line)
