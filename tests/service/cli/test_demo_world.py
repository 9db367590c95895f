"""The demo's world: every page finds something real in it, its sums agree, and it leaves no trace of its own clock."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.access.people import actor_of, sign_in_person
from core.accruals.overview import overview
from core.accruals.tables import Accrual
from core.agreements.tables import Agreement, Amendment
from core.audit.record import verify_chain
from core.database import make_engine
from core.invoicing.life.stands import stand
from core.invoicing.tables import BillingRunItem, Invoice, InvoiceDocument, InvoiceEvent
from core.invoicing.verify import verify_invoices
from core.notices.tables import Delivery, Notice
from core.payments.bank_statements import proposals
from core.payments.tables import Payment
from core.payments.verify import verify_payments
from core.registry.register import ids
from core.registry.tables import Licensee, Licensor
from core.statements.queries import statements
from core.usage.counts.review import review
from core.usage.counts.verify import verify_rollup
from core.usage.own.possible_duplicates import possible_duplicates
from core.usage.reporting.days import missing_days
from core.usage.reporting.gaps import gaps
from core.usage.tables import UsageReport, ZeroReport
from service.cli.demo.clock import past_clock
from service.cli.demo.house import refuse_other_peoples_database
from service.cli.demo.kept import Kept
from service.cli.demo.recount import images_by_platform, totals_in_cents
from service.cli.demo.traffic import FIGURES
from service.cli.demo.world import World
from stack.process import StackError
from tests.trade import Trade
from tests.world import built_world, world, world_url  # noqa: F401 - fixtures


def month_begins(world: World) -> bool:  # noqa: F811
    """Whether the world's running month is over for the pages, which go by the real day."""
    return world.plan.this.end <= world.plan.today


@pytest.fixture
def session(world_url: str) -> Iterator[Session]:  # noqa: F811
    engine = make_engine(world_url)
    with Session(engine) as session:
        yield session
    engine.dispose()


def test_the_real_month_is_billed_to_the_cent_and_every_sum_agrees(session: Session, world: World) -> None:  # noqa: F811
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    asked = select(Licensee.slug, Invoice.total_minor).join(Licensee, Licensee.id == Invoice.licensee_id)
    platforms = totals_in_cents(images_by_platform(FIGURES))
    of_month = asked.where(Invoice.period_start == world.plan.last.start, Licensee.slug.in_(platforms))
    assert dict(session.execute(of_month).all()) == platforms
    assert verify_rollup(session)[1] == []
    checks = [*verify_invoices(session), *verify_payments(session)]
    assert [problem for check in checks for problem in check.problems] == []
    looked_at, broken = verify_chain(session, licensor_id(session, world))
    assert looked_at > 100
    assert broken == []


def test_invoices_stand_in_every_way_in_which_a_page_shows_them(session: Session, world: World) -> None:  # noqa: F811
    invoices = session.scalars(select(Invoice).order_by(Invoice.id)).all()
    stands = stand(session, invoices)
    words = Counter(stands[invoice.id].word for invoice in invoices)
    assert words.keys() == {"draft", "held", "issued", "partly_paid", "paid", "overdue", "disputed", "void"}
    held = {reason["code"] for invoice in invoices for reason in invoice.hold_reasons}
    assert held == {"missing_reporting_days"} | ({"above_trailing_median"} if len(world.plan.history) > 2 else set())
    kinds = Counter(invoice.kind for invoice in invoices)
    assert kinds["credit_note"] == 1
    past = [each for each in invoices if each.period_start < world.plan.last.start and each.kind == "regular"]
    assert all(timedelta() < (invoice.issued_at.date() - invoice.period_end) < timedelta(days=5) for invoice in past)
    events = set(session.scalars(select(InvoiceEvent.kind)))
    assert {"issued", "approved", "credited", "voided", "disputed", "held"} <= events
    papers = set(session.scalars(select(InvoiceDocument.invoice_id).where(InvoiceDocument.kind == "pdf")))
    assert papers == {invoice.id for invoice in invoices if invoice.number}
    lines = {line.kind for invoice in invoices for line in invoice.lines}
    assert {"usage", "base", "included", "overage", "prepayment", "drawdown", "interest", "credit"} <= lines
    assert any(line.adjustment for invoice in invoices for line in invoice.lines if line.kind == "usage")
    waiting = select(BillingRunItem.error).where(BillingRunItem.error.is_not(None))
    assert any("approved" in error for error in session.scalars(waiting))


def test_payments_notices_and_statements_have_something_for_somebody_to_do(session: Session, world: World) -> None:  # noqa: F811
    left = proposals(session, licensor_id(session, world))
    assert {proposal.match.confidence for proposal in left} >= {"certain", "none"}
    assert set(session.scalars(select(Payment.method))) == {"bank", "manual"}
    [receivables] = [
        each for each in overview(session, licensor_id(session, world)).receivables if each.unapplied.minor
    ]
    assert receivables.unapplied.minor in (150_000, -150_000)
    delivered = set(session.execute(select(Delivery.state, Delivery.attempts > 0)).all())
    assert {("delivered", True), ("waiting", True)} <= delivered
    told = set(session.scalars(select(Notice.kind)))
    assert told >= {
        "invoice.issued",
        "invoice.overdue",
        "invoice.held",
        "cap.near",
        "commitment.reached",
        "usage.missing",
    }
    assert {each.standing for each in statements(session)} == {"open", "certified", "settled", "disputed"}


def test_usage_has_what_goes_wrong_with_usage(session: Session, world: World) -> None:  # noqa: F811
    waits = review(session)
    assert {each.reason for each in waits.held} == {"unknown_name", "malformed_air"}
    assert [each.counted_for for each in waits.unreviewed] == ["lantern-xl"]
    missing = {each.of.licensee: each for each in missing_days(session) if each.runs}
    assert "northlight" in missing
    if not month_begins(world):
        assert missing.keys() == {"northlight"}
        assert world.plan.today - missing["northlight"].runs[-1].end <= timedelta(days=1), "silent up to yesterday"
    assert [(gap.licensee, gap.kind, gap.missing_count) for gap in gaps(session)] == [("northlight", "missing", 1)]
    assert session.scalar(select(func.count()).select_from(ZeroReport)) == 1
    pixelmill = ids(session, Licensee, {"pixelmill"})["pixelmill"]
    now = datetime.now(UTC)
    assert possible_duplicates(session, pixelmill, now - timedelta(days=40), now)
    received = select(func.min(UsageReport.received_at))
    first = session.execute(received).scalar_one()
    assert first.date() - world.plan.history[0].start < timedelta(days=10)


def test_commitments_agreements_and_the_first_page(session: Session, world: World) -> None:  # noqa: F811
    seen = overview(session, licensor_id(session, world))
    if month_begins(world):
        pytest.skip("in a month's first days the month before is still the running one of the world")
    assert seen.month == world.plan.this
    assert {each.agreement for each in seen.at_risk} == {"demo-sd3-enterprise"}
    assert {each.licensee for each in seen.stopped} == {"northlight"}
    assert session.scalar(select(func.count()).select_from(Accrual)) >= 16
    assert set(session.scalars(select(Agreement.status))) == {"signed", "draft"}
    later = select(func.count()).select_from(Amendment).where(Amendment.effective_on > world.plan.today)
    assert (session.scalar(later) or 0) >= 1


def test_everybody_signs_in_with_the_password_of_this_world(session: Session, world: World) -> None:  # noqa: F811
    assert actor_of(sign_in_person(session, world.people["arne"], world.password)).role == "approver"
    assert actor_of(sign_in_person(session, world.managers["northlight"], world.password)).role == "manager"


def test_nothing_is_left_of_the_clock_and_nobody_else_hears_it(owner_url: str, database_url: str) -> None:
    def defaults() -> list[tuple[str, ...]]:
        with psycopg.connect(owner_url) as owner:
            said = "SELECT adrelid::regclass::text, adnum, pg_get_expr(adbin, adrelid) FROM pg_attrdef ORDER BY 1, 2"
            return owner.execute(said).fetchall()

    before = defaults()
    long_ago = datetime.now(UTC) - timedelta(days=200)
    with past_clock(owner_url, database_url) as clock:
        clock.set(long_ago)
        with Session(clock.engine) as theirs:
            trade = Trade(theirs)
            assert abs(theirs.execute(select(func.now())).scalar_one() - long_ago) < timedelta(minutes=1)
            assert abs(trade.licensor.created_at - long_ago) < timedelta(minutes=1)
            theirs.commit()
        engine = make_engine(database_url)
        with Session(engine) as ours:
            ours.add(Licensor(slug="other", name="Other", invoice_prefix="OTH"))
            ours.flush()
            made = ours.scalars(select(Licensor.created_at).where(Licensor.slug == "other")).one()
            assert datetime.now(UTC) - made < timedelta(minutes=1)
            with pytest.raises(StackError, match="is in use"):
                refuse_other_peoples_database(ours)
        engine.dispose()
        assert defaults() != before
    assert defaults() == before


def test_what_a_demo_keeps_is_its_users_alone_and_an_interrupted_one_says_so(tmp_path: Path) -> None:
    kept = Kept(datetime.now(UTC).date(), 6, "a password of its own", {"north": "key"}, 1234, "made")
    kept.write(tmp_path)
    assert (tmp_path / "world.json").stat().st_mode & 0o777 == 0o600
    assert Kept.read(tmp_path) == kept
    kept.state = "writing"
    kept.write(tmp_path)
    with pytest.raises(StackError, match="remove that folder"):
        Kept.read(tmp_path)


def licensor_id(session: Session, world: World) -> int:  # noqa: F811
    return ids(session, Licensor, {world.licensor})[world.licensor]
