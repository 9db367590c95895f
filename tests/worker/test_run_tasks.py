"""The tasks of a billing run: many items together, each alone where that fails, then the papers of each."""

from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from core.database import make_engine
from core.invoicing.runs.run import request_run
from core.invoicing.tables import BillingRunItem, Invoice, InvoiceDocument
from core.invoicing.verify import verify_invoices
from core.period import Period
from core.statements.tables import Statement
from core.usage.counts.rollup import roll_up
from tests.trade import Trade, flat

KEY = b64encode(bytes(range(32))).decode()


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    engine = make_engine(database_url)
    with Session(engine) as opened:
        yield opened
    engine.dispose()


@pytest.fixture
def announced() -> list[int]:
    """The runs that the tasks announce, in their order."""
    return []


@pytest.fixture
def tasks(database_url: str, announced: list[int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The worker's tasks in this process, on the test's database; what they announce is written down."""
    from config import settings as our

    chosen = {"database_url": database_url, "redis_url": "redis://127.0.0.1:1/0", "signing_key": KEY}
    monkeypatch.setattr(our, "_chosen", chosen)
    our.settings.cache_clear()
    from worker import papers, session, tasks
    from worker.app import app

    app.finalize()
    session._engine.cache_clear()
    papers._signer.cache_clear()
    monkeypatch.setattr(tasks.work_run, "delay", announced.append)
    yield tasks
    session._engine().dispose()
    session._engine.cache_clear()
    papers._signer.cache_clear()
    our.settings.cache_clear()


def last_month(session: Session) -> Period:
    now = session.execute(select(func.now())).scalar_one()
    return Period.month_of(now.date().replace(day=1) - timedelta(days=1))


def requested(session: Session, how_many: int) -> tuple[int, list[int]]:
    """A run over last month, of agreements with usage in it: its id and theirs."""
    month, trade = last_month(session), Trade(session)
    term = {"starts_on": month.start, "ends_on": month.start.replace(year=month.start.year + 1)}
    ids = []
    for n in range(how_many):
        licensee = f"platform-{n}"
        ids.append(trade.agreement(f"deal-{n}", fees=[flat("sd-1", "0.01")], licensee=licensee, **term).id)
        trade.use("sd-1", 100 * (n + 1), f"{month.start}T12:00Z", licensee=licensee)
    session.commit()
    run_id = request_run(session, month, issues=True).id
    session.commit()
    return run_id, ids


def work(tasks: Any, announced: list[int], run_id: int) -> int:
    """Works everything that is announced; how many messages it took."""
    announced.append(run_id)
    worked = 0
    while announced:
        tasks.work_run(announced.pop(0))
        worked += 1
    return worked


def ends(session: Session, run_id: int) -> list[tuple[str, str | None]]:
    session.rollback()
    items = select(BillingRunItem).filter_by(run_id=run_id).order_by(BillingRunItem.agreement_id)
    return [(item.state, item.error) for item in session.scalars(items.execution_options(populate_existing=True))]


def test_a_run_is_issued_together_then_documented_and_attested(
    session: Session, tasks: Any, announced: list[int]
) -> None:
    run_id, _ = requested(session, 7)
    assert work(tasks, announced, run_id) == 3  # all invoices, then the papers of five and of two
    assert ends(session, run_id) == [("finished", None)] * 7
    assert set(session.scalars(select(BillingRunItem.attempts))) == {1}
    numbers = session.scalars(select(Invoice.number).order_by(Invoice.agreement_id)).all()
    assert numbers == [f"GLD-{n:06d}" for n in range(1, 8)]
    pdfs = select(func.count()).select_from(InvoiceDocument).where(InvoiceDocument.kind == "pdf")
    assert session.scalar(pdfs) == session.scalar(select(func.count()).select_from(Statement)) == 7
    assert not [problem for check in verify_invoices(session) for problem in check.problems]
    tasks.work_run(run_id)  # late, and once more
    assert session.scalar(select(func.count()).select_from(Statement)) == 7


def test_one_that_the_database_refuses_holds_up_no_other(
    session: Session, tasks: Any, announced: list[int], owner_url: str
) -> None:
    run_id, ids = requested(session, 4)
    with psycopg.connect(owner_url) as owner:
        owner.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = 'check_violation'; END $$;"
            f"CREATE TRIGGER refuse BEFORE INSERT ON invoices FOR EACH ROW WHEN (NEW.agreement_id = {ids[1]}) "
            "EXECUTE FUNCTION refuse()"
        )
    with capture_logs() as told:  # which is quicker than writing a traceback, too
        work(tasks, announced, run_id)
    assert [one["event"] for one in told] == ["items are worked one by one", "item failed"]
    found = ends(session, run_id)
    assert [state for state, _ in found] == ["finished", "counted", "finished", "finished"]
    assert "not this one" in (found[1][1] or "")
    numbers = session.scalars(select(Invoice.number).order_by(Invoice.agreement_id)).all()
    assert numbers == ["GLD-000001", "GLD-000002", "GLD-000003"]
    session.rollback()
    with psycopg.connect(owner_url) as owner:  # whoever repairs it, the sweep hands it out when the lease is over
        owner.execute("DROP TRIGGER refuse ON invoices; UPDATE billing_run_items SET leased_until = NULL")
    tasks.sweep()
    work(tasks, announced, announced.pop())
    assert ends(session, run_id) == [("finished", None)] * 4


def test_a_statement_that_is_refused_says_so_and_the_invoice_is_out_all_the_same(
    session: Session, tasks: Any, announced: list[int], owner_url: str
) -> None:
    run_id, ids = requested(session, 2)
    while roll_up(session).more:
        pass
    session.commit()
    platform = "SELECT licensee_id FROM accounts JOIN agreements ON accounts.id = account_id WHERE agreements.id = %s"
    with psycopg.connect(owner_url) as owner:  # a count that no event stands for, as only a fault could leave it
        more = f"UPDATE daily_counts SET image_count = image_count + 1 WHERE licensee_id = ({platform})"
        owner.execute(more, [ids[0]])
    work(tasks, announced, run_id)
    [(state, said), second] = ends(session, run_id)
    assert (state, second) == ("finished", ("finished", None))
    assert "no statement: the daily counts differ" in (said or "")
    assert session.scalar(select(func.count()).where(Invoice.status == "issued")) == 2
    assert session.scalar(select(func.count()).select_from(Statement)) == 1


def test_two_agreements_of_an_account_have_one_statement(session: Session, tasks: Any, announced: list[int]) -> None:
    month, trade = last_month(session), Trade(session)
    term = {"starts_on": month.start, "ends_on": month.start.replace(year=month.start.year + 1)}
    for n in (1, 2):
        trade.agreement(f"deal-{n}", fees=[flat(f"sd-{n}", "0.01")], **term)
        trade.use(f"sd-{n}", 100, f"{month.start}T12:00Z")
    session.commit()
    run_id = request_run(session, month, issues=True).id
    session.commit()
    work(tasks, announced, run_id)
    assert ends(session, run_id) == [("finished", None)] * 2
    assert session.scalar(select(func.count()).select_from(Statement)) == 1
