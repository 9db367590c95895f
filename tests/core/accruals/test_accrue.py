"""Accruals: at the end of a month they are the draft that a close makes; before, what is owed from day to day."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from core.access.eyes import licensor_eyes
from core.accruals.accrue import accrue, accrue_due, accrue_if_due, agreements_to_accrue
from core.accruals.queries import Accrued, accruals_of
from core.agreements.tables import Agreement
from core.database import licensee_eyes
from core.invoicing.drafts.close import close, preview
from core.invoicing.drafts.tax import tax_groups
from core.invoicing.life.issue import issue
from core.money import Money
from core.period import Period
from core.usage.counts.rollup import roll_up
from tests.core.rating.random_contracts import Case, cases
from tests.trade import Trade, flat, forget_everything

OCTOBER, NOVEMBER = Period.month("2026-10"), Period.month("2026-11")
NOW = timedelta()


def at(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def made(session: Session, agreement: Agreement, day: date) -> dict[str, Accrued]:
    """The agreement's accruals as of a day, by month."""
    session.commit()
    roll_up(session)
    accrue(session, agreement.id, at(day))
    session.commit()
    return {row.period.name: row for row in accruals_of(session, agreement=agreement.slug)}


def asked(session: Session, agreement_id: int, period: Period) -> tuple[int, int]:
    """Net and tax of what a close would write."""
    lines = preview(session, agreement_id, period)
    tax = sum(group.tax_minor for group in tax_groups((line.tax, line.money.minor) for line in lines))
    return sum(line.money.minor for line in lines), tax


def october_use(trade: Trade, images: int, days: range) -> None:
    for day in days:
        trade.use("sd-1", images, f"2026-10-{day:02}T12:00Z")


def test_before_the_month_is_over_nothing_is_asked_for_what_is_still_missing(session: Session) -> None:
    trade = Trade(session)
    floor = {"name": "floor", "kind": "images", "quantity": 10_000, "period": "month", "shortfall_rate": "0.02"}
    fee = flat("sd-1", "0.01", base_fee="31")
    agreement = trade.agreement(fees=[fee], commitments=[floor], starts_on=OCTOBER.start, ends_on=date(2026, 12, 1))
    october_use(trade, 100, range(1, 11))
    row = made(session, agreement, date(2026, 10, 11))["2026-10"]
    assert (row.state, row.image_count, row.forecast_image_count) == ("running", 1000, 3100)
    assert (row.accrued.minor, row.forecast.minor) == (3100 + 1000, 3100 + 3100 + 2 * 6900)
    [position] = row.commitments
    assert (position.counted, position.forecast, position.expected_shortfall) == (1000, 3100, 6900)
    assert row.expected_shortfall == position.shortfall == Money("USD", 13_800)
    assert [(point.day.day, int(point.quantity), point.expected) for point in position.burn_down] == [
        (1, 0, False), (12, 1000, False), (1, 3100, True),
    ]  # fmt: skip
    row = made(session, agreement, NOVEMBER.start)["2026-10"]
    assert (row.state, row.accrued.minor) == ("over", 3100 + 1000 + 2 * 9000)
    closed = close(session, agreement.id, OCTOBER).invoice
    assert closed is not None and closed.total_minor == row.accrued.minor


def test_each_day_to_come_brings_the_average_of_its_weekday(session: Session) -> None:
    trade = Trade(session)
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")])
    for day in OCTOBER.each_day():
        if day.day <= 21:
            trade.use("sd-1", 70 if day.weekday() >= 5 else 10, f"{day}T12:00Z")
    row = made(session, agreement, date(2026, 10, 22))["2026-10"]  # a Thursday
    assert row.forecast_image_count - row.image_count == 7 * 10 + 3 * 70
    assert "average of its weekday" in row.method and "from 2026-10-01 to 2026-10-21" in row.method


def test_a_silent_day_is_not_taken_for_a_zero_and_todays_images_are_at_least_there(session: Session) -> None:
    trade = Trade(session)
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")])
    october_use(trade, 100, range(1, 9))
    october_use(trade, 100, range(11, 19))
    trade.use("sd-1", 999, "2026-10-20T01:00Z")
    row = made(session, agreement, date(2026, 10, 20))["2026-10"]
    assert row.forecast_image_count == 1600 + 999 + 12 * 100  # the 19th and the eleven days after today
    assert (row.silent_since, row.missing_day_count) == (date(2026, 10, 19), 3)
    assert row.last_counted_on == date(2026, 10, 20)


def test_the_days_and_the_subjects_add_up_to_the_fees(session: Session) -> None:
    trade = Trade(session)
    tiers = {"kind": "graduated", "tiers": [{"up_to": 100, "rate": "0.0333"}, {"rate": "0.0111"}]}
    fees = [{"name": "all", "models": ["sd-1", "sd-2"], "schedule": tiers}, {"name": "support", "base_fee": "9.99"}]
    trade.model("sd-2")
    agreement = trade.agreement(fees=fees[:1])
    trade.amend(agreement, date(2026, 10, 15), fees=[{**fees[0], "base_fee": "7.77"}])
    october_use(trade, 37, range(1, 20))
    trade.use("sd-2", 11, "2026-10-03T12:00Z")
    row = made(session, agreement, date(2026, 10, 20))["2026-10"]
    assert row.fees.minor == sum(day.fees.minor for day in row.days) == sum(share.minor for share in row.subjects)
    assert row.fees == row.accrued
    assert [day.image_count for day in row.days][:3] == [37, 37, 48]
    assert not any(day.fees.minor for day in row.days[20:])


def test_what_an_earlier_month_lacks_is_in_its_own_row_until_it_is_issued(session: Session) -> None:
    trade = Trade(session)
    agreement = trade.agreement(fees=[flat("sd-1", "0.01")], starts_on=date(2026, 10, 1))
    october_use(trade, 100, range(1, 32))
    trade.use("sd-1", 50, "2026-11-02T12:00Z")
    rows = made(session, agreement, date(2026, 11, 3))
    assert [(row.state, row.accrued.minor, row.earlier.minor) for row in rows.values()] == [
        ("over", 3100, 0), ("running", 50, 0),
    ]  # fmt: skip
    draft = close(session, agreement.id, OCTOBER).invoice
    assert draft is not None
    trade.use("sd-1", 7, "2026-10-31T12:00Z")
    rows = made(session, agreement, date(2026, 11, 3))
    assert [(row.state, row.accrued.minor) for row in rows.values()] == [("closed", 3107), ("running", 50)]
    issue(session, draft.id)
    rows = made(session, agreement, date(2026, 11, 3))
    assert [(row.state, row.accrued.minor, row.earlier.minor) for row in rows.values()] == [
        ("issued", 3100, 0), ("running", 57, 7),
    ]  # fmt: skip


RANDOM = {"case": cases(), "taxed": st.booleans(), "pick": st.integers(0, 10)}


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**RANDOM)
def test_at_the_end_of_a_month_an_accrual_is_what_a_close_would_ask_for(
    engine: Engine, owner_url: str, case: Case, taxed: bool, pick: int
) -> None:
    it_is_what_a_close_would_ask_for(engine, owner_url, case, taxed=taxed, pick=pick)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**RANDOM)
def test_of_many_random_agreements(engine: Engine, owner_url: str, case: Case, taxed: bool, pick: int) -> None:
    it_is_what_a_close_would_ask_for(engine, owner_url, case, taxed=taxed, pick=pick)


def it_is_what_a_close_would_ask_for(engine: Engine, owner_url: str, case: Case, *, taxed: bool, pick: int) -> None:
    forget_everything(owner_url)
    with Session(engine) as session:
        agreement = signed(session, case, taxed=taxed)
        months = list(Period(*case.plain["term"]).months())
        month = months[pick % len(months)]
        for earlier in months[: months.index(month)]:
            closed = close(session, agreement.id, earlier).invoice
            if closed and closed.status == "draft":
                issue(session, closed.id)
            elif closed:  # held: below zero
                session.execute(text("UPDATE invoices SET status = 'draft', hold_reasons = '[]' WHERE id = :id"),
                                {"id": closed.id})  # fmt: skip
        session.commit()
        accrue(session, agreement.id, at(month.end))
        row = {each.period: each for each in accruals_of(session)}[month]
        assert (row.accrued.minor, row.accrued_tax.minor) == asked(session, agreement.id, month)
        assert (row.forecast, row.forecast_tax) == (row.accrued, row.accrued_tax)
        assert row.fees.minor == sum(day.fees.minor for day in row.days)


def signed(session: Session, case: Case, *, taxed: bool) -> Agreement:
    """The agreement of a random case, which runs to its end, with its counts laid in."""
    trade = Trade(session, currency=case.plain["versions"][0][1]["currency"])
    if taxed:
        session.execute(text("UPDATE accounts SET tax_category = 'standard', tax_rate = 19"))
    (_, first), *later = case.plain["versions"]
    start, end = case.plain["term"]
    agreement = trade.agreement(starts_on=start, ends_on=end, **{k: v for k, v in first.items() if k != "currency"})
    for day, document in later:
        trade.amend(agreement, day, **{k: v for k, v in document.items() if k != "currency"})
    for model in {model for model, _ in case.counts}:
        trade.model(model)
        session.execute(
            text("INSERT INTO agreement_models (agreement_id, account_id, model_id, days) SELECT :a, :c, :m, "
                 "daterange(:start, :end) WHERE NOT EXISTS (SELECT FROM agreement_models WHERE model_id = :m)"),
            {"a": agreement.id, "c": agreement.account_id, "m": trade.models[model].id, "start": start, "end": end},
        )  # fmt: skip
    rows = [
        {"l": trade.licensee("north").id, "m": trade.models[model].id, "d": day, "n": images}
        for (model, day), images in case.counts.items()
        if images
    ]
    if rows:
        session.execute(text("INSERT INTO daily_counts (licensee_id, model_id, day, via_model_id, plan, image_count, "
                             "event_count) VALUES (:l, :m, :d, :m, '', :n, 1)"), rows)  # fmt: skip
    session.commit()
    session.expire_all()
    return agreement


@pytest.fixture
def running(session: Session) -> Iterator[tuple[Trade, Agreement]]:
    """An agreement that runs today, with usage of yesterday, accrued."""
    trade = Trade(session)
    today = session.execute(select(func.now())).scalar_one().date()
    agreement = trade.agreement(
        fees=[flat("sd-1", "0.01")], starts_on=today - timedelta(days=40), ends_on=today + timedelta(days=400)
    )
    trade.use("sd-1", 100, (at(today) - timedelta(days=1)).isoformat())
    session.commit()
    roll_up(session)
    session.commit()
    assert accrue_due(session) == 1
    session.commit()
    yield trade, agreement


def due(session: Session, often: timedelta = NOW) -> bool:
    found = bool(agreements_to_accrue(session, often=often))
    session.commit()
    return found


def test_a_row_is_due_when_counts_terms_or_invoices_changed_and_not_before(
    session: Session, running: tuple[Trade, Agreement]
) -> None:
    trade, agreement = running
    accrue_due(session)  # the roll-up's own transaction may still have been in the first look's snapshot
    session.commit()
    assert not due(session)
    today = session.execute(select(func.now())).scalar_one().date()

    def changes_it(often: timedelta = NOW) -> None:
        assert due(session, often)
        accrue_due(session)
        session.commit()
        assert not due(session)

    trade.use("sd-1", 5, (at(today) - timedelta(days=1)).isoformat())
    session.commit()
    assert not due(session)
    roll_up(session)
    session.commit()
    assert not due(session, timedelta(minutes=10))  # counts alone not so soon
    changes_it()
    trade.amend(agreement, today, fees=[flat("sd-1", "0.02")])
    session.commit()
    changes_it(timedelta(minutes=10))
    closed = close(session, agreement.id, Period.month_of(today.replace(day=1) - timedelta(days=1))).invoice
    session.commit()
    if closed:  # where yesterday was in the month before
        changes_it(timedelta(minutes=10))
    session.execute(text("UPDATE accounts SET tax_category = 'standard', tax_rate = 19"))
    session.commit()
    changes_it(timedelta(minutes=10))
    session.execute(text("UPDATE accruals SET as_of = as_of - 1"))
    session.commit()
    changes_it(timedelta(minutes=10))


def test_a_count_that_was_written_but_not_yet_visible_at_the_look_makes_it_due_again(
    session: Session, engine: Engine, running: tuple[Trade, Agreement]
) -> None:
    trade, agreement = running
    today = session.execute(select(func.now())).scalar_one().date()
    trade.use("sd-1", 5, (at(today) - timedelta(days=1)).isoformat())
    session.commit()
    with Session(engine) as beside:
        roll_up(beside)  # holds its counts back until after the look
        trade.licensee("later")  # a younger transaction that is over before it
        session.commit()
        accrue(session, agreement.id)
        session.commit()
        beside.commit()
    assert due(session)
    accrue_due(session)
    assert {row.image_count for row in accruals_of(session, agreement=agreement.slug)} >= {105}


def test_four_at_once_make_it_once_and_leave_what_one_alone_leaves(
    session: Session, engine: Engine, running: tuple[Trade, Agreement]
) -> None:
    agreement_id = running[1].id
    session.execute(text("DELETE FROM accruals"))
    session.commit()

    def work(_: int) -> bool:
        with Session(engine) as own:
            done = accrue_if_due(own, agreement_id)
            own.commit()
            return done

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == 1
    before = accruals_of(session)
    accrue(session, agreement_id)
    session.commit()
    assert accruals_of(session) == before


def test_an_older_look_never_replaces_a_newer_one(session: Session, running: tuple[Trade, Agreement]) -> None:
    _, agreement = running
    session.execute(text("UPDATE accruals SET accrued_minor = 77, seen_xid = '9000000000'"))
    accrue(session, agreement.id)
    assert {row.accrued.minor for row in accruals_of(session)} == {77}


def test_a_look_waits_for_no_close_and_no_close_for_a_look(
    session: Session, engine: Engine, running: tuple[Trade, Agreement]
) -> None:
    _, agreement = running
    for first, second in ((False, True), (True, False)):
        with Session(engine) as one, Session(engine) as other:
            for own, looks in ((one, first), (other, second)):
                own.execute(text("SET LOCAL lock_timeout = '2s'"))
                if looks:
                    accrue(own, agreement.id)
                else:
                    asking = "SELECT id FROM agreements WHERE id = :id FOR NO KEY UPDATE"
                    own.execute(text(asking), {"id": agreement.id})


def test_terms_that_cannot_be_rated_say_so_and_are_in_nobodys_way(session: Session) -> None:
    trade = Trade(session)
    today = session.execute(select(func.now())).scalar_one().date()
    term = {"starts_on": today - timedelta(days=3), "ends_on": today + timedelta(days=400)}
    trade.agreement("fine", fees=[flat("sd-1", "0.01")], **term)
    band = {"kind": "flat", "band": ["0.01", "0.02"]}
    trade.agreement("band", licensee="south", fees=[flat("sd-1", "0.01", schedule=band)], **term)
    session.commit()
    assert accrue_due(session) == 2
    said = {row.agreement: (row.state, row.method) for row in accruals_of(session, month=Period.month_of(today))}
    assert said["fine"][0] == "running"
    assert said["band"][0] == "refused" and "write the agreed `rate`" in said["band"][1]
    session.commit()
    assert not due(session)


def test_each_side_sees_its_own_and_may_write_nothing(session: Session, running: tuple[Trade, Agreement]) -> None:
    trade, _ = running
    other = trade.account("south")
    session.commit()
    licensor_id, north = trade.licensor.id, trade.licensee("north").id
    everything = len(accruals_of(session))
    for id_, seen in ((licensor_id, everything), (licensor_id + 1, 0)):
        with licensor_eyes(session, id_) as eyes:
            assert len(accruals_of(eyes)) == seen
    for id_, seen in ((north, everything), (other.licensee_id, 0)):
        with licensee_eyes(session, id_) as eyes:
            assert len(accruals_of(eyes)) == seen
            with pytest.raises(DBAPIError, match="permission denied"):
                eyes.execute(text("DELETE FROM accruals"))
