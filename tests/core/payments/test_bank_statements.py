"""A statement is taken once, however often it is read; a row is a payment once, however often it is confirmed."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from core.actors import Actor
from core.errors import Conflict, InvalidInput, NotAllowed, NotFound, PerimageError
from core.payments.bank_statements import Imported, confirm, import_statement, proposals, set_aside
from core.payments.queries import rest_of
from core.payments.tables import BankRow, Payment
from tests.core.payments.test_apply import all_agree
from tests.fakes.till import CLERK, Till

HEAD = "date,amount,payer,reference\n"


def take(till: Till, lines: str, name: str = "2026-11") -> Imported:
    done = import_statement(
        till.session, CLERK, till.licensor_id, name=name, content=(HEAD + lines).encode(), currency=till.currency
    )
    till.session.commit()
    return done


def test_a_statement_becomes_payments_when_a_person_says_so(till: Till) -> None:
    first, second = till.invoice(100_00), till.invoice(50_00, licensee="south")
    lines = f"2026-11-03,100.00,North,{first.number}\n2026-11-04,60.00,South,for {second.number}\n2026-11-05,9.99,?,?\n"
    assert (take(till, lines).new, till.left(first, second)) == (3, [100_00, 50_00])
    found = proposals(till.session, till.licensor_id)
    assert [(each.match.confidence, each.match.licensee) for each in found] == [
        ("certain", "north"), ("likely", "south"), ("none", None)
    ]  # fmt: skip
    for each in found[:2]:
        confirm(till.session, CLERK, each.row.id)
    till.session.commit()
    assert till.left(first, second) == [0, 0]
    assert [left.minor for _, left in rest_of(till.session, till.licensor_id, till.licensee_id("south"))] == [10_00]
    with pytest.raises(Conflict, match="say whose it is"):
        confirm(till.session, CLERK, found[2].row.id)
    till.session.rollback()
    set_aside(till.session, CLERK, found[2].row.id, "interest of the bank")
    till.session.commit()
    assert proposals(till.session, till.licensor_id) == []
    with pytest.raises(Conflict, match="interest of the bank"):
        confirm(till.session, CLERK, found[2].row.id, licensee="north")
    all_agree(till.session)


def test_a_statement_read_again_or_one_that_overlaps_adds_only_what_is_new(till: Till) -> None:
    monday, tuesday = "2026-11-02,5.00,North,a\n", "2026-11-03,6.00,North,b\n"
    assert take(till, monday + monday).new == 2
    assert take(till, monday + monday).known == 2
    overlapping = take(till, monday + monday + tuesday, name="2026-11-b")
    assert (overlapping.new, overlapping.known) == (1, 2)
    assert till.session.scalar(select(func.count()).select_from(BankRow)) == 3
    with pytest.raises(Conflict, match="another content"):
        take(till, tuesday)


@pytest.mark.slow
def test_a_person_may_know_better_than_the_match(till: Till) -> None:
    ours, theirs = till.invoice(100_00), till.invoice(100_00, licensee="south")
    take(till, f"2026-11-03,100.00,North,{ours.number}\n")
    [found] = proposals(till.session, till.licensor_id)
    confirm(till.session, CLERK, found.row.id, licensee="south", numbers=(theirs.number,))
    till.session.commit()
    assert till.left(ours, theirs) == [100_00, 0]


@pytest.mark.slow
def test_a_row_confirmed_by_many_at_once_is_one_payment(till: Till, engine: Engine) -> None:
    invoice = till.invoice(100_00)
    take(till, f"2026-11-03,100.00,North,{invoice.number}\n")
    [found] = proposals(till.session, till.licensor_id)
    row = found.row.id
    till.session.rollback()

    def attempt(_: int) -> None:
        with Session(engine) as own, suppress(PerimageError):
            confirm(own, CLERK, row)
            own.commit()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attempt, range(16)))
    till.session.rollback()
    assert till.session.scalar(select(func.count()).select_from(Payment)) == 1
    assert till.left(invoice) == [0]
    all_agree(till.session)


def test_what_cannot_be_is_refused(till: Till) -> None:
    viewer = Actor("Vera", "viewer")
    with pytest.raises(NotAllowed):
        import_statement(till.session, viewer, till.licensor_id, name="x", content=b"", currency="USD")
    with pytest.raises(InvalidInput):
        take(till, "", name=" ")
    with pytest.raises(InvalidInput, match="line 3"):
        take(till, "2026-11-03,5.00,a,b\n2026-11-03,five,a,b\n")
    till.session.rollback()
    assert till.session.scalar(select(func.count()).select_from(BankRow)) == 0
    for row in (0, 99):
        with pytest.raises(NotFound):
            confirm(till.session, CLERK, row)
        with pytest.raises(NotFound):
            set_aside(till.session, CLERK, row, "x")
