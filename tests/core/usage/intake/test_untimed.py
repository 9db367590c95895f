"""Events whose sender gave no time: known again by everything else, in a report, against what is stored, and in the end
in the database."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.database import APP_ROLE, libpq_options
from core.usage.intake.intake import Intake, Submission
from core.usage.intake.packing import pack_report
from core.usage.intake.receipt import Receipt, answer, judge
from core.usage.intake.report import Event, Report, content, micros

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
Sent = tuple[str, int, int, bool]  # event id, images, seconds after noon, whether the sender gave that time


def report_of(*sent: Sent, report_id: str = "r") -> Report:
    events = [Event(event_id, "sd-1", count, NOON + timedelta(seconds=after)) for event_id, count, after, _ in sent]
    return Report(
        report_id,
        None,
        None,
        [event.event_id for event in events],
        events,
        [micros(event.occurred_at) for event in events],
        range(len(events)),
        distinct=len({event.event_id for event in events}) == len(events),
        untimed=frozenset(place for place, (*_, timed) in enumerate(sent) if not timed),
    )


def statuses(report: Report, receipt: Receipt) -> list[str]:
    return [each.status for each in answer(report, receipt).results]


@pytest.fixture
def intake(database_url: str) -> Iterator[Intake]:
    with psycopg.connect(database_url, options=libpq_options(APP_ROLE)) as connection:
        connection.execute("INSERT INTO licensees (slug, name) VALUES ('north', 'North')")
        connection.commit()
        yield Intake(connection)


def write(intake: Intake, report: Report) -> list[str]:
    (number,) = intake.numbers(1)
    digest = sha256(report.report_id.encode()).digest()
    (receipt,) = intake.write([Submission(1, 1, report, digest, number, pack_report(report, 1, number))])
    assert isinstance(receipt, Receipt)
    return statuses(report, receipt)


@pytest.mark.parametrize("quick", [True, False])
def test_an_untimed_event_sent_again_is_a_duplicate_whether_or_not_the_first_had_a_time(intake: Intake, quick: bool):
    intake.quick = quick
    first = report_of(("a", 1, 0, False), ("b", 1, -3600, True), report_id="1")
    assert write(intake, first) == ["accepted", "accepted"]
    again = report_of(("a", 1, 7, False), ("b", 1, 7, False), ("c", 1, 7, False), report_id="2")
    assert write(intake, again) == ["duplicate", "duplicate", "accepted"]
    rows = intake.connection.execute("SELECT event_id, occurred_at FROM usage_events ORDER BY event_id").fetchall()
    assert rows == [("a", NOON), ("b", NOON - timedelta(hours=1)), ("c", NOON + timedelta(seconds=7))]


def test_an_untimed_event_with_another_content_is_a_conflict_that_does_not_speak_of_times(intake: Intake):
    write(intake, report_of(("a", 1, 0, False), report_id="1"))
    other = report_of(("a", 2, 7, False), report_id="2")
    assert write(intake, other) == ["conflict"]
    (result,) = answer(other, Receipt(NOON, judge(other, {}, {"a": content(Event("a", "sd-1", 1, NOON), 0)}))).results
    assert "image_count" in str(result.message) and "occurred_at" not in str(result.message)


def test_a_time_that_was_given_is_still_compared(intake: Intake):
    write(intake, report_of(("a", 1, 0, False), ("b", 1, 0, True), report_id="1"))
    assert write(intake, report_of(("a", 1, 7, True), ("b", 1, 7, True), report_id="2")) == ["conflict", "conflict"]
    assert write(intake, report_of(("a", 1, 0, True), ("b", 1, 0, True), report_id="3")) == ["duplicate", "duplicate"]


def test_two_of_one_id_in_a_report_are_compared_without_the_time_of_an_untimed_one():
    report = report_of(("a", 1, 0, False), ("a", 1, 9, False), ("a", 2, 9, False), ("a", 1, 9, True))
    verdict = judge(report, {}, {})
    assert statuses(report, Receipt(NOON, verdict)) == ["accepted", "duplicate", "conflict", "conflict"]
    assert verdict.image_count == 1


sent = st.tuples(st.sampled_from("ab"), st.integers(1, 2), st.integers(0, 1), st.booleans())


@given(st.lists(sent, min_size=1, max_size=6), st.dictionaries(st.sampled_from("ab"), st.integers(1, 2)))
def test_what_is_judged_is_what_a_reader_would_say(events: list[Sent], before: dict[str, int]):
    report = report_of(*events)
    stored = {id_: content(Event(id_, "sd-1", count, NOON), micros(NOON)) for id_, count in before.items()}
    known: dict[str, tuple[int, int]] = {id_: (count, 0) for id_, count in before.items()}
    expected = []
    for event_id, count, after, timed in events:
        if event_id not in known:
            known[event_id] = count, after
            expected.append("accepted")
            continue
        same = known[event_id][0] == count and (not timed or known[event_id][1] == after)
        expected.append("duplicate" if same else "conflict")
    assert statuses(report, Receipt(NOON, judge(report, {}, stored))) == expected
