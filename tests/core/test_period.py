"""Every instant belongs to exactly one day and one month of every calendar, and PostgreSQL says the same.

The calendars are those of all time zones. The instants are the bounds of sixty months, and one microsecond to each
side: there the clocks change at midnight, days are skipped, and offsets are not whole hours. PostgreSQL has a table of
zones of its own, which may know of a new law before Python's or after it; where the two clocks show different times
there is nothing to compare, and a test says how rare that may be.
"""

import zoneinfo
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.period import Period, day_of, day_start, zone_of

TICK, DAY = timedelta(microseconds=1), timedelta(days=1)
FIVE_YEARS = Period(date(2025, 1, 1), date(2030, 1, 1))
ABBREVIATIONS = ["CET", "EET", "MET", "WET", "EST", "HST", "MST"]
ZONES = sorted(available_timezones() - {"localtime", "Factory", *ABBREVIATIONS})
# Quarters and halves of hours, changes at midnight, both hemispheres, the ends of the world, a half-hour summer time.
TELLING = [
    *("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Asia/Kolkata", "Australia/Eucla"),
    *("Australia/Lord_Howe", "Pacific/Chatham", "America/St_Johns", "Pacific/Apia", "Pacific/Kiritimati"),
    *("America/Havana", "America/Santiago", "Asia/Beirut", "Africa/Cairo", "Africa/Casablanca", "Antarctica/Troll"),
    *("Atlantic/Azores", "America/Nuuk", "Asia/Gaza", "Asia/Tehran", "Etc/GMT+12", "Etc/GMT-14"),
]
BY_POSTGRES = """
SELECT (at AT TIME ZONE zone)::date, at AT TIME ZONE zone FROM unnest(%s::timestamptz[], %s::text[]) AS asked (at, zone)
"""


def differing(server: str, asked: Sequence[tuple[datetime, str, date]]) -> list[str]:
    """The zones whose clocks differ between the tables. Wherever they show the same time, PostgreSQL's day is ours."""
    with psycopg.connect(server) as connection:
        rows = connection.execute(BY_POSTGRES, [[at for at, _, _ in asked], [zone for _, zone, _ in asked]]).fetchall()
    differ = set()
    for (at, zone, day), (by_postgres, clock) in zip(asked, rows, strict=True):
        if at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == clock:
            assert by_postgres == day, (zone, at)
        else:
            differ.add(zone)
    return sorted(differ)


def around_bounds(zones: Sequence[str], span: Period) -> Iterator[tuple[datetime, str, date, date]]:
    """(instant, zone, its day, the first day of its month) around every month's bound of every zone."""
    for zone in zones:
        for month in span.months():
            before = month.start - DAY
            bound = day_start(month.start, zone)
            yield bound - TICK, zone, before, before.replace(day=1)
            yield bound, zone, month.start, month.start
            yield bound + TICK, zone, month.start, month.start


def prove(server: str, zones: Sequence[str], span: Period) -> list[str]:
    """Python and PostgreSQL name the expected day around every bound; the months follow on without gap or overlap."""
    asked = list(around_bounds(zones, span))
    assert len(asked) == len(zones) * 60 * 3
    for at, zone, day, month in asked:
        assert (day_of(at, zone), Period.month_of(day_of(at, zone)).start) == (day, month), (zone, at)
    for zone in zones:
        bounds = [month.bounds(zone) for month in span.months()]
        assert all(start < end for start, end in bounds)
        assert all(one[1] == other[0] for one, other in pairwise(bounds)), zone
    return differing(server, [(at, zone, day) for at, zone, day, _ in asked])


def test_telling_zones_agree_with_postgres_around_every_bound_of_sixty_months(database_server: str) -> None:
    assert len(prove(database_server, TELLING, FIVE_YEARS)) <= 2


@pytest.mark.slow
def test_all_zones_agree_with_postgres_around_every_bound_of_sixty_months(database_server: str) -> None:
    assert len(ZONES) > 550
    assert len(prove(database_server, ZONES, FIVE_YEARS)) <= 20


def changes(zone: str, span: Period) -> Iterator[date]:
    """The days of a span that are not 24 hours long, and the days after them."""
    for day in span.each_day():
        if day_start(day + DAY, zone) - day_start(day, zone) != DAY:
            yield from (day, day + DAY)


def prove_changes(server: str, zones: Sequence[str], span: Period) -> list[str]:
    """Like `prove`, around both ends of every day on which a clock changes, but for days that are shown twice."""
    asked = []
    for zone in zones:
        for day in changes(zone, span):
            bound = day_start(day, zone)
            assert day_of(bound - TICK, zone) < day <= day_of(bound, zone), (zone, day)
            asked += [(at, zone, day_of(at, zone)) for at in (bound - TICK, bound, bound + TICK)]
    return differing(server, asked)


def test_every_change_of_a_telling_clock_leaves_each_instant_on_one_day(database_server: str) -> None:
    assert len(prove_changes(database_server, TELLING, Period(date(2024, 1, 1), date(2028, 1, 1)))) <= 2


@pytest.mark.slow
def test_every_change_of_every_clock_leaves_each_instant_on_one_day(database_server: str) -> None:
    assert prove_changes(database_server, ZONES, Period(date(2010, 7, 1), date(2012, 7, 1))) == []


@pytest.mark.slow
def test_no_clock_of_our_time_shows_a_day_once_more_after_the_next_has_begun() -> None:
    """What no half-open period could follow: in St John's clocks went from 00:01 back to 23:01, until 2011."""
    ours = Period(date(2025, 1, 1), date(2028, 1, 1))
    assert [(zone, day) for zone in ZONES for day in changes(zone, ours) if shown_again(zone, day)] == []
    assert shown_again("America/St_Johns", date(2010, 11, 7))


def shown_again(zone: str, day: date) -> bool:
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    second = midnight.replace(fold=1).astimezone(UTC)
    return midnight.astimezone(UTC) < second and day_of(second - TICK, zone) < day


@pytest.mark.parametrize(
    ("zone", "day", "first_instant"),
    [
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00"),  # the change is at two o'clock: midnight is itself
        ("Asia/Kathmandu", "2026-05-01", "2026-04-30T18:15"),
        ("America/Santiago", "2025-09-07", "2025-09-07T04:00"),  # midnight is skipped: the day begins at one o'clock
        ("America/Santiago", "2026-04-05", "2026-04-05T04:00"),  # the hour before midnight comes twice
        ("America/Havana", "2025-11-02", "2025-11-02T04:00"),  # the hour after midnight comes twice: the first counts
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00"),  # a day that never was begins when the next one does
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00"),
        ("America/St_Johns", "2010-11-07", "2010-11-07T03:30"),  # 00:01 was followed by 23:01 of the day before
        ("America/Toronto", "1919-03-31", "1919-03-31T04:30"),  # 23:30 was followed by 00:30 of the next day
    ],
)
def test_a_day_begins_where_its_calendar_says(zone: str, day: str, first_instant: str) -> None:
    begins = day_start(date.fromisoformat(day), zone)
    assert begins == datetime.fromisoformat(first_instant).replace(tzinfo=UTC)
    assert day_of(begins - TICK, zone) < date.fromisoformat(day) <= day_of(begins, zone)


@given(st.sampled_from(TELLING), st.datetimes(datetime(2012, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC)))
@example("Asia/Gaza", datetime(2016, 3, 25, 23, 30, tzinfo=UTC))
def test_an_instant_lies_in_its_own_day_and_in_no_other(zone: str, instant: datetime) -> None:
    day = day_of(instant, zone)
    holding = [
        near
        for near in (day - DAY, day, day + DAY)
        if Period(near, near + DAY).bounds(zone)[0] <= instant < Period(near, near + DAY).bounds(zone)[1]
    ]
    assert holding == [day]


@pytest.mark.parametrize("name", ABBREVIATIONS)
def test_an_abbreviation_that_the_database_reads_as_one_offset_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="is an abbreviation, not a time zone: use the name of a place"):
        zone_of(name)


def test_zones_come_from_our_lock_and_not_from_the_machine() -> None:
    assert zoneinfo.TZPATH == ()


@pytest.mark.parametrize("name", ["", "Europe/Atlantis", "../etc/passwd", "Europe/Berlin\0", "x" * 5000])
def test_a_name_that_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="is not a time zone"):
        zone_of(name)


def test_months_before_and_after_one_cross_the_years() -> None:
    january = Period.month("2026-01")
    assert [january.months_before(n).name for n in (0, 1, 13, -1, -12)] == [
        "2026-01", "2025-12", "2024-12", "2026-02", "2027-01",
    ]  # fmt: skip
    assert Period(date(2026, 1, 15), date(2026, 3, 1)).months_before().name == "2025-12"
