"""Thirteen months by a calendar of their own, under every scenario file, with usage late in every month, Stripe failing
all the time and everything repeated: every cent explained, nothing twice.
"""

from collections.abc import Sequence

import pytest

from tests.stories.year_checks import check, happened, owed_and_billed, repeated
from tests.stories.year_of_trade import SCENARIOS, Year

HARD = (
    *("invoices voided", "invoices credited", "invoices disputed", "invoices dispute_settled", "credit notes"),
    *("late usage on a later invoice", "interest asked for", "invoices paid in parts", "deliveries that failed"),
)
HARDER = (
    *("invoices held", "invoices released", "invoices approved", "invoices written_off"),
    "interest of a payment that was heard of late",
)
EVERY = sorted(file.stem for file in SCENARIOS.glob("*.yaml"))


@pytest.mark.slow
def test_three_months_of_two_scenarios(owner_url: str) -> None:
    came = live(owner_url, seed=20_260_101, months=3, scenarios=("anima-flat", "stacked"))

    assert all(came[what] for what in HARD), came


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20_260_101, 1_307])
def test_thirteen_months_of_every_scenario(owner_url: str, seed: int) -> None:
    came = live(owner_url, seed=seed, months=13, scenarios=EVERY, documents=seed == 1_307)
    assert all(came[what] for what in (*HARD, *HARDER)), came


def live(
    owner_url: str, *, seed: int, months: int, scenarios: Sequence[str], documents: bool = False
) -> dict[str, int]:
    """So many months, and the close of the last; how often what has come to pass."""
    print(f"seed {seed}")  # shown when it fails

    def again(year: Year, n: int) -> None:
        repeated(year, range(n, n + 1))

    with Year(owner_url, seed=seed, scenarios=scenarios, documents=documents, after_close=again) as year:
        for n in range(months):
            year.month(n)
            check(year)
        year.last_close(months - 1)
        check(year)
        owed_and_billed(year, year.period(months - 1).end)
        repeated(year, range(months))
        check(year)
        print(came := happened(year))
        return came
