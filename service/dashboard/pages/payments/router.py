"""The addresses below /payments. Bank statements come as files, so larger forms are taken here."""

from service.dashboard.door import page_router

MAX_BYTES = 4 * 1024 * 1024
router = page_router("/payments", max_bytes=MAX_BYTES)
_TABS = (
    ("Payments", "/payments"),
    ("Bank statements", "/payments/bank"),
    ("Left to use", "/payments/credit"),
    ("Receivables by age", "/payments/ageing"),
    ("Stripe", "/payments/stripe"),
)


def tabs_at(here: str) -> list[tuple[str, str, bool]]:
    """The pages of payments, for `ui.tabs`."""
    return [(name, address, address == here) for name, address in _TABS]
