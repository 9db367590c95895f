"""Issued invoices to be paid, in as few words as a test can bear, and an outbox that is worked without a worker.

till = Till(session)
invoice = till.invoice(250_00)
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from core.actors import Actor
from core.agreements.tables import Agreement
from core.invoicing.life.issue import SERIES, number_in
from core.invoicing.life.snapshot import content_hash
from core.invoicing.tables import Invoice, InvoiceLine, NumberSeries
from core.ledger.balances import settled
from core.ledger.post import post, posted
from core.ledger.posting import credit_note_issued, invoice_issued, voided
from core.money import Money
from core.payments.collect import collect_by_gateway, plan
from core.payments.gateway import GatewayError
from core.payments.outbox import Wait, claim, fail, record
from core.payments.perform import perform
from core.payments.reconcile import LOOKS_BACK, known_ids, look, ours, reconcile
from core.payments.refresh import claim_refresh, fail_reading, read, record_reading
from core.payments.stripe import StripeGateway, stripe_gateway
from core.payments.tables import GatewayReconciliation
from tests.fakes.stripe_server import StripeServer
from tests.trade import Trade, flat

CLERK, APPROVER = Actor("Clara", "clerk"), Actor("Anton", "approver")
LEASE = timedelta(seconds=120)
_months = count(1)


class Till:
    """Invoices written past the verbs of invoicing, which have tests of their own, with their entries in the books."""

    def __init__(self, session: Session, *, currency: str = "USD") -> None:
        self.session = session
        self.trade = Trade(session, currency=currency)
        self.currency = currency
        session.flush()

    @property
    def licensor_id(self) -> int:
        return self.trade.licensor.id

    def licensee_id(self, licensee: str = "north") -> int:
        return self.trade.account(licensee).licensee_id

    def by_stripe(self, licensee: str = "north", collection: str = "send_invoice") -> None:
        """From now on Stripe collects from this licensee."""
        collect_by_gateway(
            self.session,
            CLERK,
            self.licensor_id,
            self.licensee_id(licensee),
            collection=collection,
            email=f"billing@{licensee}.example",
        )
        self.session.commit()

    def invoice(
        self,
        *amounts: int,
        licensee: str = "north",
        due_in: int = 30,
        tax: int = 0,
        note_for: Invoice | None = None,
    ) -> Invoice:
        """An issued invoice with lines of these amounts in minor units; with `note_for`, a credit note about one."""
        session, total = self.session, sum(amounts) + tax
        kind = "credit_note" if total < 0 else "regular"
        agreement = self._agreement(licensee)
        month = self._month()
        invoice = Invoice(
            agreement_id=agreement.id,
            licensor_id=self.licensor_id,
            licensee_id=self.licensee_id(licensee),
            kind=kind,
            period_start=month,
            period_end=_next(month),
            status="draft",
            currency=self.currency,
            total_minor=total,
            tax_minor=tax,
            corrects_invoice_id=note_for.id if note_for else None,
            lines=[self._line(n, amount, month) for n, amount in enumerate(amounts, 1)],
        )
        session.add(invoice)
        session.flush()
        series = session.get(NumberSeries, (self.licensor_id, SERIES[kind]), with_for_update=True)
        if series is None:
            series = NumberSeries(licensor_id=self.licensor_id, kind=SERIES[kind], last_number=0)
            session.add(series)
        series.last_number += 1
        number = number_in("GLD", SERIES[kind], series.last_number)
        with session.no_autoflush:
            invoice.number, invoice.status, invoice.issued_at = number, "issued", datetime.now(UTC)
            invoice.due_on = datetime.now(UTC).date() + timedelta(days=due_in)
            invoice.snapshot = {"number": number, "amounts": list(amounts)}
            invoice.content_hash = content_hash(invoice.snapshot)
        session.flush()
        fees, taxes, nothing = (Money(self.currency, minor) for minor in (sum(amounts), tax, 0))
        if total < 0:
            settles = {}
            if note_for is not None:
                left = settled(session, self.licensor_id, [note_for.number])[note_for.number].left
                settles[note_for.number] = Money(self.currency, min(left, -total))
            entry = credit_note_issued(number, fees, taxes, nothing, settles=settles)
        else:
            entry = invoice_issued(number, fees, taxes)
        post(session, self.licensor_id, invoice.licensee_id, entry)
        session.commit()
        return invoice

    def void(self, invoice: Invoice) -> None:
        """The invoice is void, and its entry undone."""
        invoice.status = "void"
        self.session.flush()
        issued = posted(self.session, self.licensor_id, f"issue:{invoice.number}")
        post(self.session, self.licensor_id, invoice.licensee_id, voided(invoice.number, issued))
        self.session.commit()

    def left(self, *invoices: Invoice) -> list[int]:
        """What is still open of invoices, by the books."""
        self.session.rollback()
        found = settled(self.session, self.licensor_id, [invoice.number for invoice in invoices])
        return [found[invoice.number].left for invoice in invoices]

    def money(self, minor: int) -> Money:
        return Money(self.currency, minor)

    def _agreement(self, licensee: str) -> Agreement:
        slug = f"deal-{licensee}"
        found = self.session.scalars(select(Agreement).where(Agreement.slug == slug)).one_or_none()
        if found is not None:
            return found
        return self.trade.agreement(slug, fees=[flat("sd-1", "0.01")], licensee=licensee)

    def _month(self) -> date:
        year, month = divmod(next(_months), 12)
        return date(2000 + year, month + 1, 1)

    def _line(self, no: int, amount: int, month: date) -> InvoiceLine:
        return InvoiceLine(
            no=no,
            kind="usage",
            subject=f"sd-{no}",
            service_start=month,
            service_end=_next(month),
            part="",
            adjustment=False,
            description=f"Images by sd-{no}",
            image_count=1,
            unit=self.currency,
            unit_amount=0,
            amount_minor=amount,
            price_id="",
            workings=[],
        )


class Outbox:
    """The outbox, worked by the test itself: each claim, call and record as the worker does them."""

    def __init__(self, engine: Engine, server: StripeServer, *, rate: int = 1000) -> None:
        self.engine, self.server, self.rate = engine, server, rate
        self.gateway: StripeGateway = stripe_gateway(server.api_key, server.url, timeout_seconds=5)

    def plan(self) -> int:
        return self._in_session(plan)

    def step(self) -> str | None:
        """Does one step: its kind, with `!` where it failed; None where there is none to do now."""
        work = self._in_session(lambda session: claim(session, LEASE, self.rate))
        if work is None or isinstance(work, Wait):
            return None
        try:
            outcome = perform(self.gateway, work)
        except GatewayError as error:
            failure = error
            self._in_session(lambda session: fail(session, work, failure))
            return f"{work.kind}!"
        self._in_session(lambda session: record(session, work, outcome))
        return work.kind

    def reading(self) -> bool:
        """Reads one invoice again; False where none is wanted now."""
        wish = self._in_session(lambda session: claim_refresh(session, LEASE, self.rate))
        if wish is None or isinstance(wish, Wait):
            return False
        try:
            what = read(self.gateway, wish)
        except GatewayError as error:
            failure = error
            self._in_session(lambda session: fail_reading(session, wish, failure))
            return True
        self._in_session(lambda session: record_reading(session, wish, what))
        return True

    def work(self) -> list[str]:
        """Plans, and does everything that may be done now: the steps that were done, in order."""
        self.plan()
        done = []
        while True:
            if step := self.step():
                done.append(step)
            elif not self.reading():
                return done

    def reconcile(self) -> GatewayReconciliation:
        with Session(self.engine) as session:
            now = datetime.now(UTC)
            before, older = ours(session), known_ids(session, now - LOOKS_BACK)
        there = look(self.gateway, now, older)
        with Session(self.engine, expire_on_commit=False) as session:
            made = reconcile(session, before, there)
            session.commit()
        return made

    def _in_session(self, verb: Callable[[Session], Any]) -> Any:
        with Session(self.engine, expire_on_commit=False) as session:
            outcome = verb(session)
            session.commit()
        return outcome


def _next(month: date) -> date:
    return (month + timedelta(days=32)).replace(day=1)
