"""The addresses below /portal/usage, and what all of its pages begin with."""

from typing import Any

from fastapi import Request
from starlette.responses import Response

from service.dashboard.door import page_router
from service.dashboard.rendering import page

router = page_router("/portal/usage")
TABS = (
    ("Counted", ""),
    ("Days and gaps", "/days"),
    ("Reports", "/reports"),
    ("Turned away", "/rejected"),
    ("Corrections", "/corrections"),
    ("Possible duplicates", "/duplicates"),
)


def usage_page(request: Request, template: str, here: str, **values: Any) -> Response:
    """A page of the group, with its tabs."""
    tabs = [(name, f"/portal/usage{end}", name == here) for name, end in TABS]
    values = {"title": "Usage", "tabs": tabs, **values}
    return page(request, f"portal/usage/{template}", **values)
