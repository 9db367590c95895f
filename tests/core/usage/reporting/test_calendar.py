"""The reporting calendar as a rule: what makes a day reported, zero, open or missing."""

from datetime import date, timedelta

from core.period import Period
from core.usage.reporting.calendar import CalendarDay, Counted, Zero, calendar, expected_days, missing_runs

FIRST = date(2026, 10, 1)
OCTOBER = Period.month("2026-10")
DAY = timedelta(days=1)


def days(first: int, last: int) -> Period:
    """Days of October, the last one included."""
    return Period(FIRST + (first - 1) * DAY, FIRST + last * DAY)


def states(found: list[CalendarDay]) -> str:
    return "".join(each.state[0] for each in found)


def october(counted: dict[int, int], zeros: list[Zero], today: int = 40, models: tuple[str, ...] = ("a", "b")) -> str:
    """The states of the first ten days, from events by day: r, z, o or m."""
    expected = {day: frozenset(models) for day in days(1, 10).each_day()}
    counts = {FIRST + (day - 1) * DAY: Counted(events, 7 * events) for day, events in counted.items()}
    return states(calendar(expected, counts, zeros, FIRST + (today - 1) * DAY))


def test_a_silent_day_is_missing_once_it_is_over_and_open_until_then():
    assert october({1: 1, 3: 9}, [], today=6) == "rmrmmooooo"


def test_a_word_of_zero_makes_a_silent_day_zero_and_changes_nothing_of_a_reported_one():
    assert october({2: 1}, [Zero(days(1, 4), None)]) == "zrzzmmmmmm"


def test_a_word_of_zero_for_some_models_is_not_one_for_the_others():
    of_a, of_b = Zero(days(1, 4), "a"), Zero(days(3, 5), "b")
    assert october({}, [of_a]) == "m" * 10
    assert october({}, [of_a, of_b]) == "mmzzmmmmmm"
    assert october({}, [of_a], models=("a",)) == "zzzzmmmmmm"
    assert october({}, [Zero(days(1, 4), "other")]) == "m" * 10


def test_a_word_of_zero_for_today_is_taken():
    assert october({}, [Zero(days(6, 6), None)], today=6) == "mmmmmzoooo"


def test_counts_stand_beside_the_state():
    expected = {day: frozenset({"a"}) for day in days(1, 2).each_day()}
    assert calendar(expected, {FIRST: Counted(2, 14)}, [], FIRST + 5 * DAY) == [
        CalendarDay(FIRST, "reported", 2, 14),
        CalendarDay(FIRST + DAY, "missing", 0, 0),
    ]
    assert calendar({}, {}, [Zero(OCTOBER, None)], FIRST) == []


def test_reports_are_expected_on_days_on_which_a_model_is_covered():
    cover = [("a", days(1, 3)), ("b", days(3, 4)), ("b", days(8, 40))]
    expected = expected_days(cover, days(2, 9), "Europe/Berlin")
    assert {day.day: set(models) for day, models in expected.items()} == {
        2: {"a"}, 3: {"a", "b"}, 4: {"b"}, 8: {"b"}, 9: {"b"},
    }  # fmt: skip
    assert list(expected) == sorted(expected)


def test_a_day_that_the_calendar_of_a_zone_skips_is_not_expected():
    around = Period(date(2011, 12, 28), date(2012, 1, 2))
    expected = expected_days([("a", around)], around, "Pacific/Apia")  # Samoa went from the 29th to the 31st
    assert [day.day for day in expected] == [28, 29, 31, 1]


def test_missing_days_next_to_each_other_are_one_run():
    found = [
        CalendarDay(FIRST + n * DAY, "missing" if letter == "m" else "open") for n, letter in enumerate("mmomoomm")
    ]
    assert missing_runs(found) == [days(1, 2), days(4, 4), days(7, 8)]
    assert missing_runs([]) == []
