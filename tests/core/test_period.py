"""Periods: half-open days of a calendar, and the instants at which they begin."""

from datetime import UTC, date, datetime

import pytest

from core.errors import InvalidInput
from core.period import Period, day_of, day_start, zone_of


def test_a_month_is_read_from_its_name_and_names_itself() -> None:
    october = Period.month("2026-10")
    assert (october.start, october.end, october.days, october.name) == (
        date(2026, 10, 1),
        date(2026, 11, 1),
        31,
        "2026-10",
    )
    assert Period.month("2028-02").days == 29
    assert Period(date(2026, 10, 2), date(2026, 10, 4)).name == "2026-10-02..2026-10-04"


@pytest.mark.parametrize("name", ["2026-13", "2026-1", "26-10", "2026-10-01", "", "0000-01", "２026-10", "2026-10\n"])
def test_what_is_not_a_month_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="YYYY-MM"):
        Period.month(name)


def test_a_period_is_half_open() -> None:
    october = Period.month("2026-10")
    assert date(2026, 10, 1) in october
    assert date(2026, 11, 1) not in october
    assert len(list(october.each_day())) == 31
    with pytest.raises(InvalidInput, match="end after it starts"):
        Period(date(2026, 10, 1), date(2026, 10, 1))


def test_overlaps_and_months() -> None:
    term = Period(date(2026, 1, 15), date(2026, 3, 2))
    assert [month.name for month in term.months()] == ["2026-01", "2026-02", "2026-03"]
    assert term.overlap(Period.month("2026-03")) == Period(date(2026, 3, 1), date(2026, 3, 2))
    assert term.overlap(Period.month("2026-04")) is None


def test_a_day_begins_at_its_first_instant_even_where_midnight_is_skipped() -> None:
    # Clocks in Sao Paulo went from 23:59:59 to 01:00 in the night to 4 November 2018.
    assert day_start(date(2018, 11, 4), "America/Sao_Paulo") == datetime(2018, 11, 4, 3, 0, tzinfo=UTC)
    assert day_of(datetime(2018, 11, 4, 2, 59, 59, 999999, tzinfo=UTC), "America/Sao_Paulo") == date(2018, 11, 3)


def test_an_unknown_zone_is_refused() -> None:
    for name in ("Mars/Olympus", "", "../etc/passwd", "Europe"):
        with pytest.raises(InvalidInput, match="not a time zone"):
            zone_of(name)
