"""Items worked many at a time: as many statements as for one, one that fails holds up no other, and locks in order."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, func, select, update
from sqlalchemy.orm import Session

from core.audit.record import verify_chain
from core.invoicing.drafts import close as close_module
from core.invoicing.runs.control import schedule
from core.invoicing.runs.run import (
    PAPERS,
    TOGETHER,
    advance_items,
    hand_over,
    pieces_to_work,
    request_run,
    take_items,
)
from core.invoicing.tables import BillingRunItem, Invoice, InvoiceEvent
from core.invoicing.verify import verify_invoices
from core.period import Period
from core.registry.register import set_approval_limit
from tests.trade import Trade, flat

OCTOBER = Period.month("2026-10")
MINUTE = timedelta(minutes=1)


def agreements(trade: Trade, how_many: int, **terms: Any) -> list[int]:
    """Agreements of as many licensees, each with usage in October."""
    made = []
    for n in range(how_many):
        licensee = f"platform-{n}"
        fees = [flat("sd-1", "0.01"), flat("sd-2", "0.02", included_images=10)]
        made.append(trade.agreement(f"deal-{n}", fees=fees, licensee=licensee, **terms).id)
        for model in ("sd-1", "sd-2"):
            trade.use(model, 100 * (n + 1), "2026-10-03T00:00Z", licensee=licensee)
    trade.session.commit()
    return made


def requested(session: Session, *, issues: bool = True) -> int:
    run_id = request_run(session, OCTOBER, issues=issues).id
    session.commit()
    return run_id


def counted(session: Session, run_id: int) -> list[int]:
    """Takes what can be worked together, and has every event counted."""
    taken = take_items(session, run_id, MINUTE)
    assert taken.together
    assert set(advance_items(session, run_id, taken.agreement_ids).values()) == {"counted"}
    session.commit()
    return taken.agreement_ids


@contextmanager
def statements(session: Session) -> Iterator[list[str]]:
    """Everything that is sent to the database meanwhile."""
    sent: list[str] = []

    def note(*told: Any) -> None:
        sent.append(told[2])

    connection = session.connection().engine
    event.listen(connection, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(connection, "before_cursor_execute", note)


def numbers(session: Session) -> list[str | None]:
    return list(session.scalars(select(Invoice.number).order_by(Invoice.agreement_id)))


def all_is_right(session: Session, trade: Trade) -> None:
    assert not [problem for check in verify_invoices(session) for problem in check.problems]
    assert verify_chain(session, trade.licensor.id)[1] == []


def test_many_take_as_many_statements_as_few_and_read_before_they_lock(session: Session, trade: Trade) -> None:
    sent = {}
    made = agreements(trade, 12)
    run_id = requested(session)
    ids = counted(session, run_id)
    assert ids == made
    for few in (ids[:2], ids[2:]):
        session.expire_all()
        with statements(session) as sent[len(few)]:
            assert set(advance_items(session, run_id, few).values()) == {"issued"}
            session.commit()
    assert len(sent[10]) <= len(sent[2]) < 40
    assert numbers(session) == [f"GLD-{n:06d}" for n in range(1, 13)]
    assert session.scalar(select(func.count()).where(InvoiceEvent.kind == "issued")) == 12
    all_is_right(session, trade)
    # The log is locked when all is read and rated and the drafts are there, and the series after it: both are short.
    log = next(n for n, one in enumerate(sent[10]) if "FROM audit_heads" in one and "FOR UPDATE" in one)
    series = next(n for n, one in enumerate(sent[10]) if "INTO number_series" in one)
    read = [
        n
        for n, one in enumerate(sent[10])
        for t in ("FROM daily_counts", "FROM amendments", "INTO invoice_lines")
        if t in one
    ]
    assert max(read) < log < series


def test_one_that_cannot_be_rated_is_set_aside_and_the_others_are_issued(
    session: Session, trade: Trade, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = agreements(trade, 4)
    run_id = requested(session)
    ids = counted(session, run_id)
    real = close_module.owed

    def broken(contract: Any, counts: Any, until: date) -> Any:
        if 200 in counts.values():
            raise ZeroDivisionError("a price of nothing")
        return real(contract, counts, until)

    monkeypatch.setattr(close_module, "owed", broken)
    left = advance_items(session, run_id, ids)
    session.commit()
    assert left == dict.fromkeys([made[0], made[2], made[3]], "issued")
    item = session.get_one(BillingRunItem, (run_id, made[1]))
    assert (item.finished_at, item.error) == (None, "ZeroDivisionError: a price of nothing")  # tried again later
    assert numbers(session) == ["GLD-000001", "GLD-000002", "GLD-000003"]
    all_is_right(session, trade)


def test_where_the_database_refuses_one_none_of_them_is_issued_and_each_can_be_alone(
    session: Session, trade: Trade, owner_url: str
) -> None:
    made = agreements(trade, 3)
    run_id = requested(session)
    ids = counted(session, run_id)
    with psycopg.connect(owner_url) as owner:
        owner.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = 'check_violation'; END $$;"
            "CREATE TRIGGER refuse BEFORE UPDATE ON invoices FOR EACH ROW "
            f"WHEN (NEW.agreement_id = {made[1]} AND NEW.status = 'issued') EXECUTE FUNCTION refuse()"
        )
    assert set(advance_items(session, run_id, ids).values()) == {"closed"}
    session.commit()
    assert numbers(session) == [None, None, None]
    for id_ in (made[0], made[2]):
        assert advance_items(session, run_id, [id_]) == {id_: "issued"}
        session.commit()
    with pytest.raises(Exception, match="not this one"):
        advance_items(session, run_id, [made[1]])
    session.rollback()
    assert numbers(session) == ["GLD-000001", None, "GLD-000002"]
    all_is_right(session, trade)


def test_what_was_taken_in_vain_is_taken_alone_and_papers_are_taken_a_few_at_a_time(
    session: Session, trade: Trade
) -> None:
    made = agreements(trade, 7)
    run_id = requested(session)
    assert pieces_to_work(session) == [run_id]
    first = take_items(session, run_id, timedelta(0))  # whoever took them died
    assert (first.agreement_ids, first.together) == (made, True)
    session.commit()
    assert pieces_to_work(session) == [run_id] * 7
    for id_ in made:
        again = take_items(session, run_id, MINUTE)
        assert (again.agreement_ids, again.together) == ([id_], False)
    session.execute(update(BillingRunItem).values(attempts=0, leased_until=None))
    ids = counted(session, run_id)
    advance_items(session, run_id, ids)
    session.commit()
    assert take_items(session, run_id, MINUTE).agreement_ids == []  # they are held until they are handed over
    assert hand_over(session, run_id, ids) == 2 == len(pieces_to_work(session))
    for papers in (made[:PAPERS], made[PAPERS:]):
        taken = take_items(session, run_id, MINUTE)
        assert (taken.agreement_ids, taken.together) == (papers, False)
    assert len(made) < TOGETHER


def test_held_and_limited_ones_wait_beside_those_that_are_issued(session: Session, trade: Trade) -> None:
    made = agreements(trade, 4)
    silent = trade.agreement("silent", fees=[flat("sd-1", "0.01")], licensee="silent", missing_days="hold")
    trade.use("sd-1", 100, "2026-10-03T00:00Z", licensee="silent")
    set_approval_limit(session, "guild", None, 1_100)  # the last of the four asks for 11.80
    session.commit()
    run_id = requested(session)
    ids = counted(session, run_id)
    assert advance_items(session, run_id, ids) == dict.fromkeys(made[:3], "issued")
    session.commit()
    said = [session.get_one(BillingRunItem, (run_id, id_)).error or "" for id_ in ids]
    assert said[:3] == ["", "", ""]
    assert "above the limit for one person" in said[3]
    assert said[4] == "held: missing_reporting_days"
    assert ids[4] == silent.id
    assert session.scalars(select(InvoiceEvent.kind).order_by(InvoiceEvent.id)).all() == ["held", *["issued"] * 3]
    all_is_right(session, trade)


def test_two_agreements_of_one_account_see_what_the_other_bills(session: Session, trade: Trade) -> None:
    pack = {"name": "Pack", "per": "group", "schedule": {"kind": "flat", "rate": "0.01"}}
    for n in (1, 2):
        trade.agreement(f"deal-{n}", fees=[{**pack, "models": [f"sd-{n}"]}])
        trade.use(f"sd-{n}", 100, "2026-10-03T00:00Z")
    session.commit()
    run_id = requested(session)
    ids = counted(session, run_id)
    advance_items(session, run_id, ids)
    session.commit()
    assert [*session.scalars(select(Invoice.hold_reason).order_by(Invoice.agreement_id))] == [None, "duplicate_line"]


def test_the_clock_closes_by_the_default_where_the_terms_say_nothing(session: Session, trade: Trade) -> None:
    days = {"starts_on": date(2020, 1, 1), "ends_on": date(2100, 1, 1)}
    agreements(trade, 2, **days)
    late = trade.agreement("late", fees=[flat("sd-1", "0.01")], licensee="late", grace_days=60, **days)
    session.commit()
    assert schedule(session) is None
    assert schedule(session, default_grace_days=60) is None
    run = schedule(session, default_grace_days=0)
    assert run is not None
    assert late.id not in set(session.scalars(select(BillingRunItem.agreement_id).filter_by(run_id=run.id)))
    assert schedule(session, default_grace_days=0) is None
