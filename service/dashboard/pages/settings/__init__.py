"""Settings: the house itself, who may come in, who is told, and whether everything is well."""

from service.dashboard.pages.settings import (
    deliveries,
    finance_keys,
    licensee_people,
    limits,
    notices,
    organisation,
    people,
    system,
    webhooks,
)
from service.dashboard.pages.settings.router import router

__all__ = [
    "deliveries", "finance_keys", "licensee_people", "limits", "notices", "organisation", "people", "router", "system",
    "webhooks",
]  # fmt: skip
