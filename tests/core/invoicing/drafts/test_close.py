"""Closing: what is owed minus what was billed, in any rhythm, with drafts made anew and issued invoices left alone."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session

from core.agreements.tables import Agreement
from core.errors import Conflict, NotFound
from core.invoicing.drafts.bill import load_bill
from core.invoicing.drafts.close import Closed, close, preview
from core.invoicing.life.issue import issue
from core.invoicing.tables import Invoice, InvoiceLine
from core.period import Period
from core.rating.rate import owed
from core.usage.counts.rollup import roll_up
from tests.trade import Trade, flat, forget_everything

SEPTEMBER, OCTOBER = Period.month("2026-09"), Period.month("2026-10")


def close_month(session: Session, agreement: Agreement, month: Period) -> Closed:
    session.commit()
    roll_up(session)
    closed = close(session, agreement.id, month)
    session.commit()
    return closed


def issue_month(session: Session, agreement: Agreement, month: Period) -> Invoice:
    closed = close_month(session, agreement, month)
    assert closed.invoice is not None
    invoice = issue(session, closed.invoice.id)
    session.commit()
    return invoice


def shown(invoice: Invoice | None) -> list[tuple[str, bool, int, int]]:
    assert invoice is not None
    return [(line.description, line.adjustment, line.image_count, line.amount_minor) for line in invoice.lines]


def test_a_close_writes_a_draft_with_one_line_per_key(session: Session, trade: Trade) -> None:
    agreement = trade.agreement(fees=[flat("sd-1", "0.005"), flat("sd-2", "0")])
    trade.use("sd-1", 1001, "2026-10-03T00:00Z")
    trade.use("sd-2", 7, "2026-10-03T00:00Z")
    closed = close_month(session, agreement, OCTOBER)
    assert closed.wrote
    assert closed.invoice is not None
    assert (closed.invoice.status, closed.invoice.total_minor) == ("draft", 501)
    assert shown(closed.invoice) == [("Images by sd-1", False, 1001, 501), ("Images by sd-2, no fee due", False, 7, 0)]


def test_a_second_close_makes_the_same_draft_again_and_no_second_one(session: Session, trade: Trade) -> None:
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")])
    trade.use("sd-1", 500, "2026-10-03T00:00Z")
    first = close_month(session, agreement, OCTOBER)
    trade.use("sd-1", 100, "2026-10-04T00:00Z")
    second = close_month(session, agreement, OCTOBER)
    assert first.invoice is not None
    assert second.invoice is not None
    assert second.invoice.id == first.invoice.id
    assert shown(second.invoice) == [("Images by sd-1", False, 600, 600)]
    assert session.scalar(select(func.count()).select_from(Invoice)) == 1


def test_usage_that_comes_after_the_invoice_is_an_adjustment_on_the_next(session: Session, trade: Trade) -> None:
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")])
    trade.use("sd-1", 500, "2026-09-03T00:00Z")
    issue_month(session, agreement, SEPTEMBER)
    trade.use("sd-1", 20, "2026-09-30T23:59Z")
    trade.use("sd-1", 300, "2026-10-01T00:00Z")
    again = close_month(session, agreement, SEPTEMBER)
    assert not again.wrote  # the issued invoice stands
    october = issue_month(session, agreement, OCTOBER)
    assert shown(october) == [
        ("Adjustment to 2026-09: Images by sd-1", True, 20, 20),
        ("Images by sd-1", False, 300, 300),
    ]


def test_rounding_of_an_adjustment_never_drifts(session: Session, trade: Trade) -> None:
    agreement = trade.agreement(fees=[flat("sd-1", "0.005")])
    trade.use("sd-1", 1, "2026-08-03T00:00Z")  # half a cent rounds to one
    issue_month(session, agreement, Period.month("2026-08"))
    trade.use("sd-1", 1, "2026-08-03T00:00Z")  # two images owe one cent, which was billed already
    trade.use("sd-1", 2, "2026-09-03T00:00Z")
    assert [line[3] for line in shown(issue_month(session, agreement, SEPTEMBER))] == [0, 1]


def test_a_shortfall_shrinks_by_late_usage_and_the_credit_is_held(session: Session, trade: Trade) -> None:
    floor = {"name": "floor", "kind": "images", "quantity": 1000, "period": "month", "shortfall_rate": "0.02"}
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")], commitments=[floor], ends_on=date(2026, 10, 1))
    trade.use("sd-1", 1000, "2026-08-03T00:00Z")
    for month in range(1, 8):
        trade.use("sd-1", 1000, f"2026-{month:02}-03T00:00Z")
    issue_month(session, agreement, Period.month("2026-08"))
    trade.use("sd-1", 400, "2026-09-03T00:00Z")
    september = issue_month(session, agreement, SEPTEMBER)
    assert [line[2:] for line in shown(september)] == [(400, 400), (600, 1200)]
    trade.use("sd-1", 600, "2026-09-05T00:00Z")
    october = close_month(session, agreement, OCTOBER).invoice
    assert october is not None
    assert (october.status, october.hold_reason) == ("held", "negative_total")
    assert [line[1:] for line in shown(october)] == [(True, 600, 600), (True, -600, -1200)]
    assert "no longer owed" in shown(october)[1][0]
    with pytest.raises(Conflict, match="only a draft can be issued"):
        issue(session, october.id)


def test_a_month_that_is_not_over_can_be_previewed_but_not_closed(session: Session, trade: Trade) -> None:
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")], ends_on=date(2126, 1, 1))
    now = session.scalar(select(func.now()))
    assert now is not None
    trade.use("sd-1", 100, now.isoformat())
    session.commit()
    roll_up(session)
    month = Period.month_of(now.date())
    with pytest.raises(Conflict, match="close it then, or preview it now"):
        close(session, agreement.id, month)
    assert [line.image_count for line in preview(session, agreement.id, month)] == [100]
    assert session.scalar(select(func.count()).select_from(Invoice)) == 0


def test_a_close_with_nothing_due_writes_no_invoice_and_takes_an_empty_draft_away(
    session: Session, trade: Trade
) -> None:
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")])
    assert close_month(session, agreement, OCTOBER).invoice is None
    trade.use("sd-1", 100, "2026-10-03T00:00Z")
    assert close_month(session, agreement, OCTOBER).wrote
    session.execute(text("DELETE FROM daily_counts"))
    assert close(session, agreement.id, OCTOBER).invoice is None
    assert session.scalar(select(func.count()).select_from(Invoice)) == 0


def test_an_unknown_agreement_is_refused(session: Session) -> None:
    with pytest.raises(NotFound):
        close(session, 4711, OCTOBER)


def test_sixteen_closes_at_once_write_one_invoice(session: Session, engine: Engine, trade: Trade) -> None:
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")])
    trade.use("sd-1", 500, "2026-10-03T00:00Z")
    session.commit()
    roll_up(session)
    agreement_id = agreement.id  # before the threads: a session is nobody's to share
    session.commit()

    def close_once(_: int) -> None:
        with Session(engine) as own:
            close(own, agreement_id, OCTOBER)
            own.commit()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(close_once, range(16)))
    assert session.scalar(select(func.count()).select_from(Invoice)) == 1
    assert session.scalar(select(func.sum(InvoiceLine.amount_minor))) == 500


ARRIVALS = st.lists(
    st.tuples(
        st.integers(1, 6),  # the month of the use
        st.integers(0, 27),  # its day
        st.integers(1, 3000),  # images
        st.sampled_from(["sd-1", "sd-2"]),
        st.booleans(),  # close the next month after it arrived, and perhaps again
        st.booleans(),  # issue what was closed
    ),
    min_size=1,
    max_size=10,
)
TERMS = st.fixed_dictionaries(
    {
        "rate": st.sampled_from(["0", "0.0049", "0.01", "1.333333333333"]),
        "included_images": st.sampled_from([None, 1000]),
        "base_fee": st.sampled_from([None, "9.99"]),
        "commitment": st.sampled_from([None, ("images", "month"), ("images", "term"), ("money", "quarter")]),
    }
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrivals=ARRIVALS, terms=TERMS)
def test_for_any_arrival_order_and_any_closes_the_lines_sum_to_one_rating_of_everything(
    engine: Engine, owner_url: str, arrivals: list, terms: dict
) -> None:
    forget_everything(owner_url)
    with Session(engine) as session:
        trade = Trade(session)
        more = {key: terms[key] for key in ("included_images", "base_fee") if terms[key] and terms["rate"] != "0"}
        fee = flat("sd-1", terms["rate"], **more)
        commitments = []
        if terms["commitment"]:
            kind, period = terms["commitment"]
            price = {"shortfall_rate": "0.02"} if kind == "images" else {}
            commitments = [{"name": "floor", "kind": kind, "quantity": 5000, "period": period, **price}]
        agreement = trade.agreement(
            fees=[fee, flat("sd-2", "0.003")], commitments=commitments, ends_on=date(2026, 7, 1)
        )
        next_month = 1
        for month, day, images, model, closes, issues in arrivals:
            trade.use(model, images, f"2026-{month:02}-{day + 1:02}T12:00Z")
            if closes and next_month <= 9:
                for _ in range(2):
                    closed = close_month(session, agreement, Period.month(f"2026-{next_month:02}"))
                if issues and closed.invoice is not None and closed.invoice.status == "draft":
                    issue(session, closed.invoice.id)
                next_month += 1
        close_month(session, agreement, Period.month("2026-10"))
        billed: Counter[tuple] = Counter()
        images_billed: Counter[tuple] = Counter()
        for line in session.scalars(select(InvoiceLine)):
            key = (line.kind, line.subject, line.service_start, line.service_end, line.part)
            billed[key] += line.amount_minor
            images_billed[key] += line.image_count
        bill = load_bill(session, agreement, until=date(2026, 11, 1))
        lines = owed(bill.contract, bill.counts, date(2026, 11, 1))
        keys = {
            (line.key.kind, line.key.subject, line.key.service.start, line.key.service.end, line.key.part): line
            for line in lines
        }
        assert {key: n for key, n in billed.items() if n} == {
            k: v.money.minor for k, v in keys.items() if v.money.minor
        }
        assert {k: n for k, n in images_billed.items() if n} == {
            k: line.image_count for k, line in keys.items() if line.image_count
        }
