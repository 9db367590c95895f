"""Every part of which pages are made, on one page with hostile names: looked at, written to, and used by keyboard."""

import csv
import io
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from core.database import make_engine
from tests.conftest import _create, _drop, _on
from tests.door import serving, settings_for
from tests.service.dashboard import style
from tests.service.dashboard.conftest import TEMPLATE
from tests.service.dashboard.people import FINANCE, PORTAL, RIVALS_ADMIN, STRANGER, Dashboard
from tests.service.dashboard.screen import Screen, script
from tests.service.finance.house import House


@pytest.fixture(scope="module")
def shared(database_server: str, furnished: dict[str, House]) -> Iterator[Dashboard]:
    """The service with one page more."""
    name = f"{TEMPLATE}_style"
    _drop(database_server, name)
    _create(database_server, name, TEMPLATE)
    url = _on(database_server, name)
    engine = make_engine(url)
    with serving(settings_for(url), {}, style.router) as door:
        yield Dashboard(door, furnished, engine, url)
    engine.dispose()
    _drop(database_server, name)


@pytest.mark.slow
def test_every_part_looks_right_and_reads_well(screen: Screen) -> None:
    page = screen.finance("clerk", "/style")
    expect(page.locator(".plot canvas")).to_have_count(3)
    assert script(page, "document.querySelectorAll('script:not([src]):not([type])').length") == 0
    expect(page.get_by_text(style.HOSTILE[0]).first).to_be_attached()
    screen.check(page, "style")
    screen.allow("422")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#f-name-wrong")).to_have_text("This is needed")
    expect(page.locator("#f-name")).to_have_attribute("aria-invalid", "true")
    screen.check(page, "style-wrong", part="form.stack")


def test_the_keyboard_is_enough(screen: Screen) -> None:
    page = screen.finance("clerk", "/style")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("/")
    search = page.get_by_role("searchbox")
    expect(search).to_be_focused()
    page.keyboard.type("tensor")
    expect(page.locator(".pager")).to_contain_text("of 6")
    expect(page).to_have_url(re.compile("q=tensor"))
    page.locator("h1").click()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Month end")
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("o")
    expect(page).to_have_url(re.compile("/overview$"))


def test_a_dialog_asks_for_a_reason_and_the_next_page_says_what_was_done(screen: Screen) -> None:
    page = screen.finance("clerk", "/style")
    page.get_by_role("button", name="Hold").click()
    dialog = page.get_by_role("dialog")
    screen.check(page, "style-dialog", part="dialog[open]")
    dialog.get_by_label("Reason").fill("<b>too high</b>")
    dialog.get_by_role("button", name="Hold").click()
    expect(page.get_by_role("status").first).to_have_text("Held: <b>too high</b>")
    page.reload()
    expect(page.get_by_text("Held:")).to_have_count(0)


def test_times_are_the_viewers_progress_goes_on_and_lists_sort(screen: Screen) -> None:
    page = screen.of(FINANCE["viewer"], "/style?q=mage", zone="Asia/Tokyo")
    first = page.locator("tbody time.moment").first
    expect(first).to_contain_text("Nov 1, 2026, 6:00 PM")
    expect(first).to_have_attribute("title", "1 Nov 2026, 09:00 UTC")
    expect(page.locator("#progress .number")).to_have_text("10 of 10", timeout=8_000)
    page.get_by_role("link", name="Images").click()
    expect(page.locator("th[aria-sort=ascending]")).to_have_text("Images")
    page.get_by_role("link", name="Images").click()
    expect(page.locator("th[aria-sort=descending]")).to_have_text("Images")
    expect(page).to_have_url(re.compile("q=mage&sort=-images"))
    page.get_by_label("Status").select_option("held")
    expect(page.locator("tbody .badge").first).to_have_text("held")


def test_the_menu_of_a_phone_opens_and_closes_and_the_theme_stays(screen: Screen) -> None:
    page = screen.of(FINANCE["viewer"], "/style", size="phone")
    menu = page.get_by_role("navigation", name="Main")
    expect(menu).not_to_be_visible()
    page.get_by_role("button", name="Menu").click()
    expect(menu.get_by_role("link", name="Invoices")).to_be_visible()
    screen.shot(page, "style-menu-phone-light")
    page.keyboard.press("Escape")
    expect(menu).not_to_be_visible()
    page.goto(screen.dashboard.door.address + "/profile")
    page.get_by_label("Theme").select_option("dark")
    page.get_by_label("Numbers and dates").select_option("de")
    page.get_by_role("button", name="Keep").click()
    page.goto(screen.dashboard.door.address + "/style")
    assert script(page, "getComputedStyle(document.body).backgroundColor") == "rgb(19, 20, 23)"
    expect(page.locator(".figure .value").first).to_contain_text("48.123,45 USD")


def test_eyes_show_what_is_theirs_whatever_a_page_asks(shared: Dashboard) -> None:
    """A page that forgets every condition shows no more than it may, and cannot write."""
    ours = shared.get("/style/everything", FINANCE["viewer"]).text.split()
    theirs = shared.get("/style/everything", RIVALS_ADMIN).text.split()
    assert {"north", "guild-only", "refused"} <= set(ours) and {"north", "rival-only", "refused"} <= set(theirs)
    assert set(ours) & set(theirs) == {"north", "None", "refused"}
    norths = shared.get("/style/portal-everything", PORTAL["viewer"]).text.split()
    strangers = shared.get("/style/portal-everything", STRANGER).text.split()
    assert {"north", "refused"} <= set(norths) and "guild-only" not in norths
    assert set(norths) & set(strangers) <= {"refused"} and "written" not in strangers


def test_the_csv_file_holds_every_row_found_and_no_formula(shared: Dashboard) -> None:
    answer = shared.get("/style", FINANCE["viewer"], format="csv", q="hyperlink", sort="-images")
    assert answer.headers["content-disposition"] == 'attachment; filename="style.csv"'
    head, *rows = csv.reader(io.StringIO(answer.content.decode("utf-8-sig")))
    assert head == ["Licensee", "Images", "Owed", "Owed: currency", "Status", "Since", "Due"]
    assert len(rows) == 6 and all(row[0].startswith("'=HYPERLINK") for row in rows)
    assert [int(row[1]) for row in rows] == sorted((int(row[1]) for row in rows), reverse=True)
    assert len(shared.get("/style", FINANCE["viewer"], format="csv").text.splitlines()) == 61


@pytest.mark.parametrize(
    "address",
    ["?page=0", "?page=-1", "?page=99999999999", "?page=abc", "?size=7", "?sort=nothing", "?sort=--name", "?q=%00%ff",
     "?status=nothing", "?q=" + "x" * 3000, "?format=pdf", "?page=2&page=3", "?q=%F0%9F%98%80", "?sort=act"],
)  # fmt: skip
def test_an_address_that_makes_no_sense_shows_the_list_all_the_same(shared: Dashboard, address: str) -> None:
    assert shared.get(f"/style{address}", FINANCE["viewer"]).status_code == 200
