"""Counts what came in before something is closed or tried, as the API does: in transactions of its own."""

from fastapi import Request

from core.usage.counts.rollup import roll_up
from service.dashboard.acting import act


def count_what_came(request: Request) -> None:
    """Every event that is there is counted when this returns."""
    while act(request, roll_up).more:
        pass
