"""Payments: what came in and what it settles, bank statements, what is left to use, who owes how long, and Stripe."""

from service.dashboard.pages.payments import bank, everything  # isort: skip - their addresses before /{payment_id}
from service.dashboard.pages.payments import one
from service.dashboard.pages.payments.router import router

__all__ = ["bank", "everything", "one", "router"]
