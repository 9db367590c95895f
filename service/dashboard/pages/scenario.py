"""Scenario: what other terms would cost, on a forecast and on what was really recorded."""

from fastapi import Request
from starlette.responses import Response

from service.dashboard.door import page_router
from service.dashboard.form import Filled
from service.dashboard.scenario import keeping
from service.dashboard.scenario.shown import Desk, answer_part, compared_part, whole_page
from service.dashboard.signed_in import FinanceEyes, Viewer

HOME = "/scenario"
router = page_router(HOME)


@router.get("")
def scenario(request: Request, person: Viewer, eyes: FinanceEyes) -> Response:
    return whole_page(request, Desk(HOME, person, eyes))


@router.get("/answer")
def scenario_answer(request: Request, person: Viewer, eyes: FinanceEyes) -> Response:
    return answer_part(request, Desk(HOME, person, eyes))


@router.get("/compared")
def scenario_compared(request: Request, person: Viewer, eyes: FinanceEyes) -> Response:
    return compared_part(request, Desk(HOME, person, eyes))


@router.post("/save")
def save_scenario(request: Request, person: Viewer, eyes: FinanceEyes, form: Filled) -> Response:
    return keeping.save(request, Desk(HOME, person, eyes), form)


@router.get("/saved/{key}")
def saved_scenario(request: Request, person: Viewer, eyes: FinanceEyes, key: str) -> Response:
    return keeping.opened(request, Desk(HOME, person, eyes), key)


@router.post("/saved/{key}/delete")
def delete_scenario(request: Request, person: Viewer, eyes: FinanceEyes, key: str) -> Response:
    return keeping.delete(request, Desk(HOME, person, eyes), key)
