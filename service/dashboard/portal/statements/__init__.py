"""Statements in the portal: to keep, to check, to certify or to dispute."""

from service.dashboard.portal.statements import all, one, said, totals  # noqa: F401 - they add to the router
from service.dashboard.portal.statements.router import router

__all__ = ["router"]
