"""A licensor's models as a tree of bases and derivatives, with what each was used for and what it brought in."""

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.accruals.series import fees_by_subject
from core.money import Money
from core.period import Period
from core.registry.tables import Model, ModelBase, ModelName
from core.usage.counts.totals import by_days

_EVERY = 10_000


@dataclass(frozen=True, slots=True)
class ModelNode:
    """A model. `image_count` are the images that owe its fee, `through` the images that named it, whatever they owe:
    a derivative that owes its base's fee has images through it and none of its own. `via` says through which models its
    own images came, the most first. `bases` and `derivatives` are slugs of the same licensor's models.
    """

    slug: str
    name: str
    kind: str
    owes: str
    names: int
    bases: tuple[str, ...]
    derivatives: tuple[str, ...]
    image_count: int
    through: int
    via: tuple[tuple[str, int], ...]
    fees: Money | None


@dataclass(frozen=True, slots=True)
class ModelTree:
    """Models by slug; `roots` are those without a base here, the most used first. `foreign_through` are images of these
    models that came through another licensor's. Fees that a group of models is billed for are in `group_fees`.
    """

    roots: tuple[str, ...]
    models: dict[str, ModelNode]
    foreign_through: int
    group_fees: tuple[tuple[str, Money], ...]


def model_tree(session: Session, licensor_id: int, days: Period, month: Period, currency: str) -> ModelTree:
    """The tree, with images of `days` and, in one currency, fees of a month's usage. Five statements."""
    rows = session.execute(
        select(Model.id, Model.slug, Model.name, Model.kind, Model.owes)
        .where(Model.licensor_id == licensor_id)
        .order_by(Model.slug)
    ).all()
    slugs = {row.id: row.slug for row in rows}
    bases: defaultdict[str, list[str]] = defaultdict(list)
    derivatives: defaultdict[str, list[str]] = defaultdict(list)
    for model_id, base_id in session.execute(select(ModelBase.model_id, ModelBase.base_id)):
        if model_id in slugs and base_id in slugs:
            bases[slugs[model_id]].append(slugs[base_id])
            derivatives[slugs[base_id]].append(slugs[model_id])
    own, through, via, foreign = _images(session, licensor_id, days, slugs)
    named = (
        select(ModelName.model_id, func.count())
        .join(Model, Model.id == ModelName.model_id)
        .where(Model.licensor_id == licensor_id)
        .group_by(ModelName.model_id)
    )
    names: dict[int, int] = {model_id: count for model_id, count in session.execute(named)}  # noqa: C416 - a Row
    fees = {
        line.slug or "": line.total for line in fees_by_subject(session, licensor_id, month, currency, _EVERY).lines
    }
    models = {
        row.slug: ModelNode(
            slug=row.slug,
            name=row.name,
            kind=row.kind,
            owes=row.owes,
            names=names.get(row.id, 0),
            bases=tuple(sorted(bases[row.slug])),
            derivatives=tuple(sorted(derivatives[row.slug], key=lambda slug: (-through[slug], slug))),
            image_count=own[row.slug],
            through=through[row.slug],
            via=tuple(sorted(via[row.slug].items(), key=lambda pair: (-pair[1], pair[0]))),
            fees=Money(currency, fees[row.slug]) if row.slug in fees else None,
        )
        for row in rows
    }
    roots = sorted((slug for slug in models if not models[slug].bases), key=lambda slug: (-own[slug], slug))
    groups = tuple((subject, Money(currency, minor)) for subject, minor in fees.items() if subject not in models)
    return ModelTree(tuple(roots), models, foreign, groups)


def _images(
    session: Session, licensor_id: int, days: Period, slugs: dict[int, str]
) -> tuple[defaultdict[str, int], defaultdict[str, int], defaultdict[str, dict[str, int]], int]:
    own: defaultdict[str, int] = defaultdict(int)
    through: defaultdict[str, int] = defaultdict(int)
    via: defaultdict[str, dict[str, int]] = defaultdict(dict)
    foreign = 0
    for total in by_days(session, licensor_id, days, ["model_id", "via_model_id"]):
        model = slugs[total.model_id or 0]
        own[model] += total.image_count
        came = slugs.get(total.via_model_id or 0)
        if came is None:
            foreign += total.image_count
        else:
            through[came] = max(through[came], total.image_count)  # an image may owe several of them
            via[model][came] = total.image_count
    return own, through, via, foreign
