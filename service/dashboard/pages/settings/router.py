"""The addresses below /settings, and what every page of them begins with."""

from typing import Any

from fastapi import Request
from starlette.responses import Response

from core.actors import Role
from core.errors import NotFound
from service.dashboard.door import page_router
from service.dashboard.rendering import page
from service.dashboard.signed_in import FinancePerson

router = page_router("/settings")
MOST_ID = 2**63 - 1
TABS: tuple[tuple[str, str, Role], ...] = (
    ("Organisation", "/settings", "viewer"),
    ("People", "/settings/people", "admin"),
    ("Licensees' people", "/settings/licensee-people", "admin"),
    ("Approval limits", "/settings/limits", "viewer"),
    ("API keys", "/settings/keys", "admin"),
    ("Webhooks", "/settings/webhooks", "viewer"),
    ("Notices", "/settings/notices", "viewer"),
    ("System", "/settings/system", "viewer"),
)
LASTS = {"": "for good", "30": "30 days", "90": "90 days", "365": "a year"}  # of keys


def settings_page(request: Request, template: str, person: FinancePerson, here: str, **values: Any) -> Response:
    """A page of the settings. `here`: the tab; a page below one says its own `title`."""
    tabs = [(name, address, name == here) for name, address, least in TABS if person.may(least)]
    values.setdefault("title", "Settings")
    return page(request, f"settings/{template}", tabs=tabs, here=here, **values)


def known_id(id_: int) -> int:
    """A number that a row may have. Raises NotFound for others, which the database could not even look for."""
    if not 0 < id_ <= MOST_ID:
        raise NotFound("unknown_page", "there is nothing at this address")
    return id_


def invitation_link(request: Request, token: str) -> str:
    """Where somebody sets their password, by the address that this installation is known under."""
    base: str = request.app.state.settings.service_url or str(request.base_url)
    return f"{base.rstrip('/')}/welcome/{token}"
