"""Which version is in force when, and which days are covered."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agreements.coverage import AccountCalendar, Coverage, covered_days, in_force
from core.agreements.signable import cover_change
from core.agreements.terms import Terms, parse_terms
from core.period import Period, day_of

YEAR = Period(date(2026, 1, 1), date(2027, 1, 1))
DAY = timedelta(days=1)


def terms(*models: str) -> Terms:
    fees = [{"name": model, "models": [model], "schedule": {"kind": "flat", "rate": "1"}} for model in models]
    return parse_terms({"currency": "USD", "fees": fees})


versions = st.lists(
    st.tuples(
        st.dates(YEAR.start, YEAR.end - DAY),
        st.sets(st.sampled_from("abc"), min_size=1).map(lambda m: terms(*sorted(m))),
    ),
    max_size=5,
).map(lambda amendments: [(YEAR.start, terms("a")), *amendments])


@given(versions)
def test_each_day_has_the_last_version_signed_that_is_effective_by_then(signed):
    timetable = in_force(signed)
    assert [day for day, _ in timetable] == sorted({day for day, _ in timetable})
    for day in YEAR.each_day():
        wanted = [version for effective_on, version in signed if effective_on <= day][-1]
        assert [version for effective_on, version in timetable if effective_on <= day][-1] is wanted


@given(versions)
def test_a_model_is_covered_on_the_days_on_which_the_terms_in_force_name_it(signed):
    covered = covered_days(YEAR, signed)
    for day in YEAR.each_day():
        wanted = [version for effective_on, version in signed if effective_on <= day][-1].models
        assert {model for model, runs in covered.items() if any(day in run for run in runs)} == set(wanted)
    for runs in covered.values():
        assert all(earlier.end < later.start for earlier, later in pairwise(runs)), "runs are joined"


@given(versions, versions)
def test_what_an_amendment_adds_and_loses_is_the_difference_of_days(before, after):
    added, lost = cover_change(YEAR, before, after)
    old, new = covered_days(YEAR, before), covered_days(YEAR, after)
    for model in "abc":
        was, will = ({day for run in cover.get(model, ()) for day in run.each_day()} for cover in (old, new))
        assert {day for run in added.get(model, ()) for day in run.each_day()} == will - was
        assert (model in lost) == bool(was - will)


ANSWERS = {(1, 10): AccountCalendar(100, "Asia/Tokyo"), (1, 20): AccountCalendar(200, "America/New_York")}
COVERED = [
    (100, 5, Period(date(2026, 3, 1), date(2026, 4, 1))),
    (100, 5, Period(date(2026, 4, 1), date(2026, 5, 1))),
    (200, 6, Period(date(2026, 3, 8), date(2026, 3, 20))),
    (200, 6, Period(date(2026, 4, 2), date(2026, 6, 1))),
]
COVERAGE = Coverage(ANSWERS, {5: 10, 6: 20, 7: 30}, COVERED)


@pytest.mark.parametrize(
    ("instant", "lacking"),
    [
        ("2026-02-28T14:59:59.999999+00:00", "no_agreement"),
        ("2026-02-28T15:00:00+00:00", None),
        ("2026-03-31T15:00:00+00:00", None),  # where one run ends and the next begins
        ("2026-04-30T14:59:59.999999+00:00", None),
        ("2026-04-30T15:00:00+00:00", "no_agreement"),
    ],
)
def test_cover_begins_and_ends_at_midnight_of_the_accounts_zone(instant, lacking):
    assert COVERAGE.standing(1, frozenset({5}), datetime.fromisoformat(instant)) == lacking


@given(st.datetimes(datetime(2026, 2, 1), datetime(2026, 7, 1), timezones=st.just(UTC)))
def test_several_models_are_covered_when_each_is_on_its_own_accounts_day(instant):
    wanted = all(
        any(account == held and model == m and day_of(instant, zone) in days for held, m, days in COVERED)
        for account, zone, model in ((100, "Asia/Tokyo", 5), (200, "America/New_York", 6))
    )
    assert (COVERAGE.standing(1, frozenset({5, 6}), instant) is None) == wanted


def test_an_account_that_is_missing_is_told_apart_from_an_agreement_that_is():
    now = datetime(2026, 4, 20, tzinfo=UTC)
    assert COVERAGE.standing(1, frozenset({5, 7}), now) == "no_account"
    assert COVERAGE.standing(2, frozenset({5}), now) == "no_account"
    assert COVERAGE.standing(1, frozenset({5, 6}), now) is None
    assert COVERAGE.account(1, 10) == AccountCalendar(100, "Asia/Tokyo")
    assert COVERAGE.account(2, 10) is None
    assert COVERAGE.account_of_model(1, 6) == AccountCalendar(200, "America/New_York")
    assert COVERAGE.account_of_model(1, 99) is None


def test_an_answer_asked_again_is_remembered():
    asked = frozenset({5, 6})
    assert COVERAGE.spans(1, asked) is COVERAGE.spans(1, frozenset({6, 5}))
