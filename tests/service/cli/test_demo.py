"""The demo's traffic: whole numbers split without loss, the same every time, and a recount that shares nothing."""

from collections import Counter
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from core.period import Period
from service.cli.demo.cast import LICENSEES, month_of
from service.cli.demo.people import new_password
from service.cli.demo.plan import Plan, moved
from service.cli.demo.recount import images_by_platform, totals_in_cents
from service.cli.demo.scenario import catalogue
from service.cli.demo.traffic import (
    BATCH,
    FIGURES,
    SHARES,
    daily_events_of,
    events_of,
    figures,
    reports_of,
    scaled,
    split,
)

MONTH = Period.month("2026-10")
PLAN = Plan.on(date(2026, 11, 22))


@given(st.integers(0, 10**9), st.lists(st.integers(0, 50), min_size=1, max_size=40).filter(any))
def test_a_split_loses_and_invents_nothing(total: int, weights: list[int]) -> None:
    parts = split(total, weights)
    assert sum(parts) == total
    assert all(part >= 0 for part in parts)
    assert all(part == 0 for part, weight in zip(parts, weights, strict=True) if weight == 0)


def test_the_three_platforms_together_report_the_file() -> None:
    family = {figure.slug: figure.family for figure in figures()}
    reported: dict[str, Counter[str]] = {}
    for platform in SHARES:
        reported[platform] = Counter()
        by_day: Counter[str] = Counter()
        for event in events_of(platform, MONTH):
            reported[platform][family[event["model"]]] += event["image_count"]
        for event in daily_events_of(platform, MONTH, 0):
            by_day[family[event["model"]]] += event["image_count"]
        assert by_day == reported[platform], "the same images by the day"
    assert reported == images_by_platform(FIGURES)
    assert sum(sum(counts.values()) for counts in reported.values()) == 6_191_731
    assert len(family) == 164


def test_reports_are_the_same_every_time_and_one_in_twenty_is_sent_twice() -> None:
    first, second = list(reports_of("tinybrush", MONTH)), list(reports_of("tinybrush", MONTH))
    assert first == second
    ids = [event["event_id"] for report, _ in first for event in report["events"]]
    assert len(ids) == len(set(ids))
    assert all(len(report["events"]) <= BATCH for report, _ in first)
    assert sum(twice for _, twice in first) == len(first) // 20
    assert all(event["occurred_at"].startswith(MONTH.name) for report, _ in first for event in report["events"])


def test_the_recount_is_worked_out_by_hand() -> None:
    images = {
        "brightforge": Counter({"stable-diffusion-1": 1_801_947, "stable-diffusion-2": 55_500}),
        "palette-works": Counter({"stable-diffusion-1": 3_003_363, "stable-diffusion-2": 92_508}),
        "tinybrush": Counter({"stable-diffusion-1": 1_201_399, "stable-diffusion-2": 37_014}),
    }
    assert images_by_platform(FIGURES) == images
    assert totals_in_cents(images) == {
        "brightforge": 900_974 + 27_750,  # 9,009.735 and 277.50 USD at half a cent
        "palette-works": 3_604_036 + 111_010,  # 36,040.356 and 1,110.096 USD at 1.2 cents
        "tinybrush": 99_900 + 1_101_399 + 99_900,  # 999 USD a model, and 1,101,399 images over 100,000
    }


def test_the_calendar_follows_the_day_on_which_the_world_is_made() -> None:
    assert (PLAN.this.name, PLAN.last.name) == ("2026-11", "2026-10")
    assert [month.name for month in PLAN.history] == [f"2026-{n:02d}" for n in range(4, 10)]
    assert PLAN.done_days[-1] == date(2026, 11, 21)
    first = Plan.on(date(2027, 1, 2), months=2)  # the month before is not over yet everywhere
    assert (first.this.name, first.last.name, first.history[0].name) == ("2026-12", "2026-11", "2026-09")
    assert first.done_days == list(first.this.each_day())
    assert [first.months_back(month) for month in (first.this, first.last, *first.history)] == [-1, 0, 2, 1]
    assert first.earlier(9) == first.history[0]
    assert (PLAN.moved_by, first.moved_by, moved(date(2026, 12, 1), 1)) == (0, 1, date(2027, 1, 1))


def test_every_agreement_begins_with_the_first_month() -> None:
    for plan in (PLAN, Plan.on(date(2027, 3, 31), months=2)):
        agreements = {each["slug"]: each for each in catalogue(plan)["agreements"]}
        draft = agreements.pop("demo-driftwood")
        assert draft["starts_on"] == plan.this.end
        assert {each["starts_on"] for each in agreements.values()} == {plan.history[0].start}
        assert all(each["ends_on"] > plan.this.end for each in agreements.values())


def test_every_licensee_reports_other_months_that_grow_and_says_nothing_twice() -> None:
    for licensee in LICENSEES:
        for month in (*PLAN.history[-2:], PLAN.last, PLAN.this):
            ids = [event["event_id"] for event in month_of(licensee, month, PLAN)]
            assert len(ids) == len(set(ids))
            assert all(each.startswith(month.name) for each in ids)
    assert scaled(1_000, 40, 1) < 1_000 < scaled(1_000, 40, -1)


def test_no_two_installations_have_the_same_password() -> None:
    made = {new_password() for _ in range(50)}
    assert len(made) == 50
    assert all(len(each) >= 16 for each in made)
