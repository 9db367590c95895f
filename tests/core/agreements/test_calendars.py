"""The database's calendar against ours."""

from datetime import date

from core.agreements.calendars import calendar_differences, zones_in_use
from core.period import Period

YEAR = Period(date(2025, 1, 1), date(2026, 1, 1))


def test_the_zones_in_use_begin_their_months_when_the_database_says_so(session, account):
    assert zones_in_use(session) == ["Europe/Berlin"]
    assert calendar_differences(session, zones_in_use(session), YEAR) == []
    assert calendar_differences(session, [], YEAR) == []


def test_a_zone_that_the_two_read_differently_is_named_with_its_months(session, monkeypatch):
    from core.agreements import calendars

    true = calendars.day_start
    monkeypatch.setattr(calendars, "day_start", lambda day, zone: true(day, "Etc/GMT-1"))  # without summer time
    months = [bound.month for _, bound in calendar_differences(session, ["Europe/Berlin"], YEAR)]
    assert months == [4, 5, 6, 7, 8, 9, 10]
