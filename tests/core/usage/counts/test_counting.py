"""What counts as an image under given terms: whole numbers, exact over the month, whatever the order of the events."""

from collections import Counter
from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agreements.terms import parse_terms
from core.usage.counts.counting import Cell, Timetable, count_images, share_images
from core.usage.intake.report import OUTPUTS

FIRST = date(2026, 3, 1)


def timetable(*versions: tuple[date, dict[str, Any]]) -> Timetable:
    fees = [{"name": "images", "models": ["sd-1"], "schedule": {"kind": "flat", "rate": "5"}}]
    return Timetable((day, parse_terms({"currency": "USD", "fees": fees, **terms})) for day, terms in versions)


def cell(count: int, output: str = "image", day: date = FIRST, **more: str) -> Cell:
    return Cell(**{"model": "sd-1", "via": "sd-1", "plan": "", "role": "named", **more}, day=day, output=output,
                image_count=count)  # fmt: skip


def test_only_what_the_terms_name_is_billed_beside_images():
    made = [cell(10**n, output) for n, output in enumerate(OUTPUTS)]
    for counted, images in (([], 1), (["previews"], 11), (["upscales", "rejected"], 1101)):
        terms_on = timetable((FIRST, {"definitions": {"counted": counted}}))
        assert count_images(made, terms_on) == {("sd-1", FIRST): images}


def test_an_amendment_counts_from_its_day_on():
    terms_on = timetable(
        (FIRST, {}), (date(2026, 3, 2), {"definitions": {"counted": ["previews"]}, "adapters": "none"})
    )
    made = [
        cell(1, "preview", date(2026, 3, day), role=role) for day in (1, 2) for role in ("named", "adapter_base")
    ] + [cell(5, "image", date(2026, 3, day), role="adapter_base") for day in (1, 2)]
    assert count_images(made, terms_on) == {("sd-1", FIRST): 5, ("sd-1", date(2026, 3, 2)): 1}


def test_frames_count_by_their_factor_and_no_fraction_is_lost_from_day_to_day():
    terms_on = timetable((FIRST, {"definitions": {"video_frame_factor": "0.04"}}))
    made = [cell(30, "video_frame", date(2026, 3, day)) for day in range(1, 6)]  # 1.2 a day
    images = count_images(made, terms_on)
    assert [images[("sd-1", date(2026, 3, day))] for day in range(1, 6)] == [1, 1, 1, 1, 2]
    assert sum(images.values()) == 6  # 150 x 0.04


def test_each_month_begins_anew_and_without_a_factor_frames_are_nothing():
    terms_on = timetable((FIRST, {"definitions": {"video_frame_factor": "0.5"}}))
    made = [cell(1, "video_frame", date(2026, 3, 31)), cell(1, "video_frame", date(2026, 4, 1))]
    assert count_images(made, terms_on) == {}
    assert count_images([cell(10**9, "video_frame")], timetable((FIRST, {}))) == {}


@pytest.mark.parametrize("factor", ["1", "2.5"])
def test_a_frame_may_count_as_one_image_or_more(factor: str):
    terms_on = timetable((FIRST, {"definitions": {"video_frame_factor": factor}}))
    assert count_images([cell(4, "video_frame")], terms_on) == {("sd-1", FIRST): 4 * Fraction(factor)}


EVENTS = st.lists(
    st.tuples(
        st.integers(1, 1000),
        st.sampled_from(OUTPUTS),
        st.dates(date(2026, 2, 25), date(2026, 4, 5)),
        st.sampled_from(["named", "adapter_own", "adapter_base", "adapter_base_waived", "adapter_both"]),
        st.sampled_from(["", "free", "paid"]),
        st.sampled_from(["sd-1", "tune", "merge"]),
    ),
    max_size=25,
)
TERMS = st.fixed_dictionaries(
    {},
    optional={
        "adapters": st.sampled_from(["own", "base", "both", "none"]),
        "definitions": st.fixed_dictionaries(
            {"counted": st.lists(st.sampled_from(["previews", "upscales", "rejected"]), unique=True)},
            optional={"video_frame_factor": st.sampled_from(["0.04", "0.333333333333", "0.5", "1", "1.7"])},
        ),
    },
)
VERSIONS = st.lists(st.tuples(st.dates(date(2026, 2, 25), date(2026, 4, 5)), TERMS), max_size=3)


def cells(events: list) -> list[Cell]:
    """As the roll-up adds them up."""
    summed: Counter[tuple] = Counter()
    for count, *key in events:
        summed[tuple(key)] += count
    return [cell(count, output, day, role=role, plan=plan, via=via)
            for (output, day, role, plan, via), count in summed.items()]  # fmt: skip


def exact(events: list, versions: list, until: date) -> Fraction:
    """The month's images up to a day, as a fraction: said again, without the code that is tested."""
    total = Fraction(0)
    owed = {"own": ("own", "both"), "base": ("base", "base_waived", "both"), "none": (),
            "both": ("own", "base", "base_waived", "both"), None: ("own", "base", "both")}  # fmt: skip
    for count, output, day, role, _, _ in events:
        if day.replace(day=1) != until.replace(day=1) or day > until:
            continue
        said = [terms for effective, terms in [(date.min, versions[0][1]), *versions[1:]] if effective <= day][-1]
        definitions = said.get("definitions", {})
        if role != "named" and role.removeprefix("adapter_") not in owed[said.get("adapters")]:
            continue
        words = {"preview": "previews", "upscale": "upscales", "rejected": "rejected"}
        if output == "image" or words.get(output) in definitions.get("counted", ()):
            total += count
        elif output == "video_frame":
            total += count * Fraction(definitions.get("video_frame_factor", "0"))
    return total


@given(EVENTS, TERMS, VERSIONS, st.randoms(use_true_random=False))
def test_splitting_and_reordering_events_changes_nothing_and_every_prefix_of_a_month_is_exact(
    events: list, terms: dict, more: list, random: Any
):
    versions = [(date(2026, 2, 1), terms), *more]
    terms_on = timetable(*versions)
    images = count_images(cells(events), terms_on)
    split = [(part, *rest) for count, *rest in events for part in (count // 2, count - count // 2) if part]
    random.shuffle(split)
    assert count_images(cells(split), terms_on) == images
    assert all(count > 0 for count in images.values())
    for day in {event[2] for event in events}:
        month = [count for (_, on), count in images.items() if on.replace(day=1) == day.replace(day=1) and on <= day]
        assert sum(month) == int(exact(events, versions, day))
        held_back = [event for event in events if event[2] <= day]
        before = {key: count for key, count in images.items() if key[1] <= day}
        assert count_images(cells(held_back), terms_on) == before, "a day depends on the days before it only"


@given(EVENTS, TERMS, st.sampled_from(["plan", "via", "output", "role"]))
def test_every_breakdown_of_a_month_sums_up_to_the_same_images(events: list, terms: dict, key: str):
    terms_on = timetable((date(2026, 2, 1), terms))
    by_day = count_images(cells(events), terms_on)
    assert sum(share_images(cells(events), terms_on, lambda c: getattr(c, key)).values()) == sum(by_day.values())
