"""Runs that people stop and resume, runs that the clock asks for, and what a dry run compares."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.actors import Actor
from core.agreements.terms import parse_terms, terms_document
from core.audit.record import entries
from core.database import make_engine
from core.errors import Conflict, InvalidInput, NotAllowed
from core.invoicing.drafts.bill import Bill
from core.invoicing.life.issue import issue
from core.invoicing.runs import run as run_module
from core.invoicing.runs.control import resume, runs, schedule, stop
from core.invoicing.runs.month_diff import month_diff
from core.invoicing.runs.run import advance_item, items_to_work, request_run, take_item
from core.invoicing.tables import BillingRunItem, Invoice
from core.period import Period
from tests.trade import Trade, flat

OCTOBER, SEPTEMBER = Period.month("2026-10"), Period.month("2026-09")
MINUTE = timedelta(minutes=1)
CLERK, APPROVER, VIEWER = Actor("clara", "clerk"), Actor("paul", "approver"), Actor("vera", "viewer")


def agreements(trade: Trade, how_many: int, **terms: object) -> list[int]:
    """Agreements of as many licensees, each with usage in October."""
    made = []
    for n in range(how_many):
        licensee = f"platform-{n}"
        agreement = trade.agreement(f"deal-{n}", fees=[flat("sd-1", "0.01")], licensee=licensee, **terms)  # type: ignore[arg-type]
        trade.use("sd-1", 100 * (n + 1), "2026-10-03T00:00Z", licensee=licensee)
        made.append(agreement.id)
    trade.session.commit()
    return made


def work(session: Session, item: tuple[int, int]) -> None:
    if take_item(session, *item, lease=MINUTE):
        session.commit()
        while advance_item(session, *item):
            session.commit()
        session.commit()


def state(session: Session, run_id: int) -> tuple[str, int, int]:
    [found] = runs(session, run_id=run_id)
    return found.state, found.finished, found.items


def test_a_run_says_who_asked_and_is_stopped_and_resumed_in_the_middle(session: Session, trade: Trade) -> None:
    ids = agreements(trade, 3)
    run = request_run(session, OCTOBER, issues=True, by=APPROVER)
    session.commit()
    assert (run.requested_by, run.requested_role) == ("paul", "approver")
    work(session, (run.id, ids[0]))
    assert take_item(session, run.id, ids[1], MINUTE)  # a worker is about to begin
    stop(session, run.id, CLERK)
    session.commit()
    assert state(session, run.id) == ("stopped", 1, 3)
    assert not advance_item(session, run.id, ids[1])
    assert not take_item(session, run.id, ids[2], MINUTE)
    session.commit()
    assert [item for item in items_to_work(session) if item[0] == run.id] == []
    assert session.scalar(select(func.count()).select_from(Invoice)) == 1
    with pytest.raises(NotAllowed):  # it issues: who goes on with it has to be allowed to
        resume(session, run.id, CLERK)
    resume(session, run.id, APPROVER)
    session.commit()
    assert len(items_to_work(session)) == 2
    for item in items_to_work(session):
        work(session, item)
    assert state(session, run.id) == ("done", 3, 3)
    numbers = session.scalars(select(Invoice.number).order_by(Invoice.number)).all()
    assert numbers == ["GLD-000001", "GLD-000002", "GLD-000003"]
    said = [(one.action, one.actor) for one in entries(session, trade.licensor.id) if one.action.startswith("run.")]
    assert said == [("run.requested", "paul"), ("run.stopped", "clara"), ("run.resumed", "paul")]
    with pytest.raises(Conflict, match="done"):
        stop(session, run.id, CLERK)


def test_who_may_not_issue_cannot_ask_for_a_run_that_does(session: Session, trade: Trade) -> None:
    agreements(trade, 1)
    with pytest.raises(NotAllowed):
        request_run(session, OCTOBER, issues=True, by=CLERK)
    with pytest.raises(NotAllowed):
        request_run(session, OCTOBER, issues=False, by=VIEWER)


def test_where_issuing_fails_the_draft_stays_and_the_others_are_issued(
    session: Session, trade: Trade, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = agreements(trade, 2)
    run = request_run(session, OCTOBER, issues=True)
    session.commit()
    real = run_module.issue_many

    def refused(session: Session, drafts: Sequence[tuple[Invoice, Bill]]) -> None:
        real(session, drafts)
        if any(invoice.agreement_id == ids[0] for invoice, _ in drafts):
            raise Conflict("not_now", "after the number was taken")

    monkeypatch.setattr(run_module, "issue_many", refused)
    monkeypatch.setattr(run_module, "issue", lambda *_: (_ for _ in ()).throw(Conflict("not_now", "nor later")))
    assert take_item(session, run.id, ids[0], MINUTE)
    assert advance_item(session, run.id, ids[0])
    assert advance_item(session, run.id, ids[0])
    session.commit()
    with pytest.raises(Conflict, match="nor later"):
        advance_item(session, run.id, ids[0])
    session.rollback()
    assert session.scalars(select(Invoice.status)).one() == "draft"
    work(session, (run.id, ids[1]))
    assert session.scalars(select(Invoice.number).where(Invoice.number.is_not(None))).one() == "GLD-000001"


def test_the_clock_asks_once_and_issues_only_where_that_is_agreed(
    session: Session, trade: Trade, database_url: str
) -> None:
    now = session.scalar(select(func.now()))
    assert now is not None
    last = Period.month_of(now.date().replace(day=1) - timedelta(days=1))
    days = {"starts_on": date(2020, 1, 1), "ends_on": date(2100, 1, 1)}
    terms = {
        "automatic": {"grace_days": 0, "issue": "automatic"},
        "by-hand": {"grace_days": 0, "issue": "by_hand"},
        "not-said": {"grace_days": 0},
        "no-clock": {},
        "later": {"grace_days": 60, "issue": "automatic"},
    }
    for slug, said in terms.items():
        trade.agreement(slug, fees=[flat("sd-1", "0.01")], licensee=slug, **days, **said)  # type: ignore[arg-type]
        trade.use("sd-1", 700, f"{last.start}T12:00Z", licensee=slug)
    session.commit()
    engine = make_engine(database_url)

    def tick(_: int) -> int:
        with Session(engine) as own:
            made = schedule(own)
            found = 0 if made is None else made.id
            own.commit()
            return found

    with ThreadPoolExecutor(4) as pool:
        made = [run for run in pool.map(tick, range(8)) if run]
    assert len(made) == 1
    assert tick(0) == 0
    engine.dispose()
    items = items_to_work(session)
    assert len(items) == 3
    for item in items:
        work(session, item)
    asked = select(Invoice.status, func.count()).group_by(Invoice.status).order_by(Invoice.status)
    assert session.execute(asked).all() == [("draft", 2), ("issued", 1)]
    assert set(session.scalars(select(BillingRunItem.scheduled_for))) == {last.start}


def test_a_dry_run_shows_the_change_against_the_month_before_and_writes_nothing(session: Session, trade: Trade) -> None:
    [id_] = agreements(trade, 1)
    trade.use("sd-1", 40, "2026-09-05T00:00Z", licensee="platform-0")
    session.commit()
    run = request_run(session, SEPTEMBER, issues=True)
    session.commit()
    work(session, (run.id, id_))
    [row] = month_diff(session, OCTOBER)
    assert (row.last.minor, row.found.after.minor, row.change.minor) == (40, 100, 60)
    assert session.scalar(select(func.count()).select_from(Invoice)) == 1


@pytest.mark.parametrize(
    "said",
    [{"grace_days": -1}, {"grace_days": 61}, {"grace_days": "5"}, {"grace_days": True}, {"issue": "automatic"},
     {"grace_days": 1, "issue": "always"}],
)  # fmt: skip
def test_malformed_words_about_the_clock_are_refused(said: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        parse_terms({"currency": "USD", "fees": [flat("sd-1", "0.01")], **said})


def test_words_about_the_clock_round_trip() -> None:
    terms = parse_terms({"currency": "USD", "fees": [flat("sd-1", "0.01")], "grace_days": 0, "issue": "automatic"})
    assert (terms.grace_days, terms.issue) == (0, "automatic")
    assert parse_terms(terms_document(terms)) == terms


def test_an_invoice_issued_beside_a_run_is_left_as_it_stands(session: Session, trade: Trade) -> None:
    [id_] = agreements(trade, 1)
    drafts = request_run(session, OCTOBER, issues=False)
    session.commit()
    work(session, (drafts.id, id_))
    draft = session.scalars(select(Invoice)).one()
    issue(session, draft.id)
    session.commit()
    run = request_run(session, OCTOBER, issues=True)
    session.commit()
    work(session, (run.id, id_))
    assert state(session, run.id)[0] == "done"
    assert session.scalars(select(Invoice.number)).all() == ["GLD-000001"]
