"""What we leave in a browser, and what we ask of it: cookies, where a request comes from, and the headers of a page.

Signing in takes TLS. Plain HTTP is good enough on the machine itself only, and cookies then carry another name: the
prefix `__Host-` promises `Secure`, which not every client keeps to on http://localhost.
"""

import base64
import hmac
import ipaddress
import json
import re
from typing import Any

from fastapi import Request
from starlette.responses import Response

from core.errors import NotAllowed

UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}
ELSEWHERE = "this form was sent from somewhere else: open the page here and send it again"
_FLASH_SECONDS = 60
_YEAR = 365 * 24 * 3600
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
_NEVER_KEPT = "private, no-store"


def over_tls(request: Request) -> bool:
    """Whether what we send goes encrypted, here or by a proxy of whom PERIMAGE_SERVICE_URL tells with https."""
    told: str = request.app.state.settings.service_url
    return request.scope["scheme"] == "https" or told.startswith("https://")


def on_this_machine(request: Request) -> bool:
    """Whether the browser calls us by a name that leads nowhere but to itself."""
    host = re.sub(r":\d+$", "", request.headers.get("host", "")).strip("[]").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def demand_private_line(request: Request) -> None:
    """Raises NotAllowed where a password or a session would cross a network in the clear."""
    if not over_tls(request) and not on_this_machine(request):
        raise NotAllowed(
            "tls_needed",
            "signing in takes HTTPS: put a TLS proxy in front and set PERIMAGE_SERVICE_URL to its https:// address",
        )


def cookie_name(request: Request, name: str) -> str:
    """`__Host-perimage` and the like; without the prefix on plain HTTP of this machine."""
    return f"__Host-{name}" if over_tls(request) else name


def put_cookie(request: Request, response: Response, name: str, value: str, seconds: int | None = None) -> None:
    """Gives a cookie that no script can read, for this host and all of its addresses."""
    response.set_cookie(
        cookie_name(request, name), value, max_age=seconds, path="/", secure=over_tls(request), httponly=True,
        samesite="lax",
    )  # fmt: skip


def drop_cookie(request: Request, response: Response, name: str) -> None:
    response.delete_cookie(
        cookie_name(request, name), path="/", secure=over_tls(request), httponly=True, samesite="lax"
    )


def cookie(request: Request, name: str) -> str:
    return request.cookies.get(cookie_name(request, name), "")


def chosen(request: Request, name: str, options: Any) -> str | None:
    """A choice that is kept in a cookie which scripts may set: theme or language."""
    found = request.cookies.get(f"perimage-{name}")
    return found if found in options else None


def demand_own_origin(request: Request) -> None:
    """Refuses an act that another site sent. Every browser says where a POST comes from, in one header or both."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None and site != "same-origin":
        raise NotAllowed("foreign_origin", ELSEWHERE)
    if origin is None and site is None:
        raise NotAllowed("foreign_origin", "the request does not say where it comes from: send the header Origin")
    if origin is not None and not _is_us(request, origin):
        raise NotAllowed("foreign_origin", ELSEWHERE)


def _is_us(request: Request, origin: str) -> bool:
    scheme, _, host = origin.lower().partition("://")
    if scheme not in ("http", "https") or host != request.headers.get("host", "").lower():
        return False
    return scheme == "https" or not over_tls(request)


def csrf_token(secret: bytes) -> str:
    """What every form of a session carries."""
    return base64.urlsafe_b64encode(hmac.digest(secret, b"csrf", "sha256")).decode().rstrip("=")


def demand_csrf(secret: bytes, sent: str) -> None:
    if not hmac.compare_digest(csrf_token(secret).encode(), sent.encode("utf-8", "replace")):
        raise NotAllowed("csrf", "this form is out of date: open the page again and send it once more")


def put_flash(request: Request, response: Response, secret: bytes, said: str, tone: str) -> None:
    """A sentence for the next page, signed so that nobody else can put words into it."""
    text = base64.urlsafe_b64encode(json.dumps([said[:600], tone]).encode()).decode()
    seal = hmac.digest(secret, b"flash" + text.encode(), "sha256").hex()
    put_cookie(request, response, "perimage-flash", f"{text}.{seal}", _FLASH_SECONDS)


def flash_of(request: Request, secret: bytes) -> tuple[str, str] | None:
    """The sentence that the page before left for this one, and its tone."""
    text, _, seal = cookie(request, "perimage-flash").partition(".")
    if not text or not hmac.compare_digest(hmac.digest(secret, b"flash" + text.encode(), "sha256").hex(), seal):
        return None
    said, tone = json.loads(base64.urlsafe_b64decode(text))
    return said, tone


def own_address(text: str | None) -> str:
    """Where to go after signing in: an address of ours, or the front page for anything else."""
    said = text or "/"
    fine = said.startswith("/") and not said.startswith("//") and "\\" not in said and said.isascii()
    return said if fine and said.isprintable() and " " not in said else "/"


def dress(request: Request, response: Response) -> None:
    """The headers of everything that a person sees. A response that has a policy of its own keeps it."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", _NEVER_KEPT)
    response.headers.setdefault("Vary", "Cookie, HX-Request")
    response.headers.setdefault("Content-Security-Policy", _POLICY)
    if over_tls(request):
        response.headers.setdefault("Strict-Transport-Security", f"max-age={_YEAR}; includeSubDomains")


def with_frames() -> dict[str, str]:
    """The headers of a page that shows a file of ours, such as a PDF, beside its words."""
    return {"Content-Security-Policy": f"{_POLICY}; frame-src 'self'; object-src 'self'"}


def in_our_frames() -> dict[str, str]:
    """The headers of such a file."""
    return {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"}
