"""Estimates on invoices: billed for days of silence, frozen with the invoice, and trued up when the report comes."""

import re
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from core.agreements.tables import Agreement
from core.agreements.terms import terms_document
from core.invoicing.drafts.bill import load_bill
from core.invoicing.drafts.close import preview
from core.invoicing.life.approve import release
from core.invoicing.life.issue import issue
from core.invoicing.paper.attachments import lines_csv
from core.invoicing.paper.document import render_pdf
from core.invoicing.tables import Invoice, InvoiceLine
from core.invoicing.verify import verify_invoices
from core.invoicing.workings.explain import explain_draft, explain_invoice
from core.period import Period
from core.signatures import Signer
from core.statements.attest import attest
from core.statements.queries import document_of
from core.usage.counts.rollup import roll_up
from core.usage.counts.verify import verify_rollup
from core.usage.reporting.zero_reports import ZeroBody, report_zero
from core.usage.tables import DailyCount
from service.cli.explain import sentences
from tests.core.invoicing.drafts.test_close import OCTOBER, SEPTEMBER, close_month, issue_month, shown
from tests.core.invoicing.papers import pages_of
from tests.core.invoicing.people import ADA
from tests.oracle import owed as oracle_owed
from tests.oracle_estimates import assumed, days_of
from tests.trade import Trade, flat, forget_everything

DAY = timedelta(days=1)
AUGUST = Period.month("2026-08")
RULE = {"rule": "trailing_average", "months": 2}
SILENT = [date(2026, 9, 12), date(2026, 9, 13), date(2026, 9, 14)]


def report(trade: Trade, period: Period, images: int, *, but: Any = (), model: str = "sd-1") -> None:
    for day in period.each_day():
        if day not in but:
            trade.use(model, images, f"{day}T12:00Z")


def say_zero(trade: Trade, day: date, model: str | None = None) -> None:
    said = ZeroBody(f"zero-{day}-{model}", day, day + DAY, model)
    report_zero(trade.session, trade.licensee("north").id, 0, said)


@pytest.fixture
def deal(trade: Trade) -> Agreement:
    """Ten images a day at a cent; nothing was heard of three days of September."""
    made = trade.agreement(fees=[flat("sd-1", "0.01")], starts_on=AUGUST.start, estimate=RULE, missing_days="hold")
    report(trade, AUGUST, 10)
    report(trade, SEPTEMBER, 10, but=SILENT)
    return made


def test_silent_days_are_billed_by_the_average_and_trued_up_when_their_reports_come(
    session: Session, trade: Trade, deal: Agreement
) -> None:
    close_month(session, deal, AUGUST)
    draft = close_month(session, deal, SEPTEMBER).invoice
    assert draft is not None and draft.status == "draft", "there is an agreed estimate: nobody has to be asked"
    assert shown(draft) == [
        ("Images by sd-1 (with an estimate of 30 images for 3 days without a report)", False, 300, 300)
    ]
    invoice = issue_month(session, deal, SEPTEMBER)
    trade.use("sd-1", 4, f"{SILENT[0]}T12:00Z")
    say_zero(trade, SILENT[1])
    report(trade, OCTOBER, 10)
    first = close_month(session, deal, OCTOBER).invoice
    expected = [
        (
            "Adjustment to 2026-09: Images by sd-1 (with an estimate of 10 images for 1 day without a report)"
            " (reported in place of an estimate of 20 images for 2 days without a report)",
            True,
            4 - 20,
            4 - 20,
        ),
        ("Images by sd-1", False, 310, 310),
    ]
    assert shown(first) == expected
    assert first is not None
    lines_hash = first.lines_hash
    again = close_month(session, deal, OCTOBER).invoice
    assert again is not None and (again.lines_hash, shown(again)) == (lines_hash, expected), "twice is once"
    assert again.closed_with is not None
    assert [row["days"] for row in again.closed_with["estimates"]] == [["2026-09-14"]]
    assert invoice.snapshot is not None
    assert [row["days"] for row in invoice.snapshot["estimates"]] == [[f"{day}" for day in SILENT]]


def test_a_report_that_comes_before_the_invoice_is_issued_leaves_no_trace_of_the_estimate(
    session: Session, trade: Trade, deal: Agreement
) -> None:
    close_month(session, deal, SEPTEMBER)
    for day in SILENT:
        trade.use("sd-1", 12, f"{day}T12:00Z")
    draft = close_month(session, deal, SEPTEMBER).invoice
    assert draft is not None and draft.closed_with is not None
    assert shown(draft)[-1] == ("Images by sd-1", False, 306, 306)
    assert "estimates" not in draft.closed_with


def test_an_estimate_is_no_count_and_the_books_stay_whole(session: Session, deal: Agreement) -> None:
    invoice = issue_month(session, deal, SEPTEMBER)
    assert session.scalar(select(func.sum(DailyCount.image_count))) == 310 + 270
    assert [problem for check in verify_invoices(session) for problem in check.problems] == []
    assert verify_rollup(session)[1] == []
    assert invoice.snapshot is not None
    usage = invoice.snapshot["usage"]
    assert usage["by_model"][0]["image_count"] == 270
    assert not {row["day"] for row in usage["by_day"]} & {day.isoformat() for day in SILENT}
    [row] = invoice.snapshot["estimates"]
    assert (row["reported_days"], row["reported_images"], row["images_a_day"]) == (31, 310, 10)
    bill = load_bill(session, deal, SEPTEMBER.end)
    assert bill.estimates is None and sum(bill.counts.values()) == 310 + 270, "what is counted knows nothing of it"


def test_a_silent_month_is_estimated_anew_at_every_close_and_follows_its_history(
    session: Session, trade: Trade
) -> None:
    deal = trade.agreement(fees=[flat("sd-1", "0.01")], starts_on=AUGUST.start, estimate=RULE)
    late = date(2026, 8, 20)
    report(trade, AUGUST, 10, but=[late])
    september = issue_month(session, deal, SEPTEMBER)
    assert shown(september)[-1][2:] == (300, 300), "the 30 reported days of August, 10 a day"
    counts = explain_invoice(session, str(september.number))["lines"][-1]["counts"]
    assert counts["source"] == "frozen with the invoice" and all(row["estimated"] for row in counts["days"])
    report(trade, OCTOBER, 10)
    october = close_month(session, deal, OCTOBER).invoice
    assert shown(october) == [("Images by sd-1", False, 310, 310)], "still silent: the same estimate again"
    trade.use("sd-1", 10 + 31, f"{late}T12:00Z")
    changed = close_month(session, deal, OCTOBER).invoice
    assert [line[1:] for line in shown(changed)] == [
        (True, 41, 41),
        (True, 30, 30),  # 341 images on 31 days are 11 a day
        (False, 310, 310),
    ]
    assert shown(changed)[1][0] == (
        "Adjustment to 2026-09: Images by sd-1 (with an estimate of 330 images for 30 days without a report)"
    )


def test_the_first_report_of_an_estimated_month_that_was_zero_takes_the_line_back(
    session: Session, trade: Trade
) -> None:
    deal = trade.agreement(fees=[flat("sd-1", "0.01")], starts_on=AUGUST.start, estimate=RULE)
    report(trade, AUGUST, 10)
    issue_month(session, deal, SEPTEMBER)
    for day in SEPTEMBER.each_day():
        say_zero(trade, day)
    report(trade, OCTOBER, 10)
    note = close_month(session, deal, OCTOBER).invoice
    assert shown(note)[0] == ("Images by sd-1", False, 310, 310)
    assert shown(note)[1] == (
        "Adjustment to 2026-09: Images by sd-1 (with an estimate of 300 images for 30 days without a report), "
        "no longer owed",
        True,
        -300,
        -300,
    )


def test_without_a_reported_day_to_go_by_the_invoice_waits(session: Session, trade: Trade) -> None:
    deal = trade.agreement(fees=[flat("sd-1", "0.01")], starts_on=date(2026, 9, 1), estimate=RULE)
    report(trade, SEPTEMBER, 10, but=SILENT)
    draft = close_month(session, deal, SEPTEMBER).invoice
    assert draft is not None
    assert [(each["code"]) for each in draft.hold_reasons] == ["nothing_to_estimate_from"]
    assert "nothing was reported of sd-1 for 3 days" in draft.hold_reasons[0]["sentence"]
    release(session, draft.id, ADA, "they had an outage")
    assert close_month(session, deal, SEPTEMBER).invoice.status == "draft"  # type: ignore[union-attr]
    issue(session, draft.id)
    report(trade, OCTOBER, 10)
    october = close_month(session, deal, OCTOBER).invoice
    assert october is not None and october.status == "draft", "September was waited for, and is past"
    assert shown(october) == [("Images by sd-1", False, 310, 310)]


def test_a_licensee_that_never_reported_is_held_even_with_nothing_to_ask_for(session: Session, trade: Trade) -> None:
    deal = trade.agreement(fees=[flat("sd-1", "0.01")], starts_on=SEPTEMBER.start, estimate=RULE)
    draft = close_month(session, deal, SEPTEMBER).invoice
    assert draft is not None and (draft.status, draft.total_minor, len(draft.lines)) == ("held", 0, 0)
    release(session, draft.id, ADA, "they start in October")
    session.commit()
    assert close_month(session, deal, SEPTEMBER).invoice is None, "a person has said that there is nothing to bill"
    report(trade, SEPTEMBER, 2)
    assert shown(close_month(session, deal, SEPTEMBER).invoice) == [("Images by sd-1", False, 60, 60)]


def test_days_before_the_rule_was_agreed_are_held_as_before(session: Session, trade: Trade) -> None:
    fees = [flat("sd-1", "0.01")]
    deal = trade.agreement(fees=fees, starts_on=AUGUST.start, missing_days="hold")
    report(trade, AUGUST, 10)
    report(trade, SEPTEMBER, 10, but=SILENT)
    trade.amend(deal, SILENT[1], fees=fees, estimate=RULE, missing_days="hold")
    draft = close_month(session, deal, SEPTEMBER).invoice
    assert draft is not None
    assert [each["code"] for each in draft.hold_reasons] == ["missing_reporting_days"]
    assert "1 day: 2026-09-12" in draft.hold_reasons[0]["sentence"]
    assert sum(line[2] for line in shown(draft)) == 310 + 270 + 20


def test_a_word_of_zero_for_one_of_two_models_is_believed(session: Session, trade: Trade) -> None:
    deal = trade.agreement(fees=[flat("sd-1", "0.01"), flat("sd-2", "0.01")], starts_on=AUGUST.start, estimate=RULE)
    for model in ("sd-1", "sd-2"):
        report(trade, AUGUST, 10, model=model)
        report(trade, SEPTEMBER, 10, but=SILENT, model=model)
    say_zero(trade, SILENT[0], "sd-2")
    lines = shown(close_month(session, deal, SEPTEMBER).invoice)
    assert [line[2] for line in lines if not line[1]][-2:] == [300, 290]


def test_a_preview_shows_what_the_close_then_writes(session: Session, deal: Agreement) -> None:
    session.commit()
    roll_up(session)
    before = preview(session, deal.id, SEPTEMBER)
    written = close_month(session, deal, SEPTEMBER).invoice
    assert [(line.description, line.adjustment, line.image_count, line.money.minor) for line in before] == shown(
        written
    )


def test_explain_works_an_estimate_out_again_and_marks_its_days(
    session: Session, trade: Trade, deal: Agreement
) -> None:
    close_month(session, deal, AUGUST)
    issue_month(session, deal, AUGUST)
    [line] = explain_draft(session, deal.slug, SEPTEMBER)["lines"]
    assert [row["day"] for row in line["counts"]["days"] if row.get("estimated")] == [f"{day}" for day in SILENT]
    invoice = issue_month(session, deal, SEPTEMBER)
    [line] = explain_invoice(session, str(invoice.number))["lines"]
    assert line["counts"]["source"] == "frozen with the invoice"
    assert (line["counts"]["counted"], sum(row["image_count"] for row in line["counts"]["days"])) == (300, 300)
    said = "\n".join(sentences(line)).replace("\u202f", "")
    assert "September 2026 (30 days): 300 images, 270 counted and 30 estimated" in said
    assert "2026-09-12: 10 (estimated)" in said and "2026-09-11: 10;" in said
    assert (
        "30 images of sd-1 estimated for 3 days without a report (12 to 14 September 2026): 10 a day, the "
        "average of 310 images on 31 days with a report, August 2026, rounded half up"
    ) in said
    for day in SILENT:
        trade.use("sd-1", 11, f"{day}T12:00Z")
    session.commit()
    roll_up(session)
    [line] = explain_invoice(session, str(invoice.number))["lines"]
    assert line["counts"]["sentence"].startswith(
        "When this was billed 300 images were counted or estimated; today there"
    )
    adjusted = next(each for each in explain_draft(session, deal.slug, OCTOBER)["lines"] if each["adjustment"])
    assert (
        "known by now for 3 days estimated before (12 to 14 September 2026): 33 images of sd-1 in place of the 30 "
        "estimated"
    ) in "\n".join(adjusted["steps"])


IN_WORDS = {
    "en": [
        "with an estimate of 30 images for 3 days without a report",
        "the average of 310 images on 31 days with a report, August 2026, rounded half up",
        "3 days without a report: 12–14 Sept 2026. Their images are estimates, not counts.",
    ],
    "de": [
        "darin 30 Bilder geschätzt für 3 Tage ohne Meldung",
        "im Durchschnitt 310 Bilder auf 31 Tage mit Meldung, August 2026, kaufmännisch gerundet",
        "3 Tage ohne Meldung: 12.–14. Sept. 2026. Ihre Bilder sind geschätzt, nicht gezählt.",
    ],
    "ja": ["報告のない3日分の推定 30枚を含む", "310枚の平均、四捨五入", "画像数は計数ではなく推定値です。"],
}


@pytest.mark.parametrize("language", IN_WORDS)
def test_the_paper_says_what_is_estimated_in_each_language(session: Session, deal: Agreement, language: str) -> None:
    invoice = issue_month(session, deal, SEPTEMBER)
    assert invoice.snapshot is not None
    locale = {"en": "en-GB"}.get(language, language)
    snapshot = invoice.snapshot | {"billing": {**invoice.snapshot["billing"], "language": language, "locale": locale}}
    text = re.sub(r"\s+", " ", " ".join(pages_of(render_pdf({**snapshot, "content_hash": invoice.content_hash}))))
    squeezed = text.replace(" ", "")
    for said in IN_WORDS[language]:
        assert said.replace(" ", "") in squeezed, said


def test_the_lines_for_spreadsheets_say_how_many_images_are_estimated(session: Session, deal: Agreement) -> None:
    close_month(session, deal, AUGUST)
    issue_month(session, deal, AUGUST)
    snapshot = issue_month(session, deal, SEPTEMBER).snapshot
    assert snapshot is not None
    head, row = lines_csv(snapshot).decode().splitlines()
    assert head.endswith(",estimated_image_count") and row.endswith(",30")


def test_a_statement_says_which_days_are_estimates_and_attests_nothing_for_them(
    session: Session, deal: Agreement
) -> None:
    session.commit()
    roll_up(session)
    session.commit()
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    made, _ = attest(session, "guild", "north", SEPTEMBER, Signer(bytes(range(32))))
    document = document_of(made)
    [calendar] = document["calendars"]
    assert [row["day"] for row in calendar["days"] if row.get("estimated")] == [f"{day}" for day in SILENT]
    assert document["models"][0]["image_count"] == 270


# --- Through the database: any arrival, closes and issues in between; in the end one rating of what was reported.

FEES: list[dict[str, Any]] = [
    {
        "name": "sd-1 images",
        "models": ["sd-1"],
        "schedule": {"kind": "graduated", "tiers": [{"up_to": 300, "rate": "0.0133"}, {"rate": "0.005"}]},
        "included_images": 50,
    },
    flat("sd-2", "0.0049"),
]
FLOOR = {"name": "floor", "kind": "images", "quantity": 700, "period": "month", "shortfall_rate": "0.02"}
ARRIVALS = st.lists(
    st.tuples(
        st.integers(0, 91),  # the day, of June to August
        st.sampled_from(["sd-1", "sd-2", "zero", "zero sd-1"]),
        st.integers(1, 60),  # images
        st.booleans(),  # close the next month after it arrived
        st.booleans(),  # and issue it
    ),
    min_size=3,
    max_size=25,
)


def truth_comes_out(engine: Engine, owner_url: str, arrivals: list[Any], months: int) -> None:
    forget_everything(owner_url)
    start, end = date(2026, 6, 1), date(2026, 9, 1)
    with Session(engine) as session:
        trade = Trade(session)
        rule = {"rule": "trailing_average", "months": months}
        deal = trade.agreement(fees=FEES, commitments=[FLOOR], starts_on=start, ends_on=end, estimate=rule)
        terms = terms_document(load_bill(session, deal, end).contract.versions[0][1])
        plain = {"term": (start, end), "versions": [(start, terms)], "ended_on": None}
        counts: dict[tuple[str, date], int] = {}
        reported: set[date] = set()
        zeros: set[tuple[str, date]] = set()
        month = start

        def bill_next(issues: bool) -> None:
            nonlocal month
            period = Period.month_of(month)
            closed = [close_month(session, deal, period).invoice for _ in range(2)][-1]
            heard = zeros | {(model, day) for day in reported for model in ("sd-1", "sd-2")}
            images, _ = assumed(plain, heard, counts, period.end)
            assert billed(session, period.end) == oracle_owed(plain, {**counts, **images}, period.end)
            if issues and closed is not None and closed.lines:
                if closed.status == "held":
                    release(session, closed.id, ADA, "looked at")
                issue(session, closed.id)
            month = period.end

        for n, what, images, closes, issues in arrivals:
            day = start + n * DAY
            if what.startswith("zero"):
                model = what.partition(" ")[2] or None
                if (*([model] if model else ["sd-1", "sd-2"]), day) not in zeros:
                    say_zero(trade, day, model)
                zeros |= {(each, day) for each in ([model] if model else ["sd-1", "sd-2"])}
            else:
                trade.use(what, images, f"{day}T12:00Z")
                counts[what, day] = counts.get((what, day), 0) + images
                reported.add(day)
            if closes and month < end:
                bill_next(issues)
        for day in days_of(plain, end):
            if day not in reported:
                say_zero(trade, day)
        close_month(session, deal, OCTOBER)
        assert billed(session, end) == oracle_owed(plain, counts, end)
        assert not [check for check in verify_invoices(session) if check.problems]


def billed(session: Session, until: date) -> dict[tuple[object, ...], tuple[int, int]]:
    sums: dict[tuple[object, ...], tuple[int, int]] = {}
    for line in session.scalars(select(InvoiceLine).join(Invoice).where(Invoice.period_end <= date(2027, 1, 1))):
        key = (line.kind, line.subject, line.service_start, line.service_end, line.part)
        images, minor = sums.get(key, (0, 0))
        sums[key] = images + line.image_count, minor + line.amount_minor
    return {key: found for key, found in sums.items() if found != (0, 0)}


PROPERTY = settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@PROPERTY
@given(arrivals=ARRIVALS, months=st.integers(1, 3))
def test_with_estimates_in_between_the_lines_sum_to_one_rating_of_what_was_reported(
    engine: Engine, owner_url: str, arrivals: list[Any], months: int
) -> None:
    truth_comes_out(engine, owner_url, arrivals, months)


@pytest.mark.slow
@settings(PROPERTY, max_examples=100)
@given(arrivals=ARRIVALS, months=st.integers(1, 3))
def test_with_estimates_in_between_the_lines_sum_to_one_rating_of_what_was_reported_many_times(
    engine: Engine, owner_url: str, arrivals: list[Any], months: int
) -> None:
    truth_comes_out(engine, owner_url, arrivals, months)
