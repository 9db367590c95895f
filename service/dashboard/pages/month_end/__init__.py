"""The month's end: months and their drafts, runs with their progress, issuing what is ready."""

from service.dashboard.pages.month_end import issuing, runs  # isort: skip - /runs/... before /{period}/...
from service.dashboard.pages.month_end import months
from service.dashboard.pages.month_end.router import router

__all__ = ["issuing", "months", "router", "runs"]
