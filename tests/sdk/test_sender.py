"""The sender: what it makes of every answer, how long it waits, and that nothing is ever dropped."""

import json
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from perimage._answers import Answer, Later, Refused, Reused, Settled, TooLarge, read_answer
from perimage._errors import Unauthorized
from perimage._sender import LONGEST_PAUSE, LONGEST_PAUSE_WITHOUT_KEY

from tests.sdk.standin import StandIn
from tests.sdk.workroom import SetClock, Workroom


def problem(status: int, code: str, **members: Any) -> Answer:
    return Answer(status, json.dumps({"code": code, "detail": "says the service", **members}).encode(), {})


@pytest.fixture
def service() -> StandIn:
    return StandIn()


@pytest.fixture
def room(tmp_path: Path, service: StandIn) -> Workroom:
    return Workroom(tmp_path, service)


def pending(room: Workroom) -> Any:
    room.record(3)
    room.spool.seal(force=True)
    return room.spool.pending()[0]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (problem(403, "hard_cap_reached"), Refused),
        (problem(422, "missing_field"), Refused),
        (problem(409, "report_id_reused"), Reused),
        (problem(413, "body_too_large"), TooLarge),
        (Answer(413, b"<html>nginx"), TooLarge),
        (problem(403, "hard_cap_reached", report_id="of another"), Later),
        (problem(401, "unauthenticated"), Later),
        (problem(403, "forbidden"), Later),
        (problem(400, "invalid_json"), Later),
        (problem(404, "not_found"), Later),
        (problem(409, "something_else"), Later),
        (problem(415, "unsupported_content_type"), Later),
        (problem(429, "rate_limited"), Later),
        (problem(500, "internal_error"), Later),
        (problem(503, "busy"), Later),
        (Answer(422, b'{"detail": "of some other service"}'), Later),
        (Answer(301, b"", {"location": "https://elsewhere.example"}), Later),
        (Answer(200, b"<html>Please log in to the airport's network"), Later),
        (Answer(200, b""), Later),
        (Answer(200, b"[]"), Later),
        (Answer(204, b""), Later),
        (Answer(200, b'{"report_id": "of another", "results": []}'), Later),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else f"{value.status}-{value.body[:24]!r}",
)
def test_only_an_answer_about_this_report_decides_anything(room: Workroom, answer: Answer, kind: type):
    assert isinstance(read_answer(answer, pending(room)), kind)


def test_a_receipt_that_speaks_of_other_events_or_of_unknown_fates_decides_nothing(room: Workroom):
    report = pending(room)
    good = {"event_id": report.content()[0]["event_id"], "status": "accepted"}

    def receipt(*results: Any) -> Answer:
        return Answer(200, json.dumps({"report_id": report.report_id, "results": results}).encode())

    assert isinstance(read_answer(receipt(good), report), Settled)
    for results in ([], [good, good], [{**good, "event_id": "other"}], [{"status": "accepted"}], ["x"], [None]):
        assert isinstance(read_answer(receipt(*results), report), Later), results
    assert isinstance(read_answer(receipt({**good, "status": "postponed"}), report), Later)
    of_another = Answer(200, json.dumps({"report_id": "of another", "results": [good]}).encode())
    assert isinstance(read_answer(of_another, report), Later)


@pytest.mark.parametrize(
    ("fault", "statuses"),
    [
        (["away"] * 7, 0),
        (["lost"] * 3, 0),
        ([500, 502, 504], 0),
        ([(503, {}), (429, {}), 408], 0),
        ([400, 404, 301], 0),
    ],
    ids=["away", "lost", "5xx", "busy", "4xx of a proxy"],
)
def test_whatever_goes_wrong_the_same_bytes_are_sent_until_they_are_answered(
    room: Workroom, service: StandIn, fault: list, statuses: int
):
    service.faults = list(fault)
    room.record(3)
    room.drain()
    assert service.images == 3 and len(set(service.bodies)) == 1
    assert room.sender.failures == len(fault) and room.sender.last_error is None
    assert room.spool.is_empty() and list(room.spool.folder.glob("report-*")) == []


def test_pauses_double_up_to_a_minute_and_end_with_success(room: Workroom, service: StandIn):
    service.faults = ["away"] * 12
    room.record(1)
    room.spool.seal(force=True)
    waits = []
    while room.spool.pending():
        room.sender.step()
        waits.append(wait := room.sender.step())
        room.clock.move(wait)  # type: ignore[attr-defined]
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0]
    assert max(waits) == LONGEST_PAUSE
    room.record(1)
    room.drain()
    assert service.images == 2


def test_pauses_are_drawn_up_to_their_full_length(tmp_path: Path):
    drawn = []
    room = Workroom(tmp_path, StandIn(faults=["away"] * 3))
    room.sender._draw = lambda low, high: drawn.append((low, high)) or 0.0  # type: ignore[func-returns-value]
    room.record(1)
    room.drain()
    assert drawn == [(0.0, 0.5), (0.0, 1.0), (0.0, 2.0)]


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_waited_for_and_no_hurry_cuts_it_short(room: Workroom, service: StandIn, form: str):
    now = 1_795_000_000
    wait = "30" if form == "seconds" else formatdate(now + 30, usegmt=True)
    service.faults = [(429, {"retry-after": wait, "date": formatdate(now, usegmt=True)})]
    room.record(1)
    room.spool.seal(force=True)
    room.sender.step()
    room.sender.hurry()
    assert 30.0 <= room.sender.step() <= 31.0
    assert service.bodies == []
    room.clock.move(31)  # type: ignore[attr-defined]
    room.sender.step()
    assert service.images == 1


@pytest.mark.parametrize("header", ["-5", "soon", "1e9", "99999999999", "", "Thu, 99 Foo 2026"])
def test_a_senseless_retry_after_stops_nobody_for_longer_than_an_hour(room: Workroom, service: StandIn, header: str):
    service.faults = [(503, {"retry-after": header})]
    room.record(1)
    room.spool.seal(force=True)
    room.sender.step()
    assert room.sender.step() <= 3601
    room.drain()
    assert service.images == 1


def test_a_key_that_is_not_taken_is_tried_slowly_and_everything_is_kept(room: Workroom, service: StandIn):
    service.faults = [problem(401, "unauthenticated")] * 8
    room.record(1)
    room.spool.seal(force=True)
    waits = []
    for _ in range(8):
        room.sender.step()
        assert isinstance(room.sender.last_error, Unauthorized)
        waits.append(wait := room.sender.step())
        room.clock.move(wait)  # type: ignore[attr-defined]
    assert waits[0] == 30.0 and max(waits) == LONGEST_PAUSE_WITHOUT_KEY
    room.drain()
    assert service.images == 1


def test_a_report_that_alone_fails_does_not_keep_others_waiting(tmp_path: Path):
    class Choosy(StandIn):
        def report(self, body: bytes) -> Answer:
            if b"poison" in body and len(self.bodies) < 3:
                return Answer(500, b"")
            return super().report(body)

    service = Choosy()
    room = Workroom(tmp_path, service)
    for model in ("poison", "anima-1", "anima-2", "anima-3"):
        room.record(1, (model, (), "", "image"))
        room.spool.seal(force=True)
    room.drain()
    assert [report["events"][0]["model"] for report in service.reports()] == ["anima-1", "anima-2", "anima-3", "poison"]


def test_conflict_and_rejected_are_parked_and_the_rest_is_done(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    fates = {"b": ("conflict", "event_id_reused"), "c": ("rejected", "invalid_model"), "d": ("held", "unknown_model")}
    service = StandIn(lambda event: fates.get(event["model"]))
    room = Workroom(tmp_path, service)
    for model in "abcd":
        room.record(2, (model, (), "", "image"))
    room.drain()
    parked = {each.event["model"]: each for each in room.parked.list()}
    assert parked.keys() == {"b", "c"}
    assert (parked["b"].status, parked["b"].code) == ("conflict", "event_id_reused")
    assert parked["c"].message == "said the judge" and parked["c"].event["image_count"] == 2
    assert room.spool.is_empty()
    loud = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(loud) == 1 and "4 images were NOT counted" in loud[0] and "parked.jsonl" in loud[0]
    tally = room.sender.tally
    assert (tally.accepted, tally.held, tally.parked, tally.duplicate) == (1, 1, 2, 0)


@pytest.mark.parametrize("answer", [problem(403, "hard_cap_reached"), problem(422, "invalid_source")])
def test_a_report_that_is_turned_away_whole_is_parked_whole(room: Workroom, service: StandIn, answer: Answer):
    service.faults = [answer]
    room.record(2)
    room.record(3, ("anima-2", (), "", "image"))
    room.drain()
    assert sorted(each.event["image_count"] for each in room.parked.list()) == [2, 3]
    assert {each.status for each in room.parked.list()} == {"refused"}
    room.record(1)
    room.drain()
    assert service.images == 1


def test_a_report_whose_id_is_taken_is_sent_under_another_with_the_same_event_ids(room: Workroom, service: StandIn):
    service.faults = [problem(409, "report_id_reused")]
    report = pending(room)
    room.drain()
    (sent,) = service.reports()
    assert sent["report_id"] != report.report_id
    assert service.images == 3


def test_a_report_that_is_too_large_is_halved_until_it_fits(tmp_path: Path):
    class Narrow(StandIn):
        def report(self, body: bytes) -> Answer:
            return super().report(body) if len(body) <= 8_000 else Answer(413, b"nginx")

    service = Narrow()
    room = Workroom(tmp_path, service)
    for number in range(100):
        room.record(number + 1, (f"model-{number}", (), "", "image"))
    room.drain()
    assert service.images == 5_050 and len(service.counted) == 100
    assert len(service.reports()) >= 2
    assert sorted(number for _, number in service.sequences()) == list(range(1, len(service.reports()) + 1))
    assert all(len(reports) == 1 for reports in service.sequences().values())


def test_a_proxy_that_finds_everything_too_large_parks_nothing(room: Workroom, service: StandIn):
    service.faults = [Answer(413, b"")] * 5
    room.record(1)
    room.drain()
    assert service.images == 1 and room.parked.list() == []


@pytest.mark.parametrize("ahead", [400.0, 3_000.0])
def test_events_that_our_clock_dates_ahead_are_reported_again_when_their_time_has_come(tmp_path: Path, ahead: float):
    """The clock ran ahead and was then set right."""
    clock = SetClock()
    service = StandIn()
    true_time = clock.now
    passed = clock.passed
    service.now = lambda: true_time + clock.passed - passed

    def judge(event: dict[str, Any]) -> tuple[str, str] | None:
        from datetime import datetime

        late = datetime.fromisoformat(event["occurred_at"]).timestamp() - service.now()  # type: ignore[misc]
        return ("rejected", "timestamp_in_future") if late > 300 else None

    service.judge = judge
    room = Workroom(tmp_path, service, None, clock)
    clock.step(ahead)
    event_id = room.record(5)
    clock.step(-ahead)
    room.record(1)
    room.drain(5_000)
    assert service.images == 6 and event_id in service.counted
    assert room.parked.list() == []
    assert len(service.reports()) < 10


def test_events_dated_far_ahead_are_parked(tmp_path: Path):
    clock = SetClock()
    service = StandIn(lambda event: ("rejected", "timestamp_in_future"))
    service.now = lambda: clock.now - 86_400 * 2
    room = Workroom(tmp_path, service, None, clock)
    room.record(5)
    room.drain()
    assert len(room.parked.list()) == 1


def test_what_cannot_be_parked_is_not_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    service = StandIn(lambda event: ("rejected", "invalid_model"))
    room = Workroom(tmp_path, service)
    room.record(5)
    room.spool.seal(force=True)
    parks = []

    def full(events: Any) -> None:
        parks.append(events)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(room.parked, "add", full)
        room.sender.step()
    assert parks and len(room.spool.pending()) == 1
    room.drain()
    assert len(room.parked.list()) == 1 and room.spool.is_empty()


def test_receipts_are_kept_as_they_came(tmp_path: Path):
    from base64 import b64decode

    service = StandIn()
    room = Workroom(tmp_path, service)
    room.record(5)
    room.drain()
    (kept,) = (tmp_path / "receipts").glob("*.json")
    fields = json.loads(kept.read_bytes())
    assert b64decode(fields["report"]) == service.bodies[0]
    assert b64decode(fields["receipt"]) == service.receipts[kept.stem]
    assert fields["signature"] == ""
