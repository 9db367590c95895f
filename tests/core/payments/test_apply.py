"""Payments and what they settle: exact, append-only, and never more than there is, whoever asks at once."""

import random
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from core.actors import Actor
from core.audit.record import verify_chain
from core.database import licensee_eyes
from core.errors import Conflict, InvalidInput, NotAllowed, NotFound, PerimageError
from core.invoicing.verify import verify_invoices
from core.ledger.balances import balances
from core.money import Money
from core.payments.apply import (
    allocate,
    apply_oldest_first,
    record_payment,
    refund,
    release,
    source_of_payment,
    sources,
)
from core.payments.queries import paid_minor, payments
from core.payments.tables import Payment, PaymentAllocation, PaymentRefund
from core.payments.verify import verify_payments
from tests.fakes.till import APPROVER, CLERK, Till

DAY = date(2026, 11, 3)


def pays(till: Till, minor: int, reference: str = "", licensee: str = "north", **more: object) -> Payment:
    made = record_payment(
        till.session,
        CLERK,
        licensor_id=till.licensor_id,
        licensee_id=till.licensee_id(licensee),
        amount=till.money(minor),
        received_on=DAY,
        method="manual",
        reference=reference or f"p-{minor}-{licensee}",
        **more,
    )
    till.session.commit()
    return made


def settle(till: Till, payment: Payment, number: str, minor: int) -> PaymentAllocation:
    made = allocate(till.session, CLERK, source_of_payment(till.session, payment.id), number, till.money(minor))
    till.session.commit()
    return made


def books(till: Till, licensee: str = "north") -> dict[str, int]:
    found = balances(till.session, till.licensor_id, till.licensee_id(licensee))
    return {book: money.minor for (book, _), money in found.items() if money.minor}


def all_agree(session: Session) -> None:
    session.rollback()
    assert [check.problems for check in verify_payments(session)] == [()] * 3
    assert [check.problems for check in verify_invoices(session)] == [()] * 6


def test_a_payment_settles_an_invoice_in_part_and_then_whole_and_the_rest_stays(till: Till) -> None:
    invoice = till.invoice(100_00)
    first, second = pays(till, 40_00), pays(till, 75_00)
    settle(till, first, invoice.number, 40_00)
    assert till.left(invoice) == [60_00]
    settle(till, second, invoice.number, 60_00)
    assert till.left(invoice) == [0]
    assert paid_minor(till.session, [invoice.id]) == {invoice.id: 100_00}
    assert source_of_payment(till.session, second.id).left == till.money(15_00)
    assert books(till) == {"cash": 115_00, "licence_fees": -100_00, "unapplied": -15_00}
    all_agree(till.session)


def test_what_was_paid_too_much_pays_the_next_invoices_the_oldest_first(till: Till) -> None:
    pays(till, 90_00)
    later, sooner = till.invoice(50_00, due_in=40), till.invoice(60_00, due_in=10)
    made = apply_oldest_first(till.session, CLERK, till.licensor_id, till.licensee_id())
    till.session.commit()
    assert [(row.invoice_id, row.amount_minor) for row in made] == [(sooner.id, 60_00), (later.id, 30_00)]
    assert till.left(sooner, later) == [0, 20_00]
    assert apply_oldest_first(till.session, CLERK, till.licensor_id, till.licensee_id()) == []
    all_agree(till.session)


@pytest.mark.slow
def test_bank_charges_and_withheld_tax_count_as_paid(till: Till) -> None:
    invoice = till.invoice(100_00)
    payment = pays(till, 100_00, charges=till.money(3_00), withheld=till.money(10_00))
    settle(till, payment, invoice.number, 100_00)
    assert till.left(invoice) == [0]
    assert books(till) == {
        "cash": 87_00, "bank_charges": 3_00, "withholding_tax": 10_00, "licence_fees": -100_00
    }  # fmt: skip
    all_agree(till.session)


def test_the_rest_of_a_credit_note_settles_invoices_before_money_does(till: Till) -> None:
    paid = till.invoice(100_00)
    settle(till, pays(till, 100_00), paid.number, 100_00)
    note = till.invoice(-30_00, note_for=paid)
    pays(till, 50_00)
    found = sources(till.session, till.licensor_id, till.licensee_id())
    assert [(source.item, source.left.minor) for source in found] == [
        (note.number, 30_00), ("payment:manual:p-5000-north", 50_00)
    ]  # fmt: skip
    invoice = till.invoice(40_00)
    apply_oldest_first(till.session, CLERK, till.licensor_id, till.licensee_id())
    till.session.commit()
    assert till.left(invoice) == [0]
    found = sources(till.session, till.licensor_id, till.licensee_id())
    assert [(source.item, source.left.minor) for source in found] == [("payment:manual:p-5000-north", 40_00)]
    all_agree(till.session)


def test_a_released_application_opens_the_invoice_again_once(till: Till) -> None:
    invoice = till.invoice(100_00)
    payment = pays(till, 100_00)
    row = settle(till, payment, invoice.number, 100_00)
    with pytest.raises(InvalidInput):
        release(till.session, CLERK, row.id, " ")
    undone = release(till.session, CLERK, row.id, "the cheque bounced")
    till.session.commit()
    assert till.left(invoice) == [100_00]
    for id_, refusal in ((row.id, Conflict), (undone.id, NotFound), (99, NotFound)):
        with pytest.raises(refusal):
            release(till.session, CLERK, id_, "again")
        till.session.rollback()
    refund(
        till.session, APPROVER, source_of_payment(till.session, payment.id), till.money(100_00),
        on=DAY, reference="r-1", reason="bounced",
    )  # fmt: skip
    till.session.commit()
    assert books(till) == {"receivable": 100_00, "licence_fees": -100_00}
    all_agree(till.session)


def test_a_payment_is_recorded_once_and_never_as_another(till: Till) -> None:
    first = pays(till, 100, "wire-7")
    assert pays(till, 100, "wire-7").id == first.id
    with pytest.raises(Conflict, match="another amount_minor"):
        pays(till, 101, "wire-7")
    till.session.rollback()
    assert till.session.scalar(select(func.count()).select_from(Payment)) == 1


def test_a_refund_takes_an_approver_and_no_more_than_is_left(till: Till) -> None:
    payment = pays(till, 100_00)
    source = source_of_payment(till.session, payment.id)
    for actor, minor, reference, refusal in (
        (CLERK, 1, "r", NotAllowed),
        (APPROVER, 100_01, "r", Conflict),
        (APPROVER, 0, "r", InvalidInput),
        (APPROVER, 1, "", InvalidInput),
    ):
        with pytest.raises(refusal):
            refund(till.session, actor, source, till.money(minor), on=DAY, reference=reference, reason="asked")
        till.session.rollback()
    made = refund(till.session, APPROVER, source, till.money(30_00), on=DAY, reference="r", reason="asked")
    till.session.commit()
    again = refund(till.session, APPROVER, source, till.money(30_00), on=DAY, reference="r", reason="asked")
    assert again.id == made.id
    assert source_of_payment(till.session, payment.id).left == till.money(70_00)
    all_agree(till.session)


WRONG = {
    "more than is owed": (101_00, "north", "USD", Conflict),
    "nothing": (0, "north", "USD", InvalidInput),
    "less than nothing": (-1, "north", "USD", InvalidInput),
    "another currency": (1, "north", "EUR", InvalidInput),
    "another's invoice": (1, "south", "USD", NotFound),
    "more than is left": (200_01, "north", "USD", Conflict),
}


def test_what_cannot_be_settled_is_refused(till: Till) -> None:
    for how, (minor, payer, currency, refusal) in WRONG.items():
        invoice = till.invoice(100_00 if how != "more than is left" else 500_00)
        payment = pays(till, 200_00, how, licensee=payer)
        source = source_of_payment(till.session, payment.id)
        with pytest.raises(refusal):
            allocate(till.session, CLERK, source, invoice.number, Money(currency, minor))
        till.session.rollback()
    assert till.session.scalar(select(func.count()).select_from(PaymentAllocation)) == 0
    all_agree(till.session)


def test_neither_a_draft_nor_a_void_invoice_nor_a_credit_note_can_be_paid(till: Till) -> None:
    void, note = till.invoice(100), till.invoice(-100)
    till.void(void)
    source = source_of_payment(till.session, pays(till, 100).id)
    for number in (void.number, note.number, "GLD-999999"):
        with pytest.raises(PerimageError):
            allocate(till.session, CLERK, source, number, till.money(1))
        till.session.rollback()


SENSELESS = [
    (0, 0, "x", "manual"), (-5, 0, "x", "manual"), (5, 6, "x", "manual"), (5, 0, " ", "manual"), (5, 0, "x", "gold"),
     (5, 0, "x" * 201, "manual"), (5, 0, "a\nb", "manual"), (5, 0, "a\0b", "manual"),
]  # fmt: skip


def test_a_payment_that_makes_no_sense_is_refused(till: Till) -> None:
    for amount, kept, reference, method in SENSELESS:
        with pytest.raises(InvalidInput):
            record_payment(
                till.session, CLERK, licensor_id=till.licensor_id, licensee_id=till.licensee_id(),
                amount=till.money(amount), charges=till.money(kept), received_on=DAY, method=method,
                reference=reference,
            )  # fmt: skip


@pytest.mark.slow
def test_a_viewer_moves_no_money(till: Till) -> None:
    with pytest.raises(NotAllowed):
        record_payment(
            till.session, Actor("Vera", "viewer"), licensor_id=till.licensor_id, licensee_id=till.licensee_id(),
            amount=till.money(1), received_on=DAY, method="manual", reference="x",
        )  # fmt: skip


def test_sixteen_threads_that_use_one_payment_use_it_once(till: Till, engine: Engine) -> None:
    invoices = [till.invoice(30_00).number for _ in range(8)]
    payment_id = pays(till, 100_00).id

    def attempt(n: int) -> None:
        with Session(engine) as own, suppress(Conflict):
            source = source_of_payment(own, payment_id)
            allocate(own, CLERK, source, invoices[n % 8], till.money(30_00))
            own.commit()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(attempt, range(48)))
    till.session.rollback()
    assert source_of_payment(till.session, payment_id).left == till.money(10_00)
    assert till.session.scalar(select(func.count()).select_from(PaymentAllocation)) == 3
    all_agree(till.session)


@pytest.mark.slow
def test_sixteen_threads_that_apply_and_refund_at_once_use_nothing_twice(till: Till, engine: Engine) -> None:
    invoices = [till.invoice(10_00 + n) for n in range(5)]
    ids = [pays(till, 15_00, f"wire-{n}").id for n in range(4)]

    def attempt(n: int) -> None:
        with Session(engine) as own, suppress(Conflict):
            if n % 3:
                apply_oldest_first(own, CLERK, licensor, licensee)
            else:
                source = source_of_payment(own, ids[n % 4])
                refund(own, APPROVER, source, till.money(5_00), on=DAY, reference=f"r-{n}", reason="asked")
            own.commit()

    licensor, licensee = till.licensor_id, till.licensee_id()
    till.session.commit()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(attempt, range(32)))
    till.session.rollback()
    refunded = till.session.scalar(select(func.coalesce(func.sum(PaymentRefund.amount_minor), 0)))
    applied = till.session.scalar(select(func.sum(PaymentAllocation.amount_minor)))
    left = sum(source_of_payment(till.session, id_).left.minor for id_ in ids)
    assert refunded + applied + left == 60_00
    assert sum(till.left(*invoices)) == 50_10 - applied
    all_agree(till.session)


def test_a_licensee_sees_its_own_payments_only(till: Till, session: Session) -> None:
    invoice = till.invoice(10)
    settle(till, pays(till, 20), invoice.number, 10)
    pays(till, 30, licensee="south")
    north, south = till.licensee_id("north"), till.licensee_id("south")
    for licensee, amounts, allocations in ((north, [20], 1), (south, [30], 0)):
        with licensee_eyes(session, licensee):
            assert [each.payment.amount_minor for each in payments(session)] == amounts
            assert session.scalar(select(func.count()).select_from(PaymentAllocation)) == allocations


def test_every_movement_is_in_the_audit_log(till: Till) -> None:
    invoice = till.invoice(10)
    row = settle(till, pays(till, 20), invoice.number, 10)
    release(till.session, CLERK, row.id, "mistaken")
    till.session.commit()
    from core.audit.tables import AuditEntry

    log = till.session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)).all()
    assert log == ["payment_recorded", "payment_applied", "payment_released"]
    assert verify_chain(till.session, till.licensor_id)


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 20))])
def test_any_sequence_leaves_the_balances_of_a_ledger_kept_by_hand(till: Till, seed: int) -> None:
    """Against an oracle that keeps two dictionaries: what each invoice owes, and what is left of each payment."""
    dice = random.Random(seed)
    owed: dict[str, int] = {}
    left: dict[int, int] = {}
    applied: dict[int, tuple[int, str, int]] = {}
    totals: defaultdict[str, int] = defaultdict(int)
    for n in range(40):
        move = dice.randrange(6)
        if move == 0 or not owed:
            minor = dice.randint(1, 500)
            owed[till.invoice(minor).number] = minor
            totals["asked"] += minor
        elif move == 1 or not left:
            minor = dice.randint(1, 700)
            left[pays(till, minor, f"wire-{n}").id] = minor
            totals["paid"] += minor
        elif move in (2, 3):
            payment, number, minor = dice.choice(list(left)), dice.choice(list(owed)), dice.randint(1, 400)
            source = source_of_payment(till.session, payment)
            if minor <= min(left[payment], owed[number]):
                row = allocate(till.session, CLERK, source, number, till.money(minor))
                applied[row.id] = (payment, number, minor)
                left[payment] -= minor
                owed[number] -= minor
            else:
                with pytest.raises(Conflict):
                    allocate(till.session, CLERK, source, number, till.money(minor))
                till.session.rollback()
        elif move == 4 and applied:
            row_id = dice.choice(list(applied))
            payment, number, minor = applied.pop(row_id)
            release(till.session, CLERK, row_id, "moved")
            left[payment] += minor
            owed[number] += minor
        elif move == 5:
            payment = dice.choice(list(left))
            minor = min(left[payment], dice.randint(1, 100))
            if minor:
                source = source_of_payment(till.session, payment)
                refund(till.session, APPROVER, source, till.money(minor), on=DAY, reference=f"r-{n}", reason="asked")
                left[payment] -= minor
                totals["refunded"] += minor
        till.session.commit()
    from core.ledger.balances import settled

    found = settled(till.session, till.licensor_id, list(owed))
    assert {number: what.left for number, what in found.items()} == owed
    assert {id_: source_of_payment(till.session, id_).left.minor for id_ in left} == left
    kept = {"receivable": sum(owed.values()), "unapplied": -sum(left.values()), "licence_fees": -totals["asked"],
            "cash": totals["paid"] - totals["refunded"]}  # fmt: skip
    assert books(till) == {book: minor for book, minor in kept.items() if minor}
    all_agree(till.session)
