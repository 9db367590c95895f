"""Usage that was reported without an id of its own and looks like a repeat. All of it counts until it is withdrawn."""

from datetime import UTC, datetime, timedelta

from fastapi import Request
from starlette.responses import Response

from core.usage.corrections.correction import MAX_REASON
from core.usage.own.possible_duplicates import possible_duplicates
from service.dashboard.form import Filled
from service.dashboard.portal.usage.events import make_corrections
from service.dashboard.portal.usage.reports import event_address
from service.dashboard.portal.usage.router import router, usage_page
from service.dashboard.rendering import after
from service.dashboard.signed_in import PortalEyes, PortalManager, PortalViewer

DAYS = (7, 30)
MOST = 100


@router.get("/duplicates")
def portal_duplicates(request: Request, person: PortalViewer, eyes: PortalEyes) -> Response:
    asked = request.query_params.get("days", "")
    days = int(asked) if asked in {str(each) for each in DAYS} else DAYS[0]
    now = datetime.now(UTC)
    found = possible_duplicates(eyes, person.licensee_id, now - timedelta(days=days), now, most=MOST)
    choices = [(f"Last {each} days", f"/portal/usage/duplicates?days={each}", each == days) for each in DAYS]
    return usage_page(
        request, "duplicates.html", "Possible duplicates", found=found, choices=choices, most=MOST,
        address=event_address,
    )  # fmt: skip


@router.post("/duplicates")
def withdraw_duplicates(request: Request, person: PortalManager, form: Filled) -> Response:
    """Takes back all but the first of equal events: at most a hundred at once, as they were shown."""
    with form:
        events, reason = form.many("event_id"), form.text("reason", most=MAX_REASON)
        if not events or len(events) > MOST:
            form.refuse("", "say which events were repeats")
        form.demand()
        made = make_corrections(
            request, person, [{"event_id": each, "kind": "withdraw", "reason": reason} for each in events]
        )
    if form.wrong:
        return after(request, "/portal/usage/duplicates", next(iter(form.errors.values())), tone="bad")
    said = f"{made:,} {'event is' if made == 1 else 'events are'} withdrawn; the first of them still counts."
    return after(request, "/portal/usage/duplicates", said)
