"""Explaining: every line with its price, counts and steps, from which the amount can be worked out again."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from sqlalchemy.orm import Session

from core.errors import Conflict, NotFound
from core.invoicing.workings.clause import clause_in_words
from core.invoicing.workings.explain import explain_draft, explain_invoice
from core.usage.counts.rollup import roll_up
from tests.core.invoicing.drafts.test_close import OCTOBER, SEPTEMBER, close_month, issue_month
from tests.trade import Trade, flat

BUZZ = {"unit": "BUZZ", "conversions": [{"from": "BUZZ", "to": "USD", "rate": "0.001"}]}


def line_of(document: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    [found] = [line for line in document["lines"] if all(line[key] == value for key, value in wanted.items())]
    return found


def steps_of(line: dict[str, Any]) -> str:
    return " | ".join(line["steps"]).replace("\u202f", "")


def test_a_line_shows_days_price_conversion_and_rounding(session: Session, trade: Trade) -> None:
    agreement = trade.agreement(fees=[flat("sd-1", "14.333")], **BUZZ)
    trade.use("sd-1", 1001, "2026-10-03T00:00Z")
    trade.use("sd-1", 2, "2026-10-31T23:59Z")
    invoice = issue_month(session, agreement, OCTOBER)
    found = explain_invoice(session, str(invoice.number))
    [line] = found["lines"]
    assert line["counts"] == {
        "source": "frozen with the invoice",
        "models": ["sd-1"],
        "counted": 1003,
        "now": 1003,
        "days": [{"day": "2026-10-03", "image_count": 1001}, {"day": "2026-10-31", "image_count": 2}],
    }
    assert line["price"]["amendment"] == 0
    assert line["price"]["sentence"] == (
        "By the contract as first signed, in force from 2026-01-01 on: sd-1 images: 14.333 BUZZ an image."
    )
    assert "1003 images × 14.333 BUZZ = 14375.999 BUZZ" in steps_of(line)
    assert "14375.999 BUZZ × 0.001 USD per BUZZ = 14.375999 USD, rounded half up, once, to 14.38 USD" in steps_of(line)
    assert (found["total"], found["content_hash"]) == ("14.38", invoice.content_hash)


def test_anyone_can_recompute_every_line_from_its_explanation(session: Session, trade: Trade) -> None:
    """Counts by day, times the price of the quoted clause, times the rate, rounded: the amount on the line."""
    agreement = trade.agreement(fees=[flat("sd-1", "14.333"), flat("sd-2", "3"), flat("sd-3", "0")], **BUZZ)
    for day in (1, 7, 30):
        for n, model in enumerate(("sd-1", "sd-2", "sd-3")):
            trade.use(model, 100 * day + n, f"2026-10-{day:02}T12:00Z")
    found = explain_invoice(session, str(issue_month(session, agreement, OCTOBER).number))
    total = Decimal(0)
    for line in found["lines"]:
        images = sum(row["image_count"] for row in line["counts"]["days"])
        assert images == line["counts"]["counted"] == line["image_count"]
        rate = Fraction(line["price"]["clause"]["schedule"].get("rate", 0))
        exact = images * rate * Fraction(line["conversion_rate"] or 1)
        assert Fraction(line["amount"]) == Fraction(int(exact * 100 + Fraction(1, 2)), 100)
        total += Decimal(line["amount"])
    assert total == Decimal(found["total"])


def test_an_amendment_in_mid_month_is_named_for_its_days(session: Session, trade: Trade) -> None:
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")])
    trade.amend(agreement, date(2026, 10, 15), fees=[flat("sd-1", "0.02")])
    trade.use("sd-1", 100, "2026-10-14T12:00Z")
    trade.use("sd-1", 100, "2026-10-15T12:00Z")
    found = explain_invoice(session, str(issue_month(session, agreement, OCTOBER).number))
    first, second = found["lines"]
    assert (first["price"]["amendment"], second["price"]["amendment"]) == (0, 1)
    assert "amendment 1, in force from 2026-10-15 on: sd-1 images: 0.02 USD" in second["price"]["sentence"]
    assert [row["day"] for row in first["counts"]["days"]] == ["2026-10-14"]
    assert [row["day"] for row in second["counts"]["days"]] == ["2026-10-15"]


def test_tiers_included_images_and_base_fees_are_told_step_by_step(session: Session, trade: Trade) -> None:
    tiers = {"kind": "graduated", "tiers": [{"up_to": 1000, "rate": "0.02"}, {"rate": "0.01"}]}
    fee = {**flat("sd-1", "0.01"), "schedule": tiers, "included_images": 500, "base_fee": "9.99"}
    agreement = trade.agreement(fees=[fee])
    trade.use("sd-1", 2000, "2026-10-03T00:00Z")
    found = explain_invoice(session, str(issue_month(session, agreement, OCTOBER).number))
    overage = line_of(found, kind="overage")
    assert "500 of them among the 500 included a month" in steps_of(overage)
    assert "1000 images × 0.02 USD = 20 USD; the tier up to 1000 images" in steps_of(overage)
    assert "500 images × 0.01 USD = 5 USD; the last tier" in steps_of(overage)
    assert line_of(found, kind="base", service="2026-10")["counts"] is None
    assert "0.02 USD up to 1,000, 0.01 USD beyond" in overage["price"]["sentence"]


def test_a_shortfall_shows_the_commitment_by_month(session: Session, trade: Trade) -> None:
    floor = {"name": "floor", "kind": "images", "quantity": 5000, "period": "quarter", "shortfall_rate": "0.02"}
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")], commitments=[floor])
    trade.use("sd-1", 1000, "2026-07-03T00:00Z")
    trade.use("sd-1", 500, "2026-09-03T00:00Z")
    found = explain_invoice(session, str(issue_month(session, agreement, SEPTEMBER).number))
    shortfall = [line for line in found["lines"] if line["kind"] == "shortfall"][-1]
    assert shortfall["counts"]["months"] == [
        {"month": "2026-07", "image_count": 1000},
        {"month": "2026-09", "image_count": 500},
    ]
    assert "5000 images committed − 1500 counted = 3500 images missing" in steps_of(shortfall)
    assert "floor: 5,000 images a quarter; 0.02 USD for each that is missing." in shortfall["price"]["sentence"]
    assert found["commitments"]


def test_late_usage_is_told_on_both_invoices(session: Session, trade: Trade) -> None:
    agreement = trade.agreement(fees=[flat("sd-1", "0.01"), flat("sd-2", "0.01")])
    trade.use("sd-1", 500, "2026-09-03T00:00Z")
    trade.use("sd-2", 1, "2026-09-03T00:00Z")
    september = issue_month(session, agreement, SEPTEMBER)
    trade.use("sd-1", 20, "2026-09-30T23:59Z")
    trade.use("sd-1", 300, "2026-10-01T00:00Z")
    october = issue_month(session, agreement, OCTOBER)
    before = line_of(explain_invoice(session, str(september.number)), subject="sd-1")
    assert before["counts"]["source"] == "daily counts as they are now"
    assert "500 images were counted; today there are 20 more" in before["counts"]["sentence"]
    assert before["billed_after"] == [{"invoice": october.number, "line": 1, "image_count": 20, "amount": "0.20"}]
    after = line_of(explain_invoice(session, str(october.number)), adjustment=True)
    assert after["billed_before"] == [{"invoice": september.number, "line": 1, "image_count": 500, "amount": "5.00"}]
    assert "5.20 USD owed in all, 5.00 USD billed before" in steps_of(after)


def test_frozen_counts_stay_those_that_were_billed(session: Session, trade: Trade) -> None:
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")])
    trade.use("sd-1", 500, "2026-09-03T00:00Z")
    number = str(issue_month(session, agreement, SEPTEMBER).number)
    trade.use("sd-1", 20, "2026-09-04T00:00Z")
    session.commit()
    roll_up(session)
    [line] = explain_invoice(session, number)["lines"]
    assert line["counts"]["days"] == [{"day": "2026-09-03", "image_count": 500}]
    assert (line["counts"]["source"], line["counts"]["now"]) == ("frozen with the invoice", 520)
    assert "20 more" in line["counts"]["sentence"]


def test_one_line_can_be_asked_for_and_what_is_not_there_is_said(session: Session, trade: Trade) -> None:
    agreement = trade.agreement(fees=[flat("sd-1", "0.01"), flat("sd-2", "0.01")])
    trade.use("sd-1", 500, "2026-10-03T00:00Z")
    trade.use("sd-2", 500, "2026-10-03T00:00Z")
    number = str(issue_month(session, agreement, OCTOBER).number)
    assert [line["no"] for line in explain_invoice(session, number, 2)["lines"]] == [2]
    with pytest.raises(NotFound, match="its lines are 1 to 2"):
        explain_invoice(session, number, 3)
    with pytest.raises(NotFound, match="there is no invoice"):
        explain_invoice(session, "GLD-000099")


def test_a_draft_is_explained_without_being_written(session: Session, trade: Trade) -> None:
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")], **BUZZ)
    trade.use("sd-1", 500, "2026-10-03T00:00Z")
    session.commit()
    roll_up(session)
    found = explain_draft(session, "deal", OCTOBER)
    [line] = found["lines"]
    assert (found["status"], found["invoice"], found["total"], line["amount"]) == ("draft", None, "0.01", "0.01")
    assert line["counts"]["days"] == [{"day": "2026-10-03", "image_count": 500}]
    assert explain_draft(session, "deal", SEPTEMBER)["lines"] == []
    close_month(session, agreement, OCTOBER)
    assert explain_draft(session, "deal", OCTOBER)["lines"][0]["amount"] == "0.01"
    invoice = issue_month(session, agreement, OCTOBER)
    with pytest.raises(Conflict, match=f"explain invoice {invoice.number}"):
        explain_draft(session, "deal", OCTOBER)


def test_what_was_taken_back_is_explained_without_a_price(session: Session, trade: Trade) -> None:
    floor = {"name": "floor", "kind": "images", "quantity": 1000, "period": "month", "shortfall_rate": "0.02"}
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")], commitments=[floor], ends_on=date(2026, 10, 1))
    for month in range(1, 9):
        trade.use("sd-1", 1000, f"2026-{month:02}-03T00:00Z")
    trade.use("sd-1", 400, "2026-09-03T00:00Z")
    issue_month(session, agreement, SEPTEMBER)
    trade.use("sd-1", 600, "2026-09-05T00:00Z")
    session.commit()
    roll_up(session)
    taken_back = line_of(explain_draft(session, "deal", OCTOBER), kind="shortfall")
    assert taken_back["price"] is None
    assert taken_back["amount"] == "-12.00"
    assert taken_back["billed_before"][0]["amount"] == "12.00"


@pytest.mark.parametrize(
    ("clause", "says"),
    [
        ({"name": "a", "schedule": {"kind": "zero"}}, "a: nothing for an image."),
        (
            {"name": "a", "schedule": {"kind": "package", "size": 1000, "price": "5"}, "base_fee": "9"},
            "a: 5 BUZZ for every 1,000 images begun; 9 BUZZ a month.",
        ),
        (
            {"name": "a", "models": ["x", "y"], "per": "group", "schedule": {"kind": "flat", "rate": "1"},
             "cap": {"images": 6000, "kind": "hard"}},
            "a: 1 BUZZ an image; a hard cap of 6,000 images a month; counted together: x, y.",
        ),
        (
            {"name": "f", "kind": "money", "quantity": "50.00", "period": "term", "models": ["x"]},
            "f: 50.00 USD over the term; counting x.",
        ),
        (
            {"name": "f", "kind": "images", "quantity": 9, "period": "month", "billing": "advance",
             "prepaid_rate": "2"},
            "f: 9 images a month; 2 BUZZ each in advance; paid in advance and drawn down.",
        ),
    ],
)  # fmt: skip
def test_clauses_are_quoted_in_a_sentence(clause: dict[str, Any], says: str) -> None:
    assert clause_in_words(clause, "BUZZ", "USD") == says
