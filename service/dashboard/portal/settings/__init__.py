"""Settings in the portal: meter keys, people, and the keys with which receipts are signed."""

from service.dashboard.portal.settings import keys, people, signing  # noqa: F401 - they add to the router
from service.dashboard.portal.settings.router import router

__all__ = ["router"]
