"""Signing in and staying in: new tokens, ends that are seen at once, forms from elsewhere, cookies, headers, tries."""

import re
from collections.abc import Iterator

import httpx
import psycopg
import pytest
from sqlalchemy.orm import Session

from core.access.invitations import invite
from core.access.people import find_person, put_password
from core.access.throttle import OF_AN_ADDRESS
from core.access.users import deactivate
from tests.door import serving, settings_for
from tests.service.dashboard.people import FINANCE, NOBODY, PASSWORD, PORTAL, ROOT, Dashboard, counting_queries

CLERK, MANAGER = FINANCE["clerk"], PORTAL["manager"]


@pytest.fixture(scope="module", autouse=True)
def passwords(shared: Dashboard) -> None:
    with Session(shared.engine) as session:
        for who in (CLERK, MANAGER):
            person = find_person(session, who)
            assert person is not None
            put_password(session, person, PASSWORD, ROOT)
        session.commit()


@pytest.fixture
def fresh(shared: Dashboard) -> Iterator[Dashboard]:
    """With nobody signed in, and no tries."""
    shared._sessions.clear()
    with psycopg.connect(shared.owner_url) as owner:
        owner.execute("DELETE FROM sign_in_tries")
        owner.execute("UPDATE web_sessions SET ended_at = now(), ended_why = 'a test' WHERE ended_at IS NULL")
    yield shared
    shared._sessions.clear()


def sign_in(dashboard: Dashboard, who: str = CLERK, password: str = PASSWORD, **headers: str) -> httpx.Response:
    fields = {"email": who, "password": password, "next": headers.pop("next_", "/")}
    return dashboard.post("/sign-in", fields, NOBODY, headers=headers)


def token_of(answer: httpx.Response) -> str:
    found = re.search(r"perimage=([\w-]{43});", answer.headers["set-cookie"])
    assert found, answer.headers
    return found[1]


def is_in(dashboard: Dashboard, token: str) -> bool:
    answer = dashboard.get("/profile", NOBODY, headers={"Cookie": f"perimage={token}"})
    assert answer.status_code in (200, 303)
    return answer.status_code == 200


def test_either_side_signs_in_and_lands_at_home(fresh: Dashboard) -> None:
    for who, home in ((CLERK, "/"), (MANAGER, "/portal")):
        answer = sign_in(fresh, who.upper())
        assert (answer.status_code, answer.headers["location"]) == (303, home)
        assert is_in(fresh, token_of(answer))
    assert sign_in(fresh, next_="/invoices?q=a%20b").headers["location"] == "/invoices?q=a%20b"
    assert fresh.get("/profile", NOBODY, a="b c").headers["location"] == "/sign-in?next=/profile%3Fa%3Db%2Bc"


@pytest.mark.parametrize(
    "address",
    [
        "//evil.example", "https://evil.example/", "/\\evil.example", "/ /evil", "javascript:alert(1)", "",
        "/a\r\nSet-Cookie: x=1", "/é",
    ],
)  # fmt: skip
def test_signing_in_never_leads_away(fresh: Dashboard, address: str) -> None:
    assert sign_in(fresh, next_=address).headers["location"] == "/"
    page = fresh.get("/sign-in", NOBODY, next=address).text
    assert '<input type="hidden" name="next" value="/">' in page


def test_a_token_from_before_is_never_the_one_after(fresh: Dashboard) -> None:
    """Session fixation: whatever cookie comes with the form, a new one goes out, and the old session is over."""
    planted = "A" * 43
    first = token_of(sign_in(fresh, Cookie=f"perimage={planted}"))
    assert first != planted and not is_in(fresh, planted)
    second = token_of(sign_in(fresh, Cookie=f"perimage={first}"))
    assert second != first and is_in(fresh, second) and not is_in(fresh, first)


def test_signing_out_ends_the_session_on_the_server(fresh: Dashboard) -> None:
    token = fresh.token(CLERK)
    assert is_in(fresh, token)
    answer = fresh.post("/sign-out", who=CLERK)
    assert answer.headers["location"] == "/sign-in?out=1" and 'perimage="";' in answer.headers["set-cookie"]
    assert not is_in(fresh, token)


def test_limits_and_deactivation_hold_at_the_next_request(dashboard: Dashboard) -> None:
    token = dashboard.token(FINANCE["viewer"])
    for column, ago in (("seen_at", "30 minutes"), ("created_at", "12 hours")):
        assert is_in(dashboard, token)
        with psycopg.connect(dashboard.owner_url) as owner:
            owner.execute(f"UPDATE web_sessions SET {column} = {column} - interval '{ago}'")
        assert not is_in(dashboard, token)
        dashboard.forget(FINANCE["viewer"])
        token = dashboard.token(FINANCE["viewer"])
    with Session(dashboard.engine) as session:
        deactivate(session, FINANCE["viewer"], ROOT)
        session.commit()
    assert not is_in(dashboard, token)
    answer = dashboard.post("/profile/look", {"theme": "dark"}, FINANCE["viewer"])
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")


def test_who_it_is_costs_one_question(fresh: Dashboard) -> None:
    fresh.token(CLERK)
    with counting_queries() as sent:
        assert fresh.get("/profile", CLERK).status_code == 200
    assert len(sent) == 3, "\n".join(sent)  # who it is, their row, their sessions
    with counting_queries() as sent:
        fresh.get("/sign-in", NOBODY)
    assert sent == []


def test_one_sees_and_ends_ones_own_sessions(fresh: Dashboard) -> None:
    here, there = fresh.token(CLERK), token_of(sign_in(fresh))
    page = fresh.get("/profile", CLERK).text
    [other] = re.findall(r"/profile/sessions/(\d+)/end", page)
    assert fresh.post(f"/profile/sessions/{other}/end", who=MANAGER).status_code == 404
    assert is_in(fresh, there)
    assert fresh.post(f"/profile/sessions/{other}/end", who=CLERK).status_code == 303
    assert is_in(fresh, here) and not is_in(fresh, there)
    again = token_of(sign_in(fresh))
    assert fresh.post("/profile/sign-out-everywhere", who=CLERK).status_code == 303
    assert not is_in(fresh, here) and not is_in(fresh, again)


def test_a_new_password_ends_every_session_and_opens_another(fresh: Dashboard) -> None:
    here, there = fresh.token(MANAGER), token_of(sign_in(fresh, MANAGER))
    wrong = fresh.post("/profile/password", {"old": "no", "password": "x" * 12, "again": "y" * 12}, MANAGER)
    assert wrong.status_code == 422 and "not the same password" in wrong.text
    wrong = fresh.post("/profile/password", {"old": "no", "password": "x" * 12, "again": "x" * 12}, MANAGER)
    assert wrong.status_code == 422 and "not your password now" in wrong.text and is_in(fresh, here)
    good = {"old": PASSWORD, "password": PASSWORD, "again": PASSWORD}
    assert is_in(fresh, token_of(fresh.post("/profile/password", good, MANAGER)))
    assert not is_in(fresh, here) and not is_in(fresh, there)


def test_an_invitation_is_good_for_one_password(fresh: Dashboard) -> None:
    with Session(fresh.engine) as session:
        person = find_person(session, FINANCE["approver"])
        assert person is not None
        link = f"/welcome/{invite(session, person, ROOT)}"
        session.commit()
    assert "The approver" in fresh.get(link, NOBODY).text
    short = fresh.post(link, {"password": "short", "again": "short"}, NOBODY)
    assert short.status_code == 422 and "12 to 200 characters" in short.text
    good = {"password": PASSWORD, "again": PASSWORD}
    assert is_in(fresh, token_of(fresh.post(link, good, NOBODY)))
    assert fresh.get(link, NOBODY).status_code == fresh.post(link, good, NOBODY).status_code == 404
    assert sign_in(fresh, FINANCE["approver"]).status_code == 303


def test_a_form_from_elsewhere_is_refused(fresh: Dashboard) -> None:
    good = {"theme": "dark", "language": "de"}

    def status(fields: dict[str, str] | None = None, **headers: str) -> int:
        return fresh.post("/profile/look", {**good, **(fields or {})}, CLERK, headers=headers).status_code

    assert status() == 303
    assert status({"csrf": ""}) == status({"csrf": fresh.csrf(MANAGER)}) == status({"csrf": "\U0001f600"}) == 403
    assert status({"csrf": ""}, **{"X-CSRF-Token": fresh.csrf(CLERK)}) == 303
    for origin in ("https://evil.example", "null", fresh.door.address + ".evil.example", "http://127.0.0.1:1"):
        assert status(Origin=origin) == 403
    assert status(**{"Sec-Fetch-Site": "same-site"}) == status(**{"Sec-Fetch-Site": "cross-site"}) == 403
    nothing_said = httpx.post(
        f"{fresh.door.address}/profile/look", data={**good, "csrf": fresh.csrf(CLERK)},
        headers={"Cookie": f"perimage={fresh.token(CLERK)}"},
    )  # fmt: skip
    assert nothing_said.status_code == 403 and "Origin" in nothing_said.text
    assert sign_in(fresh, Origin="https://evil.example").status_code == 403, "nor can one be signed in by another site"


def test_tries_are_limited_and_say_how_long_to_wait(fresh: Dashboard) -> None:
    refusals = [sign_in(fresh, "nobody@example.com", "guess") for _ in range(OF_AN_ADDRESS)]
    assert {answer.status_code for answer in refusals} == {422}
    assert all("do not go together" in answer.text for answer in refusals)
    answer = sign_in(fresh, "Nobody@example.com", "guess")
    assert answer.status_code == 429 and "wait 15 minutes" in answer.text
    assert sign_in(fresh).status_code == 303, "another address may still sign in"
    for _ in range(OF_AN_ADDRESS + 1):
        answer = sign_in(fresh, CLERK, "guess")
    assert answer.status_code == 429
    assert sign_in(fresh).status_code == 429, "not even with the right one, so that guessing learns nothing"


def test_cookies_and_headers_on_this_machine(fresh: Dashboard) -> None:
    cookie = sign_in(fresh).headers["set-cookie"]
    assert cookie.startswith("perimage=") and all(word in cookie for word in ("HttpOnly", "SameSite=lax", "Path=/"))
    assert "Secure" not in cookie and "Domain" not in cookie
    headers = fresh.get("/profile", CLERK).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';") and "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy and "form-action 'self'" in policy and "base-uri 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "private, no-store" and "strict-transport-security" not in headers
    for path in ("/sign-in", "/welcome/x", "/nothing/here"):
        answer = fresh.get(path, NOBODY, headers={"Accept": "text/html"})
        assert "default-src 'none'" in answer.headers["content-security-policy"], path


def test_behind_tls_the_cookie_is_for_this_host_and_tls_only(dashboard: Dashboard) -> None:
    with Session(dashboard.engine) as session:
        person = find_person(session, CLERK)
        assert person is not None
        put_password(session, person, PASSWORD, ROOT)
        session.commit()
    settings = settings_for(dashboard.owner_url, service_url="https://fees.example")
    with serving(settings, {}) as door:
        host = {"Host": "fees.example", "Origin": "https://fees.example"}
        answer = door.client.post("/sign-in", data={"email": CLERK, "password": PASSWORD}, headers=host)
        assert answer.status_code == 303
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-perimage=") and "Secure" in cookie and "Domain" not in cookie
        assert "max-age=31536000" in answer.headers["strict-transport-security"]
        plain = door.client.post(
            "/sign-in", data={"email": CLERK, "password": PASSWORD}, headers={**host, "Origin": "http://fees.example"}
        )
        assert plain.status_code == 403


def test_without_tls_nobody_signs_in_over_a_network(fresh: Dashboard) -> None:
    elsewhere = {"Host": "fees.example", "Origin": "http://fees.example"}
    answer = fresh.post("/sign-in", {"email": CLERK, "password": PASSWORD}, NOBODY, headers=elsewhere)
    assert answer.status_code == 403 and "HTTPS" in answer.text and "set-cookie" not in answer.headers
    assert fresh.get("/sign-in", NOBODY, headers={"Host": "fees.example"}).status_code == 403
    for host in ("localhost:8765", "demo.localhost", "127.0.0.1", "[::1]:8765"):
        assert fresh.get("/sign-in", NOBODY, headers={"Host": host}).status_code == 200, host


@pytest.mark.parametrize(
    "text",
    [
        "", "\x00", "<script>", "' OR 1=1 --", "\u202egpj.exe", "=HYPERLINK(1)", "../" * 40, "x" * 100_000,
        "\U0001f600" * 300,
    ],
)  # fmt: skip
def test_hostile_text_is_a_refusal_and_is_shown_as_text(fresh: Dashboard, text: str) -> None:
    answer = sign_in(fresh, text, text)
    assert answer.status_code == 422 and "<script>" not in answer.text
    answer = fresh.post("/profile/look", {"theme": text, "language": text}, CLERK)
    assert answer.status_code == 422 and "<script>" not in answer.text


@pytest.mark.parametrize("host", ["[", "[::1", "a b", "x" * 5000, "evil.example/@", "é", "]:80", ":80", "127.0.0.1:x"])
def test_a_host_that_cannot_be_is_refused(fresh: Dashboard, host: str) -> None:
    said = {"Host": host.encode()}
    for path in ("/sign-in", "/profile", "/welcome/x", "/nothing"):
        answer = fresh.door.client.get(path, headers=said | {"Accept": "text/html"})  # type: ignore[arg-type]
        assert answer.status_code in (303, 400, 403, 404, 422), (path, answer.text)
    form = {"email": CLERK, "password": PASSWORD}
    answer = fresh.door.client.post("/sign-in", data=form, headers={**said, "Origin": "http://["})  # type: ignore[arg-type]
    assert answer.status_code in (400, 403, 422)


def test_what_is_no_form_is_refused(fresh: Dashboard) -> None:
    headers = {"Content-Type": "multipart/form-data", "Origin": fresh.door.address}
    client = fresh.door.client
    assert client.post("/sign-in", content=b"--x\r\nnot a form", headers=headers).status_code == 422
    plain = {"Origin": fresh.door.address, "Content-Type": "application/x-www-form-urlencoded"}
    many = "&".join(f"a{number}=1" for number in range(5_000))
    assert client.post("/sign-in", content=many, headers=plain).status_code == 422
    assert client.post("/sign-in", content=b"a" * 1_100_000, headers=plain).status_code == 413
    assert client.post("/sign-in", content=iter([b"a=1"]), headers=plain).status_code == 413, "no length said"


def test_nothing_here_is_a_page_for_people_and_a_problem_for_machines(fresh: Dashboard) -> None:
    page = fresh.get("/nothing", CLERK, headers={"Accept": "text/html"})
    assert page.status_code == 404 and "There is nothing here" in page.text and "The clerk" in page.text
    for path, accept in (("/nothing", "application/json"), ("/v1/nothing", "text/html")):
        answer = fresh.get(path, NOBODY, headers={"Accept": accept})
        assert answer.headers["content-type"] == "application/problem+json" and answer.status_code == 404
    document = fresh.get("/openapi.json", NOBODY).json()
    assert not any(path.startswith(("/portal", "/sign-in", "/profile", "/static")) for path in document["paths"])


def test_a_failure_of_ours_is_a_page_with_a_reference(dashboard: Dashboard) -> None:
    token = dashboard.token(CLERK)
    with psycopg.connect(dashboard.owner_url) as owner:
        owner.execute("ALTER TABLE web_sessions RENAME TO gone")
    answer = dashboard.get("/profile", NOBODY, headers={"Cookie": f"perimage={token}"})
    assert answer.status_code == 500 and re.search(r"Reference <code>[0-9a-f-]{36}</code>", answer.text)
    assert "web_sessions" not in answer.text and "default-src" in answer.headers["content-security-policy"]


def test_static_files_are_kept_for_ever_under_the_hash_of_their_content(fresh: Dashboard) -> None:
    page = fresh.get("/sign-in", NOBODY).text
    for address in re.findall(r'(?:href|src)="(/static/[^"]+)"', page):
        answer = fresh.get(address, NOBODY)
        assert answer.status_code == 200 and "immutable" in answer.headers["cache-control"], address
        assert answer.headers["x-content-type-options"] == "nosniff"
    stale = re.sub(r"/static/\w+/", "/static/000000000000/", re.findall(r'"(/static/[^"]+\.css)"', page)[0])
    assert fresh.get(stale, NOBODY).headers["cache-control"] == "no-cache"
    for path in ("/static/x/nothing.css", "/static/x/../../app.py", "/static/x/%2e%2e/__init__.py", "/static/x/"):
        assert fresh.get(path, NOBODY).status_code == 404
