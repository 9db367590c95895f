"""The installation: whether it is well, what it is connected to, and the keys that sign what it says. No secret."""

from base64 import b64encode
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import Request
from sqlalchemy import text
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.payments.standing import gateway_standing
from core.signatures import ALGORITHM
from service.dashboard.acting import act
from service.dashboard.pages.settings.router import router, settings_page
from service.dashboard.rendering import page
from service.dashboard.signed_in import FinanceEyes, Viewer
from service.routes.health import database_check, redis_check


@router.get("/system")
def system(request: Request, person: Viewer, eyes: FinanceEyes) -> Response:
    state: Any = request.app.state
    server = str(eyes.scalar(text("SHOW server_version"))).split()[0]
    said = [
        ("Perimage", _version()),
        ("API", request.app.version),
        ("PostgreSQL", server),
        ("Address", state.settings.service_url or "PERIMAGE_SERVICE_URL is not set"),
    ]
    return settings_page(
        request, "system.html", person, "System", versions=said, stripe=_stripe(state.settings),
        gateway=gateway_standing(eyes), others=_others(state.settings), keys=_signing_keys(request),
        signs=state.signing.signer.key_id if state.signing.signer else None, algorithm=ALGORITHM,
    )  # fmt: skip


@router.get("/system/health")
def system_health(request: Request, person: Viewer) -> Response:
    """What the readiness check asks, a part of the page that comes when it is known."""
    state: Any = request.app.state
    checks = [
        ("Database and its schema", database_check(state.engine)),
        ("Redis, for work that waits", redis_check(state.settings.redis_url)),
        ("Intake of usage reports", "ok" if state.intake_queue.ready else "the writer has no connection"),
    ]
    template = "settings/health.html" if "hx-request" in request.headers else "settings/health_page.html"
    return page(request, template, title="Health", checks=checks)


def _version() -> str:
    try:
        return version("perimage")
    except PackageNotFoundError:
        return "from a checkout"


def _stripe(settings: Any) -> str:
    """`connected`, `test mode`, or what is missing. The keys themselves are shown nowhere."""
    if not settings.stripe_api_key:
        return "not connected"
    if not settings.stripe_webhook_secret:
        return "no webhook secret"
    return "test mode" if "_test_" in settings.stripe_api_key else "connected"


def _others(settings: Any) -> list[tuple[str, str]]:
    return [
        ("E-mail", f"from {settings.mail_from}" if settings.smtp_url and settings.mail_from else "not set up"),
        ("Sign-in by OpenID Connect", settings.oidc_issuer or "not set up"),
        ("A session ends after", f"{settings.session_idle_minutes} minutes unused, {settings.session_hours} hours"),
    ]


def _signing_keys(request: Request) -> list[Any]:
    """Newest first, with the key as the published file has it."""

    def read(session: Session) -> Any:
        return request.app.state.signing.keys(session)

    return [(key, b64encode(key.public_key).decode()) for key in reversed(act(request, read))]
