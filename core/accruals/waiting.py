"""Usage that waits for somebody, seen by a licensor or by the licensee: names nobody knows, and AIRs that were guessed.

A name that nobody knows may be of any licensor's model. So a licensor sees what waits of those licensees that deal with
no other licensor; the database shows no more. A licensee sees its own.
"""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from core.registry.queries import lineage
from core.registry.tables import Licensee, Model, ModelName
from core.usage.counts.review import FIXES, RE_RESOLVE, REVIEW, reason_held
from core.usage.tables import Resolution

MOST = 500


@dataclass(frozen=True, slots=True)
class HeldUsage:
    """A name that usage of a licensee waits for, why, and what to do about it."""

    licensee: str
    licensee_name: str
    name: str
    reason: str
    how_to_fix: str
    image_count: int
    event_count: int


@dataclass(frozen=True, slots=True)
class UnreviewedAir:
    """An AIR that was counted for the base model of its family, by how many licensees, and what it is registered as by
    now, if it is: then a word moves what was counted before.
    """

    name: str
    counted_for: str
    registered_as: str | None
    licensees: tuple[str, ...]
    how_to_fix: str
    image_count: int
    event_count: int


def held_usage(session: Session, licensee: str | None = None, limit: int = MOST) -> list[HeldUsage]:
    """Names that hold usage up, the most images first. Four statements, whoever asks."""
    each = func.unnest(Resolution.held_names).table_valued("name").render_derived()
    images, events = func.sum(Resolution.image_count), func.sum(Resolution.event_count)
    asked = (
        select(Licensee.slug, Licensee.name, each.c.name, images, events)
        .select_from(Resolution)
        .join(each, func.cardinality(Resolution.held_names) > 0)
        .join(Licensee, Licensee.id == Resolution.licensee_id)
        .group_by(Licensee.slug, Licensee.name, each.c.name)
        .order_by(images.desc(), Licensee.slug, each.c.name)
        .limit(limit)
    )
    if licensee is not None:
        asked = asked.where(Licensee.slug == licensee)
    known = lineage(session)
    found = []
    for slug, called, name, image_count, event_count in session.execute(asked):
        reason = reason_held(known, name)
        found.append(HeldUsage(slug, called, name, reason, FIXES[reason], int(image_count), int(event_count)))
    return found


def unreviewed_airs(session: Session, licensee: str | None = None, limit: int = MOST) -> list[UnreviewedAir]:
    """AIRs counted by a guess that still matters, the most images first: not those that were registered as just what
    they were taken for. One statement.
    """
    each = (
        func.unnest(Resolution.guessed_names, Resolution.guessed_ids).table_valued("name", "model_id").render_derived()
    )
    images, events = func.sum(Resolution.image_count), func.sum(Resolution.event_count)
    registered = (
        select(Model.slug).join(ModelName, ModelName.model_id == Model.id).where(ModelName.name == each.c.name)
    ).correlate(each).scalar_subquery()  # fmt: skip
    slugs = func.array_agg(aggregate_order_by(Licensee.slug.distinct(), Licensee.slug))
    asked = (
        select(each.c.name, Model.slug, registered, slugs, images, events)
        .select_from(Resolution)
        .join(each, func.cardinality(Resolution.guessed_names) > 0)
        .join(Licensee, Licensee.id == Resolution.licensee_id)
        .join(Model, Model.id == each.c.model_id)
        .where(Model.slug.is_distinct_from(registered))
        .group_by(each.c.name, Model.slug)
        .order_by(images.desc(), each.c.name)
        .limit(limit)
    )
    if licensee is not None:
        asked = asked.where(Licensee.slug == licensee)
    return [
        UnreviewedAir(name, base, now, tuple(who), RE_RESOLVE if now else REVIEW, int(image_count), int(event_count))
        for name, base, now, who, image_count, event_count in session.execute(asked)
    ]
