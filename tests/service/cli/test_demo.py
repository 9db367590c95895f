"""The demo's traffic: whole numbers split without loss, the same every time, and a recount that shares nothing."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from service.cli.demo.recount import images_by_platform, totals_in_cents
from service.cli.demo.traffic import BATCH, FIGURES, MONTH, SHARES, events_of, figures, reports_of, split


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
        for event in events_of(platform):
            reported[platform][family[event["model"]]] += event["image_count"]
    assert reported == images_by_platform(FIGURES)
    assert sum(sum(counts.values()) for counts in reported.values()) == 6_191_731
    assert len(family) == 164


def test_reports_are_the_same_every_time_and_one_in_twenty_is_sent_twice() -> None:
    first, second = list(reports_of("tinybrush")), list(reports_of("tinybrush"))
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
