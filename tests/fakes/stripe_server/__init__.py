"""A strict stand-in for Stripe: the real `stripe` package talks to it over HTTP through `base_addresses`.

It refuses what Stripe refuses, remembers idempotency keys for 24 hours of its own clock, and fails on request. Written
from the public documentation and the package's own typed parameters; it knows invoices and nothing of subscriptions.

    with StripeServer() as server:
        server.faults.next("POST /v1/invoices", "reply_lost")
        client = stripe.StripeClient(server.api_key, base_addresses={"api": server.url})
"""

from tests.fakes.stripe_server.server import StripeServer

__all__ = ["StripeServer"]
