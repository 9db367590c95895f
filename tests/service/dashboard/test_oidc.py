"""Signing in by OpenID Connect, against a provider over real HTTP: who gets in, and everything that must not."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from service.dashboard.oidc import _metadata
from tests.door import Door, serving, settings_for
from tests.fakes.oidc_provider import CLIENT_ID, SECRET, OidcProvider
from tests.service.dashboard.people import FINANCE, PORTAL, Dashboard


@pytest.fixture(scope="module")
def _provider() -> Iterator[OidcProvider]:
    with OidcProvider() as running:
        yield running


@pytest.fixture
def provider(_provider: OidcProvider) -> Iterator[OidcProvider]:
    kept = dict(vars(_provider))
    _provider.email = FINANCE["clerk"]
    yield _provider
    vars(_provider).update(kept, claims={})


@pytest.fixture(scope="module")
def door(shared: Dashboard, _provider: OidcProvider) -> Iterator[Door]:
    """The service with a provider."""
    said = {"oidc_issuer": _provider.issuer, "oidc_client_id": CLIENT_ID, "oidc_client_secret": SECRET}
    with serving(settings_for(shared.owner_url, **said), {}) as running:
        yield running


def go(door: Door, **asked: str) -> httpx.Client:
    """A browser of its own that has been to the provider and stands before the way back in."""
    browser = httpx.Client(base_url=door.address)
    sent = browser.get("/sign-in/oidc", params=asked)
    assert sent.status_code == 303, sent.text
    browser.headers["back"] = httpx.get(sent.headers["location"]).headers["location"]
    return browser


def come_back(browser: httpx.Client) -> httpx.Response:
    return browser.get(browser.headers["back"])


def refused(answer: httpx.Response, words: str) -> None:
    assert answer.status_code in (422, 503), answer.text
    assert words in answer.text and "perimage=" not in answer.headers.get("set-cookie", "")


def test_whoever_was_added_comes_in_and_lands_where_they_wanted(door: Door, provider: OidcProvider) -> None:
    for email, wanted, home in ((FINANCE["clerk"], "/profile", "/profile"), (PORTAL["viewer"], "", "/portal")):
        provider.email = email.upper()
        browser = go(door, next=wanted)
        answer = come_back(browser)
        assert (answer.status_code, answer.headers["location"]) == (303, home)
        assert email in browser.get("/profile").text
    asked = provider.asked[-1]
    assert len({asked[name] for name in ("state", "nonce", "code_challenge")}) == 3
    assert asked["redirect_uri"] == f"{door.address}/sign-in/oidc/back"
    assert "organisation" in httpx.get(f"{door.address}/sign-in").text


def test_a_code_is_good_once_and_in_the_browser_that_was_sent_only(door: Door, provider: OidcProvider) -> None:
    browser = go(door)
    refused(httpx.get(browser.headers["back"]), "was not begun in this browser")
    other = go(door)
    refused(other.get(browser.headers["back"]), "was not begun in this browser")
    kept = dict(browser.cookies)
    assert come_back(browser).status_code == 303
    refused(httpx.get(browser.headers["back"], cookies={"perimage-oidc": kept["perimage-oidc"]}), "cannot be trusted")


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"nonce": "another"}, "cannot be trusted"),
        ({"nonce": None}, "cannot be trusted"),
        ({"aud": "somebody-else"}, "cannot be trusted"),
        ({"iss": "https://evil.example"}, "cannot be trusted"),
        ({"exp": int(time.time()) - 600}, "cannot be trusted"),
        ({"exp": None}, "cannot be trusted"),
        ({"email_verified": False}, "is verified"),
        ({"email_verified": None}, "is verified"),
        ({"email_verified": "true"}, "is verified"),
        ({"email": None}, "is verified"),
        ({"email": "stranger@example.com"}, "obody has been added"),
        ({"email": "\x00"}, "obody has been added"),
    ],
)
def test_a_token_that_says_something_wrong_lets_nobody_in(
    door: Door, provider: OidcProvider, claims: dict[str, Any], words: str
) -> None:
    provider.claims = claims
    refused(come_back(go(door)), words)


def test_a_token_that_is_signed_by_nobody_or_somebody_else_lets_nobody_in(door: Door, provider: OidcProvider) -> None:
    browser = go(door)
    provider.algorithm = "none"
    refused(come_back(browser), "cannot be trusted")
    provider.algorithm = "HS256"
    refused(come_back(go(door)), "cannot be trusted")
    provider.algorithm = "RS256"
    true, provider.key = provider.key, rsa.generate_private_key(65537, 2048)
    browser = go(door)
    real_id_token = provider._id_token("x")
    assert real_id_token
    provider._id_token = _signed_by(provider, provider.key, true)  # type: ignore[method-assign]
    refused(come_back(browser), "cannot be trusted")


def _signed_by(provider: OidcProvider, wrong: Any, published: Any) -> Any:
    """Signs with one key while the provider publishes another."""

    def make(nonce: str) -> str:
        provider.key = wrong
        token = OidcProvider._id_token(provider, nonce)
        provider.key = published
        return token

    return make


def test_a_provider_that_is_away_or_another_one_is_said(door: Door, provider: OidcProvider, shared: Dashboard) -> None:
    provider.status = 500
    refused(come_back(go(door)), "does not answer")
    browser = go(door)
    answer = browser.get(f"{browser.headers['back']}".replace("iss=http", "iss=https"))
    refused(answer, "another sign-in service")
    refused(go(door).get("/sign-in/oidc/back", params={"error": "access_denied"}), "not begun in this browser")
    for issuer in ("http://127.0.0.1:9", "http://evil.example", f"{provider.issuer}/other"):
        with serving(settings_for(shared.owner_url, oidc_issuer=issuer), {}) as elsewhere:
            answer = elsewhere.client.get("/sign-in/oidc")
            assert answer.status_code == 503, answer.text
    _metadata.cache_clear()


def test_without_a_provider_there_is_no_such_page(shared: Dashboard) -> None:
    assert shared.get("/sign-in/oidc", "").status_code == 404
    assert shared.get("/sign-in/oidc/back?state=x&code=y", "").status_code == 404
    assert "organisation" not in shared.get("/sign-in", "").text
