"""Deliveries of notices: where each went, how it stands, every attempt, and sending it again."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastapi import Request
from starlette.responses import Response

from core.notices.deliver import replay
from core.notices.kinds import TEST
from core.notices.queries import attempts
from core.notices.shown import deliveries_asked, one_delivery
from core.notices.tables import Delivery, Notice, WebhookEndpoint
from core.notices.wording import written
from service.dashboard.acting import act
from service.dashboard.listing import Column, Filter, Listing
from service.dashboard.pages.settings.router import known_id, router, settings_page
from service.dashboard.rendering import after
from service.dashboard.signed_in import Clerk, FinanceEyes, Viewer

STATES = (("waiting", "Waiting"), ("delivered", "Delivered"), ("given_up", "Given up"))


def subject(kind: str, data: Mapping[str, Any]) -> str:
    """A notice in one line. A test is nobody's news, so it has no words to be written in."""
    return "A test" if kind == TEST.name else written(kind, data)[0]


def state_of(row: Any) -> tuple[str, str]:
    """How a delivery stands, in a word and its tone."""
    if row.state == "waiting":
        return ("retrying", "warn") if row.attempts else ("waiting", "info")
    return ("delivered", "good") if row.state == "delivered" else ("given up", "bad")


def answer_of(row: Any) -> str:
    """How the last answer began."""
    said = row.last_said[:80] + ("…" if len(row.last_said) > 80 else "")
    return " · ".join(str(each) for each in (row.last_status, said) if each)


WHAT = Column(
    "what", "What", lambda row: subject(row.kind, row.data), href=lambda row: f"/settings/deliveries/{row.id}",
    note=lambda row: row.kind,
)  # fmt: skip
WHEN = Column("told", "Told", lambda row: row.told_at, kind="moment", sort=Delivery.id)
HOW = (
    Column("state", "State", lambda row: row.state, kind="custom"),
    Column("attempts", "Attempts", lambda row: row.attempts, kind="count", sort=Delivery.attempts, wide_only=True),
    Column(
        "next", "Next try", lambda row: row.next_attempt_at if row.state == "waiting" else None, kind="moment",
        wide_only=True,
    ),
    Column("answer", "Last answer", answer_of, wide_only=True),
)  # fmt: skip
BY_STATE = Filter("state", "State", STATES, column=Delivery.state)
DELIVERIES = Listing(
    columns=(WHEN, WHAT, Column("to", "To", lambda row: row.to, wide_only=True), *HOW),
    search=(Notice.kind, Delivery.address, WebhookEndpoint.url, Delivery.last_said),
    search_label="Search by address, kind or answer",
    filters=(
        BY_STATE,
        Filter("channel", "By", (("webhook", "Webhook"), ("email", "E-mail")),
               where=lambda said: Delivery.endpoint_id.is_not(None) if said == "webhook" else Delivery.address != ""),
    ),
    sort="-told",
    file="deliveries",
    label="Deliveries",
    empty="Nothing was sent yet",
    counted=False,
)  # fmt: skip
OF_ENDPOINT = Listing(
    columns=(WHEN, WHAT, *HOW),
    search=(Notice.kind, Delivery.last_said),
    search_label="Search by kind or answer",
    filters=(BY_STATE,),
    sort="-told",
    file="deliveries",
    label="Deliveries to this endpoint",
    empty="Nothing was sent there yet",
    counted=False,
)


@router.get("/deliveries")
def deliveries(request: Request, person: Viewer, eyes: FinanceEyes) -> Response:
    listed = DELIVERIES.read(request, eyes, deliveries_asked())
    if listed.wants_csv:
        return listed.csv()
    return settings_page(request, "deliveries.html", person, "Notices", title="Deliveries", listed=listed)


@router.get("/deliveries/{delivery_id}")
def delivery(request: Request, person: Viewer, eyes: FinanceEyes, delivery_id: int) -> Response:
    """One delivery with every attempt. It asks for itself again while it is on its way."""
    row = one_delivery(eyes, known_id(delivery_id))
    tried = [{**each, "moment": datetime.fromisoformat(each["at"])} for each in attempts(eyes, row.id)]
    return settings_page(
        request, "delivery.html", person, "Notices", title=f"Delivery {row.id}", row=row, state=state_of(row),
        attempts=tried, said=subject(row.kind, row.data),
        answer=answer_of(row),
    )  # fmt: skip


@router.post("/deliveries/{delivery_id}/replay")
def replay_delivery(request: Request, person: Clerk, eyes: FinanceEyes, delivery_id: int) -> Response:
    """Sends it once more from the start, under the id that its receiver knows."""
    one_delivery(eyes, known_id(delivery_id))
    act(request, lambda session: replay(session, person.actor, delivery_id))
    return after(request, f"/settings/deliveries/{delivery_id}", "It is on its way again.")
