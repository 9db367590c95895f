"""The audit log as a page: newest first, searched, one entry whole, and the chain checked."""

from sqlalchemy import text

from core.database import make_engine
from tests.service.dashboard.people import FINANCE, Dashboard, queries_of
from tests.service.dashboard.screen import Screen


def test_the_log_is_shown_newest_first_and_searched(shared: Dashboard) -> None:
    shown = shared.get("/audit", FINANCE["viewer"]).text
    assert "invoice issued" in shown
    assert 'href="/invoices/GLD-' in shown or 'href="/invoices/' in shown
    found = shared.get("/audit", FINANCE["viewer"], q="issued").text
    assert "invoice issued" in found and "user added" not in found
    assert "Nothing found" in shared.get("/audit", FINANCE["viewer"], q="no such word at all").text
    file = shared.get("/audit", FINANCE["viewer"], format="csv")
    assert file.headers["content-type"].startswith("text/csv") and "invoice issued" in file.text


def test_an_entry_is_shown_with_its_place_in_the_chain(shared: Dashboard) -> None:
    shown = shared.get("/audit/1", FINANCE["viewer"])
    assert shown.status_code == 200 and "Its place in the chain" in shown.text
    assert shared.get("/audit/999999", FINANCE["viewer"]).status_code == 404
    assert shared.get(f"/audit/{10**30}", FINANCE["viewer"]).status_code == 404


def test_the_number_of_queries_does_not_hang_on_the_log(shared: Dashboard) -> None:
    vera = FINANCE["viewer"]
    one = queries_of(lambda: shared.get("/audit", vera, q="user.added"))
    assert one == queries_of(lambda: shared.get("/audit", vera)) <= 12


def test_the_check_says_that_the_log_is_whole_and_where_it_is_not(dashboard: Dashboard) -> None:
    assert "none was changed" in _checked(dashboard)
    owner = make_engine(dashboard.owner_url, role=None)
    with owner.begin() as connection:
        connection.execute(text("ALTER TABLE audit_log DISABLE TRIGGER USER"))
        connection.execute(text("UPDATE audit_log SET actor = 'nobody' WHERE sequence = 2"))
    owner.dispose()
    assert "The log is not whole: entry 2 " in _checked(dashboard)


def test_the_log_in_a_browser(screen: Screen) -> None:
    page = screen.finance("viewer", "/audit")
    screen.check(page, "audit")
    page.get_by_role("link", name="2026").first.click()
    screen.check(page, "audit-entry")
    page.go_back()
    page.get_by_role("button", name="Check every link").click()
    page.get_by_role("status").filter(has_text="none was changed").wait_for()


def _checked(dashboard: Dashboard) -> str:
    answered = dashboard.post("/audit/check", who=FINANCE["viewer"], follow_redirects=False)
    assert answered.status_code == 303
    flash = answered.headers["set-cookie"].partition(";")[0]
    cookies = f"perimage={dashboard.token(FINANCE['viewer'])}; {flash}"
    return dashboard.get("/audit", "", headers={"Cookie": cookies}).text
