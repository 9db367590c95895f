"""kill -9 of every part of a running installation, while it is reported to and while it closes months.

Two licensees never stop reporting and a clerk never stops closing. Whatever dies, what was acknowledged is what is
counted, each agreement has one invoice a month, and the numbers have no gap.
"""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from typing import TypeVar

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from tests.stories.installation import (
    BEFORE,
    LAST,
    Installation,
    Platform,
    at,
    image,
    installation,
    trade,
    until,
)

T = TypeVar("T")

PARTS = ("service", "worker", "beat", "valkey", "postgres")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("kills")) as running:
        yield running


@pytest.fixture
def here(town: Installation) -> Iterator[Installation]:
    town.mark_logs()
    yield town
    print(town.tail())


class Reporter:
    """Reports usage of two months without a pause; every fifth batch goes out a second time in other company."""

    def __init__(self, platform: Platform, story: str) -> None:
        self.platform, self.story = platform, story
        self.batches = 0

    def run(self, enough: threading.Event) -> None:
        dice = random.Random(self.platform.licensee)
        while not enough.is_set():
            month = dice.choice((BEFORE, LAST))
            batch = [
                image(f"{self.story}-sd", dice.randint(1, 9), at(month, dice.randint(1, 28), dice.randrange(24)))
                for _ in range(50)
            ]
            self.platform.report(batch)
            if self.batches % 5 == 0:
                self.platform.report(batch[:25])
            self.batches += 1
            enough.wait(0.02)


def clerk(here: Installation, enough: threading.Event) -> int:
    """Closes and issues the earlier month and drafts the later one, again and again; the runs that came to an end."""
    ended = 0
    while not enough.is_set():
        for month, issues in ((BEFORE, True), (LAST, False)):
            run_id = patiently(here, lambda: here.request(month, issues=issues))  # noqa: B023
            left = "SELECT 1 FROM billing_run_items WHERE run_id = %s AND finished_at IS NULL LIMIT 1"
            until(lambda: not patiently(here, lambda: here.ask(left, run_id)), f"run {run_id} ends", here.tail)  # noqa: B023
            ended += 1
    return ended


def patiently(here: Installation, ask: Callable[[], T]) -> T:
    """Asks the database until it answers; it may be dead just now."""
    end = time.monotonic() + 60
    while True:
        try:
            return ask()
        except (DBAPIError, psycopg.Error) as error:
            assert time.monotonic() < end, f"{error}\n{here.tail()}"
            time.sleep(0.1)


@contextmanager
def busy(here: Installation, reporters: list[Reporter]) -> Iterator[Future[int]]:
    """Reporting and closing go on for as long as the body runs, and each must come to a good end."""
    enough = threading.Event()
    with ThreadPoolExecutor(len(reporters) + 1) as pool:
        closing = pool.submit(clerk, here, enough)
        reporting = [pool.submit(reporter.run, enough) for reporter in reporters]
        try:
            yield closing
        finally:
            enough.set()
        for each in (*reporting, closing):
            each.result(timeout=180)


def wait_until_well(here: Installation, reporters: list[Reporter]) -> None:
    """Reports are answered again, and the workers have counted something newer than what they knew."""
    for reporter in reporters:
        answered, counted = reporter.batches, sum(reporter.platform.counted().values())
        here.wait(lambda: reporter.batches >= answered + 2, "reports are answered")  # noqa: B023
        here.wait(lambda: sum(reporter.platform.counted().values()) > counted, "the workers count")  # noqa: B023


def everything_adds_up(here: Installation, reporters: list[Reporter], prefix: str) -> None:
    platforms = [reporter.platform for reporter in reporters]
    here.wait_for_counts(*platforms)
    here.close(BEFORE)
    here.closed_by_command(LAST, "--issue")
    numbers = []
    for platform in platforms:
        invoices = platform.invoices()
        assert Counter(invoice["period"]["name"] for invoice in invoices) == {BEFORE.name: 1, LAST.name: 1}
        assert sum(Decimal(invoice["total"]) for invoice in invoices) * 100 == here.recount.owed_minor(
            f"{platform.licensee}-deal", LAST.end
        )
        numbers += [invoice["number"] for invoice in invoices]
    assert sorted(numbers) == [f"{prefix}-{n:06d}" for n in range(1, 2 * len(platforms) + 1)]
    assert here.perimage("verify")["ok"]


def opened(here: Installation, story: str, prefix: str) -> list[Reporter]:
    licensees = [f"{story}-north", f"{story}-south"]
    here.apply(trade(story, prefix, licensees=licensees))
    reporters = [Reporter(here.platform(licensee), story) for licensee in licensees]
    for reporter in reporters:  # so that the earlier month has something to bill
        reporter.platform.report([image(f"{story}-sd", 100, at(BEFORE, 1))])
    return reporters


def test_each_part_killed_in_turn_leaves_all_that_was_acknowledged_counted_and_billed_once(here: Installation) -> None:
    reporters = opened(here, "turn", "TRN")
    with busy(here, reporters) as closing:
        for part in PARTS:
            here.kill(part)
            wait_until_well(here, reporters)
    assert closing.result() >= 2
    assert sum(reporter.batches for reporter in reporters) > 20
    everything_adds_up(here, reporters, "TRN")


@pytest.mark.slow
def test_parts_killed_at_random_and_several_at_once_change_nothing_either(here: Installation) -> None:
    # The supervisor gives up a part that never ran for ten seconds and died five times: here all must have.
    here.wait(lambda: all(kept.proven for kept in here.stack._kept), "every part has run for a while")
    reporters = opened(here, "storm", "STM")
    dice = random.Random(11)
    with busy(here, reporters):
        for _ in range(12):
            for pid in [here.part(part) for part in dice.sample(PARTS, dice.choice((1, 1, 2, 3, 5)))]:
                os.kill(pid, signal.SIGKILL)
            time.sleep(dice.random() * 2)  # not to wait for anything: the next may die while the last one recovers
        wait_until_well(here, reporters)
    everything_adds_up(here, reporters, "STM")
