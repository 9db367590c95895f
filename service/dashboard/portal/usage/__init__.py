"""Usage in the portal: what was counted, what came in and what did not, and how to mend it."""

from service.dashboard.portal.usage import corrections, counted, days, doubles, events, reports  # noqa: F401 - they add to it
from service.dashboard.portal.usage.router import router

__all__ = ["router"]
