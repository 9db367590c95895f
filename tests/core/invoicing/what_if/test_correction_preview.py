"""What a correction will change on invoices is said before, comes true to the cent, and sums to what is owed."""

from collections import Counter
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from core.agreements.tables import Agreement
from core.database import licensee_eyes
from core.invoicing.drafts.close import close
from core.invoicing.tables import Invoice, InvoiceLine
from core.invoicing.what_if.correction_preview import CorrectionPreview, preview_corrections, preview_document
from core.invoicing.workings.explain import explain_draft, explain_invoice
from core.money import total
from core.period import Period
from core.usage.corrections.correct import correct
from core.usage.corrections.correction import Order
from core.usage.counts.rollup import roll_up
from core.usage.tables import UsageCorrection
from tests import oracle
from tests.core.invoicing.drafts.test_close import OCTOBER, SEPTEMBER, issue_month
from tests.core.invoicing.what_if.test_amendment_preview import billed
from tests.trade import Trade, flat, forget_everything

Lines = list[tuple[str, int, int]]


def withdraw(event_id: str, correction_id: str | None = None) -> Order:
    return Order(correction_id or f"withdraw {event_id}", event_id, "withdraw", "a test run")


def amend(event_id: str, **number: int) -> Order:
    return Order(f"amend {event_id} {number}", event_id, "amend", "miscounted", **number)  # type: ignore[arg-type]


def foresee(session: Session, trade: Trade, *orders: Order) -> CorrectionPreview:
    session.commit()
    roll_up(session)
    session.commit()
    return preview_corrections(session, trade.licensee("north").id, orders)


def make(session: Session, trade: Trade, *orders: Order) -> None:
    session.commit()
    correct(session, trade.licensee("north").id, orders, "Ada")
    session.commit()
    roll_up(session)
    session.commit()


def invoices_in(preview: CorrectionPreview) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = preview_document(preview)["invoices"]
    return found


def closed_lines(session: Session, agreement: Agreement, month: Period) -> Lines:
    invoice = close(session, agreement.id, month).invoice
    return [(line.description, line.image_count, line.amount_minor) for line in invoice.lines] if invoice else []


def comes_true(session: Session, agreement: Agreement, preview: CorrectionPreview) -> None:
    """Closes, in a savepoint, every month from the first foreseen to the last: the very lines that were foreseen."""
    [effect] = preview.agreements or [None]
    diffs = {diff.period: diff for diff in effect.closes} if effect else {}
    trial = session.begin_nested()
    for month in Period(min(diffs).start, max(diffs).end).months() if diffs else ():
        lines = closed_lines(session, agreement, month)
        if month in diffs:
            assert lines == [(line.description, line.image_count, line.money.minor) for line in diffs[month].after]
    trial.rollback()
    session.expire_all()


def test_an_issued_month_is_adjusted_and_an_open_one_changes(session: Session, trade: Trade) -> None:
    agreement = trade.agreement(fees=[flat("sd-1", "0.01"), flat("sd-2", "0.02")])
    trade.use("sd-1", 500, "2026-09-03T00:00Z", event_id="september")
    trade.use("sd-1", 300, "2026-10-03T00:00Z", event_id="october")
    trade.use("sd-2", 100, "2026-10-03T00:00Z")
    number = issue_month(session, agreement, SEPTEMBER).number
    asked = (amend("september", image_count=480), withdraw("october"))
    preview = foresee(session, trade, *asked)
    [invoice] = invoices_in(preview)
    changes = invoice.pop("changes")
    assert invoice == {
        "agreement": "deal",
        "licensor": "guild",
        "period": "2026-10",
        "currency": "USD",
        "total_before": "5.00",
        "total_after": "1.80",
        "difference": "-3.20",
    }
    assert [
        (c["service"], c["adjustment"], c["description"], c["image_delta"], c["amount_before"], c["amount_after"])
        for c in changes
    ] == [
        ("2026-09", True, "Adjustment to 2026-09: Images by sd-1", -20, None, "-0.20"),
        ("2026-10", False, "Images by sd-1", -300, "3.00", None),
    ]
    assert [change["billed_on"] for change in changes] == [[number], []]
    assert preview_document(preview)["counts"] == [
        {"model": "sd-1", "day": "2026-09-03", "output": "image", "role": "named", "image_delta": -20},
        {"model": "sd-1", "day": "2026-10-03", "output": "image", "role": "named", "image_delta": -300},
    ]
    assert session.scalar(select(func.count()).select_from(UsageCorrection)) == 0, "nothing was done"
    stood = session.scalars(select(Invoice.snapshot)).one()
    make(session, trade, *asked)
    october = issue_month(session, agreement, OCTOBER)
    assert [(line.description, line.amount_minor) for line in october.lines] == [
        ("Adjustment to 2026-09: Images by sd-1", -20),
        ("Images by sd-2", 200),
    ]
    assert session.scalars(select(Invoice.snapshot).where(Invoice.number == number)).one() == stood


def test_what_was_withdrawn_whole_before_the_close_is_on_no_page_of_the_invoice(session: Session, trade: Trade) -> None:
    agreement = trade.agreement(fees=[flat("sd-1", "0.01"), flat("sd-2", "0.01")])
    trade.use("sd-1", 500, "2026-09-03T00:00Z", event_id="e")
    trade.use("sd-2", 500, "2026-09-03T00:00Z")
    session.commit()
    roll_up(session)
    make(session, trade, withdraw("e"))
    invoice = issue_month(session, agreement, SEPTEMBER)
    assert [line.subject for line in invoice.lines] == ["sd-2"]
    assert [row["model"] for row in (invoice.snapshot or {})["usage"]["by_model"]] == ["sd-2"]


def test_each_open_month_is_foreseen_as_its_own_close(session: Session, trade: Trade) -> None:
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")])
    for month in ("07", "08", "10"):
        trade.use("sd-1", 100, f"2026-{month}-03T00:00Z", event_id=month)
    issue_month(session, agreement, Period.month("2026-07"))
    asked = (amend("07", image_delta=-1), amend("08", image_delta=-2), amend("10", image_delta=5))
    preview = foresee(session, trade, *asked)
    assert [(i["period"], i["difference"]) for i in invoices_in(preview)] == [("2026-08", "-0.03"), ("2026-10", "0.05")]
    assert preview.agreements[0].money.minor == 2
    make(session, trade, *asked)
    comes_true(session, agreement, preview)


def test_what_is_not_rolled_up_yet_is_foreseen_as_it_will_be(session: Session, trade: Trade) -> None:
    tiers = {"kind": "graduated", "tiers": [{"up_to": 150, "rate": "1"}, {"rate": "0.5"}]}
    agreement = trade.agreement(fees=[{**flat("sd-1", "1"), "schedule": tiers}])
    trade.use("sd-1", 100, "2026-10-03T00:00Z", event_id="a")
    session.commit()
    roll_up(session)
    session.commit()
    make_without_counting = [amend("a", image_count=90)]
    correct(session, trade.licensee("north").id, make_without_counting, "Ada")
    trade.use("sd-1", 200, "2026-10-04T00:00Z", event_id="b")
    session.commit()
    asked = (amend("a", image_count=95), amend("b", image_delta=-100))
    preview = preview_corrections(session, trade.licensee("north").id, asked)
    [invoice] = invoices_in(preview)
    # 90 + 200 are waiting: 150 at 1 and 140 at 0.50; corrected 95 + 100: 150 at 1 and 45 at 0.50.
    assert (invoice["total_before"], invoice["total_after"]) == ("220.00", "172.50")
    make(session, trade, *asked)
    comes_true(session, agreement, preview)


def test_what_nobody_would_bill_changes_counts_alone_or_nothing_yet(session: Session, trade: Trade) -> None:
    trade.agreement(fees=[flat("sd-1", "0.01")], ends_on=date(2026, 10, 1))
    trade.use("sd-1", 100, "2026-10-03T00:00Z", event_id="unlicensed")
    trade.use("mystery", 100, "2026-09-03T00:00Z", event_id="held")
    trade.use("sd-1", 100, "2026-09-03T00:00Z", event_id="preview", output="preview")
    preview = foresee(session, trade, withdraw("unlicensed"), withdraw("held"), withdraw("preview"), withdraw("none"))
    assert [answer.status for answer in preview.answers] == ["accepted"] * 3 + ["rejected"]
    found = preview_document(preview)
    assert found["invoices"] == [] and found["held"] == ["held"]
    assert [(each["output"], each["image_delta"]) for each in found["counts"]] == [("preview", -100), ("image", -100)]


def test_a_licensees_correction_shows_on_every_agreement_that_is_owed_the_image_and_on_no_other(
    session: Session, trade: Trade
) -> None:
    trade.model("ink", owes="own")
    trade.agreement("base", fees=[flat("sd-1", "0.01")])
    trade.agreement("lora", fees=[flat("ink", "0.05")])
    trade.agreement("theirs", fees=[flat("sd-1", "9")], licensee="south")
    trade.use("sd-1", 10, "2026-10-03T00:00Z", adapters=["ink"], event_id="e")
    trade.use("sd-1", 10, "2026-10-03T00:00Z", licensee="south", event_id="e")
    preview = foresee(session, trade, amend("e", image_delta=-4))
    assert [(i["agreement"], i["difference"]) for i in invoices_in(preview)] == [("base", "-0.04"), ("lora", "-0.20")]


def test_a_corrected_shortfall_grows_by_what_was_taken_back(session: Session, trade: Trade) -> None:
    floor = {"name": "floor", "kind": "images", "quantity": 1000, "period": "month", "shortfall_rate": "0.02"}
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")], commitments=[floor], starts_on=date(2026, 9, 1))
    trade.use("sd-1", 1100, "2026-09-03T00:00Z", event_id="e")
    issue_month(session, agreement, SEPTEMBER)
    asked = [amend("e", image_count=700)]
    preview = foresee(session, trade, *asked)
    [invoice] = invoices_in(preview)
    assert [(c["description"], c["difference"]) for c in invoice["changes"]] == [
        ("Adjustment to 2026-09: Images by sd-1", "-4.00"),
        ("Adjustment to 2026-09: Shortfall of floor, 2026-09-01 to 2026-09-30", "6.00"),
    ]
    make(session, trade, *asked)
    comes_true(session, agreement, preview)
    taken_back = explain_draft(session, "deal", OCTOBER)["lines"]
    assert [line["amount"] for line in taken_back if line["adjustment"]] == ["-4.00", "6.00"]


def test_a_line_names_the_corrections_of_what_it_bills_to_the_licensee_too(session: Session, trade: Trade) -> None:
    """Those of its own days and models, of its own licensee, of what its terms bill; made before it or after."""
    agreement = trade.agreement(fees=[flat("sd-1", "0.01"), flat("sd-2", "0.01")])
    trade.agreement("theirs", fees=[flat("sd-1", "0.01")], licensee="south")
    for event_id, model, day, more in (
        ("mine", "sd-1", "2026-09-03", {}),
        ("a sketch", "sd-1", "2026-09-03", {"output": "preview"}),
        ("of another month", "sd-1", "2026-08-31", {}),
        ("of another model", "sd-2", "2026-09-03", {}),
    ):
        trade.use(model, 100, f"{day}T12:00Z", event_id=event_id, **more)  # type: ignore[arg-type]
    trade.use("sd-1", 100, "2026-09-03T00:00Z", event_id="theirs", licensee="south")
    others = [amend(event_id, image_count=1) for event_id in ("a sketch", "of another month", "of another model")]
    make(session, trade, amend("mine", image_count=90), *others)
    correct(session, trade.licensee("south").id, [withdraw("theirs")], "Bob")
    number = str(issue_month(session, agreement, SEPTEMBER).number)
    make(session, trade, amend("mine", image_count=80))
    session.commit()
    with licensee_eyes(session, trade.licensee("north").id):
        lines = explain_invoice(session, number)["lines"]
    [line] = [each for each in lines if each["subject"] == "sd-1" and each["service"] == "2026-09"]
    assert [
        (each["event_id"], each["image_delta"], each["actor"], each["reason"], each["made_after_issue"])
        for each in line["corrections"]
    ] == [("mine", -10, "Ada", "miscounted", False), ("mine", -10, "Ada", "miscounted", True)]
    assert line["corrections_complete"] and line["counts"]["days"] == [{"day": "2026-09-03", "image_count": 80}]
    assert "today there are 10 fewer" in line["counts"]["sentence"]


USE = st.tuples(
    st.just("use"),
    st.integers(1, 4),
    st.integers(1, 28),
    st.integers(1, 3000),
    st.sampled_from(["sd-1", "sd-1", "sd-2"]),
)
CORRECTIONS = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from(["withdraw", "to", "by"]), st.integers(-1500, 4000)),
    min_size=1,
    max_size=3,
)
ACTS = st.builds(
    lambda uses, acts: [*uses, *acts],
    st.lists(USE, min_size=1, max_size=4),
    st.lists(
        st.one_of(
            USE,
            st.tuples(st.just("close"), st.sampled_from([True, True, False])),
            st.tuples(st.just("roll")),
            st.tuples(st.just("correct"), CORRECTIONS),
        ),
        min_size=3,
        max_size=9,
    ),
)
TERMS = st.fixed_dictionaries(
    {
        "rate": st.sampled_from(["0.0049", "0.01", "1.333333333333"]),
        "tiers": st.booleans(),
        "included": st.sampled_from([None, 1000]),
        "commitment": st.sampled_from(
            [None, ("images", "month"), ("images", "quarter"), ("money", "month"), ("images", "quarter", "advance")]
        ),
    }
)


def document_of(terms: dict[str, Any]) -> dict[str, Any]:
    fee = flat("sd-1", terms["rate"], **({"included_images": terms["included"]} if terms["included"] else {}))
    if terms["tiers"]:
        tiers = [{"up_to": 2000, "rate": terms["rate"]}, {"rate": "0.001"}]
        fee["schedule"] = {"kind": "graduated", "tiers": tiers}
    commitments = []
    if terms["commitment"]:
        kind, period, *billing = terms["commitment"]
        price = {"shortfall_rate": "0.02"} if kind == "images" else {}
        if billing:
            price = {"billing": "advance", "prepaid_rate": "0.008"}
        commitments = [{"name": "floor", "kind": kind, "quantity": 5000, "period": period, **price}]
    return {"currency": "USD", "fees": [fee, flat("sd-2", "0.003")], "commitments": commitments}


def orders_of(said: list[tuple[int, str, int]], count: int, n: int) -> list[Order]:
    orders = []
    for place, (which, way, number) in enumerate(said):
        asked = {"to": {"image_count": abs(number)}, "by": {"image_delta": number}}.get(way, {})
        kind: Any = "amend" if asked else "withdraw"
        orders.append(Order(f"c{n}-{place}", f"e{which % count}", kind, "any", **asked))  # type: ignore[arg-type]
    return orders


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=ACTS, terms=TERMS)
def test_for_any_usage_corrections_and_closes_in_any_order_previews_come_true_and_what_is_billed_is_what_is_owed(
    engine: Engine, owner_url: str, acts: list, terms: dict
) -> None:
    check_any_order(engine, owner_url, acts, terms)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=ACTS, terms=TERMS)
def test_the_same_many_times(engine: Engine, owner_url: str, acts: list, terms: dict) -> None:
    check_any_order(engine, owner_url, acts, terms)


def check_any_order(engine: Engine, owner_url: str, acts: list, terms: dict) -> None:
    forget_everything(owner_url)
    document = document_of(terms)
    with Session(engine) as session:
        trade = Trade(session)
        agreement = trade.agreement(ends_on=date(2026, 7, 1), **{k: v for k, v in document.items() if k != "currency"})
        events: list[dict[str, Any]] = []  # the oracle's own
        month = 1
        for n, act in enumerate(acts):
            if act[0] == "use":
                _, of, day, images, model = act
                event = {"event_id": f"e{len(events)}", "model": model, "image_count": images}
                event["occurred_at"] = f"2026-{of:02}-{day:02}T12:00Z"
                trade.use(**event)
                events.append({**event, "licensee": "north"})
            elif act[0] == "close" and month < 7:
                billed(session, agreement, f"2026-{month:02}", issues=act[1])
                month += 1
            elif act[0] == "correct" and events:
                orders = orders_of(act[1], len(events), n)
                preview = foresee(session, trade, *orders)
                make(session, trade, *orders)
                takes(events, orders, preview)
                comes_true(session, agreement, preview)
            session.commit()
            if act[0] == "roll":
                roll_up(session)
                session.commit()
        billed(session, agreement, "2026-09", issues=False)
        assert_billed_what_is_owed(session, document, events)


def takes(events: list[dict[str, Any]], orders: list[Order], preview: CorrectionPreview) -> None:
    """The oracle's own events, corrected; and whether each correction was taken just when it should be."""
    by_id = {event["event_id"]: event for event in events}
    for order, answer in zip(orders, preview.answers, strict=True):
        event = by_id[order.event_id]
        after = oracle.after_correction(event["image_count"], order.kind, order.image_count, order.image_delta)
        assert (answer.status == "accepted") == (after is not None)
        event["image_count"] = event["image_count"] if after is None else after


def assert_billed_what_is_owed(session: Session, document: dict[str, Any], events: list[dict[str, Any]]) -> None:
    zones = {("north", "sd-1"): "UTC", ("north", "sd-2"): "UTC"}
    counts = {(model, day): images for (_, model, day), images in oracle.count_events(events, zones).items()}
    contract = {"term": (date(2026, 1, 1), date(2026, 7, 1)), "versions": [(date(2026, 1, 1), document)]}
    owed = oracle.owed(contract, counts, date(2026, 10, 1))
    images: Counter[tuple] = Counter()
    minor: Counter[tuple] = Counter()
    for line in session.scalars(select(InvoiceLine)):
        key = (line.kind, line.subject, line.service_start, line.service_end, line.part)
        images[key] += line.image_count
        minor[key] += line.amount_minor
    assert {key: n for key, n in minor.items() if n} == {key: n for key, (_, n) in owed.items() if n}
    assert {key: n for key, n in images.items() if n} == {key: n for key, (n, _) in owed.items() if n}


def test_the_totals_of_a_preview_are_the_sums_of_its_lines(session: Session, trade: Trade) -> None:
    trade.agreement(fees=[flat("sd-1", "0.005")])
    trade.use("sd-1", 3, "2026-10-03T00:00Z", event_id="e")
    [effect] = foresee(session, trade, amend("e", image_count=2)).agreements
    [diff] = effect.closes
    assert diff.total_after == total([line.money for line in diff.after], "USD")
    assert (diff.total_before.minor, diff.total_after.minor) == (2, 1)  # each rounded once
