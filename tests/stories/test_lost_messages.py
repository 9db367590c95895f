"""Messages are hints: whatever becomes of the queue, the rows are there and the sweep finds them."""

import json
import time
from collections.abc import Iterator

import pytest
import redis

from tests.stories.installation import LAST, Installation, Platform, at, image, trade

TASK = "worker.tasks.work_run"


def messages(queue: redis.Redis) -> int:
    """Messages about billing runs that wait in the queue."""
    return sum(json.loads(message)["headers"]["task"] == TASK for message in queue.lrange("celery", 0, -1))


def open_items(here: Installation) -> int:
    [(items,)] = here.ask("SELECT count(*) FROM billing_run_items WHERE finished_at IS NULL")
    return int(items)


@pytest.fixture
def queue(here: Installation) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(here.stack.redis_url) as client:
        yield client


def four_platforms(here: Installation, story: str, prefix: str) -> list[Platform]:
    licensees = [f"{story}-{name}" for name in ("north", "south", "east", "west")]
    here.apply(trade(story, prefix, licensees=licensees, starts_on=LAST.start))
    platforms = [here.platform(licensee) for licensee in licensees]
    for n, platform in enumerate(platforms, start=1):
        platform.report([image(f"{story}-sd", 1_000 * n, at(LAST, n))])
    here.wait_for_counts(*platforms)
    return platforms


def all_are_billed(here: Installation, platforms: list[Platform], prefix: str) -> None:
    invoices = [invoice for platform in platforms for invoice in platform.invoices()]
    assert sorted(invoice["number"] for invoice in invoices) == [f"{prefix}-{n:06d}" for n in (1, 2, 3, 4)]
    for platform in platforms:
        [invoice] = platform.invoices()
        assert invoice["total"].replace(".", "") == str(here.recount.owed_minor(f"{platform.licensee}-deal", LAST.end))
    here.verify()


@pytest.mark.parametrize("loss", ["flushed", "killed"])
def test_a_run_whose_messages_are_lost_is_finished_by_the_sweep(
    here: Installation, queue: redis.Redis, loss: str
) -> None:
    platforms = four_platforms(here, f"lost-{loss}", f"LOST{loss[0].upper()}")
    with here.paused("worker"):
        closing = here.command("close", LAST.name, "--issue", "--json")
        here.wait(lambda: open_items(here) >= 4, "the run was asked for")
        time.sleep(1)  # One message announces it, and a worker that stands still may have been handed that.
        if loss == "flushed":
            queue.flushall()
            assert messages(queue) == 0
        else:
            here.kill("valkey")
        assert open_items(here) >= 4
    here.outcome(closing)
    all_are_billed(here, platforms, f"LOST{loss[0].upper()}")


def test_a_run_that_could_not_be_announced_at_all_is_found_by_the_sweep(here: Installation) -> None:
    platforms = four_platforms(here, "mute", "MUTE")
    nowhere = "redis://127.0.0.1:1/0"
    here.outcome(here.command("close", LAST.name, "--issue", "--json", REDIS_URL=nowhere))
    all_are_billed(here, platforms, "MUTE")
