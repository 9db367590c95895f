"""The addresses below /month-end."""

from core.errors import NotFound, PerimageError
from core.period import Period
from service.dashboard.door import page_router

router = page_router("/month-end")


def month_of(name: str) -> Period:
    """The month in an address."""
    try:
        return Period.month(name[:20])
    except PerimageError:
        raise NotFound("unknown_month", f"there is no month {name[:20]}: write one such as 2026-10") from None
