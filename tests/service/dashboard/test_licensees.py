"""Licensees: the list, one of them on all of its pages, keys, a signature, a statement and a settled dispute."""

import re

from playwright.sync_api import Browser, expect

from service.cli.demo.world import World
from tests.service.dashboard.people import Dashboard, counting_queries, queries_of
from tests.service.dashboard.screen import Screen


def test_the_list_is_searched_and_filtered_with_as_many_queries_as_ever(
    played: Dashboard,
    world: World,
) -> None:
    vera = world.people["vera"]
    shown = played.get("/licensees", vera, q="Palette").text
    assert "Palette Works" in shown and "Brightforge" not in shown
    assert "Brightforge" in played.get("/licensees", vera).text
    one = queries_of(lambda: played.get("/licensees", vera, q="Palette"))
    assert one == queries_of(lambda: played.get("/licensees", vera)) <= 8
    silent = played.get("/licensees", vera, state="silent").text
    assert "Northlight" in silent and "Palette" not in silent
    file = played.get("/licensees", vera, format="csv")
    assert file.headers["content-type"].startswith("text/csv") and "Kumo Canvas" in file.text


def test_every_page_of_a_licensee_shows_what_is_there(played: Dashboard, world: World) -> None:
    vera, pages = world.people["vera"], ("", "/usage", "/agreements", "/statements", "/keys", "/contact")
    for page in pages:
        with counting_queries() as sent:
            shown = played.get(f"/licensees/lumenkit{page}", vera)
        assert shown.status_code == 200 and "Lumenkit" in shown.text, page
        assert len(sent) <= 32, f"{page}\n" + "\n".join(sent)
        assert played.get(f"/licensees/nobody{page}", vera).status_code == 404
    assert "expected to be missing" in played.get("/licensees/palette-works", vera).text
    assert "sd-turbo-nightly" in played.get("/licensees/northlight", vera).text
    assert "No agreement covers these" in played.get("/licensees/driftwood", vera).text
    slug = re.search(
        r"/licensees/lumenkit/agreements/([a-z0-9-]+)", played.get("/licensees/lumenkit/agreements", vera).text
    )
    assert slug and "What is owed" in played.get(f"/licensees/lumenkit/agreements/{slug[1]}", vera).text
    assert played.get(f"/licensees/palette-works/agreements/{slug[1]}", vera).status_code == 404


def test_a_key_is_shown_once_and_dies_with_a_reason(played: Dashboard, world: World) -> None:
    ada, arne, address = world.people["ada"], world.people["arne"], "/licensees/brightforge/keys"
    assert played.post(address, {"label": "x", "lasts": ""}, arne).status_code == 403
    made = played.post(address, {"label": "for a test", "lasts": "30"}, ada)
    key = re.search(r"pmk_([a-z0-9]{16})_[A-Za-z0-9_-]{43}", made.text)
    assert key and "for a test" in made.text
    assert key[0] not in played.get(address, ada).text
    assert played.post(f"{address}/{key[1]}/revoke", {}, ada).status_code == 422
    assert played.post(f"/licensees/lumenkit/keys/{key[1]}/revoke", {"reason": "x"}, ada).status_code == 404
    done = played.post(f"{address}/{key[1]}/revoke", {"reason": "left the firm"}, ada, follow_redirects=False)
    assert done.status_code == 303
    assert "left the firm" in played.get("/audit", ada, q=key[1]).text


def test_a_dispute_is_settled_and_a_draft_signed(played: Dashboard, world: World, browser: Browser) -> None:
    screen = Screen(browser, played)
    try:
        page = screen.of(world.people["arne"], "/licensees/palette-works")
        screen.check(page, "licensee")
        page.goto(played.door.address + "/licensees/lumenkit/statements")
        page.get_by_role("row", name=re.compile("disputed")).get_by_role("link").first.click()
        screen.check(page, "statement")
        page.get_by_role("button", name="Settle").first.click()
        page.get_by_label("Reason").fill("Their log is right.")
        page.get_by_role("dialog").get_by_role("button", name="Settle").click()
        expect(page.get_by_role("status").first).to_contain_text("Agreed")
        page.goto(played.door.address + "/licensees/driftwood/agreements")
        page.get_by_role("row", name=re.compile("draft")).get_by_role("link").first.click()
        screen.check(page, "agreement")
        if page.get_by_role("button", name=re.compile("^Sign for")).count():
            page.get_by_role("button", name=re.compile("^Sign for")).click()
            page.get_by_role("dialog").get_by_role("button", name="Sign").click()
            expect(page.get_by_role("status").first).to_contain_text("Signed for")
        screen.demand_clean()
    finally:
        screen.close()
