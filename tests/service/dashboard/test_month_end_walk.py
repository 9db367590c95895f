"""A whole month's end in a browser: signed in, held, released, approved by a second person, issued, seen, paid."""

from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy.orm import Session

from core.access.users import set_password
from core.invoicing.runs.run import advance_items, items_to_work, take_item
from core.registry.register import set_approval_limit
from tests.service.dashboard.people import FINANCE, NOBODY, PASSWORD, ROOT, Dashboard
from tests.service.dashboard.screen import Screen
from tests.service.finance.house import LAST


def test_a_month_from_signing_in_to_issued_and_paid(screen: Screen, shared: Dashboard) -> None:
    clerk = _signed_in(screen, shared)
    clerk.get_by_role("link", name="Month end").first.click()
    clerk.get_by_role("button", name="Close a month").click()
    clerk.get_by_label("Month", exact=True).fill(LAST.name)
    clerk.get_by_role("button", name="Close it", exact=True).click()
    expect(clerk.get_by_role("status").filter(has_text="0 of 2")).to_be_visible()
    _work(shared)
    expect(clerk.get_by_role("status").filter(has_text="2 of 2")).to_be_visible(timeout=10_000)  # by itself
    clerk.get_by_role("link", name=f"The drafts of {_month()}").click()
    north = clerk.get_by_role("row").filter(has_text="guild-deal")
    north.get_by_role("button", name="Hold").click()
    clerk.get_by_label("Reason").locator("visible=true").fill("more than they expect")
    clerk.get_by_role("button", name="Hold back").locator("visible=true").click()
    expect(clerk.get_by_role("row").filter(has_text="guild-deal")).to_contain_text("more than they expect")
    screen.check(clerk, "month-end")

    approver = screen.finance("approver", f"/month-end/{LAST.name}?state=held")
    approver.get_by_role("button", name="Release").first.click()
    approver.get_by_label("Reason").locator("visible=true").fill("looked at the counts with them")
    approver.get_by_role("dialog").get_by_role("button", name="Release").click()
    expect(approver.get_by_role("status").filter(has_text="is released")).to_be_visible()
    approver.goto(shared.door.address + f"/month-end/{LAST.name}")
    approver.get_by_role("row").filter(has_text="guild-solo").get_by_role("button", name="Approve").click()
    solo = approver.get_by_role("row").filter(has_text="guild-solo")
    expect(solo).to_contain_text("You approved this, and it is above 500.00 USD")

    admin = screen.finance("admin", f"/month-end/{LAST.name}")
    admin.get_by_role("button", name="Issue all that are ready").click()
    expect(admin.get_by_role("dialog")).to_contain_text("Issue 2 invoices?")
    expect(admin.get_by_role("dialog")).to_contain_text("Together 900.00 USD")
    admin.get_by_role("button", name="Issue 2", exact=True).click()
    expect(admin.get_by_role("status").filter(has_text="2 invoices are issued.")).to_be_visible(timeout=20_000)

    admin.get_by_role("link", name="North").first.click()
    expect(admin.locator("iframe")).to_be_visible()
    number = admin.get_by_role("heading", level=1).inner_text().split()[1]
    pdf = admin.request.get(shared.door.address + f"/invoices/{number}/documents/pdf?show=1")
    assert pdf.body().startswith(b"%PDF")
    admin.get_by_text("How it was worked out").first.click()
    expect(admin.get_by_role("figure").first).to_contain_text("Images day by day")
    screen.check(admin, "invoice")

    admin.get_by_role("link", name="Record a payment").click()
    admin.get_by_label("Reference").fill("bank-4711")
    admin.get_by_role("button", name="Record", exact=True).click()
    admin.get_by_role("link", name=number).click()
    expect(admin.get_by_role("heading", level=1)).to_contain_text("paid")


def test_totals_follow_what_is_shown(screen: Screen, shared: Dashboard) -> None:
    page = screen.finance("admin", "/invoices")
    page.get_by_role("searchbox").fill(shared.houses["guild"].names["spare"])
    expect(page.get_by_role("table", name="Invoices and credit notes").get_by_role("row")).to_have_count(2)
    expect(page.locator("#sums tbody td").first).to_have_text("1")


@pytest.mark.slow
def test_every_finance_page_on_every_screen(screen: Screen, shared: Dashboard) -> None:
    names = shared.houses["guild"].names
    invoice, month = f"/invoices/{names['spare']}", f"/month-end/{LAST.name}"
    page = screen.finance("admin", "/invoices")
    for name, address in (
        ("invoices", "/invoices"), ("draft", f"/invoices/{names['draft']}"), ("line", f"{invoice}/lines/1"),
        ("credit", f"{invoice}/credit"), ("void", f"{invoice}/void"), ("months", "/month-end"), ("month", month),
        ("run", f"/month-end/runs/{names['run_id']}"), ("dry-run", f"{month}/dry-run"), ("payments", "/payments"),
        ("payment", f"/payments/{names['payment_id']}"), ("payment-new", "/payments/new"), ("bank", "/payments/bank"),
        ("left", "/payments/credit"), ("ageing", "/payments/ageing"), ("stripe", "/payments/stripe"),
    ):  # fmt: skip
        page.goto(shared.door.address + address)
        screen.check(page, name)


def _signed_in(screen: Screen, shared: Dashboard) -> Page:
    """The clerk, by the form; and a limit above which two people are needed."""
    with Session(shared.engine) as session:
        set_approval_limit(session, "guild", None, 500_00)
        set_password(session, FINANCE["clerk"], ROOT, PASSWORD)
        session.commit()
    page = screen.of(NOBODY, "/sign-in")
    page.get_by_label("E-mail").fill(FINANCE["clerk"])
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/overview")
    return page


def _work(shared: Dashboard) -> None:
    """What the workers do with runs, a step at a time."""
    with Session(shared.engine) as session:
        left = items_to_work(session)
        for run_id, agreement_id in left:
            take_item(session, run_id, agreement_id, timedelta(minutes=5))
        session.commit()
        for run_id, agreement_id in left:
            while advance_items(session, run_id, [agreement_id]):
                session.commit()
            session.commit()


def _month() -> str:
    return f"{LAST.start:%B %Y}"
