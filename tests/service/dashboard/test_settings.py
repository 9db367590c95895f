"""The settings: people and their roles, keys and secrets shown once, webhooks, notices, limits, the house itself."""

import re
from base64 import b64decode
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.access.people import actor_of, put_password
from core.access.tables import FinanceUser, LicenseeUser
from core.audit.tables import AuditEntry
from core.registry.tables import ApprovalLimit, Licensor, StoredPicture
from tests.service.dashboard.people import FINANCE, NOBODY, PORTAL, RIVALS_ADMIN, Dashboard, counting_queries
from tests.service.dashboard.screen import Screen

ADMINS_ONLY = ("/settings/people", "/settings/licensee-people", "/settings/keys")
FOR_ALL = ("/settings", "/settings/limits", "/settings/webhooks", "/settings/notices", "/settings/deliveries",
           "/settings/system", "/settings/system/health")  # fmt: skip
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 80 30"><rect width="80" height="30" fill="#1b4d89"/></svg>'
PNG = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


def acts(dashboard: Dashboard, subject: str) -> list[str]:
    with Session(dashboard.engine) as session:
        asked = select(AuditEntry.action).where(AuditEntry.subject == subject).order_by(AuditEntry.sequence)
        return list(session.scalars(asked))


def person_id(dashboard: Dashboard, email: str) -> int:
    with Session(dashboard.engine) as session:
        return session.scalars(select(FinanceUser.id).filter_by(email=email)).one()


def link_in(answer: httpx.Response) -> str:
    found = re.search(r'class="secret">[^<]*(/welcome/[\w-]+)<', answer.text)
    assert found, answer.text[-2000:]
    return found[1]


def added(dashboard: Dashboard, email: str, role: str = "clerk") -> tuple[str, str]:
    """Somebody new, by the page: the path of their own page, and of their link."""
    answer = dashboard.post("/settings/people", {"email": email, "name": "Somebody New", "role": role})
    assert answer.status_code == 200, answer.text
    return f"/settings/people/{person_id(dashboard, email)}", link_in(answer)


def test_everybody_sees_the_house_and_only_admins_see_people_and_keys(shared: Dashboard) -> None:
    for path in (*FOR_ALL, *ADMINS_ONLY):
        assert shared.get(path, FINANCE["admin"]).status_code == 200, path
    for path in FOR_ALL:
        assert shared.get(path, FINANCE["viewer"]).status_code == 200, path
    for path in ADMINS_ONLY:
        assert shared.get(path, FINANCE["approver"]).status_code == 403, path
    assert "/settings/people" not in shared.get("/settings", FINANCE["approver"]).text


def test_somebody_is_invited_sets_a_password_and_gets_another_role(shared: Dashboard) -> None:
    page, link = added(shared, "new@guild.example")
    assert link not in shared.get("/settings/people").text, "shown once"
    assert shared.get(link, NOBODY).status_code == 200
    long = "a long enough password"
    entered = shared.post(link, {"password": long, "again": long}, NOBODY, follow_redirects=False)
    assert entered.status_code == 303
    changed = shared.post(f"{page}/role", {"role": "approver"}, follow_redirects=False)
    assert changed.status_code == 303
    assert "Sign out everywhere" in shared.get(page).text
    assert shared.get("/settings/limits", "new@guild.example").status_code == 200
    assert shared.post(f"{page}/sign-out", follow_redirects=False).status_code == 303
    assert shared.get("/settings/limits", "new@guild.example", follow_redirects=False).status_code == 303
    said = acts(shared, "user new@guild.example")
    assert said == ["user.added", "user.invited", "user.password_set", "user.role_changed", "user.signed_out"]


def test_who_is_deactivated_is_out_at_once_and_for_good(shared: Dashboard) -> None:
    page, link = added(shared, "leaving@guild.example", "admin")
    assert shared.get("/settings/people", "leaving@guild.example").status_code == 200
    assert shared.post(f"{page}/deactivate", follow_redirects=False).status_code == 303
    out = shared.get("/settings/people", "leaving@guild.example", follow_redirects=False)
    assert out.status_code == 303 and out.headers["location"].startswith("/sign-in")
    assert shared.get(link, NOBODY).status_code == 404
    assert "deactivated" in shared.get(page).text
    again = shared.post(f"{page}/invite")
    assert again.status_code == 422 and "is deactivated" in again.text


def test_the_last_admin_stays_and_nobody_ends_their_own_access(shared: Dashboard) -> None:
    own, me = f"/settings/people/{person_id(shared, RIVALS_ADMIN)}", RIVALS_ADMIN
    refused = shared.post(f"{own}/role", {"role": "clerk"}, me)
    assert refused.status_code == 409 and "is the last admin" in refused.text
    assert shared.post(f"{own}/deactivate", who=me).status_code == 409
    shared.post("/settings/people", {"email": "second@rival.example", "name": "Second", "role": "admin"}, me)
    assert shared.post(f"{own}/deactivate", who=me).status_code == 409
    assert shared.post(f"{own}/role", {"role": "clerk"}, me, follow_redirects=False).status_code == 303
    assert shared.get("/settings/people", me).status_code == 403


def test_a_form_that_is_wrong_keeps_what_was_typed(shared: Dashboard) -> None:
    answer = shared.post("/settings/people", {"email": "not an address", "name": "Zoë Typed", "role": "clerk"})
    assert answer.status_code == 422 and "Zoë Typed" in answer.text and "not an address" in answer.text
    taken = shared.post("/settings/people", {"email": FINANCE["clerk"], "name": "Another", "role": "clerk"})
    assert taken.status_code == 409 and "is taken" in taken.text


def test_people_of_licensees_are_managed_where_there_is_an_account(shared: Dashboard) -> None:
    said = {"licensee": "guild-only", "email": "first@guild-only.example", "name": "First", "role": "manager"}
    answer = shared.post("/settings/licensee-people", said)
    assert answer.status_code == 200 and shared.get(link_in(answer), NOBODY).status_code == 200
    theirs = shared.post("/settings/licensee-people", {**said, "licensee": "rival-only"})
    assert theirs.status_code == 422 and "Choose one of the list" in theirs.text
    assert "rival-only" not in shared.get("/settings/licensee-people").text
    assert shared.get("/settings/licensee-people", q="guild-only").text.count("@guild-only.example") >= 3


def test_a_licensee_of_several_licensors_looks_after_its_own_people(shared: Dashboard) -> None:
    """Whoever could let somebody in there would see what is the other licensor's."""
    said = {"licensee": "north", "email": "more@north.example", "name": "More", "role": "manager"}
    with Session(shared.engine) as session:
        manager = session.scalars(select(LicenseeUser).filter_by(email=PORTAL["manager"])).one()
        page = f"/settings/licensee-people/{manager.id}"
        put_password(session, manager, "a long enough password", actor_of(manager))
        session.commit()
    shared.forget(PORTAL["manager"])
    assert shared.post("/settings/licensee-people", said).status_code == 409
    for way, fields in (("invite", {}), ("role", {"role": "viewer"}), ("sign-out", {}), ("deactivate", {})):
        refused = shared.post(f"{page}/{way}", fields)
        assert refused.status_code == 409 and "ask one of them" in refused.text, way
        assert "/welcome/" not in refused.text
    assert "Deactivate" not in shared.get(page).text
    assert shared.get("/portal", PORTAL["manager"]).status_code == 200


def test_a_key_is_shown_once_works_and_is_revoked(shared: Dashboard) -> None:
    fields: dict[str, Any] = {"whose": "machine", "machine": "ledger-sync", "role": "viewer", "lasts": "30",
                              "label": "nightly", "scopes": ["read"]}  # fmt: skip
    answer = shared.post("/settings/keys", fields)
    found = re.search(r"pfk_([a-z0-9]{16})_[A-Za-z0-9_-]{43}", answer.text)
    assert found, answer.text[-2000:]
    listed = shared.get("/settings/keys").text
    assert found[0] not in listed and found[1] in listed and "ledger-sync" in listed
    with_key = {"Authorization": f"Bearer {found[0]}"}
    assert shared.door.client.get("/v1/finance/me", headers=with_key).json()["name"] == "machine:ledger-sync"
    assert "Revoke this key?" in shared.get(f"/settings/keys/{found[1]}/revoke").text
    assert shared.post(f"/settings/keys/{found[1]}/revoke", follow_redirects=False).status_code == 303
    assert shared.door.client.get("/v1/finance/me", headers=with_key).status_code == 401
    none = shared.post("/settings/keys", {**fields, "scopes": [], "machine": "Not A Name"})
    assert none.status_code == 422 and "Tick at least one" in none.text and "Not A Name" in none.text
    admin = shared.post("/settings/keys", {**fields, "role": "admin"})
    assert admin.status_code == 422


def test_a_webhook_is_added_tested_paused_and_resumed(shared: Dashboard) -> None:
    url = "https://hooks.elsewhere.example/in"
    made = shared.post("/settings/webhooks", {"url": url, "licensee": "", "kinds": ["invoice.issued"]})
    secret = re.search(r"whsec_[A-Za-z0-9+/=]{20,}", made.text)
    at = re.search(r"/settings/webhooks/\d+", made.text)
    assert secret and at
    assert secret[0] not in shared.get(at[0]).text, "shown once"
    rotated = re.search(r"whsec_[A-Za-z0-9+/=]{20,}", shared.post(f"{at[0]}/rotate").text)
    assert rotated and rotated[0] != secret[0]
    sent = shared.post(f"{at[0]}/test", who=FINANCE["clerk"], follow_redirects=False).headers["location"]
    assert "hx-trigger" in shared.get(sent).text and "waiting" in shared.get(sent).text
    assert shared.post(f"{at[0]}/pause", {"reason": ""}).status_code == 422
    assert shared.post(f"{at[0]}/pause", {"reason": "it moves"}, follow_redirects=False).status_code == 303
    paused = shared.get(at[0]).text
    assert "it moves" in paused and "given up" in paused
    assert shared.post(f"{sent}/replay", who=FINANCE["clerk"]).status_code == 409
    assert shared.post(f"{at[0]}/resume", follow_redirects=False).status_code == 303
    assert shared.post(f"{sent}/replay", who=FINANCE["clerk"], follow_redirects=False).status_code == 303
    assert "waiting" in shared.get(sent).text
    assert shared.post(f"{at[0]}/test", who=FINANCE["viewer"]).status_code == 403


@pytest.mark.parametrize("url", ["http://hooks.example/in", "https://127.0.0.1/in", "https://a:b@hooks.example/"])
def test_an_address_that_webhooks_may_not_go_to_is_refused_at_its_field(shared: Dashboard, url: str) -> None:
    answer = shared.post("/settings/webhooks", {"url": url, "licensee": ""})
    assert answer.status_code == 422 and 'id="f-url-wrong"' in answer.text and url in answer.text


def test_what_invoices_print_is_changed_and_written_down(shared: Dashboard) -> None:
    said = {"name": "The Guild, Ltd.", "address": "1 Loom Street\n\nLondon", "email": "ar@guild.example",
            "tax_id": "GB123456789"}  # fmt: skip
    assert shared.post("/settings/organisation", said, follow_redirects=False).status_code == 303
    with Session(shared.engine) as session:
        house = session.scalars(select(Licensor).filter_by(slug="guild")).one()
        assert (house.name, house.address, house.tax_id) == (said["name"], ["1 Loom Street", "London"], "GB123456789")
    assert acts(shared, "licensor guild")[-1] == "licensor.changed"
    wrong = shared.post("/settings/organisation", {**said, "tax_id": "GB12"})
    assert wrong.status_code == 422 and 'id="f-tax_id-wrong"' in wrong.text and "1 Loom Street" in wrong.text


def test_the_look_of_documents_is_judged_kept_and_shown(shared: Dashboard) -> None:
    faint = shared.post("/settings/brand", {"colour": "#ffff00", "accent": ""})
    assert faint.status_code == 422 and "too light to be read" in faint.text and "#ffff00" in faint.text
    small = shared.post("/settings/brand", {"colour": "", "accent": ""}, files={"logo": ("l.png", PNG, "image/png")})
    assert small.status_code == 422 and "too few to print" in small.text
    assert shared.get("/settings/logo").status_code == 404
    done = shared.post("/settings/brand", {"colour": "#1B4D89", "accent": ""}, follow_redirects=False,
                          files={"logo": ("l.svg", SVG, "image/svg+xml")})  # fmt: skip
    assert done.status_code == 303
    shown = shared.get("/settings/logo", FINANCE["viewer"])
    assert shown.content == SVG and shown.headers["content-type"] == "image/svg+xml"
    assert "default-src 'none'" in shown.headers["content-security-policy"], "an SVG opened by itself does nothing"
    assert shared.get("/settings/logo", RIVALS_ADMIN).status_code == 404
    shared.post("/settings/brand", {"colour": "#123456", "accent": ""})
    assert shared.get("/settings/logo").content == SVG, "a colour changed alone leaves the logo"
    shared.post("/settings/brand", {"colour": "", "accent": "", "no_logo": "on"})
    assert shared.get("/settings/logo").status_code == 404
    with Session(shared.engine) as session:
        assert session.scalars(select(StoredPicture)).one().content == SVG, "issued invoices may name it"


def test_limits_hold_for_all_or_for_one(shared: Dashboard) -> None:
    assert shared.post("/settings/limits", {"amount": "1,000,000"}, follow_redirects=False).status_code == 303
    own = "/settings/limits/guild-only"
    assert shared.post(own, {"amount": "250.50"}, follow_redirects=False).status_code == 303
    listed = shared.get("/settings/limits", FINANCE["viewer"]).text
    assert "10,000.00" in listed and "250.50" in listed
    for wrong in ("-1", "1.005", "much"):
        assert shared.post(own, {"amount": wrong}).status_code == 422
    assert shared.post(own, {"amount": ""}, follow_redirects=False).status_code == 303
    with Session(shared.engine) as session:
        assert [each.second_person_above_minor for each in session.scalars(select(ApprovalLimit))] == [1_000_000]
    assert acts(shared, "licensee guild-only") == ["approval_limit.changed"] * 2
    assert shared.get("/settings/limits/rival-only").status_code == 404


def test_notices_deliveries_and_the_system_are_shown_without_secrets(shared: Dashboard) -> None:
    notices = shared.get("/settings/notices", FINANCE["viewer"]).text
    one = re.search(r"/settings/notices/\d+", notices)
    assert one and shared.get(one[0], FINANCE["viewer"]).status_code == 200
    assert shared.get(one[0], RIVALS_ADMIN).status_code == 404
    file = shared.get("/settings/deliveries", FINANCE["viewer"], format="csv")
    assert file.headers["content-type"].startswith("text/csv") and "hooks.guild.example" in file.text
    assert "rival" not in file.text
    assert shared.get(f"/settings/deliveries/{10**30}").status_code == 404
    for path in (*FOR_ALL, *ADMINS_ONLY):
        assert not re.search(r"whsec_|pfk_[a-z0-9]{16}_[A-Za-z0-9_-]{20}|\$argon2", shared.get(path).text), path
    assert "ed25519" in shared.get("/settings/system", FINANCE["viewer"]).text


def test_the_number_of_queries_does_not_hang_on_how_many_there_are(shared: Dashboard) -> None:
    paths = [path for path in (*FOR_ALL, *ADMINS_ONLY) if "/system" not in path]  # which counts nothing of these

    def counted() -> dict[str, int]:
        found = {}
        for path in paths:
            with counting_queries() as sent:
                assert shared.get(path).status_code == 200
            found[path] = len(sent)
        return found

    shared.get("/settings")
    before = counted()
    for number in range(4):
        added(shared, f"more-{number}@guild.example")
        shared.post("/settings/webhooks", {"url": f"https://hooks.more.example/{number}", "licensee": ""})
        fields = {"whose": "machine", "machine": f"more-{number}", "role": "viewer", "lasts": "", "scopes": ["read"]}
        shared.post("/settings/keys", fields)
    assert counted() == before
    assert max(before.values()) <= 12, before


@pytest.mark.slow
def test_the_settings_in_a_browser(screen: Screen) -> None:
    page = screen.finance("admin", "/settings")
    screen.check(page, "settings")
    for name, tab in (("keys", "API keys"), ("webhooks", "Webhooks"), ("notices", "Notices"), ("system", "System")):
        page.get_by_role("navigation", name="Settings").get_by_role("link", name=tab, exact=True).click()
        page.wait_for_url(f"**/settings/{name}")
        if name == "system":
            page.get_by_text("well", exact=True).first.wait_for()
        screen.check(page, f"settings-{name}", part="main")
    page.goto(f"{screen.dashboard.door.address}/settings/webhooks")
    page.get_by_role("link", name="https://hooks.guild.example/").click()
    page.get_by_role("button", name="Pause", exact=True).click()
    page.get_by_role("dialog").get_by_label("Reason").fill("for the evening")
    screen.check(page, "settings-webhook", part="main")
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    page.get_by_text("for the evening").wait_for()
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Send a test").click()
    page.get_by_text("Not tried yet").wait_for()
    screen.check(page, "settings-delivery", part="main")
    page.goto(f"{screen.dashboard.door.address}/settings/people")
    page.get_by_label("Name", exact=True).fill("A Person with a Name that is Sixty Characters Long, No Less")
    page.get_by_label("E-mail").fill("long@guild.example")
    page.get_by_label("Role", exact=True).last.select_option("approver")
    page.get_by_role("button", name="Add and make a link").click()
    page.get_by_text("The link for long@guild.example").wait_for()
    page.get_by_role("link", name="A Person with a Name").click()
    screen.check(page, "settings-person", part="main")
