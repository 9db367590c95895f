"""A billing run: items are taken by lease, worked step by step, given up when hopeless, and never twice."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from core.errors import Conflict, Unavailable
from core.invoicing.life.approve import approve
from core.invoicing.runs.run import advance_item, fail_item, items_to_work, progress_of, request_run, take_item
from core.invoicing.tables import BillingRunItem, Invoice, InvoiceDocument
from core.period import Period
from core.registry.register import set_approval_limit
from tests.core.invoicing.people import ADA, BEN, drafted
from tests.trade import Trade, flat

OCTOBER = Period.month("2026-10")
MINUTE = timedelta(minutes=1)


@pytest.fixture
def item(session: Session, trade: Trade) -> tuple[int, int]:
    """The one item of a run that issues."""
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")])
    trade.use("sd-1", 500, "2026-10-03T00:00Z")
    session.commit()
    run = request_run(session, OCTOBER, issues=True)
    session.commit()
    return run.id, agreement.id


def work(session: Session, item: tuple[int, int]) -> list[str]:
    """Works an item to its end; the states it went through."""
    states = []
    more = True
    while more:
        more = advance_item(session, *item)
        session.commit()
        states.append(session.get_one(BillingRunItem, item).state)
    return states


def test_an_item_is_counted_then_closed_and_issued_then_documented(session: Session, item: tuple[int, int]) -> None:
    assert items_to_work(session) == [item]
    assert take_item(session, *item, lease=MINUTE)
    session.commit()
    assert items_to_work(session) == []
    assert work(session, item) == ["counted", "issued", "finished"]
    [(_, invoice)] = progress_of(session, item[0])
    assert invoice is not None
    assert (invoice.status, invoice.total_minor) == ("issued", 500)
    assert set(session.scalars(select(InvoiceDocument.kind))) == {"pdf", "lines.csv", "daily_counts.csv"}


def test_an_item_is_held_by_one_worker_until_its_lease_is_over(session: Session, item: tuple[int, int]) -> None:
    assert take_item(session, *item, lease=MINUTE)
    session.commit()
    assert not take_item(session, *item, lease=MINUTE)
    session.execute(text("UPDATE billing_run_items SET leased_until = now() - interval '1 second'"))
    session.expire_all()
    assert items_to_work(session) == [item]
    assert take_item(session, *item, lease=MINUTE)


def test_a_second_run_of_the_same_month_writes_nothing_new(session: Session, item: tuple[int, int]) -> None:
    work(session, item)
    again = request_run(session, OCTOBER, issues=True)
    session.commit()
    assert work(session, (again.id, item[1]))[-1] == "finished"
    assert session.scalar(select(func.count()).select_from(Invoice)) == 1
    assert not advance_item(session, *item)


def test_a_run_that_does_not_issue_stops_at_the_draft(session: Session, trade: Trade) -> None:
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")])
    trade.use("sd-1", 500, "2026-10-03T00:00Z")
    session.commit()
    run = request_run(session, OCTOBER, issues=False)
    assert work(session, (run.id, agreement.id)) == ["counted", "closed"]
    assert session.scalars(select(Invoice.status)).one() == "draft"


def test_whoever_approved_a_draft_cannot_have_it_issued_by_a_run_of_their_own(session: Session, trade: Trade) -> None:
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")])
    trade.use("sd-1", 500, "2026-10-03T00:00Z")
    set_approval_limit(session, trade.licensor.slug, None, 100)
    draft = drafted(session, agreement, OCTOBER)
    approve(session, draft.id, ADA)
    session.commit()
    for asker, status in ((ADA, "approved"), (BEN, "issued")):
        run = request_run(session, OCTOBER, issues=True, by=asker)
        session.commit()
        work(session, (run.id, agreement.id))
        session.refresh(draft)
        assert draft.status == status


def test_a_refusal_ends_an_item_with_its_sentence_and_anything_else_is_tried_again(
    session: Session, item: tuple[int, int]
) -> None:
    take_item(session, *item, lease=MINUTE)
    fail_item(session, *item, error=Unavailable("away", "come back later"))
    row = session.get_one(BillingRunItem, item)
    assert (row.state, row.error, row.finished_at) == ("waiting", "come back later", None)
    fail_item(session, *item, error=Conflict("price_not_settled", "the price is still a band"))
    session.refresh(row)
    assert (row.state, row.error, row.finished_at is None) == ("failed", "the price is still a band", False)


def test_an_item_that_killed_five_workers_is_given_up(session: Session, item: tuple[int, int]) -> None:
    for _ in range(5):
        assert take_item(session, *item, lease=timedelta(0))
        session.commit()
    assert not take_item(session, *item, lease=timedelta(0))
    row = session.get_one(BillingRunItem, item)
    assert row.state == "failed"
    assert "given up" in (row.error or "")


def test_a_month_that_is_over_nowhere_is_refused_before_anything_is_written(session: Session, trade: Trade) -> None:
    trade.agreement(fees=[flat("sd-1", "0.01")])
    now = session.scalar(select(func.now()))
    assert now is not None
    with pytest.raises(Conflict, match="close it then, or preview it now"):
        request_run(session, Period.month_of(Period.month_of(now.date()).end), issues=False)
    assert session.scalar(select(func.count()).select_from(BillingRunItem)) == 0
