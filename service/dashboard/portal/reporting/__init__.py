"""Reporting by file in the portal: sent by a manager, taken in as the API takes files in, and watched."""

from service.dashboard.portal.reporting import files, sending  # noqa: F401 - they add to the router
from service.dashboard.portal.reporting.router import router

__all__ = ["router"]
