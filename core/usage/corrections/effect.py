"""What corrections would do to the daily counts, before they are made.

Worked out beside the counts, so that nothing is locked and nobody waits: for each event, what it is counted as and
what that changes by. What of the event is not rolled up yet is told apart (`waiting`): it is going to be counted with
the correction or without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from core.period import day_of
from core.registry.tables import Account
from core.usage.corrections.correct import among
from core.usage.corrections.correction import Correction
from core.usage.counts.counting import Cell
from core.usage.counts.resolve import Outcome, Resolver, guesses_of, stored
from core.usage.tables import Resolution, RollupWatermark, UsageCorrection, UsageEvent


@dataclass(frozen=True, slots=True)
class Effect:
    """Cells to be added to the counts: by the next roll-up anyway, and by the corrections.

    `held` are events that count for nothing yet, because somebody has still to say what their names mean.
    """

    waiting: tuple[Cell, ...]
    change: tuple[Cell, ...]
    held: tuple[str, ...]


def effect_of(session: Session, licensee_id: int, made: Sequence[Correction]) -> Effect:
    """The effect of corrections that were judged and not written, each after those before it."""
    first = {correction.event_id: correction for correction in reversed(made)}
    last = {correction.event_id: correction for correction in made}
    watermark = session.scalars(select(RollupWatermark.xid).where(RollupWatermark.name == "usage")).one()
    counted_delta = _counted_deltas(session, licensee_id, set(first), watermark)
    resolver = Resolver.load(session)
    zones = {
        account.licensor_id: account.zone
        for account in session.scalars(select(Account).where(Account.licensee_id == licensee_id))
    }
    waiting, change, held = [], [], []
    for event, resolution in _events(session, licensee_id, set(first)):
        counted = event.image_count + counted_delta.get(event.event_id, 0) if event.xid < watermark else 0
        stands = first[event.event_id].image_count_before
        after = last[event.event_id].image_count_after
        cells = _cells(resolver, zones, event, _outcome(resolver, event, resolution, watermark))
        waiting += [replace(cell, image_count=stands - counted) for cell in cells if stands != counted]
        change += [replace(cell, image_count=after - stands) for cell in cells if after != stands]
        if not cells:
            held.append(event.event_id)
    return Effect(tuple(waiting), tuple(change), tuple(held))


def _events(session: Session, licensee_id: int, event_ids: set[str]) -> list[tuple[UsageEvent, Resolution | None]]:
    """Events with the resolution under which they are, or would be, counted, where their names were seen before."""
    counts_for = and_(
        Resolution.licensee_id == UsageEvent.licensee_id,
        Resolution.model == UsageEvent.model,
        Resolution.adapters == UsageEvent.adapters,
        UsageEvent.xid >= Resolution.first_xid,
        or_(Resolution.until_xid.is_(None), UsageEvent.xid < Resolution.until_xid),
    )
    asked = (
        select(UsageEvent, Resolution)
        .outerjoin(Resolution, counts_for)
        .where(UsageEvent.licensee_id == licensee_id, UsageEvent.event_id == among(event_ids))
        .order_by(UsageEvent.event_id)
        .execution_options(populate_existing=True)
    )
    return [(event, resolution) for event, resolution in session.execute(asked)]


def _counted_deltas(session: Session, licensee_id: int, event_ids: set[str], watermark: int) -> dict[str, int]:
    """By event, what its corrections have changed in the counts so far."""
    asked = (
        select(UsageCorrection.event_id, func.sum(UsageCorrection.image_delta))
        .where(
            UsageCorrection.licensee_id == licensee_id,
            UsageCorrection.event_id == among(event_ids),
            UsageCorrection.xid < watermark,
        )
        .group_by(UsageCorrection.event_id)
    )
    return {event_id: int(delta) for event_id, delta in session.execute(asked)}


def _outcome(resolver: Resolver, event: UsageEvent, resolution: Resolution | None, watermark: int) -> Outcome:
    """What the event counts for: what it was counted for, or what the next roll-up will make of it."""
    if resolution is not None and event.xid < watermark:
        return stored(resolution)
    guesses = guesses_of(resolution) if resolution is not None else {}
    kept = {name: base for name, base in guesses.items() if resolver.lineage.named(name) is None}
    return resolver.resolve(event.licensee_id, event.model, event.adapters, kept)


def _cells(resolver: Resolver, zones: dict[int, str], event: UsageEvent, outcome: Outcome) -> list[Cell]:
    """An image of the event, for each model that it counts for."""
    if outcome.via_model_id is None:
        return []
    via = resolver.lineage.node(outcome.via_model_id).slug
    cells = []
    for model_id, role in sorted(outcome.roles.items()):
        node = resolver.lineage.node(model_id)
        day = day_of(event.occurred_at, zones[node.licensor_id])
        cells.append(Cell(node.slug, day, via, event.plan, role, event.output, 1))
    return cells
