"""The addresses below /portal/settings, and what its pages begin with."""

from typing import Any

from fastapi import Request
from starlette.responses import Response

from service.dashboard.door import page_router
from service.dashboard.rendering import page

router = page_router("/portal/settings")
TABS = (("Meter keys", ""), ("People", "/people"), ("Receipts", "/signing"))


def settings_page(request: Request, template: str, here: str, **values: Any) -> Response:
    """A page of the group, with its tabs."""
    tabs = [(name, f"/portal/settings{end}", name == here) for name, end in TABS]
    return page(
        request, f"portal/settings/{template}", title="Settings", tabs=tabs, address=own_address(request), **values
    )


def own_address(request: Request) -> str:
    """Where this installation answers."""
    told: str = request.app.state.settings.service_url
    return (told or f"{request.url.scheme}://{request.headers.get('host', '')}").rstrip("/")
