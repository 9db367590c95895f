"""What intake knows of models, agreements and the time, without asking the database for every report.

A snapshot, looked at again every second and read anew when anything in it changed. It decides whether an event is
answered `accepted` or `held`, while the roll-up resolves every event again from the tables themselves, and which events
a hard cap turns away, judged by counts that are a couple of seconds old (`core/usage/counts/caps.py`).
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from msgspec import UnsetType
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from core.agreements.coverage import Coverage
from core.agreements.queries import coverage
from core.errors import PerimageError, Unavailable
from core.registry.lineage import Lineage
from core.registry.queries import lineage
from core.usage.counts.caps import CappedAgreement, FullCaps, FullMonth, capped_agreements, full_months
from core.usage.intake.report import Refusal, Report, canonical, micros

LOOK_EVERY_SECONDS = 1.0
READ_ANYWAY_SECONDS = 60.0
CAPS_SECONDS = 2.0  # between looks at how far caps are used
RECENT = timedelta(days=40)  # usage older than this takes a back-fill permission; its caps are looked at every minute
HURRY_SECONDS = 0.25  # between looks that an unknown name asked for
REMEMBERED = 100_000

# All of these tables only grow, but for drafts of agreements, which cover nothing until they are signed, and for cover
# that is cut, which happens beside a new row of agreement_events.
STATE = text("""
SELECT clock_timestamp(),
       (SELECT (count(*), max(id)) FROM models)::text, (SELECT count(*) FROM model_bases),
       (SELECT (count(*), max(model_id)) FROM model_names)::text, (SELECT (count(*), max(id)) FROM accounts)::text,
       (SELECT (count(*), max(id)) FROM agreement_models)::text,
       (SELECT (count(*), max(signed_at)) FROM agreements WHERE status <> 'draft')::text,
       (SELECT (count(*), max(id)) FROM agreement_events)::text
""")

_Names = tuple[str, tuple[str, ...] | UnsetType]
_Span = tuple[int, int]  # microseconds since 2000, half-open
log = logging.getLogger("perimage.catalogue")


class Snapshot:
    """Lineage and coverage as they stood together in one transaction."""

    def __init__(self, names: Lineage, agreed: Coverage) -> None:
        self.lineage = names
        self.coverage = agreed
        self._remembered: dict[tuple[int, _Names], tuple[str, Sequence[_Span]]] = {}

    def holds(self, licensee_id: int, report: Report) -> dict[int, str]:
        """Why events of a report are held, by their places; mostly for none of them, which takes one look a name."""
        if not report.events:
            return {}
        first, last = min(report.instants), max(report.instants)
        standings = {
            names: self._standing(licensee_id, names)
            for names in {(event.model, event.adapters) for event in report.events}
        }
        if all(any(start <= first and last < end for start, end in spans) for _, spans in standings.values()):
            return {}
        held: dict[int, str] = {}
        for place, event, instant in zip(report.places, report.events, report.instants, strict=True):
            lacking, spans = standings[event.model, event.adapters]
            if not any(start <= instant < end for start, end in spans):
                held[place] = lacking
        return held

    def _standing(self, licensee_id: int, names: _Names) -> tuple[str, Sequence[_Span]]:
        """When a combination of names is covered for a licensee, and what is lacking at other times."""
        key = licensee_id, names
        known = self._remembered.get(key)
        if known is None:
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            known = self._remembered[key] = self._work_out(licensee_id, names)
        return known

    def _work_out(self, licensee_id: int, names: _Names) -> tuple[str, Sequence[_Span]]:
        model, adapters = names
        resolved = self.lineage.resolve(model, canonical(adapters))
        if resolved.unknown:
            return "unknown_model" if model in resolved.unknown else "unknown_adapter", ()
        lacking, spans = self.coverage.spans(licensee_id, resolved.model_ids)
        return lacking, [(micros(start), micros(end)) for start, end in spans]


class Catalogue:
    """The newest snapshot, and the database's clock carried forward on ours."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._snapshot: Snapshot | None = None
        self._state: Any = None
        self._read_at = self._looked_at = -READ_ANYWAY_SECONDS
        self._clock: tuple[datetime, float] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._capped: list[CappedAgreement] = []
        self._full_before: list[FullMonth] = []
        self._full = FullCaps()
        self._caps_at = -CAPS_SECONDS

    def now(self) -> datetime:
        """The time on the database's clock, as of the last look and what our own clock has counted since."""
        if self._clock is None:
            raise Unavailable("database_unavailable", "the database is out of reach; try again later", retry_after=1)
        seen, at = self._clock
        return seen + timedelta(seconds=time.monotonic() - at)

    async def holds(self, licensee_id: int, report: Report) -> dict[int, str]:
        """Why events of this report are held. Before any is, it looks whether the registry has learnt more."""
        if self._snapshot is None:
            await self.look()
        assert self._snapshot is not None  # noqa: S101 - or the look had raised
        held = self._snapshot.holds(licensee_id, report)
        if held and time.monotonic() - self._looked_at > HURRY_SECONDS:
            with contextlib.suppress(SQLAlchemyError):
                await self.look()
                held = self._snapshot.holds(licensee_id, report)
        return held

    def capped(self, licensee_id: int, report: Report) -> dict[int, Refusal]:
        """Why events of this report are turned away by a cap that is reached, by their places; mostly none is."""
        return self._full.refusals(self._snapshot.lineage, licensee_id, report) if self._snapshot else {}

    async def keep_fresh(self) -> None:
        """Looks again and again, whatever happens, until it is cancelled."""
        while True:
            try:
                await self.look()
            except (SQLAlchemyError, PerimageError) as error:
                log.warning("cannot read the catalogue: %s", str(error).splitlines()[0])
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def look(self) -> None:
        """Looks once, together with whoever else wants to look now."""
        if self._looking is None:
            self._looking = asyncio.create_task(asyncio.to_thread(self._look))
            self._looking.add_done_callback(lambda _: setattr(self, "_looking", None))
        await asyncio.shield(self._looking)

    def _look(self) -> None:
        began = time.monotonic()
        with Session(self.engine) as session:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            now, *state = session.execute(STATE).one()
            self._clock = now, time.monotonic()
            if state != self._state or began - self._read_at > READ_ANYWAY_SECONDS:
                self._snapshot = Snapshot(lineage(session), coverage(session))
                self._state, self._read_at = state, began
                self._capped = capped_agreements(session)
                self._full_before = full_months(session, self._capped, end=_recent(now))
                self._caps_at = -CAPS_SECONDS
            if began - self._caps_at >= CAPS_SECONDS:
                recent = full_months(session, self._capped, start=_recent(now))
                self._full, self._caps_at = FullCaps([*self._full_before, *recent]), began
        self._looked_at = began


def _recent(now: datetime) -> date:
    """The first day of the month in which the recent past begins."""
    return (now - RECENT).date().replace(day=1)
