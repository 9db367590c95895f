"""Shadow billing: the agreement's own terms give what was billed; others give a difference that can be followed."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from core.errors import InvalidInput, NotFound
from core.invoicing.life.issue import issue
from core.invoicing.tables import Invoice, InvoiceLine
from core.invoicing.what_if.shadow import Shadow, licensee_named, months_from_to, shadow
from core.invoicing.what_if.standing import standing_offer
from core.period import Period
from core.rating.offers import Offer, at_rate, changed, parse_change
from core.usage.counts.rollup import roll_up
from tests.core.invoicing.drafts.test_close import ARRIVALS, TERMS, close_month, issue_month
from tests.core.rating.test_quote import offers
from tests.trade import Trade, flat, forget_everything


def shadow_of(session: Session, *offered: Offer, first: str, last: str, **more: Any) -> Shadow:
    return shadow(session, licensee_named(session, "north"), months_from_to(first, last), list(offered), **more)


def under_own_terms(session: Session, first: str, last: str) -> Shadow:
    return shadow_of(session, standing_offer(session, "deal"), first=first, last=last, instead_of="deal")


def amounts(found: Shadow, month: str | None = None) -> list[int]:
    return [money.minor for money in found.sums(month)]


def test_the_agreements_own_terms_give_what_was_billed(session: Session, trade: Trade) -> None:
    floor = {"name": "floor", "kind": "images", "quantity": 5000, "period": "quarter", "shortfall_rate": "0.02"}
    agreement = trade.agreement(
        fees=[flat("sd-1", "0.0049", included_images=1000, base_fee="9.99"), flat("sd-2", "0.003"), flat("sd-3", "0")],
        commitments=[floor],
    )
    for month in range(1, 10):
        trade.use("sd-1", 1234 * month, f"2026-{month:02}-15T12:00Z")
        trade.use("sd-2", 77, f"2026-{month:02}-28T12:00Z")
        trade.use("sd-3", 5, f"2026-{month:02}-01T12:00Z")
        trade.use("sd-1", 3, f"2026-{max(1, month - 1):02}-03T12:00Z")  # late for the month before
        issue_month(session, agreement, Period.month(f"2026-{month:02}"))
    found = under_own_terms(session, "2026-01", "2026-09")
    billed, due, offered, difference = amounts(found)
    assert billed == session.scalar(select(func.sum(Invoice.total_minor)))
    assert (due, difference) == (0, 0)
    assert offered == billed == found.quote.total.minor
    assert all(line.difference.minor == 0 and line.images == line.offered_images for line in found.lines)
    assert all(line.invoices for line in found.lines if line.billed.minor)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrivals=ARRIVALS, terms=TERMS)
def test_for_any_history_the_own_terms_differ_by_nothing_line_by_line(
    engine: Engine, owner_url: str, arrivals: list, terms: dict
) -> None:
    """Law 6, through real closes and issues: what is billed, and what is still due, is what the terms give."""
    forget_everything(owner_url)
    with Session(engine) as session:
        trade = Trade(session)
        more = {key: terms[key] for key in ("included_images", "base_fee") if terms[key] and terms["rate"] != "0"}
        commitments = []
        if terms["commitment"]:
            kind, period = terms["commitment"]
            price = {"shortfall_rate": "0.02"} if kind == "images" else {}
            commitments = [{"name": "floor", "kind": kind, "quantity": 5000, "period": period, **price}]
        agreement = trade.agreement(
            fees=[flat("sd-1", terms["rate"], **more), flat("sd-2", "0.003")],
            commitments=commitments,
            ends_on=date(2026, 7, 1),
        )
        next_month = 1
        for month, day, images, model, closes, issues in arrivals:
            trade.use(model, images, f"2026-{month:02}-{day + 1:02}T12:00Z")
            if closes and next_month <= 9:
                closed = close_month(session, agreement, Period.month(f"2026-{next_month:02}"))
                if issues and closed.invoice is not None and closed.invoice.status == "draft":
                    issue(session, closed.invoice.id)
                    session.commit()
                next_month += 1
        session.commit()
        roll_up(session)
        found = under_own_terms(session, "2026-01", "2026-12")
        assert [line for line in found.lines if line.difference.minor] == []
        standing = session.scalar(select(func.coalesce(func.sum(InvoiceLine.amount_minor), 0)))
        billed, due, offered, _ = amounts(found)
        assert billed == standing
        assert offered == billed + due == found.quote.total.minor
        close_month(session, agreement, Period.month("2026-10"))
        assert amounts(under_own_terms(session, "2026-01", "2026-12"))[1] == 0  # nothing is due once it is closed


def test_another_price_shows_month_by_month_and_line_by_line(session: Session, trade: Trade) -> None:
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")])
    for month, images in ((8, 1000), (9, 2000), (10, 3000)):
        trade.use("sd-1", images, f"2026-{month:02}-15T12:00Z")
    issue_month(session, agreement, Period.month("2026-08"))
    close_month(session, agreement, Period.month("2026-09"))
    dearer, _ = at_rate([standing_offer(session, "deal")], Decimal("0.015"))
    found = shadow_of(session, *dearer, first="2026-08", last="2026-10", instead_of="deal")
    assert found.months == ("2026-08", "2026-09", "2026-10")
    assert amounts(found, "2026-08") == [10_00, 0, 15_00, 5_00]
    assert amounts(found, "2026-09") == [20_00, 0, 30_00, 10_00]
    assert amounts(found, "2026-10") == [0, 30_00, 45_00, 15_00]
    assert amounts(found) == [30_00, 30_00, 90_00, 30_00]
    assert [line.invoices for line in found.lines] == [("GLD-000001",), ("draft",), ()]


def test_a_period_shows_only_what_falls_in_it_but_counts_what_came_before(session: Session, trade: Trade) -> None:
    tiers = {"kind": "graduated", "tiers": [{"up_to": 1000, "rate": "0.02"}, {"rate": "0.01"}]}
    floor = {"name": "floor", "kind": "images", "quantity": 5000, "period": "year", "shortfall_rate": "0.02"}
    trade.agreement(fees=[{**flat("sd-1", "0.01"), "schedule": tiers}], commitments=[floor])
    trade.use("sd-1", 1500, "2026-03-15T12:00Z")
    trade.use("sd-1", 1500, "2026-12-15T12:00Z")
    session.commit()
    roll_up(session)
    found = under_own_terms(session, "2026-12", "2026-12")
    assert [(line.kind, line.offered.minor) for line in found.lines] == [("usage", 25_00), ("shortfall", 2000 * 2)]
    assert amounts(found) == [0, 65_00, 65_00, 0]
    assert [line.kind for line in under_own_terms(session, "2026-01", "2026-11").lines] == ["usage"]


def test_a_running_commitment_is_not_in_the_figures_but_in_a_note(session: Session, trade: Trade) -> None:
    floor = {"name": "floor", "kind": "images", "quantity": 5000, "period": "term"}
    trade.agreement(fees=[flat("sd-1", "0.01")], commitments=[floor])
    trade.use("sd-1", 1500, "2026-03-15T12:00Z")
    session.commit()
    roll_up(session)
    found = under_own_terms(session, "2026-01", "2026-06")
    assert any("'floor' runs on" in note and "1500 of 5000" in note for note in found.quote.notes)


def test_a_scenario_is_tried_on_usage_of_models_that_count_as_its_own(session: Session, trade: Trade) -> None:
    """The SD3 offer on 30,000,000 recorded images at 14 Buzz: 588,000.00 against 300,000.00 at a cent."""
    trade.agreement(fees=[flat("sd-1", "0.01"), flat("sd-2", "0.01")])
    for month in range(1, 13):
        trade.use("sd-1", 2_000_000, f"2026-{month:02}-10T12:00Z")
        trade.use("sd-2", 500_000, f"2026-{month:02}-20T12:00Z")
    session.commit()
    roll_up(session)
    offered, _ = at_rate(offers("sd3-enterprise"), Decimal(14))
    both = {"sd-1": "meridian-3", "sd-2": "meridian-3"}
    found = shadow_of(session, *offered, first="2026-01", last="2026-12", count_as=both)
    assert str(found.quote.total) == "588,000.00 USD"
    assert str(found.quote.shortfall) == "168,000.00 USD"
    assert found.agreements == ("deal",)
    assert amounts(found) == [0, 300_000_00, 588_000_00, 288_000_00]
    one = shadow_of(session, *offered, first="2026-01", last="2026-12", count_as={"sd-1": "meridian-3"})
    assert amounts(one)[1] == 240_000_00  # sd-2 stays out of both sides
    none = shadow_of(session, *offered, first="2026-01", last="2026-12")
    assert amounts(none) == [0, 0, 588_000_00, 588_000_00]
    assert any("no image of meridian-3" in note for note in none.quote.notes)
    assert any("No signed agreement covers" in note for note in none.quote.notes)


def test_an_offer_with_no_dates_of_its_own_is_moved_to_the_usage(session: Session, trade: Trade) -> None:
    trade.agreement(fees=[flat("anima-1", "0.01")], starts_on=date(2025, 1, 1), ends_on=date(2026, 1, 1))
    trade.use("anima-1", 1000, "2025-03-15T12:00Z")
    session.commit()
    roll_up(session)
    found = shadow_of(session, *offers("anima-flat"), first="2025-03", last="2025-05")
    assert amounts(found) == [0, 10_00, 5_00, -5_00]
    assert any("as if they had begun on 2025-03-01" in note for note in found.quote.notes)
    dated = changed(offers("anima-flat"), [parse_change("payment_days=10")], effective_on=date(2026, 6, 1))
    with pytest.raises(InvalidInput, match="outside 2025-03-01 to 2025-05-31"):
        shadow_of(session, *dated, first="2025-03", last="2025-05")


def test_what_counts_as_an_image_is_what_the_offered_terms_say(session: Session, trade: Trade) -> None:
    trade.agreement(fees=[flat("sd-1", "0.01")])
    trade.use("sd-1", 1000, "2026-03-15T12:00Z")
    trade.use("sd-1", 400, "2026-03-15T12:00Z", output="preview")
    session.commit()
    roll_up(session)
    counting = changed([standing_offer(session, "deal")], [parse_change('definitions.counted=["previews"]')])
    found = shadow_of(session, *counting, first="2026-03", last="2026-03", instead_of="deal")
    assert [(line.images, line.offered_images) for line in found.lines] == [(1000, 1400)]
    assert amounts(found) == [0, 10_00, 14_00, 4_00]


def test_what_cannot_be_compared_is_refused(session: Session, trade: Trade) -> None:
    trade.agreement("theirs", licensee="south", fees=[flat("sd-9", "0.01")])
    trade.agreement(fees=[flat("openfield-flow", "0.01")])
    with pytest.raises(InvalidInput, match="invoiced in EUR"):
        shadow_of(session, *offers("apache-open"), first="2026-01", last="2026-02")
    with pytest.raises(InvalidInput, match="not one of north"):
        shadow_of(session, standing_offer(session, "theirs"), first="2026-01", last="2026-02", instead_of="theirs")
    with pytest.raises(InvalidInput, match="comes before"):
        months_from_to("2026-02", "2026-01")
    with pytest.raises(InvalidInput, match="at most 400 months"):
        months_from_to("1900-01", "2026-01")
    with pytest.raises(NotFound):
        licensee_named(session, "nobody")
    with pytest.raises(NotFound):
        standing_offer(session, "nothing")
