"""The same what-if for a licensee: its own agreements, its own usage, and the opening example."""

from fastapi import Request
from starlette.responses import Response

from service.dashboard.door import page_router
from service.dashboard.form import Filled
from service.dashboard.scenario import keeping
from service.dashboard.scenario.shown import Desk, answer_part, compared_part, whole_page
from service.dashboard.signed_in import PortalEyes, PortalViewer

HOME = "/portal/scenario"
router = page_router(HOME)


@router.get("")
def portal_scenario(request: Request, person: PortalViewer, eyes: PortalEyes) -> Response:
    return whole_page(request, Desk(HOME, person, eyes))


@router.get("/answer")
def portal_scenario_answer(request: Request, person: PortalViewer, eyes: PortalEyes) -> Response:
    return answer_part(request, Desk(HOME, person, eyes))


@router.get("/compared")
def portal_scenario_compared(request: Request, person: PortalViewer, eyes: PortalEyes) -> Response:
    return compared_part(request, Desk(HOME, person, eyes))


@router.post("/save")
def portal_save_scenario(request: Request, person: PortalViewer, eyes: PortalEyes, form: Filled) -> Response:
    return keeping.save(request, Desk(HOME, person, eyes), form)


@router.get("/saved/{key}")
def portal_saved_scenario(request: Request, person: PortalViewer, eyes: PortalEyes, key: str) -> Response:
    return keeping.opened(request, Desk(HOME, person, eyes), key)


@router.post("/saved/{key}/delete")
def portal_delete_scenario(request: Request, person: PortalViewer, eyes: PortalEyes, key: str) -> Response:
    return keeping.delete(request, Desk(HOME, person, eyes), key)
