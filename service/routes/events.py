"""A licensee's own events, one by one: what each is counted for, or what it waits for."""

from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from core.database import licensee_eyes
from core.registry.lineage import Role
from core.usage.intake.report import MAX_NAME
from core.usage.own.events import Fate, event
from core.usage.tables import UsageEvent
from service.caller import RequestCaller
from service.session import RequestSession

router = APIRouter(tags=["usage"])
Id = Annotated[str, Path(min_length=1, max_length=MAX_NAME)]


class CountedModel(BaseModel):
    """A fee-bearing model for which an event is counted; `agreement` covers it on that day of the account's zone."""

    model: str
    role: Role
    day: date
    agreement: str | None


class EventHold(BaseModel):
    """What an event waits for."""

    name: str
    reason: str = Field(examples=["unknown_name"])
    how_to_fix: str


class OwnEvent(BaseModel):
    """One event as it was sent, and where it stands now."""

    event_id: str
    model: str
    image_count: int
    occurred_at: datetime
    adapters: list[str]
    plan: str | None
    output: str
    standing: Literal["waiting", "counted", "held"] = Field(
        description="`waiting` for the next roll-up, seconds away; `counted`; or `held`, at least in part"
    )
    counted_for: list[CountedModel]
    held_for: list[EventHold]


class EventCorrection(BaseModel):
    """A correction of an event: what it counted before and after."""

    correction_id: str
    kind: str
    image_count_before: int
    image_count_after: int
    reason: str
    reference: str | None
    actor: str
    made_at: datetime


class OwnEventDetail(OwnEvent):
    """One event with the report that brought it, and its corrections in the order in which they were made."""

    received_at: datetime
    report_id: str | None
    source: str | None
    sequence: int | None
    image_count_now: int = Field(description="after its corrections")
    corrections: list[EventCorrection]


def own_event(row: UsageEvent, fate: Fate) -> dict[str, Any]:
    """The fields of an event and of where it stands; ask before the session's transaction ends."""
    return {
        "event_id": row.event_id,
        "model": row.model,
        "image_count": row.image_count,
        "occurred_at": row.occurred_at,
        "adapters": row.adapters,
        "plan": row.plan or None,
        "output": row.output,
        **asdict(fate),
    }


@router.get("/v1/events/{event_id:path}", summary="One event, and what it is counted for")
def get_event(session: RequestSession, caller: RequestCaller, event_id: Id) -> OwnEventDetail:
    """The fact as it was sent, the report that brought it, the models it is counted for or what it waits for, and its
    corrections. Refused events are not kept: see `/v1/usage/rejected`. Write the id as it is, or percent-encoded; it
    may contain slashes."""
    with licensee_eyes(session, caller.licensee_id):
        found = event(session, event_id)
        report = found.report
        return OwnEventDetail(
            **own_event(found.event, found.fate),
            received_at=found.event.received_at,
            report_id=report.report_id if report else None,
            source=report.source if report else None,
            sequence=report.sequence if report else None,
            image_count_now=found.image_count_now,
            corrections=[EventCorrection.model_validate(each, from_attributes=True) for each in found.corrections],
        )
