"""A real HTTP provider of OpenID Connect, strict where providers are: the client, its secret, PKCE, one use of a code.

with OidcProvider() as provider:
    provider.email = "ada@example.com"     # whoever comes is this person
    provider.claims = {"nonce": "another"} # and what is said of them otherwise than it should be
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

CLIENT_ID, SECRET = "perimage", "a secret of the client"


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _number(value: int) -> str:
    return _text(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class OidcProvider:
    """Answers as a provider that asks nobody for a password."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self.email, self.verified = "ada@example.com", True
        self.claims: dict[str, Any] = {}  # these instead of the true ones; None leaves one out
        self.algorithm = "RS256"
        self.status = 200
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[dict[str, str]] = []

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> "OidcProvider":
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._get(self)

            def do_POST(self) -> None:
                outer._token(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(5)

    def _get(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        if parts.path == "/.well-known/openid-configuration":
            about = {
                "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/keys",
                "id_token_signing_alg_values_supported": ["none", "HS256", "RS256"],
            }  # fmt: skip
            _json(request, 200, about)
        elif parts.path == "/keys":
            public = self.key.public_key().public_numbers()
            key = {
                "kty": "RSA",
                "kid": "1",
                "use": "sig",
                "alg": "RS256",
                "n": _number(public.n),
                "e": _number(public.e),
            }
            _json(request, 200, {"keys": [key]})
        elif parts.path == "/authorize":
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            self.asked.append(asked)
            good = asked["client_id"] == CLIENT_ID and asked["code_challenge_method"] == "S256"
            good = good and asked["response_type"] == "code" and "openid" in asked["scope"].split()
            code = secrets.token_urlsafe(16)
            self.codes[code] = asked
            request.send_response(302 if good else 400)
            said = urlencode({"code": code, "state": asked["state"], "iss": self.issuer})
            request.send_header("Location", f"{asked['redirect_uri']}?{said}")
            request.end_headers()

    def _token(self, request: BaseHTTPRequestHandler) -> None:
        length = int(request.headers["Content-Length"])
        sent = {name: values[0] for name, values in parse_qs(request.rfile.read(length).decode()).items()}
        client = base64.b64encode(f"{CLIENT_ID}:{SECRET}".encode()).decode()
        asked = self.codes.pop(sent.get("code", ""), None)
        challenge = _text(hashlib.sha256(sent.get("code_verifier", "").encode()).digest())
        if request.headers.get("Authorization") != f"Basic {client}":
            _json(request, 401, {"error": "invalid_client"})
        elif not asked or asked["redirect_uri"] != sent["redirect_uri"] or asked["code_challenge"] != challenge:
            _json(request, 400, {"error": "invalid_grant"})
        else:
            token = {"access_token": "at", "token_type": "Bearer", "id_token": self._id_token(asked["nonce"])}
            _json(request, self.status, token)

    def _id_token(self, nonce: str) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer, "sub": "1", "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": nonce,
            "email": self.email, "email_verified": self.verified, **self.claims,
        }  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        head = {"alg": self.algorithm, "kid": "1"}
        text = ".".join(_text(json.dumps(part).encode()) for part in (head, claims))
        if self.algorithm == "none":
            return f"{text}."
        return f"{text}.{_text(self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _json(request: BaseHTTPRequestHandler, status: int, content: Any) -> None:
    body = json.dumps(content).encode()
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
