"""Taking a report in: the steps that every door shares, between reading a request and answering it.

Our own format and those of other systems differ in how a report is written down and in how it is answered. Who may
report, how often, about which times, what is held, what a full cap turns away and when it is committed is the same.
"""

from datetime import datetime
from hashlib import sha256
from typing import Any

from core.errors import InvalidInput
from core.kill_points import kill_point
from core.usage.intake.receipt import Receipt
from core.usage.intake.report import Report, Window, micros
from service.caller import Caller

State = Any  # app.state: what the application opened at its start


async def admit(state: State, credentials: str) -> Caller:
    """Whoever sent these credentials, one request the poorer; raises NotAllowed or Unavailable."""
    caller: Caller = await state.callers.find(credentials)
    state.rate_limit.take(caller.key_id)
    return caller


def window(state: State, caller: Caller, now: datetime) -> Window:
    """The times that this caller may report about now."""
    return Window.at(now, state.settings.past_days, state.settings.future_minutes, caller.backfill_from)


async def holds(state: State, caller: Caller, report: Report) -> dict[int, str]:
    """Why events of this report are held, by their places."""
    held: dict[int, str] = await state.catalogue.holds(caller.licensee_id, report)
    return held


async def commit(state: State, caller: Caller, report: Report, body: bytes, held: dict[int, str]) -> Receipt:
    """Writes the report, without what a full cap keeps out. Returns after its COMMIT."""
    kill_point("after_parse")
    digest = sha256(body).digest()
    capped = state.catalogue.capped(caller.licensee_id, report)
    receipt: Receipt = await state.intake_queue.submit(
        caller.licensee_id, caller.key_id, report, digest, held, capped=capped
    )
    return receipt


def check_time(state: State, caller: Caller, now: datetime, instant: datetime, called: str) -> None:
    """Refuses an instant about which this caller may not report now, calling it as the sender does."""
    if refusal := window(state, caller, now).refusal(micros(instant), called):
        raise InvalidInput(refusal.code, refusal.message, at=called)
