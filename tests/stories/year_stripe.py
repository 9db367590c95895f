"""Stripe in a year of stories: customers who pay there, webhooks on bad days, and the outbox with every fault on."""

import random
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from core.payments.gateway import INVOICE_MARK, GatewayError
from core.payments.queries import steps
from core.payments.reconcile import LOOKS_BACK, known_ids, look, ours, reconcile
from core.payments.tables import GatewayInvoice
from tests.fakes.stripe_server import StripeServer
from tests.fakes.stripe_server.faults import FAULTS
from tests.fakes.till import Outbox
from tests.stories.calendar_clock import CalendarClock

FAULTY_IN_100 = 12
LATE_IN_100, LOST_IN_100, DOUBLE_IN_100 = 15, 4, 20  # webhooks
ROUNDS = 60


class Stripe:
    """The account at Stripe and our way to it."""

    def __init__(self, server: StripeServer, engine: Engine, clock: CalendarClock, dice: random.Random) -> None:
        self.server, self.engine, self.clock, self.dice = server, engine, clock, dice
        self.outbox = Outbox(engine, server)
        self.delivered: set[str] = set()
        self.withheld: set[str] = set()  # ids of invoices there whose webhooks wait for another month
        self.seen: set[str] = set()  # payments there that we have told of
        server.faults.slow_seconds = 0
        clock.follow(self._set)

    def _set(self, moment: datetime) -> None:
        there = datetime.fromtimestamp(self.server.account.now(), UTC)
        self.server.account.advance(moment - there)

    def fates(self) -> Iterator[str | None]:
        """What becomes of one request after the other: mostly nothing bad."""
        while True:
            yield self.dice.choice(FAULTS) if self.dice.randrange(100) < FAULTY_IN_100 else None

    def work(self) -> None:
        """Two workers at once, until nothing is left to do, however often they have to wait."""
        self.server.faults.script(self.fates())
        for _ in range(ROUNDS):
            with ThreadPoolExecutor(2) as pool:
                for worked in [pool.submit(self.outbox.work) for _ in range(2)]:
                    worked.result()
            with Session(self.engine) as session:
                wanted = select(func.count()).where(GatewayInvoice.refresh_wanted_at.is_not(None))
                left = steps(session, states=("waiting",))
                if not left and not session.scalar(wanted):
                    self.server.faults.clear()
                    return
            self.clock.forward(timedelta(seconds=self.dice.choice((3, 40, 400))))
        raise AssertionError(f"the outbox does not come to its end: {left}")

    def there(self, number: str) -> list[dict[str, Any]]:
        """Everything at Stripe that carries a number and is not void."""
        return self.server.account.live_invoices(**{INVOICE_MARK: number})

    def pay(self, number: str, minor: int | None, *, told: bool = True) -> None:
        """The customer pays, all that remains or a part; we hear of it by webhooks, or next month."""
        [invoice] = self.there(number)
        if invoice["status"] != "open":
            return
        remaining = invoice["amount_remaining"]
        self.server.customer_pays(invoice["id"], min(remaining, minor or remaining))
        if not told:
            self.withheld.add(invoice["id"])

    def new_payments(self, known: Collection[str]) -> Iterator[tuple[str, datetime, int]]:
        """(our number, when, how much) of everything that was paid there and is `known` by now, each once."""
        for payment in list(self.server.account.invoice_payments.values()):
            if payment["id"] in known and payment["id"] not in self.seen:
                self.seen.add(payment["id"])
                invoice = self.server.account.invoices[payment["invoice"]]
                paid_at = datetime.fromtimestamp(payment["status_transitions"]["paid_at"], UTC)
                yield invoice["metadata"][INVOICE_MARK], paid_at, payment["amount_paid"]

    def deliver(self, post: Callable[[bytes, dict[str, str]], int], *, punctual: bool = False) -> None:
        """Sends what was not sent yet: shuffled, some twice, some later, some never."""
        events = [e for id_, e in self.server.account.events.items() if id_ not in self.delivered]
        events = [e for e in events if self._invoice_of(e) not in self.withheld]
        if not punctual:
            events = [e for e in events if self.dice.randrange(100) >= LATE_IN_100]
        events += [e for e in events if self.dice.randrange(100) < DOUBLE_IN_100]
        self.dice.shuffle(events)
        for event in events:
            if not punctual and self.dice.randrange(100) < LOST_IN_100:
                self.delivered.add(event["id"])
                continue
            assert post(*self.server.signed(event)) == 200
            self.delivered.add(event["id"])

    def compare(self) -> int:
        """The daily comparison; how many differences it found."""
        while True:
            with Session(self.engine) as session:
                before, older = ours(session), known_ids(session, self.clock.now - LOOKS_BACK)
            try:
                there = look(self.outbox.gateway, self.clock.now, older)
            except GatewayError:
                continue
            with Session(self.engine) as session:
                found = reconcile(session, before, there).differences
                session.commit()
            return found

    @staticmethod
    def _invoice_of(event: dict[str, Any]) -> str:
        about = event["data"]["object"]
        return str(about["id"] if about["object"] == "invoice" else about.get("invoice"))
