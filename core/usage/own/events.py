"""What became of a licensee's own events: which models each was counted for, on which day, or what it waits for.

A report's receipt says what was known when it came in; this says what is known now. Run it through a licensee's eyes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import or_, select, text
from sqlalchemy.orm import Session

from core.errors import NotFound
from core.registry.lineage import Lineage, is_owed
from core.registry.queries import lineage
from core.usage.counts.review import FIXES, reason_held
from core.usage.own.turned_away import how_to_fix
from core.usage.tables import Resolution, RollupWatermark, UsageCorrection, UsageEvent, UsageReport

Standing = Literal["waiting", "counted", "held"]
_DAYS = text("""
SELECT asked.place, models.id AS model_id, (asked.occurred_at AT TIME ZONE accounts.zone)::date AS day, agreements.slug
FROM unnest(CAST(:places AS int[]), CAST(:licensees AS bigint[]), CAST(:models AS bigint[]),
            CAST(:times AS timestamptz[])) AS asked (place, licensee_id, model_id, occurred_at)
JOIN models ON models.id = asked.model_id
JOIN accounts ON accounts.licensee_id = asked.licensee_id AND accounts.licensor_id = models.licensor_id
LEFT JOIN agreement_models AS cover ON cover.account_id = accounts.id AND cover.model_id = models.id
                                   AND cover.days @> (asked.occurred_at AT TIME ZONE accounts.zone)::date
LEFT JOIN agreements ON agreements.id = cover.agreement_id AND agreements.status <> 'draft'
""")


@dataclass(frozen=True, slots=True)
class CountedFor:
    """A model for which an event was counted, in which role, and on which day of the account's zone.

    `agreement` is the one that covers the model on that day; without one the images are unlicensed usage.
    """

    model: str
    role: str
    day: date
    agreement: str | None


@dataclass(frozen=True, slots=True)
class Hold:
    """What an event waits for: a name, or an agreement for a model that it was counted for."""

    name: str
    reason: str
    how_to_fix: str


@dataclass(slots=True)
class Fate:
    """Where an event stands now. `waiting`: the next roll-up, seconds away, will look at it.

    `held` may be counted in part: what its names are known for is counted, and only the rest waits.
    """

    standing: Standing
    counted_for: list[CountedFor] = field(default_factory=list)
    held_for: list[Hold] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class OwnEvent:
    """One event, the report that brought it, where it stands, and its corrections in the order they were made."""

    event: UsageEvent
    report: UsageReport | None
    fate: Fate
    corrections: list[UsageCorrection]

    @property
    def image_count_now(self) -> int:
        """What the event counts after its corrections."""
        return self.corrections[-1].image_count_after if self.corrections else self.event.image_count


def event(session: Session, event_id: str) -> OwnEvent:
    """One event of the licensee that the session looks for. Raises NotFound."""
    row = session.scalars(select(UsageEvent).where(UsageEvent.event_id == event_id)).one_or_none()
    if row is None:
        raise NotFound(
            "unknown_event",
            f"there is no event {event_id!r}; refused events are not kept, see /v1/usage/rejected",
        )
    report = session.scalars(
        select(UsageReport).where(  # one transaction wrote both, so they have its time
            UsageReport.licensee_id == row.licensee_id,
            UsageReport.received_at == row.received_at,
            UsageReport.report_no == row.report_no,
        )
    ).one_or_none()
    corrections = session.scalars(
        select(UsageCorrection)
        .where(UsageCorrection.licensee_id == row.licensee_id, UsageCorrection.event_id == row.event_id)
        .order_by(UsageCorrection.number)
    )
    return OwnEvent(row, report, fates(session, [row])[0], list(corrections))


def fates(session: Session, events: Sequence[UsageEvent]) -> list[Fate]:
    """Where each of these events of one licensee stands now."""
    if not events:
        return []
    watermark = session.scalars(select(RollupWatermark.xid).where(RollupWatermark.name == "usage")).one()
    resolved = [
        outcome if row.xid < watermark else None
        for row, outcome in zip(events, _outcomes(session, events), strict=True)
    ]
    if not any(resolved):
        return [Fate("waiting") for _ in events]
    names = lineage(session)
    days = _days(session, events, resolved)
    return [
        Fate("waiting") if outcome is None else _fate(names, outcome, days.get(place, {}))
        for place, outcome in enumerate(resolved)
    ]


def _outcomes(session: Session, events: Sequence[UsageEvent]) -> list[Resolution | None]:
    """The resolution under which each event was counted, found as the roll-up finds it."""
    rows = session.execute(
        select(UsageEvent.event_id, Resolution)
        .join(
            Resolution,
            (Resolution.licensee_id == UsageEvent.licensee_id)
            & (Resolution.model == UsageEvent.model)
            & (Resolution.adapters == UsageEvent.adapters)
            & (Resolution.first_xid <= UsageEvent.xid)
            & or_(Resolution.until_xid.is_(None), UsageEvent.xid < Resolution.until_xid),
        )
        .where(
            UsageEvent.licensee_id == events[0].licensee_id, UsageEvent.event_id.in_([row.event_id for row in events])
        )
    )
    found = {event_id: resolution for event_id, resolution in rows}  # noqa: C416 - a result has keys() of another kind
    return [found.get(row.event_id) for row in events]


def _days(
    session: Session, events: Sequence[UsageEvent], resolved: Sequence[Resolution | None]
) -> Mapping[int, Mapping[int, tuple[date, str | None]]]:
    """By place and model: the day, as the roll-up counts it, and the agreement that covers the model on it."""
    asked: list[tuple[int, int, int, datetime]] = [
        (place, row.licensee_id, model_id, row.occurred_at)
        for place, (row, outcome) in enumerate(zip(events, resolved, strict=True))
        if outcome
        for model_id in outcome.model_ids
    ]
    found: dict[int, dict[int, tuple[date, str | None]]] = {}
    if asked:
        names = ("places", "licensees", "models", "times")
        columns: dict[str, Any] = dict(zip(names, map(list, zip(*asked, strict=True)), strict=True))
        for place, model_id, day, agreement in session.execute(_DAYS, columns):
            found.setdefault(place, {})[model_id] = day, agreement
    return found


def _fate(names: Lineage, outcome: Resolution, days: Mapping[int, tuple[date, str | None]]) -> Fate:
    counted, holds = [], []
    for name in outcome.held_names:
        reason = reason_held(names, name)
        holds.append(Hold(name, reason, FIXES[reason]))
    for model_id, role in zip(outcome.model_ids, outcome.roles, strict=True):
        if model_id not in days:
            continue
        slug, (day, agreement) = names.node(model_id).slug, days[model_id]
        counted.append(CountedFor(slug, role, day, agreement))
        if agreement is None and is_owed(role, None):
            holds.append(Hold(slug, "no_agreement", how_to_fix("no_agreement")))
    counted.sort(key=lambda each: each.model)
    return Fate("held" if holds else "counted", counted, holds)
