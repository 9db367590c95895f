"""One event: what it is counted for or waits for, which report brought it, and its corrections; one may add to them."""

from uuid import uuid4

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.errors import InvalidInput
from core.usage.corrections.correct import correct
from core.usage.corrections.correction import MAX_REASON, Misread, Order, order_of
from core.usage.own.events import event
from service.dashboard.acting import act
from service.dashboard.form import Filled, Form
from service.dashboard.portal.usage.reports import event_address
from service.dashboard.portal.usage.router import router, usage_page
from service.dashboard.rendering import after
from service.dashboard.signed_in import LicenseePerson, PortalEyes, PortalManager, PortalViewer

KINDS = ("withdraw", "amend")


@router.get("/events/{event_id:path}")
def portal_event(request: Request, person: PortalViewer, eyes: PortalEyes, event_id: str) -> Response:
    return _shown(request, eyes, event_id, None)


@router.post("/events/{event_id:path}")
def correct_event(request: Request, person: PortalManager, eyes: PortalEyes, event_id: str, form: Filled) -> Response:
    """Takes the event back whole, or says how many images it really was. The event itself stays as it was sent."""
    event(eyes, event_id.replace("\x00", ""))
    with form:
        kind = form.choice("kind", KINDS)
        images = form.whole("images") if kind == "amend" else None
        reason = form.text("reason", most=MAX_REASON)
        reference = form.text("reference", required=False, most=255)
        form.demand()
        fields = {
            "event_id": event_id, "kind": kind, "reason": reason,
            **({"image_count": images} if images is not None else {}),
            **({"reference": reference} if reference else {}),
        }  # fmt: skip
        make_corrections(request, person, [fields])
    if form.wrong:
        return _shown(request, eyes, event_id, form)
    return after(
        request, event_address(event_id) or "", "Corrected; it counts within seconds, and bills the difference."
    )


def make_corrections(request: Request, person: LicenseePerson, wanted: list[dict[str, object]]) -> int:
    """Makes corrections as the API does; raises what is wrong with the first that is refused. Returns how many."""
    orders: list[Order | Misread] = []
    for fields in wanted:
        order = order_of({"correction_id": f"portal-{uuid4()}", **fields})
        if not isinstance(order, Order):
            raise InvalidInput(order.code, order.message)
        orders.append(order)

    def verb(session: Session) -> int:
        answers = correct(session, person.licensee_id, orders, person.actor.name)
        for answer in answers:
            if answer.status not in ("accepted", "duplicate"):
                raise InvalidInput(answer.code or "refused", answer.message or "the correction was refused")
        return len(answers)

    person.actor.demand_manager("correct usage")
    return act(request, verb)


def _shown(request: Request, eyes: Session, event_id: str, form: Form | None) -> Response:
    found = event(eyes, event_id.replace("\x00", ""))
    return usage_page(
        request, "event.html", "Reports", status=form.status if form else 200, title="Event", found=found, form=form,
        address=event_address(found.event.event_id),
    )  # fmt: skip
