"""What becomes of each event, and that a stored receipt tells it again word for word."""

from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from core.usage.intake.receipt import HOLDS, Counts, Receipt, Run, Verdict, answer, judge
from core.usage.intake.report import Event, Refusal, Report, content

AT = datetime(2026, 11, 22, tzinfo=UTC)


def report_of(*events: tuple[str, int], refusals: dict[int, Refusal] | None = None) -> Report:
    """A report of (id, image count); places in `refusals` hold events that were refused."""
    good = [Event(event_id, "sd-1", count, AT) for event_id, count in events]
    refusals = refusals or {}
    places = [place for place in range(len(good) + len(refusals)) if place not in refusals]
    ids: list[str | None] = [None] * (len(good) + len(refusals))
    for place, event in zip(places, good, strict=True):
        ids[place] = event.event_id
    distinct = len({event.event_id for event in good}) == len(good)
    return Report("r", None, None, ids, good, [0] * len(good), places, distinct, refusals)


def statuses(report: Report, verdict: Verdict) -> list[str]:
    return [result.status for result in answer(report, Receipt(AT, verdict)).results]


def test_new_events_are_accepted():
    report = report_of(("a", 2), ("b", 3))
    assert judge(report, {}, {}) == Verdict(Counts(accepted=2), 5, ())


def test_of_one_id_twice_in_a_report_the_first_counts_and_the_second_is_compared_with_it():
    report = report_of(("a", 2), ("a", 2), ("a", 3))
    verdict = judge(report, {}, {})
    assert statuses(report, verdict) == ["accepted", "duplicate", "conflict"]
    assert verdict.image_count == 2


def test_what_is_stored_decides_even_against_the_first_in_the_report():
    report = report_of(("a", 3), ("a", 2))
    verdict = judge(report, {}, {"a": ("sd-1", 2, 0, (), "", "image")})
    assert statuses(report, verdict) == ["conflict", "duplicate"]
    assert (verdict.image_count, verdict.counts) == (0, Counts(conflict=1, duplicate=1))


def test_a_conflict_names_what_differs_and_tells_nothing_of_what_is_stored():
    report = report_of(("a", 77))
    verdict = judge(report, {}, {"a": ("secret-model", 12345, 0, (), "", "image")})
    (result,) = answer(report, Receipt(AT, verdict)).results
    assert result.code == "event_id_reused"
    assert "model and image_count" in str(result.message)
    assert "12345" not in str(result.message) and "secret" not in str(result.message)


def test_a_held_event_is_kept_and_counted_as_held_but_a_repeat_of_it_is_a_duplicate():
    report = report_of(("a", 2), ("a", 2))
    verdict = judge(report, {0: "unknown_model", 1: "unknown_model"}, {})
    assert statuses(report, verdict) == ["held", "duplicate"]
    assert verdict.image_count == 2


def test_neighbours_with_one_fate_are_stored_as_one_run():
    verdict = judge(report_of(*[(str(n), 1) for n in range(1000)]), dict.fromkeys(range(1000), "no_agreement"), {})
    assert len(verdict.runs) == 1 and verdict.runs[0].count == 1000


events = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 2)), min_size=1, max_size=8)


@given(
    events,
    st.dictionaries(st.integers(0, 9), st.sampled_from(sorted(HOLDS))),
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 2)),
    st.sets(st.integers(0, 9), max_size=3),
)
def test_a_stored_verdict_tells_the_same_answer_and_its_sums_are_those_of_its_results(sent, holds, stored, refused):
    places = [place for n, place in enumerate(sorted(refused)) if place <= len(sent) + n]
    refusals = {place: Refusal("invalid_event", f"because {place % 2}") for place in places}
    report = report_of(*sent, refusals=refusals)
    known = {event_id: ("sd-1", count, 0, (), "", "image") for event_id, count in stored.items()}
    verdict = judge(report, holds, known)
    first = answer(report, Receipt(AT, verdict))
    again = Verdict(
        verdict.counts, verdict.image_count, msgspec.json.decode(msgspec.json.encode(verdict.runs), type=list[Run])
    )
    assert answer(report, Receipt(AT, again)) == first
    for status, count in msgspec.to_builtins(verdict.counts).items():
        assert count == sum(result.status == status for result in first.results)
    new = [i for i, p in enumerate(report.places) if first.results[p].status in ("accepted", "held")]
    assert verdict.image_count == sum(report.events[i].image_count for i in new)
    assert len({report.events[i].event_id for i in new}) == len(new)
    for i, place in enumerate(report.places):
        said = content(report.events[i], 0)
        if report.events[i].event_id in known:
            assert first.results[place].status == (
                "duplicate" if known[report.events[i].event_id] == said else "conflict"
            )
