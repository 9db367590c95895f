"""A change of an agreement, seen on the next invoice before it is signed, and then on the invoice itself."""

from collections.abc import Callable
from datetime import date
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from core.agreements.amend import amend, extend, revoke, terminate
from core.agreements.documents import declared_in_catalogue
from core.agreements.sign import sign
from core.agreements.tables import Agreement, AgreementEvent, AgreementModel
from core.agreements.terms import Terms, parse_terms
from core.errors import Conflict
from core.invoicing.drafts.bill import load_bill
from core.invoicing.drafts.close import close, preview
from core.invoicing.drafts.unlicensed import UnlicensedUsage, unlicensed_usage
from core.invoicing.life.issue import issue
from core.invoicing.tables import Invoice, InvoiceLine
from core.invoicing.what_if.amendment_preview import InvoiceDiff, next_period, preview_change
from core.period import Period
from core.rating.rate import owed
from core.usage.counts.rollup import roll_up
from tests.trade import Trade, flat, forget_everything

CONSENT = declared_in_catalogue(date(2026, 1, 1), "agreed")
REVOKED = declared_in_catalogue(date(2026, 1, 1), "breach", parties=("licensor",))
FLOOR = {"name": "floor", "kind": "images", "quantity": 12_000, "period": "term", "shortfall_rate": "0.02"}
_ids = count(1)


def terms(*fees: dict, **more: object) -> Terms:
    return parse_terms({"currency": "USD", "fees": list(fees), **more})


def billed(session: Session, agreement: Agreement, month: str, *, issues: bool = True) -> Invoice | None:
    session.commit()
    roll_up(session)
    closed = close(session, agreement.id, Period.month(month))
    if closed.invoice and issues and closed.invoice.status == "draft":
        issue(session, closed.invoice.id)
    session.commit()
    return closed.invoice


def said(diff: InvoiceDiff) -> list[tuple[str, int, int]]:
    return [(line.description, line.image_count, line.money.minor) for line in diff.changes]


def total_billed(session: Session) -> int:
    return session.scalar(select(func.coalesce(func.sum(InvoiceLine.amount_minor), 0))) or 0


@pytest.fixture
def year(session: Session, trade: Trade) -> Agreement:
    """sd-1 at 1 cent and sd-2 at 2 cents, August and September issued, October used and not closed."""
    agreement = trade.agreement(fees=[flat("sd-1", "0.01"), flat("sd-2", "0.02")])
    for month in ("08", "09", "10"):
        trade.use("sd-1", 1000, f"2026-{month}-05T12:00Z")
        trade.use("sd-1", 500, f"2026-{month}-20T12:00Z")
        trade.use("sd-2", 100, f"2026-{month}-20T12:00Z")
    billed(session, agreement, "2026-08")
    billed(session, agreement, "2026-09")
    return agreement


def test_a_back_dated_price_is_previewed_line_by_line_and_then_billed_so(session: Session, year: Agreement) -> None:
    cheaper = terms(flat("sd-1", "0.008"), flat("sd-2", "0.02"))
    diff = preview_change(session, "deal", lambda: amend(session, "deal", date(2026, 9, 16), cheaper))
    assert diff.period == Period.month("2026-10")
    assert said(diff) == [
        ("Adjustment to 2026-09: Images by sd-1, 2026-09-01 to 2026-09-15", -500, -500),
        ("Adjustment to 2026-09: Images by sd-1, 2026-09-16 to 2026-09-30", 500, 400),
        ("Images by sd-1", 0, -300),
    ]
    assert [
        (line.before and line.before.money.minor, line.after and line.after.money.minor) for line in diff.changes
    ] == [
        (None, -500),
        (None, 400),
        (1500, 1200),
    ]
    assert (diff.total_before.minor, diff.total_after.minor, diff.money.minor) == (1700, 1300, -400)
    assert session.scalar(select(func.count()).where(AgreementEvent.kind == "amended")) == 0, "nothing was done"
    amend(session, "deal", date(2026, 9, 16), cheaper, CONSENT)
    october = billed(session, year, "2026-10")
    assert october is not None
    assert [(line.description, line.amount_minor) for line in october.lines] == [
        (line.description, line.money.minor) for line in diff.after
    ]
    assert (october.status, october.total_minor) == ("issued", 1300)


def test_a_model_taken_out_in_the_past_is_taken_back_and_may_be_billed_under_another_agreement(
    session: Session, trade: Trade, year: Agreement
) -> None:
    def take_out() -> object:
        return amend(session, "deal", date(2026, 9, 1), terms(flat("sd-1", "0.01")), CONSENT)

    assert said(preview_change(session, "deal", take_out)) == [
        ("Adjustment to 2026-09: Images by sd-2, no longer owed", -100, -200),
        ("Images by sd-2", -100, -200),
    ]
    take_out()
    account = trade.account("north")
    other = sign(session, account, "other", Period(date(2026, 9, 1), date(2027, 1, 1)), terms(flat("sd-2", "0.05")))
    october = billed(session, year, "2026-10")
    assert october is not None
    assert [(line.description, line.amount_minor) for line in october.lines] == [
        ("Images by sd-1", 1500),
        ("Adjustment to 2026-09: Images by sd-2, no longer owed", -200),
    ]
    moved = billed(session, other, "2026-10")
    assert moved is not None
    assert sorted(line.amount_minor for line in moved.lines) == [500, 500]


def test_a_model_added_in_the_past_is_billed_for_the_days_it_was_used(
    session: Session, trade: Trade, year: Agreement
) -> None:
    trade.use("sd-3", 70, "2026-09-10T00:00Z") if trade.model("sd-3") else None
    session.commit()
    roll_up(session)
    more = terms(flat("sd-1", "0.01"), flat("sd-2", "0.02"), flat("sd-3", "0.10"))
    (line,) = preview_change(session, "deal", lambda: amend(session, "deal", date(2026, 9, 1), more)).changes
    assert (line.description, line.adjustment, line.money.minor) == ("Adjustment to 2026-09: Images by sd-3", True, 700)


def test_a_revocation_takes_back_what_was_billed_after_its_day_and_keeps_the_counts(
    session: Session, trade: Trade, year: Agreement
) -> None:
    def withdraw() -> object:
        return revoke(session, "deal", date(2026, 9, 16), REVOKED)

    diff = preview_change(session, "deal", withdraw)
    assert diff.money.minor == -(500 + 200) - (1500 + 200)
    assert all("2026-09" in line.description for line in diff.changes if line.after)
    counted = load_bill(session, year, until=date(2026, 11, 1)).counts
    withdraw()
    october = billed(session, year, "2026-10", issues=False)
    assert october is not None
    assert (october.status, october.total_minor) == ("held", diff.total_after.minor), "a credit, not an invoice"
    assert total_billed(session) == 1700 + 1000
    assert unlicensed_usage(session, year.account_id) == [
        UnlicensedUsage("sd-1", date(2026, 9, 20), date(2026, 10, 20), 2000),
        UnlicensedUsage("sd-2", date(2026, 9, 20), date(2026, 10, 20), 200),
    ]
    assert sum(counted.values()) == 4800


@pytest.mark.parametrize(("rule", "shortfall_images"), [("prorated", 6000 - 1000), ("full", 12_072 - 1000)])
def test_a_termination_owes_the_promise_for_the_days_it_ran_or_in_full_as_the_terms_say(
    session: Session, trade: Trade, rule: str, shortfall_images: int
) -> None:
    floor = FLOOR | {"quantity": 12_072}  # 366 days, of which 182 until July: 6,000 and a fraction
    span = {"starts_on": date(2024, 1, 1), "ends_on": date(2028, 1, 1)}
    yearly = floor | {"period": "year"}
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")], commitments=[yearly], early_termination=rule, **span)
    trade.use("sd-1", 1000, "2024-03-05T12:00Z")
    session.commit()
    roll_up(session)
    diff = preview_change(
        session, "deal", lambda: terminate(session, "deal", date(2024, 7, 1), CONSENT), Period.month("2024-06")
    )
    expected = shortfall_images + (3 if rule == "prorated" else 0)
    assert said(diff) == [("Shortfall of floor, 2024-01-01 to 2024-06-30", expected, expected * 2)]
    terminate(session, "deal", date(2024, 7, 1), CONSENT)
    billed(session, agreement, "2024-06")
    assert billed(session, agreement, "2026-10") is None, "no promise of later years"
    assert total_billed(session) == 1000 + expected * 2


def test_an_extension_takes_back_nothing_that_was_promised_for_the_term(session: Session, trade: Trade) -> None:
    agreement = trade.agreement(
        fees=[flat("sd-1", "0.01")], commitments=[FLOOR], starts_on=date(2026, 1, 1), ends_on=date(2026, 7, 1)
    )
    trade.use("sd-1", 2000, "2026-06-05T12:00Z")
    june = billed(session, agreement, "2026-06")
    assert june is not None
    assert june.total_minor == 2000 + 10_000 * 2
    diff = preview_change(session, "deal", lambda: extend(session, "deal", date(2027, 7, 1), CONSENT))
    assert (diff.period, diff.changes) == (Period.month("2026-07"), ())
    extend(session, "deal", date(2027, 7, 1), CONSENT)
    trade.use("sd-1", 300, "2026-07-01T12:00Z")
    july = billed(session, agreement, "2026-07")
    assert july is not None
    assert [(line.description, line.amount_minor) for line in july.lines] == [("Images by sd-1", 300)]
    at_the_end = preview(session, agreement.id, Period.month("2027-06"))
    assert at_the_end == [], "the promise was kept or paid for, once"


def test_an_extension_of_a_term_that_ended_within_a_month_moves_that_month_and_sums_to_the_same(
    session: Session, trade: Trade
) -> None:
    agreement = trade.agreement(
        fees=[flat("sd-1", "0.01", base_fee="31")], starts_on=date(2026, 5, 1), ends_on=date(2026, 7, 11)
    )
    trade.use("sd-1", 100, "2026-07-05T12:00Z")
    july = billed(session, agreement, "2026-07")
    assert july is not None
    assert july.total_minor == 1000 + 100 + 3100 + 3100
    extend(session, "deal", date(2026, 9, 1), CONSENT)
    trade.use("sd-1", 10, "2026-07-15T12:00Z")
    billed(session, agreement, "2026-08")
    lines = owed(
        load_bill(session, agreement, date(2026, 9, 1)).contract, {("sd-1", date(2026, 7, 5)): 110}, date(2026, 9, 1)
    )
    assert total_billed(session) == sum(line.money.minor for line in lines) == 4 * 3100 + 110


def test_a_preview_refuses_what_signing_would_refuse_and_leaves_nothing(
    session: Session, trade: Trade, year: Agreement
) -> None:
    trade.agreement("other", fees=[flat("sd-3", "0.01")])
    session.commit()
    more = terms(flat("sd-1", "0.01"), flat("sd-3", "0.01"))
    with pytest.raises(Conflict, match="agreement other does already"):
        preview_change(session, "deal", lambda: amend(session, "deal", date(2026, 9, 1), more))
    session.commit()
    assert session.scalar(select(func.count()).where(AgreementEvent.kind == "amended")) == 0
    assert session.scalar(select(func.count()).where(func.upper(AgreementModel.days) < date(2027, 1, 1))) == 0


def test_the_next_invoice_is_that_of_the_month_after_the_last_that_was_issued(
    session: Session, trade: Trade, year: Agreement
) -> None:
    assert next_period(session, "deal") == Period.month("2026-10")
    trade.agreement(
        "later", licensee="south", fees=[flat("sd-1", "1")], starts_on=date(2126, 3, 9), ends_on=date(2127, 1, 1)
    )
    assert next_period(session, "later") == Period.month("2126-03")


DAYS = st.dates(date(2026, 1, 2), date(2026, 5, 30))
RATES = st.sampled_from(["0", "0.0049", "0.01", "1.333333333333"])
ACTS = st.one_of(
    st.tuples(st.just("use"), DAYS, st.integers(1, 3000), st.sampled_from(["sd-1", "sd-2"])),
    st.tuples(st.just("close"), st.booleans()),
    st.tuples(st.just("amend"), DAYS, RATES, st.sampled_from([("sd-1",), ("sd-1", "sd-2"), ("sd-2",)]), st.booleans()),
    st.tuples(st.just("extend"), st.integers(1, 40)),
)
ENDS = st.none() | st.tuples(st.sampled_from([terminate, revoke]), DAYS)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=st.lists(ACTS, min_size=2, max_size=9), end=ENDS, rule=st.sampled_from(["prorated", "full"]))
def test_whatever_is_amended_extended_and_ended_every_preview_comes_true_and_the_lines_sum_to_one_rating(
    engine: Engine, owner_url: str, acts: list, end: tuple | None, rule: str
) -> None:
    forget_everything(owner_url)
    with Session(engine) as session:
        trade = Trade(session)
        promise = {"kind": "money", "quantity": "50", "period": "month", "name": "promise"}
        more = {"commitments": [FLOOR | {"quantity": 4000}, promise], "early_termination": rule}
        agreement = trade.agreement(fees=[flat("sd-1", "0.01")], ends_on=date(2026, 6, 16), **more)
        trade.model("sd-2")
        month = 1
        for act in [*acts, ("end",)]:
            if act[0] == "use":
                trade.use(act[3], act[2], f"{act[1]}T12:00Z", event_id=f"e{next(_ids)}")
            elif act[0] == "close" and month < 7:
                billed(session, agreement, f"2026-{month:02}", issues=act[1])
                month += 1
            elif change := change_of(session, act, end, more):
                session.commit()
                roll_up(session)
                foreseen = preview_change(session, "deal", change, Period.month("2026-09"))
                change()
                now = preview_change(session, "deal", lambda: None, Period.month("2026-09"))
                assert (now.before, now.changes) == (foreseen.after, ())
                assert sum(line.money.minor for line in foreseen.changes) == foreseen.money.minor
        billed(session, agreement, "2026-09", issues=False)
        session.refresh(agreement)
        bill = load_bill(session, agreement, until=date(2026, 10, 1))
        lines = owed(bill.contract, bill.counts, date(2026, 10, 1))
        assert total_billed(session) == sum(line.money.minor for line in lines)
        assert covers_what_the_terms_name(session, agreement, bill.contract)


def change_of(session: Session, act: tuple, end: tuple | None, more: dict) -> Callable[[], object] | None:
    if act[0] == "amend":
        _, day, rate, models, promises = act
        # A promise needs a model that owes a fee; without one the amendment drops it.
        new = terms(*(flat(model, rate) for model in models), **(more if promises and rate != "0" else {}))
        return lambda: amend(session, "deal", day, new, CONSENT)
    if act[0] == "extend":
        ends_on = session.scalars(select(Agreement.ends_on)).one()
        return lambda: extend(session, "deal", date.fromordinal(ends_on.toordinal() + act[1]), CONSENT)
    if act[0] == "end" and end is not None:
        verb, day = end
        return lambda: verb(session, "deal", day, REVOKED)
    return None


def covers_what_the_terms_name(session: Session, agreement: Agreement, contract: object) -> bool:
    from core.agreements.coverage import covered_days
    from core.agreements.queries import agreement_versions, cover_of

    days = Period(agreement.starts_on, agreement.ended_on or agreement.ends_on)
    wanted = covered_days(days, agreement_versions(session, agreement.id))
    held = cover_of(session, agreement.id)
    return {(m, day) for m, runs in wanted.items() for run in runs for day in run.each_day()} == {
        (m, day) for m, run in held for day in run.each_day()
    }
