"""Names that wait for somebody: those that nobody knows, and AIRs that were counted by a guess.

A guess stands for what it was made for. When its name is registered, usage rolled up from then on counts as the
registry says; what was counted before stays, so that no count moves because of an entry in a catalogue. `re_resolve`
moves it, on somebody's word, and writes down who, why and how much. The next close bills the difference.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from core.errors import Conflict, InvalidInput, NotFound
from core.registry.air import FORM, looks_like_air, parse_air
from core.registry.lineage import Lineage
from core.registry.register import ids
from core.registry.tables import Licensee
from core.usage.counts.recount import move
from core.usage.counts.resolve import Outcome, Resolver, guesses_of, stored
from core.usage.counts.rollup import lock_watermark
from core.usage.tables import ReResolution, Resolution

MOST_COMBINATIONS = 10_000
FIXES = {
    "unknown_name": "register a model under this name, or add the name to the model that it means",
    "malformed_air": f"write the AIR as {FORM}, all lower case up to its source, or register this very spelling",
    "unknown_ecosystem": "register the base model of this ecosystem with its checkpoint AIR, or this AIR itself",
    "ambiguous_ecosystem": "several base models have a checkpoint AIR in this ecosystem: register this AIR",
    "no_account": "open an account between the licensee and the licensor of this model",
}
REVIEW = "register this AIR as a model or as a name of one; until then it counts for the base model of its family"
RE_RESOLVE = "counted before it was registered: run `perimage usage resolve`, and the difference is billed"


@dataclass(slots=True)
class HeldName:
    """A name that usage waits for: all of it if it is the model's, else only what the adapter would add."""

    licensee: str
    name: str
    reason: str
    how_to_fix: str
    image_count: int = 0
    event_count: int = 0
    counted_for: list[str] = field(default_factory=list)


@dataclass(slots=True)
class GuessedAir:
    """An AIR that was counted for the base model of its family, and what it is registered as by now, if it is."""

    licensee: str
    name: str
    counted_for: str
    registered_as: str | None
    how_to_fix: str
    image_count: int = 0
    event_count: int = 0


@dataclass(frozen=True, slots=True)
class Review:
    """Everything that waits, the most images first. `complete`: there is no more of it."""

    held: list[HeldName]
    unreviewed: list[GuessedAir]
    complete: bool


def review(session: Session, licensee_slug: str | None = None) -> Review:
    """What waits of the licensees that the session may see, or of one. Counts follow the reports within seconds."""
    resolver = Resolver.load(session)
    asked = (
        select(Resolution, Licensee.slug)
        .join(Licensee, Licensee.id == Resolution.licensee_id)
        .where(or_(func.cardinality(Resolution.held_names) > 0, func.cardinality(Resolution.guessed_names) > 0))
        .order_by(Resolution.image_count.desc(), Resolution.licensee_id, Resolution.model, Resolution.adapters)
        .limit(MOST_COMBINATIONS + 1)
        .execution_options(populate_existing=True)
    )
    if licensee_slug is not None:
        asked = asked.where(Licensee.slug == licensee_slug)
    rows = session.execute(asked).all()
    held: dict[tuple[str, str], HeldName] = {}
    guessed: dict[tuple[str, str, str], GuessedAir] = {}
    for row, licensee in rows[:MOST_COMBINATIONS]:
        for name in row.held_names:
            found = held.setdefault((licensee, name), _held(resolver.lineage, licensee, name))
            _add(found, row)
            slugs = {resolver.lineage.node(model_id).slug for model_id in row.model_ids}
            found.counted_for = sorted(slugs.union(found.counted_for))
        for name, base_id in _unreviewed(resolver, row).items():
            base = resolver.lineage.node(base_id).slug
            _add(guessed.setdefault((licensee, name, base), _guess(resolver.lineage, licensee, name, base)), row)
    return Review(
        sorted(held.values(), key=lambda each: (-each.image_count, each.licensee, each.name)),
        sorted(guessed.values(), key=lambda each: (-each.image_count, each.licensee, each.name)),
        complete=len(rows) <= MOST_COMBINATIONS,
    )


def re_resolve(
    session: Session, name: str, *, actor: str, reason: str, licensee_slug: str | None = None
) -> list[ReResolution]:
    """Moves what an AIR was counted for by a guess to what it is registered as, and writes down each move.

    Nothing is moved twice: a second run finds nothing left. Takes turns with the roll-up.
    """
    if not actor.strip() or not reason.strip():
        raise InvalidInput("reason_missing", "say who moves counts and why: both are kept")
    watermark = lock_watermark(session)
    resolver = Resolver.load(session)
    if resolver.lineage.named(name) is None:
        raise Conflict("not_registered", f"{name!r} is not registered: register it first, then move what was counted")
    asked = select(Resolution).where(Resolution.guessed_names.contains([name]))
    if licensee_slug is not None:
        asked = asked.where(Resolution.licensee_id == ids(session, Licensee, {licensee_slug})[licensee_slug])
    moved = []
    for row in session.scalars(asked.execution_options(populate_existing=True)).all():
        before = stored(row)
        kept = {guess: base for guess, base in before.guessed.items() if guess != name}
        after = resolver.resolve(row.licensee_id, row.model, row.adapters, kept)
        move(session, row, after, watermark.xid)
        moved.append(
            ReResolution(
                licensee_id=row.licensee_id,
                name=name,
                model=row.model,
                adapters=row.adapters,
                first_xid=row.first_xid,
                counted_before=_said(resolver.lineage, before),
                counted_after=_said(resolver.lineage, after),
                image_count=row.image_count,
                event_count=row.event_count,
                actor=actor.strip(),
                reason=reason.strip(),
            )
        )
    if not moved:
        raise NotFound("nothing_guessed", f"nothing was counted by a guess of what {name!r} is")
    session.add_all(moved)
    session.flush()
    return moved


def _unreviewed(resolver: Resolver, row: Resolution) -> dict[str, int]:
    """The guesses of a row that still matter: a name registered as just what it was taken for needs nobody."""
    guesses = guesses_of(row)
    open_ones = {name: base for name, base in guesses.items() if resolver.lineage.named(name) is None}
    if len(open_ones) < len(guesses):
        now, before = resolver.resolve(row.licensee_id, row.model, row.adapters, open_ones), stored(row)
        if (now.via_model_id, now.roles) == (before.via_model_id, before.roles):
            return open_ones
    return guesses


def _held(lineage: Lineage, licensee: str, name: str) -> HeldName:
    reason = reason_held(lineage, name)
    return HeldName(licensee, name, reason, FIXES[reason])


def reason_held(lineage: Lineage, name: str) -> str:
    """Why a name holds usage up; what to do about it stands under it in `FIXES`."""
    if lineage.named(name):
        return "no_account"
    if not looks_like_air(name):
        return "unknown_name"
    if (air := parse_air(name)) is None:
        return "malformed_air"
    return "ambiguous_ecosystem" if lineage.families(air.ecosystem) else "unknown_ecosystem"


def _guess(lineage: Lineage, licensee: str, name: str, base: str) -> GuessedAir:
    node = lineage.named(name)
    return GuessedAir(licensee, name, base, node.slug if node else None, RE_RESOLVE if node else REVIEW)


def _add(found: HeldName | GuessedAir, row: Resolution) -> None:
    found.image_count += row.image_count
    found.event_count += row.event_count


def _said(lineage: Lineage, outcome: Outcome) -> Mapping[str, Any]:
    """An outcome in slugs, which mean the same for ever."""
    roles: dict[str, list[str]] = defaultdict(list)
    for model_id, role in sorted(outcome.roles.items()):
        roles[role].append(lineage.node(model_id).slug)
    via = None if outcome.via_model_id is None else lineage.node(outcome.via_model_id).slug
    return {"via": via, "counted_for": dict(roles)}
