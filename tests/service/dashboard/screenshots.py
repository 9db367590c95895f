"""Renews docs/screenshots from the demo's world: `make screenshots`, or some: `make screenshots ARGS="overview"`.

A page is added to PAGES. Pictures are of the window, not of the whole page, unless `whole` is said.
"""

import sys
import tempfile
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page
from sqlalchemy.orm import Session

from core.accruals.accrue import accrue_due
from core.database import make_engine
from migrations.upgrade import upgrade
from service.cli.demo.world import World, build_world
from stack.postgres import Postgres
from tests.door import serving, settings_for
from tests.service.dashboard.people import Dashboard
from tests.service.dashboard.screen import Screen, browser

FOLDER = Path(__file__).resolve().parents[3] / "docs/screenshots"
SIGNING_KEY = b64encode(b"\x09" * 32).decode()


@dataclass(frozen=True)
class Picture:
    """One picture: of which page, by whose eyes. `who`: `ada` and the like, or a licensee's slug for its manager."""

    name: str
    who: str
    address: str
    theme: str = "light"
    size: str = "wide"
    whole: bool = False
    before: Callable[[Page], None] | None = None  # what is done on the page first


PAGES: list[Picture] = [
    Picture("sign-in", "", "/sign-in"),
    Picture("overview", "ada", "/overview"),
    Picture("overview-dark", "ada", "/overview", theme="dark"),
    Picture("licensees", "ada", "/licensees"),
    Picture("licensee", "ada", "/licensees/palette-works", whole=True),
    Picture("models", "ada", "/models"),
    Picture("audit", "ada", "/audit"),
    Picture("scenario", "ada", "/scenario?volume=30000000&price=14"),
    Picture("overview-phone", "ada", "/overview", size="phone"),
    Picture("portal-overview", "lumenkit", "/portal"),
    Picture("portal-days", "northlight", "/portal/usage/days"),
    Picture("portal-statement", "lumenkit", "/portal/statements/open-weights-guild/1"),
    Picture("portal-agreement", "lumenkit", "/portal/agreements/demo-lantern-tiers", whole=True),
    Picture("portal-keys", "lumenkit", "/portal/settings"),
    Picture("month-end", "arne", "/month-end?state=held"),
    Picture("invoices", "ada", "/invoices"),
    Picture("invoice", "ada", "/invoices/OWG-000001"),
    Picture("payments", "ada", "/payments"),
    Picture("bank-statements", "carla", "/payments/bank"),
    Picture("receivables", "ada", "/payments/ageing"),
    Picture("settings", "ada", "/settings"),
    Picture("people", "ada", "/settings/people"),
    Picture("webhook", "ada", "/settings/webhooks/2"),
]


def take(wanted: list[str]) -> int:
    """Takes the pictures with these names, or all; says how many."""
    chosen = [each for each in PAGES if not wanted or each.name in wanted]
    with tempfile.TemporaryDirectory() as folder, Postgres(Path(folder)) as server:
        url = server.url("postgres")
        upgrade(url)
        world = build_world(url, months=6)
        engine = make_engine(url)
        with Session(engine) as session:
            accrue_due(session)
            session.commit()
        with serving(settings_for(url, signing_key=SIGNING_KEY), {}) as door, browser() as chromium:
            screen = Screen(chromium, Dashboard(door, {}, engine, url))
            for each in chosen:
                _take_one(screen, world, each)
            screen.close()
        engine.dispose()
    return len(chosen)


def _take_one(screen: Screen, world: World, picture: Picture) -> None:
    who = world.people.get(picture.who) or world.managers.get(picture.who, "")
    page = screen.of(who, picture.address, size=picture.size, theme=picture.theme)
    if picture.before is not None:
        picture.before(page)
    page.wait_for_load_state("networkidle")
    FOLDER.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=FOLDER / f"{picture.name}.png", full_page=picture.whole)
    page.close()


if __name__ == "__main__":
    print(f"{take(sys.argv[1:])} pictures in {FOLDER}")
