"""The whole life of invoices at random, against an oracle that keeps its own books in whole numbers and knows no SQL.

One agreement: sd-1 at 0.0333 an image, 19 % tax. The oracle is told what was done, never what came of it.
"""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from core.errors import PerimageError
from core.invoicing.drafts.close import close, preview
from core.invoicing.drafts.extras import adjust
from core.invoicing.life.approve import release
from core.invoicing.life.claims import dispute, settle_dispute, write_back, write_off
from core.invoicing.life.credit import credit
from core.invoicing.life.issue import issue
from core.invoicing.life.stands import stand
from core.invoicing.life.void import void
from core.invoicing.tables import Invoice
from core.invoicing.verify import verify_invoices
from core.ledger.balances import balances
from core.ledger.post import post
from core.ledger.posting import payment_received
from core.money import Money
from core.period import Period
from core.registry.billing import Billing, TaxTreatment
from core.registry.register import change_billing
from core.usage.counts.rollup import roll_up
from tests.core.invoicing.people import ADA
from tests.trade import Trade, flat, forget_everything

RATE, TAX = Fraction("0.0333"), Fraction(19, 100)
MONTHS = range(1, 6)


def half_up(exact: Fraction) -> int:
    whole = (abs(exact) * 2 + 1) // 2
    return int(whole if exact >= 0 else -whole)


class Oracle:
    """What is owed and what became of every document, in minor units."""

    def __init__(self) -> None:
        self.images = dict.fromkeys(MONTHS, 0)
        self.agreed: list[tuple[int, int]] = []  # (month, amount)
        self.invoices: dict[str, dict[str, Any]] = {}
        self.cash = 0

    def owed(self, until: int) -> dict[object, int]:
        keys: dict[object, int] = {m: half_up(self.images[m] * RATE * 100) for m in MONTHS if m <= until}
        return keys | {f"agreed-{n}": amount for n, (month, amount) in enumerate(self.agreed) if month <= until}

    def standing_of(self, month: int) -> dict[str, Any] | None:
        return next((i for i in self.invoices.values() if i["month"] == month and not i["void"]), None)

    def due(self, month: int) -> dict[object, int]:
        owed = self.owed(month)
        for one in self.invoices.values():
            for key, amount in one["lines"].items() if not one["void"] else ():
                if key in owed:
                    owed[key] -= amount
        return {key: amount for key, amount in owed.items() if amount}

    def issue(self, number: str, month: int) -> None:
        lines = self.due(month)
        net = sum(lines.values())
        tax = half_up(net * TAX)
        self.invoices[number] = {
            "month": month, "lines": lines, "net": net, "tax": tax, "void": False, "paid": 0, "written": 0,
            "credit_net": 0, "credit_tax": 0, "on_account": 0, "disputed": False,
        }  # fmt: skip

    def left(self, number: str) -> int:
        one = self.invoices[number]
        if one["void"] or one["net"] + one["tax"] < 0:
            return 0
        credited = one["credit_net"] + one["credit_tax"] - one["on_account"]
        return int(one["net"] + one["tax"] - one["paid"] - one["written"] - credited)

    def credit(self, number: str, net: int, *, rest: bool) -> None:
        one, before = self.invoices[number], self.left(number)
        tax = one["tax"] - one["credit_tax"] if rest else half_up(net * TAX)
        one["credit_net"] += net
        one["credit_tax"] += tax
        one["on_account"] += max(0, net + tax - before)

    def books(self) -> dict[str, int]:
        standing = [one for one in self.invoices.values() if not one["void"]]
        negative = sum(one["net"] + one["tax"] for one in standing if one["net"] + one["tax"] < 0)
        found = {
            "receivable": sum(self.left(number) for number in self.invoices),
            "unapplied": negative - sum(one["on_account"] for one in standing),
            "cash": self.cash,
            "bad_debt": sum(one["written"] for one in standing),
            "licence_fees": -sum(one["net"] - one["credit_net"] for one in standing),
            "tax_payable": -sum(one["tax"] - one["credit_tax"] for one in standing),
        }
        return {book: minor for book, minor in found.items() if minor}


ACT = st.one_of(
    st.tuples(st.just("use"), st.sampled_from(MONTHS), st.integers(1, 4000)),
    st.tuples(st.just("issue"), st.sampled_from(MONTHS), st.booleans()),
    st.tuples(st.just("issue"), st.sampled_from(MONTHS), st.booleans()),
    st.tuples(st.just("agree"), st.sampled_from(MONTHS), st.integers(-9000, 3000).filter(bool)),
    st.tuples(
        st.sampled_from(["credit", "pay", "void", "dispute", "settle", "write_off", "write_back", "credit_all"]),
        st.integers(0, 9),
        st.integers(1, 100),
    ),
)
ACTS = st.lists(ACT, min_size=6, max_size=24)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(acts=ACTS)
def test_whatever_is_done_the_books_are_those_of_the_oracle(engine: Engine, owner_url: str, acts: list) -> None:
    live(engine, owner_url, acts)


@pytest.mark.slow
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(acts=ACTS)
def test_the_same_many_times(engine: Engine, owner_url: str, acts: list) -> None:
    live(engine, owner_url, acts)


def live(engine: Engine, owner_url: str, acts: list) -> None:
    forget_everything(owner_url)
    oracle = Oracle()
    with Session(engine) as session:
        trade = Trade(session)
        change_billing(session, "guild", "north", Billing(tax=TaxTreatment("standard", Decimal(19))))
        deal = trade.agreement(fees=[flat("sd-1", str(Decimal("0.0333")))], ends_on=date(2026, 6, 1))
        session.commit()
        for n, act in enumerate(acts):
            _do(session, trade, oracle, n, act)
            session.commit()
            books = {book: money.minor for (book, _), money in balances(session, 1, 1).items() if money.minor}
            assert books == oracle.books(), act
        for number, one in oracle.invoices.items():
            invoice = session.scalars(select(Invoice).where(Invoice.number == number)).one()
            stands = stand(session, [invoice])[invoice.id]
            total = one["net"] + one["tax"]
            assert (invoice.net_minor, invoice.tax_minor) == (one["net"], one["tax"])
            if total >= 0 and not one["void"]:
                assert stands.left == oracle.left(number)
            assert (stands.word == "void") == one["void"]
            assert (stands.word == "disputed") == (one["disputed"] and not one["void"])
        assert [check.problems for check in verify_invoices(session)] == [()] * 6
        roll_up(session)
        june = sum(line.money.minor for line in preview(session, deal.id, Period.month("2026-06")))
        drafts = session.scalars(select(Invoice).where(Invoice.status.in_(["draft", "held"]))).all()
        assert june + sum(draft.net_minor for draft in drafts) == sum(oracle.due(5).values())


def _do(session: Session, trade: Trade, oracle: Oracle, n: int, act: tuple) -> None:
    what, at, size = act
    if what == "use":
        trade.use("sd-1", size, f"2026-{at:02}-{size % 28 + 1:02}T12:00Z", event_id=f"e{n}")
        oracle.images[at] += size
    elif what == "agree":
        adjust(session, "deal", Period.month(f"2026-{at:02}"), size, description="agreed", by=ADA, reason="mail")
        oracle.agreed.append((at, size))
    elif what == "issue":
        _issue(session, oracle, at, issues=size)
    elif oracle.invoices:
        number = list(oracle.invoices)[at % len(oracle.invoices)]
        if number.startswith("GLD-CN"):
            return
        trial = session.begin_nested()
        try:
            _claim(session, oracle, n, what, (number, size))
            trial.commit()
        except PerimageError:
            trial.rollback()
            assert not _possible(oracle, what, number), (what, number)


def _issue(session: Session, oracle: Oracle, month: int, *, issues: bool) -> None:
    session.commit()
    roll_up(session)
    closed = close(session, 1, Period.month(f"2026-{month:02}"))
    expected = oracle.due(month) if oracle.standing_of(month) is None else {}
    if not closed.wrote:
        # Drafts of other months hold what they hold until they are closed again; the oracle knows issued ones only.
        return
    assert closed.invoice is not None
    draft = closed.invoice
    others = session.scalars(select(Invoice).where(Invoice.status.in_(["draft", "held"]), Invoice.id != draft.id)).all()
    if others:  # so take them away first: what they hold would be missing here
        for other in others:
            _issue_now(session, oracle, other)
        session.flush()
        _issue(session, oracle, month, issues=issues)
        return
    assert draft.net_minor == sum(expected.values())
    if issues:
        _issue_now(session, oracle, draft)


def _issue_now(session: Session, oracle: Oracle, draft: Invoice) -> None:
    if not draft.lines:
        return
    draft_lines: dict[object, int] = {}
    for line in draft.lines:
        key: object = line.service_start.month
        if line.kind == "adjustment":
            key = f"agreed-{int(line.part.removeprefix('agreed-')) - 1}"
        draft_lines[key] = line.amount_minor
    if draft.status == "held":
        release(session, draft.id, ADA, "looked at")
    issue(session, draft.id, ADA)
    number = draft.number or ""
    oracle.issue(number, draft.period_start.month)
    # Only what the draft was closed with is on it: what came later waits for the next.
    oracle.invoices[number] |= {"lines": draft_lines, "net": sum(draft_lines.values())}
    oracle.invoices[number]["tax"] = half_up(sum(draft_lines.values()) * TAX)


def _claim(session: Session, oracle: Oracle, n: int, what: str, about: tuple[str, int]) -> None:
    number, size = about
    one, left = oracle.invoices[number], oracle.left(number)
    if what == "pay":
        if left <= 0:
            return
        minor = max(1, left * size // 100)
        invoice = session.scalars(select(Invoice).where(Invoice.number == number)).one()
        money = Money("USD", minor)
        post(session, invoice.licensor_id, invoice.licensee_id, payment_received(f"p{n}", money, {number: money}))
        one["paid"] += minor
        oracle.cash += minor
    elif what in ("credit", "credit_all"):
        [*lines] = session.scalars(select(Invoice).where(Invoice.number == number)).one().lines
        amounts = None
        if what == "credit":
            amounts = {lines[size % len(lines)].no: size}
        made = credit(session, number, ADA, "goodwill", amounts)
        rest = -made.net_minor == one["net"] - one["credit_net"]
        assert amounts is None or -made.net_minor == size
        oracle.credit(number, -made.net_minor, rest=rest)
    elif what == "void":
        void(session, number, ADA, "wrong")
        one["void"] = True
    elif what == "dispute":
        dispute(session, number, ADA, "they say so")
        one["disputed"] = True
    elif what == "settle":
        settle_dispute(session, number, ADA, "rejected", "no")
        one["disputed"] = False
    elif what == "write_off":
        write_off(session, number, ADA, "insolvent")
        one["written"] = left
    else:
        write_back(session, number, ADA, "some came")
        one["written"] = 0


def _possible(oracle: Oracle, what: str, number: str) -> bool:
    """Whether a refusal was wrong. A credit may be refused for its amount, which depends on the line."""
    one, left = oracle.invoices[number], oracle.left(number)
    touched = one["paid"] or one["credit_net"] or one["written"]
    return {
        "void": not one["void"] and not touched and one["net"] + one["tax"] > 0,
        "dispute": not one["void"] and not one["disputed"] and not one["written"],
        "settle": one["disputed"] and not one["void"],
        "write_off": not one["void"] and left > 0 and not one["disputed"] and not one["written"],
        "write_back": bool(one["written"]) and not one["disputed"] and not one["void"],
    }.get(what, False)
