"""The front page and the models, over the demo's world: figures that are there, and acts that take."""

from playwright.sync_api import Browser, expect

from service.cli.demo.world import World
from tests.service.dashboard.people import NOBODY, Dashboard, counting_queries
from tests.service.dashboard.screen import Screen


def test_the_front_page_shows_the_month_and_what_needs_somebody(
    played: Dashboard,
    world: World,
    browser: Browser,
) -> None:
    ada = world.people["ada"]
    shown = played.get("/overview", ada).text
    for words in ("Accrued this month", "for a release", "Northlight", "Palette Works", "Images a day"):
        assert words in shown
    with counting_queries() as sent:
        played.get("/overview", ada, by="licensee", currency="EUR")
    assert len(sent) <= 24, "\n".join(sent)
    assert played.get("/", ada, follow_redirects=False).headers["location"] == "/overview"
    manager = world.managers["brightforge"]
    assert played.get("/", manager, follow_redirects=False).headers["location"] == "/portal"
    assert played.get("/overview", manager).status_code == 404
    assert played.get("/overview", NOBODY, follow_redirects=False).status_code == 303

    screen = Screen(browser, played)
    try:
        page = screen.of(ada, "/overview")
        screen.check(page, "overview")
        page.get_by_role("link", name="By licensee").click()
        expect(page.get_by_role("figure").first).to_contain_text("Palette Works")
        page.goto(played.door.address + "/models")
        screen.check(page, "models")
        page.get_by_role("button", name="Map to a model").first.click()
        page.get_by_role("dialog").get_by_label("Model").select_option("stable-diffusion-1")
        page.get_by_role("dialog").get_by_role("button", name="Map", exact=True).click()
        expect(page.get_by_role("status").first).to_contain_text("means stable-diffusion-1 from now on")
        screen.demand_clean()
    finally:
        screen.close()


def test_a_name_is_mapped_once_and_only_to_ones_own_model(played: Dashboard, world: World) -> None:
    carla, vera = world.people["carla"], world.people["vera"]
    wanted = {"name": "sd-turbo-nightly", "model": "stable-diffusion-1"}
    assert played.post("/models/names", wanted, vera, follow_redirects=False).status_code == 403
    unknown = played.post("/models/names", {**wanted, "model": "not-ours"}, carla)
    assert unknown.status_code == 404 and "no model called not-ours" in unknown.text
    assert played.post("/models/names", wanted, carla, follow_redirects=False).status_code == 303
    again = played.post("/models/names", wanted, carla)
    assert again.status_code == 409 and "registered already" in again.text
    assert "model named" in played.get("/audit", vera, q="sd-turbo-nightly").text
