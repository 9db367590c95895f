"""Nobody reaches a page or an act that is not theirs: a matrix over every route of the dashboard and the portal.

It finds the routes by itself. Who may come in is read from each route's dependencies; what stands in its address comes
from samples.py, and a name without an example there fails.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import psycopg
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from service.dashboard import routers
from service.dashboard.signed_in import LETS_IN
from tests.service.dashboard.people import FINANCE, NOBODY, PORTAL, RIVALS_ADMIN, STRANGER, Dashboard
from tests.service.dashboard.samples import ANSWERS, BODIES, COUNTED_BY_EACH, ENDS_THE_SESSION, OPEN, SAMPLES
from tests.service.finance.house import MARKS

RANKS = {"finance": ("viewer", "clerk", "approver", "admin"), "portal": ("viewer", "manager")}
NORTHS = re.compile(r"\bnorth\b|@north\.", re.IGNORECASE)
GUILDS = re.compile("|".join(map(re.escape, MARKS["guild"])))
TOKENS = re.compile(r'(?:content|value)="[\w-]{43}"')
OWN_BOOKS = {"web_sessions", "sign_in_tries", "rollup_watermarks"}  # what looking at pages may write


class Page(NamedTuple):
    """A route: which method and address, whose side, and the least role."""

    name: str
    method: str
    path: str
    side: str
    least: str


def _lets_in(dependant: Dependant) -> Iterator[tuple[str, str]]:
    for each in dependant.dependencies:
        if each.call in LETS_IN:
            yield LETS_IN[each.call]
        yield from _lets_in(each)


def _strictest(found: list[tuple[str, str]]) -> tuple[str, str]:
    def rank(one: tuple[str, str]) -> int:
        side, least = one
        return -1 if side == "either" else RANKS[side].index(least)

    return max(found, key=rank) if found else ("", "")


def pages() -> list[Page]:
    """Every route of the dashboard, reads before acts."""
    found = []
    for router in routers():
        for route in router.routes:
            assert isinstance(route, APIRoute)
            side, least = _strictest(list(_lets_in(route.dependant)))
            found += [Page(route.name, method, route.path, side, least) for method in route.methods]
    return sorted(found, key=lambda page: (page.method != "GET", page.path))


PAGES = pages()
GUARDED = [page for page in PAGES if page.side]


def _names(page: Page) -> list[str]:
    return re.findall(r"{(\w+)(?::\w+)?}", page.path)


def lacking(page: Page) -> list[str]:
    """The names in its address of which there is no example."""
    return [name for name in _names(page) if (page.name, name) not in SAMPLES and name not in SAMPLES]


def filled(page: Page, dashboard: Dashboard) -> str:
    """The address with guild's and north's own things in it."""
    path = page.path
    for name in _names(page):
        sample = SAMPLES.get((page.name, name)) or SAMPLES[name]
        path = re.sub(rf"{{{name}(:\w+)?}}", sample(dashboard), path)
    return path


def asked(dashboard: Dashboard, page: Page, path: str, who: str) -> httpx.Response:
    if page.method == "GET":
        return dashboard.get(path, who)
    return dashboard.post(path, BODIES.get(page.name), who)


def state_of(owner_url: str) -> dict[str, Any]:
    with psycopg.connect(owner_url) as owner:
        tables = owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return {
            name: owner.execute(f"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {name} AS t").fetchone()
            for (name,) in tables
            if name not in OWN_BOOKS
        }


def test_only_what_is_meant_to_be_open_is_open() -> None:
    assert {page.name for page in PAGES if not page.side} <= OPEN
    assert {page.method for page in PAGES} <= {"GET", "POST"}


def test_every_name_in_an_address_has_an_example() -> None:
    assert [(page.name, page.path, names) for page in GUARDED if (names := lacking(page))] == []


def test_no_two_pages_share_an_address() -> None:
    found = [(page.method, re.sub(r"{[^}]*}", "{}", page.path)) for page in PAGES]
    assert sorted(found) == sorted(set(found))


def test_nobody_reaches_what_is_not_theirs(shared: Dashboard) -> None:
    """Every route, as nobody, as too low a role, as the other side, as the other licensor, as the other licensee."""
    wrong: list[str] = []
    addresses = {page: filled(page, shared) for page in GUARDED if not lacking(page)}
    for who in (*FINANCE.values(), *PORTAL.values(), RIVALS_ADMIN, STRANGER):
        shared.token(who)
    before = state_of(shared.owner_url)
    for page, path in addresses.items():
        for who, fine in _refusals(page):
            answer = asked(shared, page, path, who)
            if not fine(answer):
                where = answer.headers.get("location", "")
                wrong.append(
                    f"{page.method} {path} as {who or 'nobody'}: {answer.status_code} {where} {answer.text[-300:]}"
                )
    assert wrong == []
    assert state_of(shared.owner_url) == before


def _refusals(page: Page) -> Iterator[tuple[str, Any]]:
    """Who must be refused here, and how."""
    names = set(_names(page))
    named = any(name not in COUNTED_BY_EACH and (page.name, name) not in COUNTED_BY_EACH for name in names)

    def unknown(answer: httpx.Response) -> bool:
        return answer.status_code == 404

    def too_low(answer: httpx.Response) -> bool:
        return answer.status_code == 403

    def sent_to_sign_in(answer: httpx.Response) -> bool:
        return answer.status_code == 303 and answer.headers["location"].startswith("/sign-in")

    def shows_nothing_of(marks: re.Pattern[str]) -> Any:
        """The token of the session is random letters, which may say anything."""
        return lambda answer: answer.status_code < 500 and not marks.search(TOKENS.sub("", answer.text))

    yield NOBODY, sent_to_sign_in
    if page.side == "either":
        if named:
            for who in (RIVALS_ADMIN, STRANGER, PORTAL["manager"], FINANCE["viewer"]):
                yield who, unknown
        return
    mine, others = (FINANCE, PORTAL) if page.side == "finance" else (PORTAL, FINANCE)
    ranks = RANKS[page.side]
    for role in ranks[: ranks.index(page.least)]:
        yield mine[role], too_low
    for who in others.values():
        yield who, unknown
    yield (STRANGER if page.side == "finance" else RIVALS_ADMIN), unknown
    neighbour = RIVALS_ADMIN if page.side == "finance" else STRANGER
    if named:
        yield neighbour, unknown
    elif page.method == "GET":
        yield neighbour, shows_nothing_of(GUILDS if page.side == "finance" else NORTHS)


def test_whoever_may_is_let_in(dashboard: Dashboard) -> None:
    """The same addresses for those whose things they are: so the refusals above are about who asks, nothing else."""
    wrong = []
    addresses = {page: filled(page, dashboard) for page in GUARDED if not lacking(page)}
    for page, path in addresses.items():
        roles = [page.least] if page.side == "either" else RANKS[page.side][RANKS[page.side].index(page.least) :]
        who = (PORTAL if page.side == "portal" else FINANCE)["admin" if page.side == "either" else roles[0]]
        if page.name in ENDS_THE_SESSION:
            continue
        answer = asked(dashboard, page, path, who)
        good = ANSWERS.get(page.name, 200)
        if page.method == "GET" and answer.status_code != good:
            wrong.append(f"GET {path} as {who}: {answer.status_code} {answer.text[-500:]}")
        if page.method == "POST" and answer.status_code not in (200, 303, 409, 422):
            wrong.append(f"POST {path} as {who}: {answer.status_code} {answer.text[-500:]}")
    assert wrong == []


@pytest.mark.parametrize("page", [page for page in GUARDED if page.method == "POST"], ids=lambda page: page.name)
def test_every_act_asks_for_the_token_of_the_session(shared: Dashboard, page: Page) -> None:
    path = re.sub(r"{[^}]*}", "1", page.path)
    who = PORTAL["manager"] if page.side == "portal" else FINANCE["admin"]
    for sent, headers in (
        ({"csrf": ""}, {}),
        ({"csrf": shared.csrf(RIVALS_ADMIN)}, {}),
        ({}, {"Origin": "https://elsewhere.example"}),
        ({}, {"Sec-Fetch-Site": "cross-site"}),
    ):
        answer = shared.post(path, sent, who, headers=headers)
        assert answer.status_code == 403, (page, sent, headers, answer.status_code)
