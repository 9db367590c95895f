"""Closing, collecting and repairing in a year of stories: what finance people and the clock do month by month."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from core.actors import Actor
from core.agreements.tables import Agreement
from core.invoicing.documents import make_document
from core.invoicing.life.approve import approve, release
from core.invoicing.life.issue import issue
from core.invoicing.runs.control import schedule
from core.invoicing.runs.run import (
    advance_item,
    advance_items,
    hand_over,
    pieces_to_work,
    request_run,
    take_items,
)
from core.invoicing.tables import BillingRunItem, Invoice
from core.payments.apply import account_of, apply_oldest_first
from core.payments.bank_statements import confirm, import_statement, proposals
from core.payments.reconcile import open_differences
from core.payments.tables import Payment
from core.period import Period, day_of
from core.registry.tables import Account as AccountRow
from core.registry.tables import Licensor
from core.usage.counts.rollup import roll_up
from tests.fakes.till import APPROVER, CLERK
from tests.stories.year_acts import NEVER_PAID, Acts
from tests.stories.year_tally import Account, Document, Key

if TYPE_CHECKING:
    from tests.stories.year_of_trade import Year

LEASE = timedelta(minutes=2)
THREADS = 3
LIMITS = {"meridian": 3_000_000}  # of a licensor: minor units, above which two people are needed
CERTAIN = (  # whatever the dice say, this happens to the first call of its kind after every close
    ("POST /v1/invoices", "reply_lost"),
    ("POST /v1/invoices/*/add_lines", "500_after"),
    ("POST /v1/invoices/*/finalize", "429"),
    ("POST /v1/invoices/*/send", "reply_lost"),
)
ANNA, BEN = Actor("Anna", "approver"), Actor("Ben", "approver")
BY_STRIPE = {
    ("circle", "northlight"): "send_invoice",
    ("lantern", "copperleaf"): "send_invoice",
    ("aspect", "pinecone"): "charge_automatically",
    ("keystone", "marigold"): "charge_automatically",
}


class Closing:
    """The month's end, and the money that comes of it."""

    def __init__(self, year: Year) -> None:
        self.year, self.tally = year, year.tally
        self.acts = Acts(year)
        self.to_pay: list[tuple[date, str, int | None]] = []  # when, which invoice, how much of it
        self.bank: dict[str, list[str]] = {}  # by licensor: every row its bank has ever told of
        self.disputed: set[str] = set()
        self.overdue: set[str] = set()  # every invoice that was open after its day when somebody looked

    # The month's end

    def close(self, n: int) -> None:
        """The clock and two people ask at once, three workers do it, and people see to what waits for them."""
        self.money()
        period = self.year.period(n)
        self.year.both(schedule)
        self.year.both(lambda session: request_run(session, period, issues=True, by=APPROVER).id)
        self.work()
        self._decide(period)
        self.take_in(period)
        self.acts.attest(n)
        for call, fault in CERTAIN:
            self.year.server.faults.next(call, fault)
        self.year.stripe.work()

    def work(self) -> None:
        """Every open item of every run, by workers that do not know of each other."""
        while pieces := self.year.act(pieces_to_work):
            with ThreadPoolExecutor(THREADS) as pool:
                for worked in [pool.submit(self._piece, run_id) for run_id in pieces]:
                    worked.result()

    def _piece(self, run_id: int) -> None:
        """What `worker.tasks.work_run` does: many items up to their invoices, or a few to their documents."""
        act = self.year.act
        taken = act(lambda session: take_items(session, run_id, LEASE))
        working = taken.agreement_ids if taken.together else []
        while working:
            states = act(lambda session, ids=working: advance_items(session, run_id, ids))
            working = [id_ for id_, state in states.items() if state != "issued"]
        if taken.together:
            act(lambda session: hand_over(session, run_id, taken.agreement_ids))
            return
        for id_ in taken.agreement_ids:
            while act(lambda session, id_=id_: self._paper(session, run_id, id_)):
                pass

    def _paper(self, session: Session, run_id: int, agreement_id: int) -> bool:
        item = session.get_one(BillingRunItem, (run_id, agreement_id))
        if not self.year.documents and item.state == "issued":
            over = update(BillingRunItem).filter_by(run_id=run_id, agreement_id=agreement_id)
            session.execute(over.values(finished_at=func.now(), state="finished"))  # documents are another story
            return False
        return advance_item(session, run_id, agreement_id)

    def _decide(self, period: Period) -> None:
        """What is held is looked at and released; what is above the limit is approved by one and issued by another."""
        waiting = select(Invoice.id).where(
            Invoice.status.in_(("draft", "held", "approved")), Invoice.period_start == period.start
        )
        with Session(self.year.engine) as session:
            drafts = session.scalars(waiting.order_by(Invoice.id)).all()
        for id_ in drafts:
            self.year.act(lambda session, id_=id_: self._see_to(session, id_))

    def _see_to(self, session: Session, invoice_id: int) -> None:
        draft = session.get_one(Invoice, invoice_id)
        if draft.status == "held":
            release(session, invoice_id, BEN, "looked at, and it is so")
        limit = LIMITS.get(session.get_one(Licensor, draft.licensor_id).slug)
        if limit is not None and abs(draft.total_minor) > limit:
            approve(session, invoice_id, BEN)
        issue(session, invoice_id, ANNA)
        if self.year.documents:
            make_document(session, invoice_id)

    def take_in(self, period: Period) -> None:
        """Every document of a period must be what the tally says is due, line by line; then it is in the tally."""
        for slug in self.tally.contracts:
            if self.tally.contracts[slug]["term"][0] >= period.end:
                continue
            due = self.tally.due(slug, period.end)
            with Session(self.year.engine) as session:
                found = self._document(session, slug, period)
                if found is None or found.number in self.tally.documents:
                    assert found is not None or not due, f"{slug} {period.name}: nothing asks for {due}"
                    continue
                said = lines_of(found)
                assert said == due, differs(f"{slug} {period.name} {found.number}", said, due)
                tax = self.tally.tax_on(slug, due)
                assert (found.net_minor, found.tax_minor) == (sum(minor for _, minor in due.values()), tax), slug
                assert found.number and found.due_on and found.issued_at
                zone = self.tally.zones[self.tally.account_of[slug]]
                made = Document(
                    *(found.number, slug, period.start, period.end, due, tax),
                    *(day_of(found.issued_at, zone), found.due_on, found.id),
                )
            terms = self.tally.contracts[slug]["versions"][0][1]
            days = terms.get("payment_days", 30) if made.total >= 0 else 0
            assert made.issued_on == day_of(self.year.clock.now, zone)
            assert made.due_on == made.issued_on + timedelta(days=days)
            self.tally.issued(made)
            self._plan_payment(made)

    @staticmethod
    def _document(session: Session, slug: str, period: Period) -> Invoice | None:
        asked = select(Invoice).join(Agreement, Agreement.id == Invoice.agreement_id)
        found = session.scalars(
            asked.where(
                Agreement.slug == slug,
                Invoice.period_start == period.start,
                Invoice.corrects_invoice_id.is_(None),
                Invoice.status != "void",
            )
        ).one_or_none()
        assert found is None or found.status == "issued", (slug, period.name, found and found.status)
        return found

    # Money

    def _plan_payment(self, one: Document) -> None:
        """When its licensee pays it: in time, late, in parts, too much, or never."""
        if one.total <= 0 or (one.agreement, one.start) in NEVER_PAID:
            return
        dice = self.year.dice
        day = one.issued_on + timedelta(days=dice.choice((6, 9, 13, 13, 27, 34, 45)))
        if dice.randrange(3) == 0:
            self.to_pay.append((day, one.number, max(1, one.total * dice.randint(20, 70) // 100)))
            day += timedelta(days=dice.randint(7, 30))
        self.to_pay.append((day, one.number, None))

    def money(self) -> None:
        """Customers pay, banks tell of it, Stripe tells of it or does not, and rests are used."""
        today = self.year.clock.now.date()
        due = [each for each in self.to_pay if each[0] <= today]
        self.to_pay = [each for each in self.to_pay if each[0] > today]
        self.year.act(roll_up)
        self.year.stripe.work()
        for day, number, minor in sorted(due, key=lambda each: each[:2]):
            one = self.tally.documents[number]
            if one.void or one.left <= 0:
                continue
            account = self.tally.account_of[one.agreement]
            if account in BY_STRIPE:
                self.year.stripe.pay(number, minor, told=self.year.dice.randrange(6) > 0)
            else:
                self._to_bank(account, day, one, minor)
        self._read_banks()
        self.year.stripe.deliver(self.year.webhook)
        self.stripe_to_the_end()
        self._use_rests()

    def stripe_to_the_end(self) -> None:
        """Everything that may be done at Stripe is done, and what we have heard of is in the tally."""
        self.year.stripe.work()
        with Session(self.year.engine) as session:
            known = set(session.scalars(select(Payment.reference).where(Payment.method == "stripe")))
        for number, paid_at, minor in self.year.stripe.new_payments(known):
            account = self.tally.account_of[self.tally.documents[number].agreement]
            self.tally.paid(account, day_of(paid_at, self.tally.zones[account]), minor, (number,))

    def hear_everything(self) -> None:
        """Whatever was withheld is told, the comparison finds what was lost, and then there is no difference."""
        stripe = self.year.stripe
        stripe.withheld.clear()
        stripe.deliver(self.year.webhook, punctual=True)
        stripe.work()
        stripe.compare()
        self.stripe_to_the_end()
        differences = stripe.compare()
        with Session(self.year.engine) as session:
            assert not differences, [(each.kind, each.detail) for each in open_differences(session)]
        assert stripe.seen == set(stripe.server.account.invoice_payments)

    def look_for_overdue(self) -> None:
        """Remembers what is open after its day now, for that must be told."""
        for one in self.tally.documents.values():
            today = day_of(self.year.clock.now, self.tally.zones[self.tally.account_of[one.agreement]])
            if one.left > 0 and today > one.due_on and one.number not in self.disputed:
                self.overdue.add(one.number)

    def _to_bank(self, account: Account, day: date, one: Document, minor: int | None) -> None:
        amount = minor or one.left + self.year.dice.choice((0, 0, 0, 12_345))  # now and then too much
        row = f"{day},{amount // 100}.{amount % 100:02},{account[1]} payments,invoice {one.number}"
        self.bank.setdefault(account[0], []).append(row)
        self.tally.paid(account, day, amount, (one.number,))

    def _read_banks(self) -> None:
        """Each bank's file tells of everything since January once more; what is new is confirmed as proposed."""
        for licensor, rows in self.bank.items():
            content = "\n".join(["date,amount,payer,reference", *rows]).encode()
            with Session(self.year.engine) as session:
                licensor_id = session.scalars(select(Licensor.id).where(Licensor.slug == licensor)).one()
                currency = session.scalars(select(AccountRow.currency).where(AccountRow.licensor_id == licensor_id))
                name = f"{licensor}-{self.year.clock.now:%Y-%m-%d}-{len(rows)}"
                import_statement(session, CLERK, licensor_id, name=name, content=content, currency=currency.first())
                for proposal in proposals(session, licensor_id):
                    first = confirm(session, CLERK, proposal.row.id)
                    assert confirm(session, CLERK, proposal.row.id).id == first.id
                session.commit()

    def _use_rests(self) -> None:
        """Twice: the second time there is nothing left to use, or nothing to use it for."""
        for account in self.tally.zones.keys() - BY_STRIPE.keys():  # Stripe would not be told of it
            ids = self.year.act(lambda session, account=account: account_of(session, *account))
            self.year.act(lambda session, ids=ids: apply_oldest_first(session, CLERK, *ids))
            assert self.year.act(lambda session, ids=ids: apply_oldest_first(session, CLERK, *ids)) == []
            self.tally.used_rest(account, self.year.clock.now.date())

    def people(self, n: int, stop: int) -> None:
        """What people do on this day."""
        self.acts.on(n, stop)
        if stop == 22:
            self.hear_everything()


def lines_of(invoice: Invoice) -> dict[Key, tuple[int, int]]:
    """The lines of a document, as the tally writes them."""
    return {
        (line.kind, line.subject, line.service_start, line.service_end, line.part): (
            line.image_count,
            line.amount_minor,
        )
        for line in invoice.lines
    }


def differs(what: str, said: dict[Key, Any], due: dict[Key, Any]) -> str:
    """What is said and not due, and the other way round."""
    wrong = [
        (key, said.get(key), due.get(key)) for key in sorted(said.keys() | due.keys()) if said.get(key) != due.get(key)
    ]
    return f"{what}: (key, said, due) " + "; ".join(str(each) for each in wrong)
