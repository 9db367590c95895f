"""The scenario: the opening example to the cent, offers compared, recorded usage, saved and shared within the house."""

import re
from decimal import Decimal
from urllib.parse import quote

import pytest
from playwright.sync_api import expect
from sqlalchemy.orm import Session

from core.invoicing.what_if.shadow import licensee_named, months_from_to, shadow
from core.invoicing.what_if.standing import standing_offer
from core.rating.offers import at_rate
from service.dashboard import written
from tests.service.dashboard.people import FINANCE, PORTAL, RIVALS_ADMIN, STRANGER, Dashboard, counting_queries
from tests.service.dashboard.screen import Screen
from tests.service.finance.house import LAST

VIEWER, CLERK = FINANCE["viewer"], FINANCE["clerk"]
NORTHS, COLLEAGUE = PORTAL["manager"], PORTAL["viewer"]


@pytest.mark.parametrize(("home", "who"), [("/scenario", VIEWER), ("/portal/scenario", COLLEAGUE)])
def test_it_opens_with_the_offer_that_was_declined(shared: Dashboard, home: str, who: str) -> None:
    shown = shared.get(home, who).text
    assert "42,000,000 images at 12 BUZZ cost 504,000.00 USD over 12 months" in shown
    assert "break-even at 42,000,000 images" in shown
    for words in ("Flat price", "Tiered price", "Prepaid volume", "cheapest"):
        assert words in shown


def test_dragging_asks_for_a_part_that_says_the_same_as_the_command(shared: Dashboard) -> None:
    """The figures of docs/what-if.md."""
    part = shared.get("/scenario/answer", VIEWER, price="14", volume="30,000,000")
    assert "<html" not in part.text
    assert "30,000,000 images at 14 BUZZ cost 588,000.00 USD" in part.text
    assert "168,000.00 USD of it is owed for images that were promised and not made" in part.text
    assert "From 42,000,000 images on, only images are paid for." in part.text
    assert "19.6 BUZZ" in part.text
    assert "price=14" in part.headers["HX-Replace-Url"] and "volume=30000000" in part.headers["HX-Replace-Url"]
    passed_on = {"price": "14", "volume": "30000000", "free": "40", "margin": "10"}
    assert "37 BUZZ per paid image" in shared.get("/scenario/answer", VIEWER, **passed_on).text
    growing = shared.get("/scenario/answer", VIEWER, volume="12000000", growth="3")
    assert "14,192,030 images at 12 BUZZ" in growing.text


def test_the_months_as_a_file_add_up(shared: Dashboard) -> None:
    file = shared.get("/scenario", VIEWER, volume="30000000", price="14", format="csv")
    assert file.headers["content-type"].startswith("text/csv")
    rows = [line.split(",") for line in file.text.lstrip("\ufeff").split()]
    assert rows[0] == ["month", "images", "amount", "shortfall", "currency"]
    assert len(rows) == 14 and rows[-1] == ["total", "30000000", "588000.00", "168000.00", "USD"]
    assert sum(Decimal(row[2]) for row in rows[1:-1]) == Decimal("588000.00")


def test_what_cannot_be_read_is_said_at_its_field_and_nothing_is_lost(shared: Dashboard) -> None:
    refused = shared.get("/scenario", VIEWER, price="cheap", volume="-4", growth="-200", b_price="0")
    assert refused.status_code == 422
    for words in ('value="cheap"', 'value="-4"', "write a price above nothing", "from 0 to", "write a percentage from"):
        assert words.lower() in refused.text.lower()
    assert shared.get("/scenario", VIEWER, volume="9" * 12).status_code == 200
    assert "The forecast grows beyond" in shared.get("/scenario/answer", VIEWER, growth="1000", volume="9" * 12).text
    assert shared.get("/scenario", VIEWER, of="no-such").status_code == 404
    for text in ("\x00", "1e400", "NaN", "٣", "1" * 5000):
        assert "Something has to change" in shared.get("/scenario/answer", VIEWER, price=text, volume=text).text
    for odd in ("\x00", "9999-12", "0001-01", "x" * 300, "'", "\ud7ff"):
        asked = ("of", "licensee", "from", "to", "saved")
        for name in asked:
            answered = shared.get("/scenario/answer", VIEWER, mode="recorded", **{name: odd})
            assert answered.status_code in (200, 404, 422), (odd, name)
        assert shared.get(f"/scenario/saved/{quote(odd)}", VIEWER).status_code in (404, 422)


def test_offers_are_held_against_each_other(shared: Dashboard) -> None:
    asked = {"b": "flat", "b_price": "16", "c": "committed", "c_price": "14", "c_images": "20000000",
             "d": "prepaid", "d_price": "10", "d_images": "20000000", "d_beyond": "16"}  # fmt: skip
    shown = shared.get("/scenario/compared", VIEWER, volume="21000000", **asked).text
    for total in ("504,000.00", "336,000.00", "294,000.00", "216,000.00"):
        assert total in shown
    assert "D is cheapest here." in shown
    nothing = shared.get("/scenario/compared", VIEWER, b="", c="", d="").text
    assert "Nothing to compare" in nothing


def test_recorded_usage_is_held_against_what_is_owed(shared: Dashboard) -> None:
    """With the own terms the difference is nothing; at another price it is what the shadow bill says."""
    agreement, month = shared.houses["guild"].names["agreement"], LAST.name
    asked = {"mode": "recorded", "of": agreement, "from": month, "to": month}
    for home, who in (("/scenario", VIEWER), ("/portal/scenario", NORTHS)):
        assert "the same as is owed today" in shared.get(f"{home}/answer", who, **asked).text
        with Session(shared.engine) as session:
            offers, _ = at_rate([standing_offer(session, agreement)], Decimal("0.5"))
            north = licensee_named(session, "north")
            found = shadow(session, north, months_from_to(month, month), offers, instead_of=agreement)
        owed, _, offered, _ = found.sums()
        assert offered != owed
        shown = shared.get(f"{home}/answer", who, price="0.5", **asked).text
        assert written.money(offered) in shown
    example = shared.get("/portal/scenario/answer", NORTHS, mode="recorded", **{"from": month, "to": month}).text
    assert "counted as if they were of the model that these terms are about" in example


def test_the_portal_looks_at_its_own_usage_whatever_the_address_says(shared: Dashboard) -> None:
    own = shared.get("/portal/scenario/answer", NORTHS, mode="recorded").text
    assert own == shared.get("/portal/scenario/answer", NORTHS, mode="recorded", licensee="rival-only").text
    theirs = shared.houses["rival"].names["agreement"]
    assert shared.get("/scenario", VIEWER, of=theirs).status_code == 404
    assert shared.get("/portal/scenario", STRANGER, of=shared.houses["guild"].names["agreement"]).status_code == 404


def _saved(shared: Dashboard, home: str, who: str, **fields: str) -> str:
    kept = {"of": "sd3-enterprise", "price": "13.5", "volume": "30,000,000", "name": "Second round"}
    answered = shared.post(f"{home}/save", {**kept, **fields}, who, follow_redirects=False)
    assert answered.status_code == 303, answered.text[-500:]
    return answered.headers["location"]


@pytest.mark.parametrize(
    ("home", "owner", "colleague", "others"),
    [
        ("/scenario", CLERK, VIEWER, (RIVALS_ADMIN, NORTHS)),
        ("/portal/scenario", NORTHS, COLLEAGUE, (STRANGER, CLERK)),
    ],
)
def test_a_scenario_is_saved_and_shared_within_the_house(
    shared: Dashboard, home: str, owner: str, colleague: str, others: tuple[str, ...]
) -> None:
    own = _saved(shared, home, owner, name="Only mine")
    shown = shared.get(own, owner).text
    assert "30,000,000 images at 13.5 BUZZ" in shown and "only you see it" in shown
    assert shared.get(own, colleague).status_code == 404
    linked = _saved(shared, home, owner, name="By link", sharing="link")
    assert shared.get(linked, colleague).status_code == 200
    listed = _saved(shared, home, owner, name="For all of us", sharing="party")
    seen = shared.get(home, colleague).text
    assert "For all of us" in seen and "By link" not in seen and "Only mine" not in seen
    for who in others:
        for address in (own, linked, listed):
            assert shared.get(address, who).status_code == 404
            assert shared.post(f"{address}/delete", {}, who).status_code == 404
        assert (
            "For all of us" not in shared.get("/scenario" if who in FINANCE.values() else "/portal/scenario", who).text
        )
    key = listed.rpartition("/")[2]
    again = {"name": "For all of us, two", "sharing": "party", "key": key, "again": "on"}
    assert _saved(shared, home, owner, price="15", **again) == listed
    assert "at 15 BUZZ" in shared.get(listed, colleague).text
    assert shared.get(home, owner).text.count("For all of us") == 1
    kept = {"of": "sd3-enterprise", "volume": "1000"}
    assert shared.post(f"{home}/save", {**kept, **again}, colleague).status_code == 403
    assert shared.post(f"{listed}/delete", {}, colleague, follow_redirects=False).status_code == 403
    for address in (own, linked, listed):
        assert shared.post(f"{address}/delete", {}, owner, follow_redirects=False).status_code == 303
        assert shared.get(address, owner).status_code == 404


def test_what_is_refused_when_saving_keeps_the_figures(shared: Dashboard) -> None:
    refused = shared.post("/scenario/save", {"price": "13.25", "name": " ", "sharing": "own"}, VIEWER)
    assert refused.status_code == 422 and 'value="13.25"' in refused.text and "This is needed" in refused.text
    wrong = shared.post("/scenario/save", {"price": "none", "name": "Fine", "sharing": "own"}, VIEWER)
    assert wrong.status_code == 422 and "cannot be kept" in wrong.text


def test_the_number_of_queries_is_fixed(shared: Dashboard) -> None:
    shared.get("/scenario", VIEWER)
    with counting_queries() as whole:
        shared.get("/scenario", VIEWER)
    with counting_queries() as part:
        shared.get("/scenario/answer", VIEWER, price="13.1")
    with counting_queries() as recorded:
        shared.get("/scenario", VIEWER, mode="recorded", of=shared.houses["guild"].names["agreement"])
    assert (len(whole), len(part)) == (6, 5), "\n".join(whole)
    assert len(recorded) <= 28, "\n".join(recorded)


def test_the_curve_follows_the_slider(screen: Screen) -> None:
    page = screen.finance("viewer", "/scenario")
    screen.check(page, "scenario")
    page.get_by_role("slider", name="Volume").fill("30000000")
    expect(page.get_by_role("status").first).to_contain_text("30,000,000 images at 12 BUZZ cost 504,000.00 USD")
    expect(page.get_by_label("Volume").first).to_have_value("30,000,000")
    expect(page.locator("#compared")).to_contain_text("D is cheapest here")
    page.get_by_label("Price", exact=True).first.fill("14")
    expect(page.get_by_role("status").first).to_contain_text("cost 588,000.00 USD")
    expect(page).to_have_url(re.compile("price=14.*volume=30000000"))
    page.get_by_role("button", name="Save or share").click()
    page.get_by_label("Name").fill("For the board")
    page.get_by_label("Who sees it").select_option("party")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("heading", name="For the board", level=1)).to_be_visible()
    page.get_by_role("link", name="On recorded usage").click()
    expect(page.get_by_label("Usage of")).to_be_visible()
    screen.check(page, "scenario-recorded", part="#answer")
