"""The pages that everybody has, in a real browser: signing in, one's own profile, errors, the keyboard."""

from playwright.sync_api import expect
from sqlalchemy.orm import Session

from core.access.invitations import invite
from core.access.people import find_person
from core.access.users import set_password
from tests.service.dashboard.people import FINANCE, NOBODY, PASSWORD, PORTAL, ROOT
from tests.service.dashboard.screen import Screen


def test_somebody_signs_in_looks_around_and_signs_out(screen: Screen) -> None:
    with Session(screen.dashboard.engine) as session:
        set_password(session, FINANCE["clerk"], ROOT, PASSWORD)
        session.commit()
    page = screen.of(NOBODY, "/profile")
    screen.check(page, "sign-in")
    page.get_by_label("E-mail").fill(FINANCE["clerk"])
    page.get_by_label("Password").fill("wrong")
    screen.allow("422")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("do not go together")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(screen.dashboard.door.address + "/profile")
    screen.check(page, "profile")
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.get_by_text("You are signed out")).to_be_visible()


def test_an_address_that_leads_nowhere_is_a_calm_page(screen: Screen) -> None:
    screen.allow("404")
    page = screen.portal("viewer", "/invoices/ours")
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
    screen.check(page, "nothing")


def test_whoever_is_invited_sets_a_password_and_is_in(screen: Screen) -> None:
    with Session(screen.dashboard.engine) as session:
        person = find_person(session, PORTAL["manager"])
        assert person is not None
        link = f"/welcome/{invite(session, person, ROOT)}"
        session.commit()
    page = screen.of(NOBODY, link)
    screen.check(page, "welcome")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Set password and sign in").click()
    expect(page).to_have_url(screen.dashboard.door.address + "/portal")
