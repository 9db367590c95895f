"""Signing in by OpenID Connect: the code flow with PKCE, state and nonce, at the one provider that the settings name.

What the provider says is worth an e-mail address: it has to be verified there, and to be that of an active person here.
Nobody is added by signing in. The checks of the token are authlib's.
"""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import httpx
from authlib.common.security import generate_token
from authlib.integrations.base_client.sync_openid import OpenIDMixin
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from config.settings import Settings
from core.errors import NotAllowed, Unavailable

_PATIENCE = 10
_METADATA_SECONDS = 3600
# Signed by the provider with a key of its own; never unsigned, and never with a secret that we hold as well.
_SIGNED = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
_NOT_NOW = "the sign-in service of your organisation does not answer: sign in with a password, or try again later"
_NOT_GOOD = "the answer of your organisation's sign-in service cannot be trusted: start again"


class Going(NamedTuple):
    """What we remember, in the browser's own cookie, of somebody whom we sent to the provider."""

    state: str
    nonce: str
    verifier: str
    following: str

    def kept(self) -> str:
        return base64.urlsafe_b64encode(json.dumps(self).encode()).decode()

    @classmethod
    def of(cls, kept: str) -> "Going | None":
        try:
            found = json.loads(base64.urlsafe_b64decode(kept))
            return cls(*found) if len(found) == len(cls._fields) and all(isinstance(x, str) for x in found) else None
        except (ValueError, TypeError):
            return None


class Provider(OpenIDMixin):  # type: ignore[misc]
    """The provider, by what it publishes of itself."""

    def __init__(self, settings: Settings) -> None:
        self.client_id = settings.oidc_client_id
        self._secret = settings.oidc_client_secret
        self.server_metadata = dict(_metadata(settings.oidc_issuer.rstrip("/"), int(time.time()) // _METADATA_SECONDS))

    def load_server_metadata(self) -> dict[str, Any]:
        return self.server_metadata

    @contextmanager
    def _get_session(self) -> Iterator["_Plain"]:
        yield _Plain()

    def address(self, going: Going, back: str) -> str:
        """Where to send somebody."""
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": back,
            "scope": "openid email",
            "state": going.state,
            "nonce": going.nonce,
            "code_challenge": create_s256_code_challenge(going.verifier),
            "code_challenge_method": "S256",
        }
        address: str = self.server_metadata["authorization_endpoint"]
        return f"{address}{'&' if '?' in address else '?'}{urlencode(asked)}"

    def email(self, going: Going, code: str, back: str) -> str:
        """Whose code this is: the verified address in the token that the provider gives for it."""
        asked = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": back, "code_verifier": going.verifier,
        }  # fmt: skip
        token = _answer("POST", self.server_metadata["token_endpoint"], data=asked, auth=(self.client_id, self._secret))
        try:
            claims = self.parse_id_token(token, nonce=going.nonce)
        except Unavailable:
            raise
        except Exception as error:  # whatever the library finds wrong with a token, it is not good
            raise NotAllowed("oidc_refused", _NOT_GOOD) from error
        if not claims:
            raise NotAllowed("oidc_refused", _NOT_GOOD)
        if claims.get("email_verified") is not True or not isinstance(claims.get("email"), str):
            raise NotAllowed("oidc_refused", "your organisation does not say that your e-mail address is verified")
        email: str = claims["email"]
        return email


def new_going(following: str) -> Going:
    """A trip to the provider: what it must bring back is random, and nobody else's."""
    return Going(generate_token(43), generate_token(43), generate_token(64), following)


class _Plain:
    """What authlib asks of a session to fetch the provider's keys."""

    def request(self, method: str, address: str, *, withhold_token: bool) -> "_Kept":
        return _Kept(_answer(method, address))


class _Kept(NamedTuple):
    content: Any

    def raise_for_status(self) -> None:
        """It was good, or it would not be here."""

    def json(self) -> Any:
        return self.content


@lru_cache(maxsize=4)
def _metadata(issuer: str, _hour: int) -> dict[str, Any]:
    """What the provider publishes of itself, looked at once an hour. It has to be who the settings say."""
    parts = urlsplit(issuer)
    if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise Unavailable("oidc_unavailable", "PERIMAGE_OIDC_ISSUER has to be an https:// address")
    found = _answer("GET", f"{issuer}/.well-known/openid-configuration")
    needed = ("authorization_endpoint", "token_endpoint", "jwks_uri")
    if str(found.get("issuer", "")).rstrip("/") != issuer or not all(isinstance(found.get(key), str) for key in needed):
        raise Unavailable("oidc_unavailable", _NOT_NOW)
    said = found.get("id_token_signing_alg_values_supported") or ["RS256"]
    return {**found, "id_token_signing_alg_values_supported": [each for each in said if each in _SIGNED]}


def _answer(method: str, address: str, **sent: Any) -> dict[str, Any]:
    try:
        answer = httpx.request(method, address, timeout=_PATIENCE, follow_redirects=False, **sent)
        found = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise Unavailable("oidc_unavailable", _NOT_NOW) from error
    if 400 <= answer.status_code < 500:
        raise NotAllowed("oidc_refused", _NOT_GOOD)
    if answer.status_code != 200 or not isinstance(found, dict):
        raise Unavailable("oidc_unavailable", _NOT_NOW)
    return found
