"""Estimates: the average of what was reported, never of an estimate, and gone when the report comes."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.agreements.terms import parse_terms
from core.period import Period
from core.rating.estimate import Estimates, estimate, estimated_in, marked
from core.rating.rate import Contract, LineKey, owed
from core.usage.reporting.calendar import Counted, Zero, silent_models
from tests.core.rating.random_contracts import Case, cases
from tests.core.rating.test_laws import by_key, plain_keys
from tests.oracle import owed as oracle_owed
from tests.oracle_estimates import assumed, covered_on, days_of

DAY = timedelta(days=1)
EXAMPLES = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
YEAR = Period(date(2026, 1, 1), date(2027, 1, 1))
MARCH = Period.month("2026-03")


def contract(months: int = 3, **more: Any) -> Contract:
    fees = more.pop("fees", None) or [{"name": "F", "models": ["a"], "schedule": {"kind": "flat", "rate": "1"}}]
    rule = {"rule": "trailing_average", "months": months}
    return Contract(YEAR, ((YEAR.start, parse_terms({"currency": "USD", "fees": fees, "estimate": rule, **more})),))


def silent_on(days: set[date], until: date, models: frozenset[str] = frozenset({"a"})) -> tuple[Any, Any]:
    expected = dict.fromkeys(Period(YEAR.start, until).each_day(), models)
    return expected, dict.fromkeys(days, models)


def each(period: Period, images: int) -> dict[tuple[str, date], int]:
    return {("a", day): images for day in period.each_day()}


def only(found: Estimates) -> Any:
    [row] = found.rows
    return row


def test_a_silent_day_counts_as_the_average_of_the_reported_days_of_the_months_before() -> None:
    counts = {**each(Period.month("2026-01"), 10), **each(Period.month("2026-02"), 21)}
    expected, silent = silent_on({date(2026, 3, 5), date(2026, 3, 9)}, MARCH.end)
    row = only(estimate(contract(), counts, expected, silent))
    assert (row.reported_days, row.reported_images) == (59, 31 * 10 + 28 * 21)
    assert row.images_a_day == 15, "898 / 59 is 15.22"
    assert row.image_count == 30
    assert row.window == Period(date(2026, 1, 1), MARCH.start), "the agreement is no older than that"
    assert only(estimate(contract(months=1), counts, expected, silent)).images_a_day == 21


@pytest.mark.parametrize(("images", "a_day"), [(28, 1), (41, 1), (42, 2), (13, 0), (14, 1)])
def test_half_an_image_is_rounded_up_once_a_day(images: int, a_day: int) -> None:
    expected, silent = silent_on({date(2026, 3, 5)}, MARCH.end)
    assert only(estimate(contract(months=1), {("a", date(2026, 2, 3)): images}, expected, silent)).images_a_day == a_day


def test_no_estimate_is_averaged_over_nor_any_day_that_was_not_heard_of() -> None:
    """All of February is silent, too: March goes by January alone, as if February were not there."""
    february = set(Period.month("2026-02").each_day())
    counts = each(Period.month("2026-01"), 10)
    expected, silent = silent_on(february | {date(2026, 3, 5)}, MARCH.end)
    found = estimate(contract(months=2), counts, expected, silent)
    assert [(row.days[0].month, row.images_a_day, row.reported_days) for row in found.rows] == [
        (2, 10, 31),
        (3, 10, 31),
    ]
    nothing = estimate(contract(months=1), counts, expected, silent)
    assert [row.days[0].month for row in nothing.rows] == [2]
    assert nothing.unknown == {"a": (date(2026, 3, 5),)}
    assert date(2026, 3, 5) in nothing.ruled


def test_a_day_said_to_be_zero_is_a_reported_day_of_no_images() -> None:
    expected, silent = silent_on({date(2026, 3, 5)}, MARCH.end)
    row = only(estimate(contract(months=1), {("a", date(2026, 2, 1)): 280}, expected, silent))
    assert (row.images_a_day, row.reported_days) == (10, 28), "27 of the days brought nothing, and were heard of"


def test_a_word_of_zero_for_one_model_leaves_the_other_to_be_estimated() -> None:
    fees = [{"name": m, "models": [m], "schedule": {"kind": "flat", "rate": "1"}} for m in "ab"]
    day = date(2026, 3, 5)
    expected = {each_day: frozenset("ab") for each_day in Period(YEAR.start, MARCH.end).each_day()}
    counted = {each_day: Counted(1, 10) for each_day in expected if each_day != day}
    zeros = [Zero(Period(day, day + DAY), "b")]
    silent = silent_models(expected, counted, zeros, MARCH.end)
    assert silent == {day: frozenset("a")}
    counts = {(m, each_day): 5 for m in "ab" for each_day in counted}
    assert [row.model for row in estimate(contract(fees=fees), counts, expected, silent).rows] == ["a"]
    assert silent_models(expected, counted, [*zeros, Zero(Period(day, day + DAY), "a")], MARCH.end) == {}
    assert silent_models(expected, counted, [], day) == {}, "a day that is not over may still come"


def test_models_without_a_fee_and_days_without_a_rule_are_left_alone() -> None:
    fees = [{"name": "Z", "models": ["a"], "schedule": {"kind": "zero"}}]
    expected, silent = silent_on({date(2026, 3, 5)}, MARCH.end)
    counts = each(Period.month("2026-02"), 10)
    assert estimate(contract(fees=fees), counts, expected, silent).rows == ()
    ruled = contract()
    later = replace(ruled.versions[0][1], estimate=None)
    amended = Contract(YEAR, (*ruled.versions, (MARCH.start, later)))
    assert estimate(amended, counts, expected, silent) == Estimates((), {}, frozenset())


def test_a_line_says_how_much_of_it_is_estimated_and_what_was_before() -> None:
    counts = each(Period(YEAR.start, MARCH.start), 10)
    expected, silent = silent_on({date(2026, 3, 5), date(2026, 3, 6), date(2026, 3, 9)}, MARCH.end)
    now = estimate(contract(), counts, expected, silent)
    lines = marked(owed(contract(), {**counts, **now.images()}, MARCH.end), now, (), counts)
    assert lines[0].description == "Images by a", "January has none of it"
    march = lines[-1]
    assert march.description == "Images by a (with an estimate of 30 images for 3 days without a report)"
    step = march.workings[1]
    assert (step["step"], step["days"], step["images_a_day"], step["images"]) == ("estimate", 3, 10, 30)
    assert step["runs"] == [["2026-03-05", "2026-03-07"], ["2026-03-09", "2026-03-10"]]
    assert step["reported_images"] == 590 and step["reported_days"] == 59
    before = estimated_in([row.document() for row in now.rows])
    assert before == now.rows, "what an invoice keeps comes back as it was"
    known = {**counts, ("a", date(2026, 3, 5)): 7}
    still = estimate(contract(), known, expected, {date(2026, 3, 9): frozenset("a")})
    [later] = marked(owed(contract(), {**known, **still.images()}, MARCH.end)[-1:], still, before, known)
    assert later.description == (
        "Images by a (with an estimate of 10 images for 1 day without a report)"
        " (reported in place of an estimate of 20 images for 2 days without a report)"
    )
    assert later.workings[2] == {
        "step": "estimate ended", "model": "a", "days": 2, "images": 20, "reported": 7,
        "runs": [["2026-03-05", "2026-03-07"]],
    }  # fmt: skip


# --- Whatever arrives in whatever order: in the end, one rating of everything.


@st.composite
def ruled_cases(draw: Any) -> Case:
    """Contracts of which at least the first version has the rule."""
    case = draw(cases())
    for number, (_, document) in enumerate(case.plain["versions"]):
        if number == 0 or draw(st.booleans()):
            document["estimate"] = {"rule": "trailing_average", "months": draw(st.integers(1, 4))}
    return case


class Arrivals:
    """A truth about every day, and when it becomes known: the reports of a day together, words of zero one by one."""

    def __init__(self, case: Case, data: st.DataObject, closes: int) -> None:
        self.plain = case.plain
        chance = data.draw(st.randoms(use_true_random=False))
        self.counts: dict[tuple[str, date], int] = {}
        self.at: dict[tuple[str, date], int] = {}  # the close before which something of a model's day arrives
        for day in days_of(case.plain, case.end):
            models = covered_on(case.plain, day)[1]
            images = {model: case.counts[model, day] for model in models if case.counts.get((model, day))}
            self.counts |= {(model, day): count for model, count in images.items()}
            prompt = chance.random() < 0.6
            arrives = 0 if prompt else chance.randint(0, closes)
            for model in models:
                self.at[model, day] = arrives if images else chance.choice([arrives, chance.randint(0, closes)])
                if images and model not in images and chance.random() < 0.2:
                    self.at[model, day] = min(arrives, chance.randint(0, closes))  # a word of zero, before the report

    def known(self, close: int, until: date) -> tuple[dict[tuple[str, date], int], set[tuple[str, date]], Any, Any]:
        """Counts, what was heard of, and what the core is told: expected and silent."""
        heard = {at for at, when in self.at.items() if when <= close}
        counts = {at: images for at, images in self.counts.items() if at in heard}
        days = days_of(self.plain, until)
        expected = {day: frozenset(covered_on(self.plain, day)[1]) for day in days if covered_on(self.plain, day)[1]}
        counted = {day: Counted(1, images) for (_, day), images in counts.items()}
        zeros = [Zero(Period(day, day + DAY), model) for model, day in heard if day not in counted]
        return counts, heard, expected, silent_models(expected, counted, zeros, until)


def bills_come_out_as_the_oracle_says(case: Case, data: st.DataObject) -> None:
    ends = sorted({month.end for month, _ in case.contract.months})
    closes = [*data.draw(st.lists(st.sampled_from(ends), min_size=1, max_size=4)), case.end]
    arrivals = Arrivals(case, data, len(closes) - 1)
    billed: dict[LineKey, tuple[int, int]] = {}
    for n, until in enumerate(closes):
        counts, heard, expected, silent = arrivals.known(n, until)
        found = estimate(case.contract, counts, expected, silent)
        images, unknown = assumed(case.plain, heard, counts, until)
        assert found.images() == images
        assert {(model, day) for model, days in (found.unknown or {}).items() for day in days} == unknown
        due = by_key(owed(case.contract, {**counts, **found.images()}, until))
        assert plain_keys(due) == oracle_owed(case.plain, {**counts, **images}, until)
        for key in due.keys() | {key for key in billed if key.due_on <= until}:
            billed[key] = due.get(key, (0, 0))
    assert not found.rows, "everything has been reported by now"
    stands = {key: sums for key, sums in billed.items() if sums != (0, 0)}
    truth = {key: sums for key, sums in oracle_owed(case.plain, arrivals.counts, case.end).items() if sums != (0, 0)}
    assert plain_keys(stands) == truth


@EXAMPLES
@given(ruled_cases(), st.data())
def test_once_everything_is_reported_the_bills_are_one_rating_of_it(case: Case, data: st.DataObject) -> None:
    bills_come_out_as_the_oracle_says(case, data)


@pytest.mark.slow
@settings(EXAMPLES, max_examples=1500)
@given(ruled_cases(), st.data())
def test_once_everything_is_reported_the_bills_are_one_rating_of_it_many_times(case: Case, data: st.DataObject) -> None:
    bills_come_out_as_the_oracle_says(case, data)
