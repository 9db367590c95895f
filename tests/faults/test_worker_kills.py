"""A worker that dies in the middle of its work, wherever that is, is followed by one that finishes: one invoice, right.

The workers are real Celery workers on a real queue. Armed with a kill point, one dies as in a power cut: SIGKILL, no
clean-up. Its message is not given back for two minutes, so what brings the work back is the sweep, as beat asks for it.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from celery import Celery
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from core.agreements.tables import Agreement
from core.database import make_engine
from core.invoicing.runs.run import request_run
from core.invoicing.tables import BillingRunItem, Invoice, InvoiceDocument, NumberSeries
from core.invoicing.verify import verify_invoices
from core.usage.counts.verify import verify_rollup
from stack.programs import Place, perimage
from tests import oracle
from tests.stories.installation import LAST, until
from tests.trade import Trade, flat

RATE = "0.0333"
LEASE = {"PERIMAGE_LEASE_SECONDS": "1"}
POINTS = (
    "mid_rollup",
    "after_claim",
    "after_rating_before_lines",
    "after_lines_before_total",
    "after_number_before_commit",
    "after_issue_before_outbox",
)
IN_EVERY_RUN = ("mid_rollup", "after_number_before_commit")


class Yard:
    """Workers on one database and one queue, and the messages for them."""

    def __init__(self, database_url: str, redis_url: str, folder: Path) -> None:
        self.folder = folder
        self.place = Place(folder, database_url, redis_url, "", "", listener=0)
        self.queue = Celery(broker=redis_url)
        self.engine: Engine = make_engine(database_url)
        self.log = folder / "worker.log"

    @contextmanager
    def worker(self, kill_point: str = "", pool: str = "solo") -> Iterator[subprocess.Popen[bytes]]:
        """The stack's own worker; with the pool `solo` it is a single process, so that the whole of it dies."""
        [program] = [program for program in perimage(self.place) if program.name == "worker"]
        with self.log.open("ab") as log:
            running = subprocess.Popen(
                [*program.argv, "--pool", pool],
                env={
                    **os.environ,
                    **LEASE,
                    "DATABASE_URL": self.place.database_url,
                    "REDIS_URL": self.place.redis_url,
                    "PERIMAGE_KILL_POINT": kill_point,
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield running
        finally:
            kill(running)

    def send(self, task: str, *ids: int) -> None:
        self.queue.send_task(f"worker.tasks.{task}", args=ids, ignore_result=True)

    def request(self) -> list[tuple[int, int]]:
        """A billing run over the last month, up to the documents: its items."""
        with Session(self.engine) as session:
            run = request_run(session, LAST, issues=True)
            asked = select(BillingRunItem.agreement_id).where(BillingRunItem.run_id == run.id)
            items = [(run.id, agreement_id) for agreement_id in session.scalars(asked)]
            session.commit()
        return items

    def sweep_until_finished(self) -> None:
        """Asks as beat does, once a round, until every item of every run has come to its end."""

        def finished() -> bool:
            self.send("sweep")
            with Session(self.engine) as session:
                left = select(func.count()).where(BillingRunItem.finished_at.is_(None))
                return session.scalar(left) == 0

        until(finished, "every item is finished", self.tail)

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-60:])


def kill(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of a worker with all that it forked."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def yard(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Yard]:
    made = Yard(database_url, redis_url, tmp_path)
    yield made
    print(made.tail())
    made.queue.close()
    made.engine.dispose()


def reported(yard: Yard, how_many: int) -> dict[str, int]:
    """Agreements with usage that is not rolled up yet: what the oracle says that each owes, by its slug."""
    owes = {}
    with Session(yard.engine) as session:
        trade = Trade(session)
        for n in range(how_many):
            licensee, events = f"platform-{n}", []
            term = (LAST.start, LAST.start.replace(year=LAST.start.year + 1))
            trade.agreement(
                f"deal-{n}", licensee=licensee, fees=[flat("sd-1", RATE)], starts_on=term[0], ends_on=term[1]
            )
            for day in (1, 2, 28):
                event = {"model": "sd-1", "image_count": 100 * n + day, "occurred_at": f"{LAST.name}-{day:02}T12:00Z"}
                trade.use(**event, licensee=licensee)
                events.append({"licensee": licensee, "event_id": day, **event})
            counts = oracle.count_events(events, {(licensee, "sd-1"): "UTC"})
            contract = {"term": term, "versions": [(term[0], {"currency": "USD", "fees": [flat("sd-1", RATE)]})]}
            lines = oracle.owed(
                contract, {(model, day): images for (_, model, day), images in counts.items()}, LAST.end
            )
            owes[f"deal-{n}"] = sum(minor for _, minor in lines.values())
        session.commit()
    return owes


def billed_once(yard: Yard, owes: dict[str, int]) -> None:
    """One issued invoice with a document for each agreement, the right totals, numbers without a gap, all verified."""
    with Session(yard.engine) as session:
        rows = session.execute(
            select(Agreement.slug, Invoice.status, Invoice.total_minor).join(
                Invoice, Invoice.agreement_id == Agreement.id
            )
        )
        assert sorted(rows) == sorted((slug, "issued", minor) for slug, minor in owes.items())
        numbers = list(session.scalars(select(Invoice.number).order_by(Invoice.number)))
        assert numbers == [f"GLD-{n:06d}" for n in range(1, len(owes) + 1)]
        assert session.scalar(select(NumberSeries.last_number)) == len(owes)
        pdfs = select(func.count()).select_from(InvoiceDocument).where(InvoiceDocument.kind == "pdf")
        assert session.scalar(pdfs) == len(owes)
        assert not [problem for check in verify_invoices(session) for problem in check.problems]
        assert verify_rollup(session) == (3 * len(owes), [])


def nothing_failed(yard: Yard) -> None:
    """Nobody got into anybody's way either: not one step had to be tried again."""
    assert "item failed" not in yard.log.read_text(errors="replace"), yard.tail()
    with Session(yard.engine) as session:
        ends = session.execute(select(BillingRunItem.state, BillingRunItem.error)).all()
        assert {tuple(end) for end in ends} == {("finished", None)}


@pytest.mark.parametrize(
    "point", [pytest.param(p, marks=[] if p in IN_EVERY_RUN else [pytest.mark.slow]) for p in POINTS]
)
def test_a_worker_that_dies_at_a_point_is_followed_by_one_that_finishes(yard: Yard, point: str) -> None:
    owes = reported(yard, 2)
    items = yard.request()
    yard.send("work_item", *items[0])
    with yard.worker(kill_point=point) as armed:
        until(lambda: armed.poll() is not None, f"the armed worker dies {point}", yard.tail)
        assert armed.returncode == -signal.SIGKILL, yard.tail()
    with Session(yard.engine) as session:
        assert session.scalar(select(func.count()).where(Invoice.number.is_not(None))) == 0
        item = session.get_one(BillingRunItem, items[0])
        # Killed before the claim is committed it was never claimed; killed later, it is claimed until its lease ends.
        assert (item.attempts, item.finished_at) == (0 if point == "after_claim" else 1, None)
    with yard.worker():
        yard.sweep_until_finished()
    billed_once(yard, owes)
    nothing_failed(yard)


@pytest.mark.slow
def test_what_kills_every_worker_is_given_up_and_a_later_run_bills_it_once(yard: Yard) -> None:
    owes = reported(yard, 1)
    [item] = yard.request()
    with yard.worker(kill_point="after_rating_before_lines", pool="prefork") as armed:
        yard.sweep_until_finished()
        assert armed.poll() is None  # it lost its children one after another, and forked new ones
    with Session(yard.engine) as session:
        given_up = session.get_one(BillingRunItem, item)
        assert (given_up.state, given_up.attempts) == ("failed", 5)
        assert given_up.error == "given up: 5 workers took it and none came to its end"
    [again] = yard.request()
    yard.send("work_item", *again)
    with yard.worker():
        yard.sweep_until_finished()
    billed_once(yard, owes)


def all_at_once(yard: Yard, requests: int) -> None:
    """So many requests for the same month at the same time, each announced to the workers."""

    def request(_: int) -> None:
        for item in yard.request():
            yard.send("work_item", *item)

    with ThreadPoolExecutor(requests) as pool:
        list(pool.map(request, range(requests)))


def test_two_workers_and_three_requests_at_once_write_each_invoice_once(yard: Yard) -> None:
    owes = reported(yard, 5)
    all_at_once(yard, 3)
    with yard.worker(pool="prefork"), yard.worker(pool="prefork"):
        yard.sweep_until_finished()
    billed_once(yard, owes)
    nothing_failed(yard)


@pytest.mark.slow
def test_sixteen_requests_for_twenty_agreements_and_three_workers_of_which_two_are_killed(yard: Yard) -> None:
    owes = reported(yard, 20)
    all_at_once(yard, 16)

    def issued() -> int:
        with Session(yard.engine) as session:
            return session.scalar(select(func.count()).where(Invoice.number.is_not(None))) or 0

    with yard.worker(pool="prefork") as first, yard.worker(pool="prefork") as second, yard.worker(pool="prefork"):
        until(lambda: issued() >= 4, "some invoices are issued", yard.tail)
        kill(first)
        until(lambda: issued() >= 9, "more invoices are issued", yard.tail)
        kill(second)
        with yard.worker(pool="prefork"), yard.worker(pool="prefork"):
            yard.sweep_until_finished()
    billed_once(yard, owes)
    nothing_failed(yard)
