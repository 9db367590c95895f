"""Sixteen people ask for the same month at once, and workers die while it is done: each licensee has one invoice."""

import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from multiprocessing.process import BaseProcess

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from core.actors import Actor
from core.database import make_engine
from core.errors import Conflict
from core.invoicing.runs.control import resume, runs, stop
from core.invoicing.runs.run import advance_items, pieces_to_work, request_run, take_items
from core.invoicing.tables import BillingRunItem, Invoice
from core.invoicing.verify import verify_invoices
from core.ledger.tables import LedgerTransaction
from core.period import Period
from tests.trade import Trade, flat

OCTOBER = Period.month("2026-10")
SHORT = timedelta(seconds=2)
ANNA = Actor("anna", "approver")


def work_for_ever(url: str, seed: int) -> None:
    """A worker without a queue: whatever items nobody holds, together or alone, up to their invoices."""
    engine = make_engine(url)
    while True:
        with Session(engine) as session:
            pieces = pieces_to_work(session)
        if not pieces:
            time.sleep(0.05)
        for run_id in pieces[seed % 3 :: 3] or pieces:
            with Session(engine) as session:
                working = take_items(session, run_id, SHORT).agreement_ids
                session.commit()
            while working:
                with Session(engine) as session:
                    states = advance_items(session, run_id, working)
                    working = [id_ for id_, state in states.items() if state != "issued"]
                    issued = [id_ for id_, state in states.items() if state == "issued"]
                    over = (
                        update(BillingRunItem).where(BillingRunItem.agreement_id.in_(issued)).filter_by(run_id=run_id)
                    )
                    session.execute(over.values(finished_at=func.now()))  # its papers are another story
                    session.commit()


def begin(url: str, seed: int) -> BaseProcess:
    process = multiprocessing.get_context("spawn").Process(target=work_for_ever, args=(url, seed), daemon=True)
    process.start()
    return process


def kill(process: BaseProcess) -> None:
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def issued(session: Session) -> int:
    session.rollback()
    return session.scalar(select(func.count()).where(Invoice.number.is_not(None))) or 0


def run_it(database_url: str, licensees: int, requests: int, kills: int) -> None:
    engine = make_engine(database_url)
    with Session(engine) as session:
        trade = Trade(session)
        for n in range(licensees):
            trade.agreement(f"deal-{n}", fees=[flat("sd-1", "0.01")], licensee=f"platform-{n}")
            trade.use("sd-1", 100 + n, "2026-10-03T00:00Z", licensee=f"platform-{n}")
        session.commit()

    def request(_: int) -> int:
        with Session(engine) as own:
            made = request_run(own, OCTOBER, issues=True, by=ANNA).id
            own.commit()
            return made

    with ThreadPoolExecutor(min(requests, 8)) as pool:
        made = list(pool.map(request, range(requests)))
    workers = [begin(database_url, seed) for seed in range(3)]
    try:
        with Session(engine) as session:
            for nth in range(kills):
                reached = licensees * (nth + 1) // (kills + 1)
                while issued(session) < reached:
                    time.sleep(0.02)
                kill(workers.pop(0))
                if nth == 0:  # and somebody stops one of the runs, unless they are done by now, and lets it go on
                    with suppress(Conflict):
                        stop(session, made[-1], ANNA)
                        session.commit()
                        resume(session, made[-1], ANNA)
                    session.commit()
                workers.append(begin(database_url, 3 + nth))
            while not all(found.state == "done" for found in runs(session)):
                session.rollback()
                time.sleep(0.2)
    finally:
        for worker in workers:
            kill(worker)
    with Session(engine) as session:
        numbers = session.scalars(select(Invoice.number).order_by(Invoice.number)).all()
        assert numbers == [f"GLD-{n:06d}" for n in range(1, licensees + 1)]
        totals = session.scalars(select(Invoice.total_minor).order_by(Invoice.total_minor)).all()
        assert totals == [100 + n for n in range(licensees)]
        assert session.scalar(select(func.count()).select_from(LedgerTransaction)) == licensees
        assert not [problem for check in verify_invoices(session) for problem in check.problems]
        assert set(session.scalars(select(BillingRunItem.state))) <= {"issued", "finished"}
    engine.dispose()


def test_four_runs_at_once_and_a_worker_that_is_killed(database_url: str) -> None:
    run_it(database_url, licensees=8, requests=4, kills=1)


@pytest.mark.slow
def test_sixteen_runs_over_two_hundred_licensees_with_kills(database_url: str) -> None:
    run_it(database_url, licensees=200, requests=16, kills=5)
