"""Licensees: the list, and everything about one of them on a few pages under one heading."""

from service.dashboard.pages.licensees import agreements, everybody, keys, one, statements, usage  # noqa: F401 - routes
from service.dashboard.pages.licensees.router import router

__all__ = ["router"]
