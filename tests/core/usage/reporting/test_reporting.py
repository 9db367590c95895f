"""Reporting calendars on the database: silence is flagged, on the days of the account's zone and for its agreement."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.agreements.amend import terminate
from core.agreements.documents import Consent, Signature
from core.database import licensee_eyes
from core.errors import NotFound
from core.period import Period
from core.usage.counts.rollup import roll_up
from core.usage.reporting.days import Unnamed, agreement_days, expecting, missing_days, unnamed_usage
from core.usage.reporting.zero_reports import ZeroBody, report_zero
from tests.trade import Trade, flat

DAY = timedelta(days=1)
# Half hours, the first and the last place on earth to begin a day, clocks that change at midnight or by half an hour.
ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Kiritimati", "Pacific/Pago_Pago",
         "Africa/Cairo", "Australia/Lord_Howe", "America/Havana"]  # fmt: skip
THIRTY = [
    Period(date(2026, 3, 8), date(2026, 4, 7)),  # clocks go forward in all of these zones that change them
    Period(date(2025, 10, 10), date(2025, 11, 9)),  # and back
]


def use_on(trade: Trade, days: Iterable[date], zone: str, model: str = "sd-1", licensee: str = "north") -> None:
    """One event on each day, at its very first or last moment by turns, as the zone's own clock shows it."""
    for n, day in enumerate(days):
        clock = time.min if n % 2 else time(23, 59, 59, 999_999)
        local = datetime.combine(day, clock, ZoneInfo(zone))
        if local.astimezone(UTC).astimezone(ZoneInfo(zone)).date() != day:
            local = datetime.combine(day, time(12), ZoneInfo(zone))  # a midnight that does not exist there
        trade.use(model, 10, local.isoformat(), licensee=licensee)


def count(session: Session) -> None:
    session.commit()
    roll_up(session)
    session.commit()


def missing(session: Session, slug: str = "deal") -> list[date]:
    (found,) = missing_days(session, agreement=slug)
    return [day for run in found.runs for day in run.each_day()]


@pytest.mark.parametrize("thirty", THIRTY, ids=["spring", "autumn"])
def test_three_silent_days_of_thirty_are_three_flags_in_every_zone(session: Session, thirty: Period):
    trade = Trade(session)
    silent = [thirty.start + n * DAY for n in (4, 20, 21)]
    for n, zone in enumerate(ZONES):
        trade.account(f"in-{n}", zone)
        trade.agreement(
            f"deal-{n}",
            licensee=f"in-{n}",
            fees=[flat("sd-1", "0.01")],
            starts_on=thirty.start,
            ends_on=thirty.end,
        )
        use_on(trade, (day for day in thirty.each_day() if day not in silent), zone, licensee=f"in-{n}")
        # Usage just outside the term belongs to no day of it.
        use_on(trade, [thirty.start - DAY, thirty.end], zone, licensee=f"in-{n}")
    count(session)
    for n, zone in enumerate(ZONES):
        assert missing(session, f"deal-{n}") == silent, zone
        states = [each.state for each in agreement_days(session, expecting(session, f"deal-{n}"), thirty)]
        assert (states.count("reported"), states.count("missing")) == (27, 3), zone


def test_each_agreement_has_days_of_its_own_and_another_models_usage_is_none_of_its(session: Session):
    trade = Trade(session)
    term = Period(date(2026, 1, 10), date(2026, 1, 13))
    trade.agreement("one", fees=[flat("sd-1", "0.01")], starts_on=term.start, ends_on=term.end)
    trade.agreement("two", fees=[flat("other", "0.01")], starts_on=term.start, ends_on=term.end)
    trade.agreement("theirs", licensee="south", fees=[flat("sd-1", "0.01")], starts_on=term.start, ends_on=term.end)
    trade.model("tuned", bases=["sd-1"])
    use_on(trade, [term.start], "UTC", "tuned")  # a derivative reports for its base
    use_on(trade, [term.start + DAY], "UTC", "other")
    count(session)
    assert missing(session, "one") == [date(2026, 1, 11), date(2026, 1, 12)]
    assert missing(session, "two") == [date(2026, 1, 10), date(2026, 1, 12)]
    assert len(missing(session, "theirs")) == 3
    found = agreement_days(session, expecting(session, "one"), term)[0]
    assert (found.event_count, found.image_count) == (1, 10)


def test_usage_of_an_unknown_model_reports_no_agreements_day_but_is_shown(session: Session):
    trade = Trade(session)
    day = date(2026, 1, 10)
    trade.agreement(fees=[flat("sd-1", "0.01")], starts_on=day, ends_on=day + DAY)
    use_on(trade, [day], "UTC", "mystery")
    count(session)
    assert missing(session) == [day]
    assert unnamed_usage(session, trade.licensee("north").id) == Unnamed(1, 10)
    assert unnamed_usage(session, trade.account("south").licensee_id) == Unnamed(0, 0)


def test_a_word_of_zero_closes_days_and_usage_that_comes_later_stands_against_it(session: Session):
    trade = Trade(session)
    term = Period(date(2026, 1, 10), date(2026, 1, 20))
    trade.agreement(fees=[flat("sd-1", "0.01")], starts_on=term.start, ends_on=term.end)
    trade.agreement("south", licensee="south", fees=[flat("sd-1", "0.01")], starts_on=term.start, ends_on=term.end)
    report_zero(session, trade.licensee("north").id, 1, ZeroBody("z", term.start, date(2026, 1, 18)))
    assert missing(session) == [date(2026, 1, 18), date(2026, 1, 19)]
    assert len(missing(session, "south")) == 10
    use_on(trade, [date(2026, 1, 12)], "UTC")
    count(session)
    states = "".join(each.state[0] for each in agreement_days(session, expecting(session, "deal"), term))
    assert states == "zzrzzzzzmm"


def test_today_is_open_where_the_account_is_and_so_is_the_rest_of_the_term(session: Session):
    """At every hour one of the two zones at least has another date than UTC."""
    now = session.execute(select(func.now())).scalar_one()
    trade = Trade(session)
    for licensee, zone in (("early", "Pacific/Kiritimati"), ("late", "Pacific/Pago_Pago")):
        today = now.astimezone(ZoneInfo(zone)).date()
        trade.account(licensee, zone)
        term = {"starts_on": today - DAY, "ends_on": today + 3 * DAY}
        trade.agreement(licensee, licensee=licensee, fees=[flat("sd-1", "0.01")], **term)
        around = Period(today - 9 * DAY, today + 9 * DAY)
        states = [each.state for each in agreement_days(session, expecting(session, licensee), around)]
        assert states == ["missing", "open", "open", "open"]
        assert missing(session, licensee) == [today - DAY]


def test_a_term_to_come_expects_nothing_yet_and_one_that_ended_early_nothing_after_its_end(session: Session):
    today = session.execute(select(func.now())).scalar_one().date()
    trade = Trade(session)
    trade.agreement("to-come", fees=[flat("sd-1", "0.01")], starts_on=today + DAY, ends_on=today + 9 * DAY)
    (found,) = missing_days(session, agreement="to-come")
    assert (found.runs, found.day_count) == ([], 0)
    term = {"starts_on": date(2026, 1, 10), "ends_on": date(2026, 1, 20)}
    trade.agreement("cut", fees=[flat("sd-2", "0.01")], **term)
    signatures = (Signature("licensor", "Ada", date(2026, 1, 9)), Signature("licensee", "Bob", date(2026, 1, 9)))
    terminate(session, "cut", date(2026, 1, 13), Consent(signatures, "agreed"))
    assert missing(session, "cut") == [date(2026, 1, day) for day in (10, 11, 12)]


def test_pages_of_agreements_follow_on_and_a_licensee_sees_its_own(session: Session):
    trade = Trade(session)
    for licensee in ("north", "south"):
        for slug in ("a", "b", "c"):
            trade.agreement(f"{slug}-{licensee}", licensee=licensee, fees=[flat(f"sd-{slug}", "0.01")])
    session.commit()
    assert [each.of.agreement for each in missing_days(session, limit=2, after="a-south")] == ["b-north", "b-south"]
    assert {each.of.licensee for each in missing_days(session, licensee="south")} == {"south"}
    with licensee_eyes(session, trade.licensee("south").id):
        assert [each.of.agreement for each in missing_days(session)] == ["a-south", "b-south", "c-south"]
        with pytest.raises(NotFound):
            expecting(session, "a-north")
