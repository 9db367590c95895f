"""The life of an invoice against a real database: holds, approval, credit, void, disputes, write-offs, two people."""

from datetime import date
from decimal import Decimal

import psycopg
import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from core.actors import SYSTEM
from core.agreements.tables import Agreement
from core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from core.invoicing.drafts.close import close, preview
from core.invoicing.drafts.extras import adjust
from core.invoicing.life.approve import approve, hold, release
from core.invoicing.life.claims import dispute, settle_dispute, write_back, write_off
from core.invoicing.life.credit import credit
from core.invoicing.life.credit_plan import credit_amounts
from core.invoicing.life.issue import issue
from core.invoicing.life.stands import find_invoice, overview, stand
from core.invoicing.life.void import preview_reissue, void
from core.invoicing.tables import Invoice, InvoiceEvent
from core.invoicing.verify import verify_invoices
from core.ledger.balances import balances, open_items
from core.money import Money
from core.period import Period
from core.registry.billing import Billing, TaxTreatment
from core.registry.register import change_billing
from core.usage.counts.rollup import roll_up
from tests.core.invoicing.people import ADA, AUGUST, BEN, CLEO, OCTOBER, SEPTEMBER, drafted, issued, pay
from tests.trade import Trade, flat

VAT = Billing(purchase_order="PO-7", tax=TaxTreatment("standard", Decimal(19)))


@pytest.fixture
def deal(trade: Trade) -> Agreement:
    """sd-1 at a cent, sd-2 at two; 10,000 and 5,000 images in October."""
    agreement = trade.agreement(fees=[flat("sd-1", "0.01"), flat("sd-2", "0.02")])
    trade.use("sd-1", 10_000, "2026-10-03T12:00Z")
    trade.use("sd-2", 5_000, "2026-10-04T12:00Z")
    return agreement


def word(session: Session, invoice: Invoice) -> str:
    return stand(session, [invoice])[invoice.id].word


def all_agree(session: Session) -> None:
    assert [check.problems for check in verify_invoices(session)] == [()] * 6


def receivable(session: Session, invoice: Invoice) -> int:
    items = {item.item: item.money.minor for item in open_items(session, invoice.licensor_id)}
    return items.get(invoice.number or "", 0)


def test_a_draft_is_approved_and_issued_and_says_who(session: Session, deal: Agreement) -> None:
    draft = drafted(session, deal)
    assert (draft.closed_by, word(session, draft)) == ("Cleo", "draft")
    with pytest.raises(NotAllowed, match="takes an approver"):
        approve(session, draft.id, CLEO)
    approve(session, draft.id, ADA)
    assert word(session, draft) == "approved"
    issue(session, draft.id, BEN)
    session.commit()
    assert (draft.approved_by, draft.issued_by, word(session, draft)) == ("Ada", "Ben", "issued")
    assert [event.kind for event in session.scalars(select(InvoiceEvent).order_by(InvoiceEvent.id))] == [
        *("approved", "issued"),
    ]
    all_agree(session)


def test_an_approval_stands_while_the_lines_do_and_not_longer(session: Session, trade: Trade, deal: Agreement) -> None:
    draft = drafted(session, deal)
    approve(session, draft.id, ADA)
    assert word(session, drafted(session, deal)) == "approved"
    trade.use("sd-1", 1, "2026-10-05T12:00Z")
    assert word(session, drafted(session, deal)) == "draft"
    assert draft.approved_by is None


def test_a_hold_by_hand_stays_through_every_close_until_it_is_released(
    session: Session, trade: Trade, deal: Agreement
) -> None:
    draft = drafted(session, deal)
    hold(session, draft.id, CLEO, "the platform says it tested")
    trade.use("sd-1", 1, "2026-10-05T12:00Z")
    assert word(session, drafted(session, deal, by=SYSTEM)) == "held"
    with pytest.raises(Conflict, match="is held"):
        issue(session, draft.id)
    with pytest.raises(InvalidInput, match="say why"):
        release(session, draft.id, ADA, " ")
    release(session, draft.id, ADA, "they did not")
    assert word(session, drafted(session, deal)) == "draft"


def test_a_month_far_above_the_median_is_held_and_a_release_is_for_its_lines_only(
    session: Session, trade: Trade, deal: Agreement
) -> None:
    for month in (7, 8, 9):
        trade.use("sd-1", 1_000, f"2026-{month:02}-03T12:00Z")
        issued(session, deal, Period.month(f"2026-{month:02}"))
    draft = drafted(session, deal)
    assert [reason["code"] for reason in draft.hold_reasons] == ["above_trailing_median"]
    assert "10.00 USD, the median of the last 3" in draft.hold_reasons[0]["sentence"]
    release(session, draft.id, ADA, "a campaign")
    assert word(session, drafted(session, deal)) == "draft"
    trade.use("sd-1", 1, "2026-10-05T12:00Z")
    assert word(session, drafted(session, deal)) == "held", "the lines are others than those that were released"


def test_days_without_a_report_hold_the_invoice_where_the_terms_say_so(session: Session, trade: Trade) -> None:
    strict = trade.agreement(
        "strict", fees=[flat("sd-1", "0.01")], licensee="south", missing_days="hold", starts_on=date(2026, 10, 28)
    )
    trade.use("sd-1", 10, "2026-10-28T12:00Z", licensee="south")
    trade.use("sd-1", 10, "2026-10-31T12:00Z", licensee="south")
    draft = drafted(session, strict)
    assert [reason["code"] for reason in draft.hold_reasons] == ["missing_reporting_days"]
    assert "2 days: 2026-10-29, 2026-10-30" in draft.hold_reasons[0]["sentence"]


def test_a_negative_total_becomes_a_credit_note_with_its_own_number_and_is_billed_once(
    session: Session, trade: Trade
) -> None:
    floor = {"name": "floor", "kind": "images", "quantity": 1000, "period": "month", "shortfall_rate": "0.02"}
    deal = trade.agreement(fees=[flat("sd-1", "0.01")], commitments=[floor], starts_on=date(2026, 9, 1))
    trade.use("sd-1", 1, "2026-09-03T12:00Z")
    issued(session, deal, SEPTEMBER)
    trade.use("sd-1", 999, "2026-09-04T12:00Z")
    trade.use("sd-1", 1000, "2026-10-04T12:00Z")
    draft = drafted(session, deal)
    assert draft.total_minor == 1000 + 999 - 999 * 2  # not below zero: October's own fee outweighs it
    trade.agreement("other", fees=[flat("sd-2", "0.01")], licensee="south")
    late = trade.agreement(
        "late", fees=[flat("sd-1", "0.01")], licensee="west", commitments=[floor], starts_on=date(2026, 9, 1),
        ends_on=date(2026, 10, 1),
    )  # fmt: skip
    trade.use("sd-1", 1, "2026-09-03T12:00Z", licensee="west")
    issued(session, late, SEPTEMBER)
    trade.use("sd-1", 999, "2026-09-04T12:00Z", licensee="west")
    note = drafted(session, late)
    assert (note.kind, note.status, note.total_minor) == ("credit_note", "held", 999 - 999 * 2)
    assert note.hold_reasons[0]["code"] == "negative_total"
    release(session, note.id, ADA, "late usage filled the floor")
    issue(session, note.id)
    session.commit()
    assert note.number == "GLD-CN-000001"
    assert preview(session, late.id, Period.month("2026-11")) == []
    assert word(session, note) == "issued"
    assert [(i.book, i.item, i.money.minor) for i in open_items(session, note.licensor_id, note.licensee_id)] == [
        ("receivable", "GLD-000002", 1 + 999 * 2),
        ("unapplied", "GLD-CN-000001", -999),
    ]
    all_agree(session)


def test_tax_is_on_the_lines_in_the_total_in_the_books_and_on_the_credit(
    session: Session, trade: Trade, deal: Agreement
) -> None:
    change_billing(session, "guild", "north", VAT)
    invoice = issued(session, deal)
    assert (invoice.net_minor, invoice.tax_minor, invoice.total_minor) == (20_000, 3_800, 23_800)
    assert invoice.snapshot is not None
    assert invoice.snapshot["taxes"] == [
        {"category": "standard", "rate": "19", "net": "200.00", "tax": "38.00", "sentence": ""}
    ]
    assert invoice.snapshot["billing"]["purchase_order"] == "PO-7"
    books = {book: money.minor for (book, _), money in balances(session, 1, 1).items()}
    assert books == {"receivable": 23_800, "licence_fees": -20_000, "tax_payable": -3_800}
    note = credit(session, "GLD-000001", ADA, "goodwill", {1: 3_333})
    assert (note.number, note.net_minor, note.tax_minor) == ("GLD-CN-000001", -3_333, -633)
    rest = credit(session, "GLD-000001", ADA, "the rest as well")
    session.commit()
    assert rest.tax_minor == -(3_800 - 633), "the last credit takes what is left of the tax"
    assert (word(session, invoice), receivable(session, invoice)) == ("paid", 0)
    assert {money.minor for money in balances(session, 1, 1).values()} == {0}
    with pytest.raises(Conflict, match="nothing is left"):
        credit(session, "GLD-000001", ADA, "more")
    all_agree(session)


def test_a_change_of_the_tax_is_for_what_is_billed_new_and_not_for_adjustments(
    session: Session, trade: Trade, deal: Agreement
) -> None:
    change_billing(session, "guild", "north", VAT)
    trade.use("sd-1", 1_000, "2026-09-03T12:00Z")
    issued(session, deal, SEPTEMBER)
    change_billing(session, "guild", "north", VAT.but(tax=TaxTreatment("standard", Decimal(21))))
    trade.use("sd-1", 100, "2026-09-04T12:00Z")
    rates = [(line.adjustment, str(line.tax_rate.normalize())) for line in drafted(session, deal).lines]
    assert rates == [(True, "19"), (False, "21"), (False, "21")]


def test_a_credit_is_neither_billed_again_nor_taken_back_by_later_closes(
    session: Session, trade: Trade, deal: Agreement
) -> None:
    issued(session, deal)
    credit(session, "GLD-000001", ADA, "goodwill", {1: 4_000})
    session.commit()
    assert preview(session, deal.id, Period.month("2026-11")) == []
    trade.use("sd-1", 100, "2026-10-05T12:00Z")
    session.commit()
    roll_up(session)
    [line] = preview(session, deal.id, Period.month("2026-11"))
    assert (line.adjustment, line.image_count, line.money.minor) == (True, 100, 100)


def test_a_credit_of_a_paid_invoice_is_the_licensees_to_use(session: Session, deal: Agreement) -> None:
    invoice = issued(session, deal)
    pay(session, invoice, 19_000)
    note = credit(session, "GLD-000001", ADA, "goodwill", {1: 2_500})
    session.commit()
    assert (word(session, invoice), receivable(session, invoice)) == ("paid", 0)
    assert stand(session, [note])[note.id].left == 1_500
    assert word(session, note) == "partly_paid"
    all_agree(session)


def test_no_more_than_was_asked_for_can_be_credited(session: Session, deal: Agreement) -> None:
    invoice = issued(session, deal)
    for amounts in ({1: 10_001}, {9: 1}, {1: -1}, {1: 0}, {2: 10_001}, {}):
        with pytest.raises((Conflict, InvalidInput)):
            credit(session, "GLD-000001", ADA, "too much", amounts)
    assert credit_amounts(session, invoice, "150.00") == {1: 10_000, 2: 5_000}
    with pytest.raises(Conflict, match=r"200\.00 USD left"):
        credit_amounts(session, invoice, "200.01")
    for bad in ("0", "-1", "1.001", "1e2", "NaN", "١"):
        with pytest.raises(InvalidInput):
            credit_amounts(session, invoice, bad)


def test_a_voided_invoice_keeps_its_number_and_its_period_is_made_anew(
    session: Session, trade: Trade, deal: Agreement
) -> None:
    invoice = issued(session, deal)
    trade.use("sd-1", 50, "2026-10-09T12:00Z")
    session.commit()
    roll_up(session)
    assert sum(line.money.minor for line in preview_reissue(session, "GLD-000001")) == 20_050
    assert word(session, invoice) == "issued", "looking changes nothing"
    void(session, "GLD-000001", ADA, "wrong address")
    session.commit()
    assert word(session, invoice) == "void"
    again = issued(session, deal)
    assert (again.number, again.total_minor) == ("GLD-000002", 20_050)
    assert {book: m.minor for (book, _), m in balances(session, 1, 1).items()} == {
        "receivable": 20_050,
        "licence_fees": -20_050,
    }
    all_agree(session)


def test_what_was_paid_or_credited_cannot_be_voided(session: Session, trade: Trade, deal: Agreement) -> None:
    invoice = issued(session, deal)
    pay(session, invoice, 1)
    with pytest.raises(Conflict, match="paid or credited"):
        void(session, "GLD-000001", ADA, "why")
    dispute(session, "GLD-000001", CLEO, "they say so")
    with pytest.raises(Conflict, match="credit the rest"):
        void(session, "GLD-000001", ADA, "why")


def test_a_dispute_is_opened_once_and_settled_once(session: Session, deal: Agreement) -> None:
    invoice = issued(session, deal)
    dispute(session, "GLD-000001", CLEO, "previews are in it")
    assert word(session, invoice) == "disputed"
    with pytest.raises(Conflict, match="settle the dispute"):
        dispute(session, "GLD-000001", CLEO, "again")
    settle_dispute(session, "GLD-000001", ADA, "rejected", "they are not")
    assert word(session, invoice) == "issued"
    dispute(session, "GLD-000001", CLEO, "another")
    session.commit()
    assert word(session, invoice) == "disputed"


def test_what_is_written_off_is_expected_again_when_it_is_written_back(session: Session, deal: Agreement) -> None:
    invoice = issued(session, deal)
    pay(session, invoice, 5_000)
    for _ in range(2):
        write_off(session, "GLD-000001", ADA, "insolvent")
        assert (word(session, invoice), receivable(session, invoice)) == ("uncollectible", 0)
        write_back(session, "GLD-000001", ADA, "not quite")
    session.commit()
    assert (word(session, invoice), receivable(session, invoice)) == ("partly_paid", 15_000)
    all_agree(session)


def test_interest_is_on_the_next_invoice_and_taken_back_when_the_payment_was_in_time(
    session: Session, trade: Trade, owner_url: str
) -> None:
    deal = trade.agreement(fees=[flat("sd-1", "1")], late_interest={"yearly_percent": "36.5"}, payment_days=14)
    trade.use("sd-1", 1_000, "2026-08-03T12:00Z")
    invoice = issued(session, deal, AUGUST)
    with psycopg.connect(owner_url) as owner:  # as if it had been issued on 1 September
        owner.execute("SET session_replication_role = replica")
        owner.execute("UPDATE invoices SET due_on = '2026-09-15'")
    session.expire_all()
    pay(session, invoice, 40_000, on=date(2026, 9, 25))
    [line] = drafted(session, deal, SEPTEMBER).lines
    # 10 nights of 1,000.00 and 6 of 600.00 at 0.1 % a day: 10.00 + 3.60.
    assert (line.kind, line.subject, line.amount_minor) == ("interest", "GLD-000001", 1_360)
    issue(session, session.scalars(select(Invoice.id).order_by(Invoice.id.desc())).first() or 0)
    pay(session, invoice, 60_000, "2", on=date(2026, 9, 15))  # comes to light later: it had been paid in time
    october = drafted(session, deal)
    assert [(one.kind, one.adjustment, one.amount_minor) for one in october.lines] == [("interest", True, -960)]
    assert balances(session, 1, 1)["interest_income", "USD"] == Money("USD", -1_360)


def test_an_agreed_adjustment_is_billed_once_and_names_its_period(session: Session, deal: Agreement) -> None:
    adjust(session, "deal", SEPTEMBER, -2_500, description="Outage of the registry", by=ADA, reason="mail of 2 October")
    draft = drafted(session, deal)
    assert draft.lines[-1].description == "Adjustment to 2026-09: Outage of the registry (agreed)"
    assert draft.total_minor == 17_500
    issue(session, draft.id)
    session.commit()
    assert preview(session, deal.id, Period.month("2026-11")) == []
    for bad in ({"description": "=a\nb"}, {"description": ""}, {"reason": " "}, {"reason": "a\0b"}):
        with pytest.raises(InvalidInput):
            adjust(session, "deal", SEPTEMBER, 1, **{"description": "x", "by": ADA, "reason": "y", **bad})
    with pytest.raises(InvalidInput, match="above or below zero"):
        adjust(session, "deal", SEPTEMBER, 0, description="x", by=ADA, reason="y")


def test_a_draft_that_something_happened_to_is_emptied_and_not_deleted(session: Session, deal: Agreement) -> None:
    draft = drafted(session, deal)
    hold(session, draft.id, CLEO, "wait")
    release(session, draft.id, ADA, "go on")
    session.execute(text("DELETE FROM daily_counts"))
    assert close(session, deal.id, OCTOBER).invoice is None
    session.refresh(draft)
    assert (draft.status, draft.total_minor, draft.lines) == ("draft", 0, [])
    with pytest.raises(Conflict, match="no lines"):
        issue(session, draft.id)


def test_invoices_are_found_by_number_and_drafts_by_theirs(session: Session, deal: Agreement) -> None:
    draft = drafted(session, deal)
    assert find_invoice(session, f"draft-{draft.id}").id == draft.id
    [row] = overview(session, words=["draft"])
    assert (row["invoice"], row["agreement"], row["total"]) == (f"draft-{draft.id}", "deal", "200.00")
    assert overview(session, words=["paid"]) == []
    for bad in ("draft-", "GLD-9", "draft-99999999999999999999", "' OR 1=1", "\0", "ＧＬＤ-1", "draft-１"):
        with pytest.raises((NotFound, InvalidInput)):
            find_invoice(session, bad)
    with pytest.raises(InvalidInput, match="invoices are"):
        overview(session, words=["late"])
