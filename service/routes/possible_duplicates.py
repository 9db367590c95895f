"""Usage that looks as if it had been reported twice by a client that sends no ids."""

from dataclasses import asdict
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from core.database import licensee_eyes
from core.errors import InvalidInput
from core.usage.own.possible_duplicates import possible_duplicates
from service.caller import RequestCaller
from service.session import RequestSession

DAYS = 7  # that are looked at where nothing is said
MOST_DAYS = 35
EARLIEST, LATEST = date(2000, 1, 1), date(9000, 1, 1)
router = APIRouter(tags=["usage"])


class PossibleDuplicate(BaseModel):
    """Equal events without an id of their own, each received at most five seconds after the one before."""

    model: str = Field(description="as it was reported")
    adapters: list[str]
    image_count: int = Field(description="of each of the events")
    event_count: int = Field(description="how many there are; all of them are counted")
    first_received_at: datetime
    last_received_at: datetime
    event_ids: list[str] = Field(description="the first hundred; a repeat is withdrawn by its event id")


class PossibleDuplicates(BaseModel):
    """The newest first."""

    possible_duplicates: list[PossibleDuplicate]
    complete: bool = Field(description="false when there may be more than is listed; ask for fewer days")


@router.get("/v1/usage/possible-duplicates", summary="What may have been counted twice")
def get_possible_duplicates(
    request_session: RequestSession,
    caller: RequestCaller,
    *,
    start: Annotated[date | None, Query(alias="from", description="first day of receipt, in UTC")] = None,
    end: Annotated[date | None, Query(alias="to", description="the day after the last")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> PossibleDuplicates:
    """Usage that was reported without an id and looks like a repeat: the same names and count within five seconds.

    Only clients of the licence API and of meter events can report without an id, by sending neither one nor an
    `Idempotency-Key`. All of it is counted. What was withdrawn is not listed any more. Without days, the last seven.
    """
    last = end or datetime.now(UTC).date() + timedelta(days=1)
    first = start or date.fromordinal(max(last.toordinal() - DAYS, 1))
    if not (EARLIEST <= first < last <= LATEST and last - first <= timedelta(days=MOST_DAYS)):
        raise InvalidInput("invalid_days", f"ask for 1 to {MOST_DAYS} days, with from before to")
    with licensee_eyes(request_session, caller.licensee_id) as session:
        found = possible_duplicates(session, caller.licensee_id, _midnight(first), _midnight(last), most=limit)
    return PossibleDuplicates(
        possible_duplicates=[PossibleDuplicate(**asdict(each)) for each in found], complete=len(found) < limit
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
