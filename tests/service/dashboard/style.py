"""A page that shows every part of which pages are made, with hostile names in it. Only tests have it."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from fastapi import Request
from jinja2 import ChoiceLoader, FileSystemLoader
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.invoicing.tables import Invoice
from core.money import Money
from core.registry.tables import Licensee
from service.dashboard.charts import HeatDay, Series, chart
from service.dashboard.door import page_router
from service.dashboard.form import Filled, Form
from service.dashboard.listing import Column, Filter, Listing
from service.dashboard.rendering import after, environment
from service.dashboard.signed_in import Clerk, FinanceEyes, PortalEyes, PortalViewer, Viewer

router = page_router("/style")
HOSTILE = ("<script>alert(1)</script>", "\u202egpj.exe", '=HYPERLINK("http://evil")', 'O\'Brien & "Söhne" <b>')
START = date(2026, 9, 1)


class Row(NamedTuple):
    name: str
    slug: str
    images: int
    owed: Money | None
    status: str
    since: datetime
    due: date


def rows() -> Sequence[Row]:
    names = (*HOSTILE, "Civitai", "Tensor", "SeaArt", "Yodayo", "PixAI", "Mage")
    words = ("paid", "overdue", "held", "issued", "draft", "partly paid", "disputed")
    return [
        Row(
            f"{names[at % len(names)]}", f"l-{at}", (at * 7919) % 1_000_000 * 37, Money("USD", at * 104_729 - 500_000),
            words[at % len(words)], datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=at), START + timedelta(days=at),
        )
        for at in range(60)
    ]  # fmt: skip


LISTING = Listing(
    columns=(
        Column("name", "Licensee", lambda row: row.name, sort=True, href=lambda row: f"/style?of={row.slug}",
               note=lambda row: row.slug),
        Column("images", "Images", lambda row: row.images, kind="count", sort=True),
        Column("owed", "Owed", lambda row: row.owed, kind="money", sort=True),
        Column("status", "Status", lambda row: row.status, kind="badge"),
        Column("since", "Since", lambda row: row.since, kind="moment", wide_only=True),
        Column("due", "Due", lambda row: row.due, kind="day", wide_only=True),
        Column("act", "", lambda row: row.slug, kind="custom", export=False),
    ),
    sort="name", size=25, file="style", label="Licensees",
    filters=(
        Filter("status", "Status", tuple((word, word.title()) for word in ("paid", "overdue", "held")),
               keep=lambda row, value: row.status == value),
    ),
)  # fmt: skip


def _page(request: Request, form: Form | None) -> Response:
    environment().loader = ChoiceLoader(
        [FileSystemLoader("service/dashboard/templates"), FileSystemLoader(Path(__file__).parent / "templates")]
    )
    days = [START + timedelta(days=at) for at in range(61)]
    anima = [1_200_000 + (at * 6151) % 400_000 + at * 9_000 for at in range(61)]
    sd = [600_000 + (at * 3571) % 200_000 for at in range(61)]
    charts = (
        chart("days", "Images a day", x=days, series=[Series("anima", anima), Series("sd-3.5", sd)], kind="stacked"),
        chart("burn", "Commitment", x=days, kind="area", unit="USD", limit=("Commitment", Money("USD", 9_000_000)),
              series=[Series("Used", [Money("USD", at * 170_000) if at < 40 else None for at in range(61)]),
                      Series("Forecast", [Money("USD", at * 170_000) if at >= 39 else None for at in range(61)],
                             dashed=True)]),
        chart("models", "By model", x=["anima", "sd-3.5-large", "pony", "illustrious"], kind="bars", x_label="Model",
              series=[Series("Images", [42_000_000, 17_000_000, 8_000_000, 1_200_000])], height=200),
    )  # fmt: skip
    heat = [
        HeatDay(START + timedelta(days=at), at * 13 % 5, f"{at * 1000:,} images" if at % 17 else "nothing came",
                "gap" if at % 17 == 16 else "zero" if at % 23 == 22 else "held" if at % 29 == 28 else "")
        for at in range(91)
    ]  # fmt: skip
    listed = LISTING.of(request, rows())
    return listed.answer(
        "style.html", title="Style", form=form, charts_shown=charts, heat=heat, hostile=HOSTILE, now=datetime.now(UTC),
        status=form.status if form else 200,
    )  # fmt: skip


@router.get("")
def style(request: Request, person: Viewer) -> Response:
    return _page(request, None)


@router.post("")
def send(request: Request, person: Clerk, form: Filled) -> Response:
    with form:
        form.text("name")
        form.whole("images", least=1)
        form.money("amount", "USD")
        form.day("day")
        form.choice("role", ("viewer", "clerk"))
        form.text("words", lines=True, most=40)
        form.demand()
    if form.wrong:
        return _page(request, form)
    return after(request, "/style", f"Kept {form.said('name')}.")


@router.post("/hold")
def hold(request: Request, person: Clerk, form: Filled) -> Response:
    return after(request, "/style", f"Held: {form.text('reason')}", tone="warn")


def _all_there_is(eyes: Session) -> Response:
    """Every invoice and licensee that these eyes see, without a word on whose; and whether they may write."""
    said = [*eyes.scalars(select(Invoice.number)), *eyes.scalars(select(Licensee.slug))]
    try:
        eyes.execute(text("UPDATE licensees SET name = 'changed'"))
        said.append("written")
    except DBAPIError:
        said.append("refused")
    return Response(" ".join(map(str, said)))


@router.get("/everything")
def everything(person: Viewer, eyes: FinanceEyes) -> Response:
    return _all_there_is(eyes)


@router.get("/portal-everything")
def portal_everything(person: PortalViewer, eyes: PortalEyes) -> Response:
    return _all_there_is(eyes)


_ASKED = {"times": 0}


@router.get("/progress")
def progress(request: Request, person: Viewer) -> Response:
    from service.dashboard.rendering import page

    _ASKED["times"] += 1
    return page(request, "progress.html", done=min(10, 4 + 3 * _ASKED["times"]))
