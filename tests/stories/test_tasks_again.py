"""Brokers deliver twice, at once and late. A task that was done before, or is being done, changes nothing."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.stories.installation import BEFORE, LAST, Installation, Platform, at, image, trade

TABLES = (
    "daily_counts", "resolutions", "billing_runs", "billing_run_items", "invoices", "invoice_lines",
    "invoice_documents", "number_series", "ledger_transactions", "postings",
)  # fmt: skip


def everything(here: Installation) -> list[list[tuple[Any, ...]]]:
    return [here.ask(f"SELECT t::text FROM {table} t ORDER BY 1") for table in TABLES]


def requested(here: Installation) -> list[tuple[int, int]]:
    """A run over the last month that nobody was told of: its items."""
    run_id = here.request(LAST)
    rows = here.ask("SELECT run_id, agreement_id FROM billing_run_items WHERE run_id = %s", run_id)
    return [(run, agreement) for run, agreement in rows]


def finished(here: Installation) -> bool:
    return here.ask("SELECT 1 FROM billing_run_items WHERE finished_at IS NULL LIMIT 1") == []


def done(here: Installation, ids: list[str]) -> bool:
    log = (here.stack.logs / "worker.log").read_text()
    return all(f"[{id_}] succeeded" in log for id_ in ids)


def a_trade(here: Installation, story: str) -> tuple[Platform, Platform]:
    licensees = [f"{story}-north", f"{story}-south"]
    here.apply(trade(story, story.upper(), licensees=licensees))
    north, south = (here.platform(licensee) for licensee in licensees)
    for platform in (north, south):
        platform.report([image(f"{story}-sd", 700 + day, at(month, day)) for month in (BEFORE, LAST) for day in (1, 2)])
    return north, south


def each_is_billed_once(here: Installation, platforms: tuple[Platform, ...]) -> None:
    for platform in platforms:
        [invoice] = platform.invoices()
        assert invoice["total"].replace(".", "") == str(here.recount.owed_minor(f"{platform.licensee}-deal", LAST.end))
    here.verify()


def test_every_message_four_times_and_once_more_when_all_is_over(here: Installation) -> None:
    platforms = a_trade(here, "fourfold")
    items = requested(here)
    four = [("work_item", *item) for item in items] * 4 + [("roll_up_usage",)] * 4 + [("sweep",)] * 4
    ids = [here.send(task, *arguments) for task, *arguments in four]
    here.wait(lambda: done(here, ids) and finished(here), "every message was worked and every item is finished")
    here.wait_for_counts(*platforms)
    before = everything(here)
    late = [here.send(task, *arguments) for task, *arguments in four]
    here.wait(lambda: done(here, late), "the late messages were worked")
    assert everything(here) == before
    each_is_billed_once(here, platforms)


@pytest.fixture
def tasks(here: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The task functions in this process, on the installation's database."""
    from config import settings as our

    chosen = {"database_url": here.stack.database_url, "redis_url": here.stack.redis_url, "lease_seconds": 3}
    monkeypatch.setattr(our, "_chosen", chosen)
    our.settings.cache_clear()
    from worker import session, tasks
    from worker.app import app

    app.finalize()  # as a worker does before its first task
    session._engine.cache_clear()
    yield tasks
    session._engine().dispose()
    session._engine.cache_clear()
    our.settings.cache_clear()


def test_every_task_by_four_at_once_beside_the_running_workers(here: Installation, tasks: Any) -> None:
    platforms = a_trade(here, "abreast")
    items = requested(here)

    def work(item: tuple[int, int]) -> None:
        tasks.roll_up_usage()
        tasks.work_item(*item)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, [item for item in items for _ in range(4)]))
    here.wait(lambda: finished(here), "every item is finished")
    here.wait_for_counts(*platforms)
    before = everything(here)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, items * 4))
    assert everything(here) == before
    each_is_billed_once(here, platforms)
