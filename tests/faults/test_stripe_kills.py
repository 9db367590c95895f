"""kill -9 of a worker at every step to Stripe, before the call and after it, and of the service at every webhook.

The workers are real Celery workers, Stripe is the fake one over HTTP. What is left behind is a row whose lease ends.
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.payments.collect import plan
from core.payments.tables import GatewayEvent, GatewayInvoice, GatewayStep, Payment
from tests.door import service_process
from tests.fakes.stripe_server import StripeServer
from tests.fakes.till import Outbox, Till
from tests.faults.test_worker_kills import Yard
from tests.stories.installation import until

KINDS = ("customer", "create", "lines", "check", "finalise", "send")
POINTS = [f"stripe_{kind}_{when}" for kind in KINDS for when in ("before_call", "after_call_before_record")]
FAST = ("stripe_create_after_call_before_record",)
PATH = "/v1/stripe/webhooks"


@pytest.fixture
def server() -> Iterator[StripeServer]:
    with StripeServer() as running:
        yield running


@pytest.fixture
def yard(
    database_url: str, redis_url: str, tmp_path: Path, server: StripeServer, monkeypatch: pytest.MonkeyPatch
) -> Yard:
    monkeypatch.setenv("PERIMAGE_STRIPE_API_KEY", server.api_key)
    monkeypatch.setenv("PERIMAGE_STRIPE_API_BASE", server.url)
    monkeypatch.setenv("PERIMAGE_STRIPE_LEASE_SECONDS", "1")
    monkeypatch.setenv("PERIMAGE_STRIPE_CALLS_A_SECOND", "50")
    return Yard(database_url, redis_url, tmp_path)


def tick(yard: Yard) -> None:
    yard.queue.send_task("worker.payments.work_gateway", ignore_result=True)


def work_until(yard: Yard, true: object, what: str) -> None:
    """Asks as beat does, until it is so."""

    def asked() -> bool:
        tick(yard)
        return bool(true())  # type: ignore[operator]

    until(asked, what, yard.tail)


def unfinished(yard: Yard) -> int:
    with Session(yard.engine) as session:
        left = select(func.count()).select_from(GatewayStep).where(GatewayStep.state != "done")
        planned = session.scalar(select(func.count()).select_from(GatewayStep)) or 0
        return (session.scalar(left) or 0) if planned else 1


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(point, marks=[] if point in FAST else [pytest.mark.slow])
        for point in (*POINTS, "after_outbox_before_call")
    ],
)
def test_a_worker_that_dies_at_a_step_is_followed_by_one_that_finishes_it(
    yard: Yard, server: StripeServer, point: str
) -> None:
    with Session(yard.engine) as session:
        till = Till(session)
        till.by_stripe()
        invoice = till.invoice(100_00, tax=19_00)
        number = invoice.number
    tick(yard)
    with yard.worker(kill_point=point) as armed:
        until(lambda: armed.poll() is not None, f"the armed worker dies at {point}", yard.tail)
        assert armed.returncode == -signal.SIGKILL, yard.tail()
    with yard.worker():
        work_until(yard, lambda: unfinished(yard) == 0, "every step is done")
    [out] = server.account.invoices.values()
    assert (out["status"], out["total"], out["number"]) == ("open", 119_00, number)
    assert len(out["lines"]["data"]) == 2
    assert len(server.account.customers) == 1
    assert server.account.sent == [out["id"]]


@pytest.mark.slow
def test_workers_killed_again_and_again_while_stripe_fails_leave_one_invoice_for_each(
    yard: Yard, server: StripeServer
) -> None:
    import random

    from tests.faults.test_worker_kills import kill

    with Session(yard.engine) as session:
        till = Till(session)
        numbers = []
        for n in range(12):
            till.by_stripe(f"platform-{n % 3}")
            numbers.append(till.invoice(100_00 + n, licensee=f"platform-{n % 3}").number)
    dice = random.Random(3)
    fates = (
        dice.choice(["reply_lost", "dropped", "500_after", "500"]) if dice.random() < 0.2 else None for _ in range(200)
    )
    server.faults.script(fates)
    for _ in range(4):
        tick(yard)
        with yard.worker(pool="prefork") as first, yard.worker():
            seen = len(server.requests)
            until(lambda seen=seen: len(server.requests) > seen + 5, "some calls are made", yard.tail)
            kill(first)
    server.faults.clear()
    with yard.worker(), yard.worker():
        work_until(yard, lambda: unfinished(yard) == 0, "every step is done")
    assert sorted(each["number"] for each in server.account.invoices.values()) == sorted(numbers)
    assert {each["status"] for each in server.account.invoices.values()} == {"open"}
    assert len(server.account.customers) == 3


@pytest.mark.parametrize("point", ["after_verify", "after_commit_before_reply", "after_event_before_effect"])
@pytest.mark.slow
def test_a_webhook_during_which_the_service_dies_counts_once_when_it_is_repeated(
    database_url: str, server: StripeServer, point: str
) -> None:
    from core.database import make_engine

    engine = make_engine(database_url)
    outbox = Outbox(engine, server)
    secret = {"PERIMAGE_STRIPE_WEBHOOK_SECRET": server.webhook_secret}
    with Session(engine) as session:
        till = Till(session)
        till.by_stripe()
        invoice = till.invoice(100_00)
        outbox.work()
        server.customer_pays(server.account.live_invoices()[0]["id"])
        paid = next(each for each in server.undelivered() if each["type"] == "invoice.paid")
        body, headers = server.signed(paid)
        with service_process(database_url, {}, PERIMAGE_KILL_POINT=point, **secret) as armed:
            with pytest.raises(httpx.TransportError):
                httpx.post(armed.address + PATH, content=body, headers=headers, timeout=20)
            assert armed.exit_code() == -signal.SIGKILL
        committed = point == "after_commit_before_reply"
        assert (session.scalar(select(func.count()).select_from(GatewayEvent)) == 1) is committed
        session.rollback()
        with service_process(database_url, {}, **secret) as running:
            answer = httpx.post(running.address + PATH, content=body, headers=headers, timeout=20)
            assert answer.json() == {"event": paid["id"], "taken": not committed}
        assert session.scalar(select(GatewayInvoice.refresh_wanted_at)) is not None
        session.rollback()
        outbox.work()
        assert till.left(invoice) == [0]
        assert session.scalar(select(func.count()).select_from(Payment)) == 1
    engine.dispose()


def test_planning_twice_at_once_plans_once(database_url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from core.database import make_engine

    engine = make_engine(database_url)
    with Session(engine) as session:
        till = Till(session)
        till.by_stripe()
        for n in range(5):
            till.invoice(100 + n)

    def attempt(_: int) -> None:
        with Session(engine) as own:
            plan(own)
            own.commit()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attempt, range(8)))
    with Session(engine) as session:
        assert session.scalar(select(func.count()).select_from(GatewayStep)) == 1 + 5 * 5
    engine.dispose()
