"""Writing usage, against a tiny oracle that reads only what was sent, and with many writers at once."""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.database import APP_ROLE, libpq_options
from core.errors import Conflict, PerimageError
from core.usage.intake import intake as writing
from core.usage.intake.intake import Intake, Submission
from core.usage.intake.packing import pack_report
from core.usage.intake.receipt import CAPPED, Receipt, answer, images_kept_out
from core.usage.intake.report import Refusal, Report, Window, micros, read_report

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
WINDOW = Window.at(NOW, 35, 5)
BASE = {"model": "sd-1", "image_count": 1, "occurred_at": NOW.isoformat()}
_licensees = count(1)
_numbers = count(1)

Sent = tuple[int, str, list[dict]]  # licensee, report id, events


@contextmanager
def writer(url: str) -> Iterator[Intake]:
    with psycopg.connect(url, options=libpq_options(APP_ROLE)) as connection:
        yield Intake(connection)


@pytest.fixture
def intake(database_url: str) -> Iterator[Intake]:
    with writer(database_url) as opened:
        yield opened


def new_licensee(intake: Intake) -> int:
    number = next(_licensees)
    asked = "INSERT INTO licensees (slug, name) VALUES (%s, 'x') RETURNING id"
    row = intake.connection.execute(asked, [f"licensee-{number}"]).fetchone()
    intake.connection.commit()
    assert row is not None
    return int(row[0])


def submission(intake: Intake, sent: Sent, number: int | None = None) -> Submission:
    licensee_id, report_id, events = sent
    body = msgspec.json.encode({"report_id": report_id, "events": [{**BASE, **event} for event in events]})
    report = read_report(body, WINDOW)
    number = number or intake.numbers(1)[0]
    rows = pack_report(report, licensee_id, number)
    return Submission(licensee_id, 1, report, sha256(body).digest(), number, rows)


def write(intake: Intake, *group: Sent) -> list[Receipt | PerimageError]:
    return intake.write([submission(intake, sent) for sent in group])


def statuses(sent: Sent, receipt: Receipt | PerimageError) -> list[str]:
    assert isinstance(receipt, Receipt)
    events = [{**BASE, **event} for event in sent[2]]
    report = read_report(msgspec.json.encode({"report_id": sent[1], "events": events}), WINDOW)
    return [result.status for result in answer(report, receipt).results]


def stored(intake: Intake, licensee_id: int) -> dict[str, tuple]:
    """What the database holds of a licensee's events, in the words of the oracle."""
    rows = intake.connection.execute(
        "SELECT event_id, model, image_count, occurred_at, adapters, plan, output FROM usage_events"
        " WHERE licensee_id = %s",
        [licensee_id],
    ).fetchall()
    intake.connection.rollback()
    return {row[0]: (row[1], row[2], micros(row[3]), tuple(row[4]), row[5], row[6]) for row in rows}


def said(event: dict) -> tuple:
    """An event's content, worked out without the code that is tested."""
    full = {**BASE, **event}
    instant = datetime.fromisoformat(full["occurred_at"]) - datetime(2000, 1, 1, tzinfo=UTC)
    adapters = tuple(sorted(set(full.get("adapters", ()))))
    told = full["model"], full["image_count"], instant // timedelta(microseconds=1), adapters
    return *told, full.get("plan", ""), full.get("output", "image")


class Oracle:
    """Sets and dictionaries: what should have been answered, and what should be stored."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, str], tuple] = {}
        self.reports: dict[tuple[int, str], tuple[list, list[str]]] = {}

    def take(self, sent: Sent) -> list[str] | None:
        licensee_id, report_id, events = sent
        if (licensee_id, report_id) in self.reports:
            before, results = self.reports[licensee_id, report_id]
            return results if before == events else None
        results = []
        for event in events:
            key = licensee_id, event["event_id"]
            if key not in self.known:
                self.known[key] = said(event)
                results.append("accepted")
            else:
                results.append("duplicate" if self.known[key] == said(event) else "conflict")
        self.reports[licensee_id, report_id] = (events, results)
        return results


FIELDS = {
    "model": "sd-2",
    "image_count": 2,
    "occurred_at": (NOW - timedelta(microseconds=1)).isoformat(),
    "adapters": ["grain"],
    "plan": "free",
    "output": "preview",
}


@pytest.mark.parametrize("field", FIELDS)
def test_the_same_id_with_another_content_is_a_conflict_whichever_field_differs(intake: Intake, field: str):
    licensee = new_licensee(intake)
    first = (licensee, "r1", [{"event_id": "a"}])
    other = (licensee, "r2", [{"event_id": "a", field: FIELDS[field]}])
    again = {"event_id": "a", "adapters": [], "occurred_at": "2026-11-22T13:00:00+01:00", "output": "image"}
    same = (licensee, "r3", [again])
    answers = write(intake, first), write(intake, other), write(intake, same)
    assert [statuses(s, a[0]) for s, a in zip((first, other, same), answers, strict=True)] == [
        ["accepted"],
        ["conflict"],
        ["duplicate"],
    ]
    assert stored(intake, licensee) == {"a": said({})}


def test_adapters_are_a_set(intake: Intake):
    licensee = new_licensee(intake)
    first = (licensee, "r1", [{"event_id": "a", "adapters": ["x", "y"]}])
    same = (licensee, "r2", [{"event_id": "a", "adapters": ["y", "x", "y"]}])
    assert statuses(first, write(intake, first)[0]) == ["accepted"]
    assert statuses(same, write(intake, same)[0]) == ["duplicate"]


def test_two_licensees_may_use_the_same_ids_and_both_are_counted(intake: Intake):
    north, south = new_licensee(intake), new_licensee(intake)
    sent = [(licensee, "r", [{"event_id": "a", "image_count": n}]) for n, licensee in enumerate((north, south), 1)]
    assert [statuses(s, a) for s, a in zip(sent, write(intake, *sent), strict=True)] == [["accepted"]] * 2
    assert stored(intake, north)["a"][1] == 1 and stored(intake, south)["a"][1] == 2


def test_the_same_report_gets_its_first_receipt_and_another_under_its_id_is_refused(intake: Intake):
    licensee = new_licensee(intake)
    sent = (licensee, "r", [{"event_id": "a"}, {"event_id": "a", "plan": "x"}])
    (first,), (again,) = write(intake, sent), write(intake, sent)
    assert isinstance(first, Receipt) and isinstance(again, Receipt)
    assert not first.replayed and again.replayed
    assert (again.received_at, again.verdict) == (
        first.received_at,
        msgspec.convert(first.verdict, type(first.verdict)),
    )
    (refused,) = write(intake, (licensee, "r", [{"event_id": "a"}]))
    assert isinstance(refused, Conflict) and refused.code == "report_id_reused"


def test_what_copy_writes_is_what_was_sent(intake: Intake):
    licensee = new_licensee(intake)
    events = [
        {"event_id": "ö" * 255, "model": "模型 😀", "image_count": 1_000_000_000, "plan": "p"},
        {"event_id": "c", "output": "video_frame"},
        {"event_id": "b", "adapters": ["z", "ä", "a"], "occurred_at": "2026-10-25T02:30:00.123456+02:00"},
    ]
    write(intake, (licensee, "r", events))
    assert stored(intake, licensee) == {event["event_id"]: said(event) for event in events}


@pytest.mark.parametrize("way", ["quick", "staged", "pieces"])
def test_a_group_with_one_known_event_loses_nothing_whatever_the_way(
    intake: Intake, way: str, monkeypatch: pytest.MonkeyPatch
):
    if way == "staged":
        intake.quick = False
    if way == "pieces":
        monkeypatch.setattr(writing, "PIECE", 2)
    licensee = new_licensee(intake)
    write(intake, (licensee, "r0", [{"event_id": "known"}]))
    group = [(licensee, f"r{n}", [{"event_id": f"{n}-{i}"} for i in range(3)]) for n in range(1, 6)]
    group[2][2][1] = {"event_id": "known"}
    answers = write(intake, *group)
    expected = [["accepted"] * 3 for _ in group]
    expected[2][1] = "duplicate"
    assert [statuses(s, a) for s, a in zip(group, answers, strict=True)] == expected
    assert len(stored(intake, licensee)) == 15


def test_a_server_that_acknowledges_before_it_has_flushed_is_refused(owner_url: str):
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(f"ALTER DATABASE {owner.info.dbname} SET synchronous_commit = off")
    with pytest.raises(RuntimeError, match="synchronous_commit=off"), writer(owner_url):
        pass


ids = st.sampled_from("abcde")
events = st.fixed_dictionaries(
    {"event_id": ids}, optional={"image_count": st.just(2), "plan": st.just("paid"), "output": st.just("upscale")}
)
reports = st.tuples(
    st.integers(0, 1), st.sampled_from(["r1", "r2", "r3", "r4"]), st.lists(events, min_size=1, max_size=5)
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(reports, min_size=1, max_size=4), min_size=1, max_size=5), st.booleans())
def test_whatever_is_sent_in_whatever_groups_the_answers_and_the_rows_are_the_oracles(
    intake: Intake, groups: list[list[Sent]], quick: bool
):
    intake.quick = quick
    oracle = Oracle()
    licensees = [new_licensee(intake), new_licensee(intake)]
    for group in groups:
        distinct = list(
            {(which, report_id): (licensees[which], report_id, e) for which, report_id, e in group}.values()
        )
        for sent, given_answer in zip(distinct, write(intake, *distinct), strict=True):
            expected = oracle.take(sent)
            if expected is None:
                assert isinstance(given_answer, Conflict)
            else:
                assert statuses(sent, given_answer) == expected
    for licensee in licensees:
        assert stored(intake, licensee) == {e: c for (who, e), c in oracle.known.items() if who == licensee}


def check_serial(intake: Intake, licensee: int, answered: Sequence[tuple[Sent, Receipt | PerimageError]]) -> None:
    """Every answer fits the rows: each id accepted once, repeats equal to it, conflicts different from it."""
    rows = stored(intake, licensee)
    accepted: list[str] = []
    for sent, receipt in answered:
        assert isinstance(receipt, Receipt)
        if receipt.replayed:
            continue
        for event, status in zip(sent[2], statuses(sent, receipt), strict=True):
            if status == "accepted":
                accepted.append(event["event_id"])
            assert (rows[event["event_id"]] == said(event)) == (status in ("accepted", "duplicate"))
    assert sorted(accepted) == sorted(rows)
    row = intake.connection.execute(
        "SELECT sum(image_count), sum(accepted) FROM usage_reports WHERE licensee_id = %s", [licensee]
    ).fetchone()
    intake.connection.rollback()
    assert row == (sum(content[1] for content in rows.values()), len(rows))


def in_threads(work: Callable[[int], list], workers: int) -> list:
    with ThreadPoolExecutor(workers) as pool:
        return [answered for answers in pool.map(work, range(workers)) for answered in answers]


@pytest.mark.parametrize("quick", [True, False])
def test_many_writers_with_the_same_events_in_other_orders_and_splits_count_each_once(
    database_url: str, intake: Intake, quick: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(writing, "PIECE", 40)
    licensee = new_licensee(intake)
    pool = [{"event_id": f"e{n}", "image_count": 1 + n % 3} for n in range(300)]

    def work(worker: int) -> list:
        chance = random.Random(worker)
        answered = []
        with writer(database_url) as own:
            own.quick = quick
            mine = pool[:]
            chance.shuffle(mine)
            mine = [{**e, "image_count": 9} if chance.random() < 0.05 else e for e in mine]
            while mine:
                group: list[Sent] = []
                for _ in range(3):
                    size = chance.randint(1, 30)
                    part, mine = mine[:size], mine[size:]
                    if part:
                        group.append((licensee, f"w{worker}-{len(mine)}", part))
                answered += zip(group, write(own, *group), strict=True)
        return answered

    check_serial(intake, licensee, in_threads(work, 6))
    assert len(stored(intake, licensee)) == 300


def test_one_report_from_many_writers_at_once_has_one_receipt(database_url: str, intake: Intake):
    licensee = new_licensee(intake)
    same = [(licensee, f"r{n}", [{"event_id": f"{n}-{i}"} for i in range(20)]) for n in range(10)]

    def work(worker: int) -> list:
        with writer(database_url) as own:
            return [(sent, write(own, sent)[0]) for sent in same]

    answered = in_threads(work, 5)
    check_serial(intake, licensee, answered)
    for report in same:
        receipts = [receipt for sent, receipt in answered if sent is report]
        assert sum(not receipt.replayed for receipt in receipts) == 1
        assert len({receipt.received_at for receipt in receipts}) == 1


def test_one_report_id_with_two_bodies_from_many_writers_at_once_stands_for_one_of_them(
    database_url: str, intake: Intake
):
    licensee = new_licensee(intake)

    def work(worker: int) -> list:
        with writer(database_url) as own:
            return [
                (n, worker % 2, write(own, (licensee, f"r{n}", [{"event_id": f"{n}-{worker % 2}"}]))[0])
                for n in range(20)
            ]

    answered = in_threads(work, 6)
    for n in range(20):
        winners = {side for number, side, given in answered if number == n and isinstance(given, Receipt)}
        refused = {side for number, side, given in answered if number == n and isinstance(given, Conflict)}
        assert len(winners) == 1 and winners.isdisjoint(refused)
        assert (f"{n}-0" in stored(intake, licensee)) == (winners == {0})
    assert len(stored(intake, licensee)) == 20


def capped(intake: Intake, sent: Sent, *places: int) -> Submission:
    """A report some of whose events a reached cap keeps out."""
    made = submission(intake, sent)
    made.capped = {place: Refusal(CAPPED, "the month is full") for place in places}
    made.rows = pack_report(made.report, made.licensee_id, made.report_no, made.capped)
    return made


def test_what_a_cap_keeps_out_is_not_counted_and_the_report_is_kept_as_evidence(intake: Intake):
    licensee = new_licensee(intake)
    sent = (licensee, "r", [{"event_id": e, "image_count": n} for n, e in enumerate("abcd", 1)])
    (receipt,) = intake.write([capped(intake, sent, 1, 2)])
    assert statuses(sent, receipt) == ["accepted", "rejected", "rejected", "accepted"]
    assert {e: c[1] for e, c in stored(intake, licensee).items()} == {"a": 1, "d": 4}
    row = intake.connection.execute("SELECT rejected, image_count, outcomes FROM usage_reports").fetchone()
    assert row is not None and row[:2] == (2, 5)
    assert [(run["first"], run["count"], run["code"], run["image_count"]) for run in row[2]] == [(1, 2, CAPPED, 5)]
    assert images_kept_out(read_report_of(sent), receipt) == 0
    whole = (licensee, "r2", [{"event_id": "x", "image_count": 9}])
    (receipt,) = intake.write([capped(intake, whole, 0)])
    assert images_kept_out(read_report_of(whole), receipt) == 9
    (again,) = intake.write([capped(intake, whole, 0)])
    assert isinstance(again, Receipt) and again.replayed and images_kept_out(read_report_of(whole), again) == 9


@pytest.mark.parametrize("quick", [True, False])
def test_an_event_that_was_taken_before_its_cap_was_reached_stays_taken(intake: Intake, quick: bool):
    intake.quick = quick
    licensee = new_licensee(intake)
    write(intake, (licensee, "r1", [{"event_id": "a"}]))
    events = [{"event_id": "a"}, {"event_id": "a", "image_count": 2}, {"event_id": "b"}, {"event_id": "b"}]
    sent = (licensee, "r2", events)
    (receipt,) = intake.write([capped(intake, sent, 0, 1, 2, 3)])
    assert statuses(sent, receipt) == ["duplicate", "conflict", "rejected", "rejected"]
    mixed = (licensee, "r3", [{"event_id": "c"}, {"event_id": "c"}, {"event_id": "d"}, {"event_id": "d"}])
    (receipt,) = intake.write([capped(intake, mixed, 0, 3)])
    assert statuses(mixed, receipt) == ["rejected", "accepted", "accepted", "duplicate"]
    assert sorted(stored(intake, licensee)) == ["a", "c", "d"]


def read_report_of(sent: Sent) -> Report:
    events = [{**BASE, **event} for event in sent[2]]
    return read_report(msgspec.json.encode({"report_id": sent[1], "events": events}), WINDOW)
