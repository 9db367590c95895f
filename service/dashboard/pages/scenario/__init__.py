"""Scenario: what other terms would cost, on a forecast and on what was really recorded."""

from fastapi import Request
from starlette.responses import Response

from service.dashboard.door import page_router
from service.dashboard.scenario.shown import Desk, answer_part, compared_part, whole_page
from service.dashboard.signed_in import FinanceEyes, Viewer

router = page_router("/scenario")
HOME = "/scenario"


@router.get("")
def scenario(request: Request, person: Viewer, eyes: FinanceEyes) -> Response:
    return whole_page(request, Desk(HOME, person, eyes))


@router.get("/answer")
def scenario_answer(request: Request, person: Viewer, eyes: FinanceEyes) -> Response:
    return answer_part(request, Desk(HOME, person, eyes))


@router.get("/compared")
def scenario_compared(request: Request, person: Viewer, eyes: FinanceEyes) -> Response:
    return compared_part(request, Desk(HOME, person, eyes))
