"""A licensee's month in a browser: usage, a dispute, a certification, an invoice with its PDF, a file, a new key."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.accruals.accrue import accrue_due
from core.database import make_engine
from core.invoicing.tables import Invoice
from core.registry.tables import Licensee
from core.statements.queries import statements
from service.cli.demo.world import World
from tests.door import serving, settings_for
from tests.service.dashboard.people import Dashboard
from tests.service.dashboard.screen import Screen
from tests.world import built_world, world, world_url  # noqa: F401 - fixtures

GUILD = "open-weights-guild"


@pytest.fixture
def played(world_url: str) -> Iterator[Dashboard]:  # noqa: F811
    engine = make_engine(world_url)
    with Session(engine) as session:
        accrue_due(session)
        session.commit()
    try:
        with serving(settings_for(world_url), {}) as door:
            yield Dashboard(door, {}, engine, world_url)
    finally:
        engine.dispose()


def test_a_licensees_month(played: Dashboard, world: World, browser: Browser) -> None:  # noqa: F811
    lena = world.managers["lumenkit"]
    with Session(played.engine) as session:
        to_dispute = next(each for each in statements(session, licensee="lumenkit") if each.standing == "open")
        invoice = session.scalars(
            select(Invoice.number).join(Licensee, Licensee.id == Invoice.licensee_id)
            .where(Licensee.slug == "lumenkit", Invoice.status == "issued", Invoice.kind == "regular")
            .order_by(Invoice.id.desc()).limit(1)
        ).one()  # fmt: skip
    screen = Screen(browser, played)
    try:
        page = screen.of("", "/sign-in")
        page.get_by_label("E-mail").fill(lena)
        page.get_by_label("Password").fill(world.password)
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        screen.check(page, "portal")
        page.get_by_role("link", name="Usage", exact=True).click()
        expect(page.get_by_role("figure").first).to_contain_text("Images a day")
        page.get_by_role("link", name="Days and gaps").click()
        screen.check(page, "portal-days")

        page.goto(f"{played.door.address}/portal/statements/{GUILD}/{to_dispute.number}")
        screen.check(page, "portal-statement")
        page.get_by_role("link", name="Dispute").nth(1).click()
        page.get_by_label("Images it should be").fill("1")
        page.get_by_label("Why").fill("a test of ours was counted")
        page.get_by_role("button", name="Dispute this line").click()
        expect(page.get_by_role("status").first).to_contain_text("is disputed")

        page.goto(f"{played.door.address}/portal/invoices/{invoice}")
        expect(page.frame_locator("iframe").locator("body")).to_be_attached()
        page.get_by_text("How it was worked out").first.click()
        expect(page.locator(".steps li").first).to_be_visible()
        screen.check(page, "portal-invoice")

        page.get_by_role("link", name="Reporting").click()
        when = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
        rows = f"event_id,model,image_count,occurred_at\nwalk-1,lantern-xl,7,{when}\nwalk-2,,1,{when}\n"
        page.locator("#f-file").set_input_files({"name": "u.csv", "mimeType": "text/csv", "buffer": rows.encode()})
        page.get_by_role("button", name="Upload").click()
        expect(page.get_by_role("heading", name="u.csv")).to_contain_text("done")
        expect(page.get_by_role("region", name="Rows with a problem")).to_contain_text("rejected")
        screen.check(page, "portal-file")

        page.get_by_role("link", name="Settings").click()
        page.get_by_label("Used by").fill("a new cluster")
        page.get_by_role("button", name="Issue a key").click()
        expect(page.locator("code.secret")).to_contain_text("pmk_")
        screen.check(page, "portal-keys")
        screen.demand_clean()

        _certify(screen, world)
    finally:
        screen.close()


def _certify(screen: Screen, world: World) -> None:  # noqa: F811
    certifying = screen.of(world.managers["northlight"], "/portal/statements?standing=open")
    certifying.locator("tbody a").first.click()
    certifying.get_by_role("button", name="Certify").first.click()
    certifying.get_by_role("dialog").get_by_role("button", name="Certify").click()
    expect(certifying.get_by_role("status").first).to_contain_text("is certified by you")
    screen.demand_clean()
