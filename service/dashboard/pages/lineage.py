"""Models: the tree of bases and derivatives, what each was used for and brought in, and names that nobody knows yet."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.accruals.model_figures import ModelNode, ModelTree, model_tree
from core.accruals.series import Series as Figures
from core.accruals.series import currencies_of, images_by_month
from core.accruals.waiting import HeldUsage, UnreviewedAir, held_usage, unreviewed_airs
from core.errors import Conflict, InvalidInput
from core.period import Period
from core.registry.naming import name_model
from core.usage.counts.review import re_resolve
from service.dashboard import written
from service.dashboard.acting import act
from service.dashboard.charts import Chart, Series, chart
from service.dashboard.door import page_router
from service.dashboard.form import Filled, Form
from service.dashboard.listing import Column, Listing
from service.dashboard.rendering import after, page
from service.dashboard.signed_in import Clerk, FinanceEyes, FinancePerson, Viewer

router = page_router("/models")
MONTHS = 12
MOST_VIA = 3
FEW = 8  # derivatives of a model, before somebody asks for all


@dataclass(frozen=True, slots=True)
class Row:
    """A model in the tree: how deep it stands, its other bases, and how many of its derivatives are folded away, with
    the images that were made with those.
    """

    node: ModelNode
    depth: int
    also_of: tuple[str, ...]
    folded: int = 0
    folded_images: int = 0


HELD = Listing(
    columns=(
        Column("name", "Name as it was sent", lambda row: row.name, sort=True),
        Column("licensee", "Licensee", lambda row: row.licensee_name, sort=True,
               href=lambda row: f"/licensees/{row.licensee}"),
        Column("images", "Images waiting", lambda row: row.image_count, kind="count", sort=True),
        Column("why", "Why, and what to do", lambda row: row.reason.replace("_", " "), note=lambda row: row.how_to_fix),
        Column("act", "", lambda _row: "", kind="custom", export=False),
    ),
    sort="-images", mark="held_", file="held-usage", label="Names that nobody knows",
    empty="Every name that was reported is known",
)  # fmt: skip
GUESSED = Listing(
    columns=(
        Column("name", "AIR as it was sent", lambda row: row.name, sort=True),
        Column("for", "Counted for", lambda row: row.counted_for, sort=True),
        Column("images", "Images", lambda row: row.image_count, kind="count", sort=True),
        Column("by", "Licensees", lambda row: ", ".join(row.licensees), wide_only=True),
        Column("what", "What to do", lambda row: row.how_to_fix, wide_only=True),
        Column("act", "", lambda _row: "", kind="custom", export=False),
    ),
    sort="-images", mark="air_", file="unreviewed-airs", label="AIRs counted by a guess",
    empty="No AIR was counted by a guess",
)  # fmt: skip


@router.get("")
def models(request: Request, person: Viewer, eyes: FinanceEyes) -> Response:
    return _shown(request, person, eyes, None)


@router.post("/names")
def add_name(request: Request, person: Clerk, eyes: FinanceEyes, form: Filled) -> Response:
    """Maps a name to a model; what waits for it is counted by the next roll-up."""
    with form:
        name, model = form.text("name", most=255), form.text("model", most=100)
        form.demand()
        act(request, lambda session: name_model(session, person.licensor_id, model, name, person.actor))
    if form.wrong:
        return _shown(request, person, eyes, form)
    return after(request, "/models", f"{name} means {model} from now on; what waited is counted within seconds.")


@router.post("/resolve")
def resolve_guess(request: Request, person: Clerk, eyes: FinanceEyes, form: Filled) -> Response:
    """Moves what an AIR was counted for by a guess to what it is registered as. The next close bills the difference."""
    with form:
        name, reason = form.text("name", most=255), form.text("reason", most=1000)
        form.demand()
        guesses = [each for each in unreviewed_airs(eyes) if each.name == name]
        if not guesses:
            raise Conflict("nothing_guessed", f"nothing was counted by a guess of what {name!r} is")
        act(request, lambda session: _move(session, guesses, person, reason))
    if form.wrong:
        return _shown(request, person, eyes, form)
    said = f"{name} is counted as what it is registered as; the next close bills the difference."
    return after(request, "/models", said)


def _move(session: Session, guesses: list[UnreviewedAir], person: FinancePerson, reason: str) -> None:
    for licensee in sorted({slug for each in guesses for slug in each.licensees}):
        re_resolve(session, guesses[0].name, actor=person.actor.name, reason=reason, licensee_slug=licensee)


def _shown(request: Request, person: FinancePerson, eyes: Session, form: Form | None) -> Response:
    month = _month(request.query_params.get("month", ""))
    currencies = currencies_of(eyes, person.licensor_id) or ["USD"]
    currency = request.query_params.get("currency", "")
    currency = currency if currency in currencies else currencies[0]
    tree = model_tree(eyes, person.licensor_id, month, month, currency)
    held = HELD.of(request, held_usage(eyes))
    guessed = GUESSED.of(request, unreviewed_airs(eyes))
    for listed in (held, guessed):
        if listed.wants_csv:
            return listed.answer("models/models.html")
    months = Period(month.months_before(MONTHS - 1).start, month.end)
    drawn = images_by_month(eyes, person.licensor_id, months, by="model")
    return page(
        request, "models/models.html", status=form.status if form else 200, title="Models", month=month, form=form,
        rows=list(_rows(tree, request.query_params.get("all", ""))), tree=tree,
        currency=currency, currencies=currencies, held=held, guessed=guessed,
        earlier=month.months_before().name,
        later=month.months_before(-1).name if month.end <= _today_month().start else None,
        slugs=sorted(tree.models), by_month=_by_month(drawn) if drawn.total else None, via=_via, mark=_mark,
        unknown=_once([*held.rows, *(each for each in guessed.rows if not each.registered_as)]),
    )  # fmt: skip


def _rows(tree: ModelTree, unfolded: str) -> Iterator[Row]:
    """The tree from its roots down: of each model the derivatives that are used most, of one all. A model with several
    bases stands under the first of them.
    """
    seen: set[str] = set()

    def walk(slug: str, depth: int, base: str | None) -> Iterator[Row]:
        seen.add(slug)
        node = tree.models[slug]
        fresh = [each for each in node.derivatives if each not in seen]
        shown = fresh if slug == unfolded or len(fresh) <= FEW + 1 else fresh[:FEW]
        folded = fresh[len(shown) :]
        seen.update(folded)
        images = sum(tree.models[each].through for each in folded)
        yield Row(node, depth, tuple(each for each in node.bases if each != base), len(folded), images)
        for derivative in shown:
            if derivative not in seen:
                yield from walk(derivative, depth + 1, slug)

    for root in tree.roots:
        yield from walk(root, 0, None)


def _via(node: ModelNode) -> str:
    """Through which models the images of one came, when not all of them named it."""
    if not node.image_count or (len(node.via) == 1 and node.via[0][0] == node.slug):
        return ""
    said = [f"{written.percent(images, node.image_count)} through {slug}" for slug, images in node.via[:MOST_VIA]]
    return ", ".join(said) + (" …" if len(node.via) > MOST_VIA else "")


def _mark(row: HeldUsage | UnreviewedAir) -> str:
    """What a name is called in the ids of a page."""
    return sha256(row.name.encode()).hexdigest()[:12]


def _once(rows: list[HeldUsage | UnreviewedAir]) -> list[HeldUsage | UnreviewedAir]:
    return list({row.name: row for row in rows}.values())


def _by_month(drawn: Figures) -> Chart:
    lines = [Series(line.name, line.values, tone="quiet" if line.slug is None else None) for line in drawn.lines]
    months = [written.month(day) for day in drawn.days]
    return chart("by-month", "Images a month", x=months, series=lines, kind="stacked", x_label="Month")


def _month(text: str) -> Period:
    try:
        return Period.month(text)
    except InvalidInput:
        return _today_month()


def _today_month() -> Period:
    return Period.month_of(datetime.now(UTC).date())
