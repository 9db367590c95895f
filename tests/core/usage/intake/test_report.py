"""Reading a report: what is understood, what is refused, and in which words."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.usage import tables
from core.usage.intake import report as reading
from core.usage.intake.report import Window, content, micros, read_report

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
WINDOW = Window.at(NOW, 35, 5)
GOOD = {"event_id": "a", "model": "sd-1", "image_count": 3, "occurred_at": "2026-11-22T11:00:00Z"}


def read(report: Any, window: Window = WINDOW) -> reading.Report:
    return read_report(report if isinstance(report, bytes) else json.dumps(report).encode(), window)


def body_with(literal: str, field: str) -> bytes:
    """A report of two events, the first with `literal` as it stands for `field`, the second good."""
    bad = (
        "{" + ",".join(f'"{k}":{literal if k == field else json.dumps(v)}' for k, v in {**GOOD, field: 0}.items()) + "}"
    )
    return f'{{"report_id":"r","events":[{bad},{json.dumps({**GOOD, "event_id": "b"})}]}}'.encode()


def test_a_good_report_is_read_whole():
    found = read(
        {
            "report_id": "r",
            "source": "host",
            "sequence": 7,
            "events": [
                {**GOOD, "adapters": ["z", "a", "z"], "plan": "free", "output": "preview"},
                {**GOOD, "event_id": "b"},
            ],
        }
    )
    assert (found.report_id, found.source, found.sequence, found.ids) == ("r", "host", 7, ["a", "b"])
    assert [content(*pair) for pair in zip(found.events, found.instants, strict=True)] == [
        ("sd-1", 3, micros(datetime(2026, 11, 22, 11, tzinfo=UTC)), ("a", "z"), "free", "preview"),
        ("sd-1", 3, micros(datetime(2026, 11, 22, 11, tzinfo=UTC)), (), "", "image"),
    ]
    assert found.refusals == {} and found.distinct


@pytest.mark.parametrize("output", reading.OUTPUTS)
def test_what_was_made_is_one_of_a_few_words(output: str):
    assert content(read({"report_id": "r", "events": [{**GOOD, "output": output}]}).events[0], 0)[-1] == output


@pytest.mark.parametrize(
    "literal", ['"Image"', '"video frame"', '"image "', '""', "null", "1", "true", '["image"]', '"im\\u0061ges"']
)
def test_any_other_word_for_what_was_made_is_refused(literal: str):
    found = read(body_with(literal, "output"))
    assert list(found.refusals) == [0] and found.refusals[0].code == "invalid_output"
    assert "preview" in found.refusals[0].message


def test_images_are_what_was_made_where_nothing_is_said():
    silent, spoken = read({"report_id": "r", "events": [GOOD, {**GOOD, "event_id": "b", "output": "image"}]}).events
    assert content(silent, 0) == content(spoken, 0)


COUNTS = [
    "0", "-1", "-0", "1.0", "1.5", "1e3", "1E0", "1e400", "true", "null", '"12"', '"1_000"', '"１２"', "[1]", "{}",
    "1000000001", str(2**31), str(2**53 + 1), str(2**63), str(10**23), "9" * 5000,
]  # fmt: skip
NOT_JSON = ["NaN", "Infinity", "-Infinity", "１２", "1_000", "01", "+1", "0x1", ".5", "1.", "'1'", "undefined", "1 2"]


@pytest.mark.parametrize("literal", COUNTS, ids=lambda text: text[:12])
def test_a_count_that_is_not_a_whole_bounded_number_is_refused_and_its_neighbour_is_not(literal: str):
    found = read(body_with(literal, "image_count"))
    assert found.refusals[0].code == "invalid_image_count"
    assert "image_count" in found.refusals[0].message
    assert found.ids == ["a", "b"] and found.places == [1]


@pytest.mark.parametrize("literal", NOT_JSON)
def test_what_is_not_json_is_refused_as_a_whole(literal: str):
    with pytest.raises(InvalidInput) as refused:
        read(body_with(literal, "image_count"))
    assert refused.value.code == "invalid_json"


TIMES = [
    "2026-11-22T11:00:00", "2026-11-22", "2026-11-22T24:00:00Z", "2026-06-30T23:59:60Z", "2025-02-29T00:00:00Z",
    "0000-11-22T11:00:00Z", "10000-11-22T11:00:00Z", "2026-11-22T11:00Z", "2026-W47-7T11:00:00Z",
    " 2026-11-22T11:00:00Z",
    "2026-11-22T11:00:00+24:00", "2026-11-22T11:00:00 Europe/Berlin", "1795345200", "now", "", "2026-11-22T11:00:00Zz",
    "9999-12-31T23:59:59.9999999Z", "２０２６-11-22T11:00:00Z",
]  # fmt: skip


@pytest.mark.parametrize("text", [*map(json.dumps, TIMES), "1795345200", "1795345200000", "null", "true", "[]"])
def test_a_time_without_a_zone_or_outside_the_calendar_is_refused(text: str):
    assert read(body_with(text, "occurred_at")).refusals[0].code == "invalid_occurred_at"


def test_one_instant_in_three_zones_is_the_same_content():
    times = ["2026-11-22T11:00:00Z", "2026-11-22T12:00:00+01:00", "2026-11-22t03:00:00-08:00"]
    found = read({"report_id": "r", "events": [{**GOOD, "event_id": t, "occurred_at": t} for t in times]})
    assert len({content(*pair) for pair in zip(found.events, found.instants, strict=True)}) == 1


def test_the_hour_that_a_summer_time_repeats_is_two_hours():
    fold = ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"]
    found = read({"report_id": "r", "events": [{**GOOD, "event_id": t, "occurred_at": t} for t in fold]})
    assert found.instants[1] - found.instants[0] == 3_600_000_000


@pytest.mark.parametrize(
    ("shift", "code"),
    [
        (timedelta(days=-35), None),
        (timedelta(days=-35, microseconds=-1), "timestamp_too_far_in_past"),
        (timedelta(minutes=5), None),
        (timedelta(minutes=5, microseconds=1), "timestamp_in_future"),
        (timedelta(days=-20000), "timestamp_too_far_in_past"),
        (timedelta(days=300000), "timestamp_in_future"),
    ],
)
def test_usage_may_be_so_old_and_so_far_ahead_to_the_microsecond(shift: timedelta, code: str | None):
    found = read({"report_id": "r", "events": [{**GOOD, "occurred_at": (NOW + shift).isoformat()}, GOOD]})
    assert (found.refusals[0].code if found.refusals else None) == code
    assert found.ids == ["a", "a"]


def test_a_back_fill_permission_opens_the_past_from_the_first_place_on_earth_where_its_day_began():
    window = Window.at(NOW, 35, 5, date(2026, 3, 1))
    times = ["2026-02-28T10:00:00Z", "2026-02-28T09:59:59.999999Z"]
    found = read({"report_id": "r", "events": [{**GOOD, "occurred_at": t} for t in times]}, window)
    assert {place: refusal.code for place, refusal in found.refusals.items()} == {1: "timestamp_too_far_in_past"}
    assert Window.at(NOW, 35, 5, date(2026, 11, 1)).earliest == WINDOW.earliest


NAMES = ["", "x" * 256, "x" * 10**6, "\x00", "a\nb", "a\x7f", "a\x85", " a", "a ", "a\u00a0", "\u3000a",
         "a\u202eb", "\u2066a", "a\u2028b", "\ufeffa", "\t", " "]  # fmt: skip


@pytest.mark.parametrize("text", NAMES, ids=lambda text: repr(text)[:12])
@pytest.mark.parametrize("field", ["event_id", "model", "plan", "adapters"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_text_that_could_hide_something_is_refused(text: str, field: str, ascii_only: bool):
    literal = json.dumps([text] if field == "adapters" else text, ensure_ascii=ascii_only)
    found = read(body_with(literal, field))
    assert found.refusals[0].code == f"invalid_{field}"
    assert found.ids[0] == (None if field == "event_id" else "a")


KEPT = ["=HYPERLINK(1)", "<script>", "' OR 1=1--", "../../etc", "é", "e\u0301", "模型", "😀", "a b", "x" * 255,
        "ö" * 255, "می\u200cخواهم", "\\", '"', "null", "\u00ad"]  # fmt: skip


@pytest.mark.parametrize("text", KEPT, ids=lambda text: ascii(text)[:12])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_text_that_is_only_strange_is_kept_as_it_was_sent(text: str, ascii_only: bool):
    events = [{**GOOD, "event_id": text, "model": text, "plan": text, "adapters": [text]}]
    found = read(json.dumps({"report_id": text, "source": text, "events": events}, ensure_ascii=ascii_only).encode())
    assert found.refusals == {}
    assert (found.report_id, found.source, found.ids) == (text, text, [text])
    assert content(found.events[0], 0) == (text, 3, 0, (text,), text, "image")


@pytest.mark.parametrize("field", ["event_id", "model", "image_count", "occurred_at"])
def test_a_missing_field_is_named(field: str):
    found = read({"report_id": "r", "events": [{k: v for k, v in GOOD.items() if k != field}]})
    assert found.refusals[0].code == "missing_field" and field in found.refusals[0].message


@pytest.mark.parametrize("name", ["licensee_id", "Event_id", "x" * 10_000, "", "\u0000", "__proto__"])
def test_an_unknown_field_is_refused(name: str):
    assert read({"report_id": "r", "events": [{**GOOD, name: 1}]}).refusals[0].code == "unknown_field"


@pytest.mark.parametrize("event", ["1", "null", '"x"', "[]", "true", "[[]]", "1e400"])
def test_an_event_that_is_not_an_object_is_refused(event: str):
    found = read(f'{{"report_id":"r","events":[{event}]}}'.encode())
    assert found.refusals[0].code == "invalid_event" and found.ids == [None]


TWICE = {
    "the same": '"event_id":"a"',
    "another": '"event_id":"z"',
    "escaped": '"event\\u005fid":"z"',
    "with escapes": '"event_id":"\\\\\\"\\n"',
    "count": '"image_count":3',
    "an empty list": '"adapters":[],"adapters":[]',
    "a shorter list": '"adapters":["x"],"adapters":[]',
    "plan": '"plan":"a","plan":"a"',
    "output": '"output":"image","output":"image"',
}


@pytest.mark.parametrize("extra", TWICE.values(), ids=TWICE.keys())
def test_a_field_that_is_given_twice_is_refused(extra: str):
    good = json.dumps(GOOD)
    for event in (good[:-1] + "," + extra + "}", "{" + extra + "," + good[1:]):
        found = read(f'{{"report_id":"r","events":[{event}]}}'.encode())
        assert found.refusals[0].code in ("duplicate_field", "invalid_event_id")


@pytest.mark.parametrize(
    "extra", ['"report_id":"r"', '"events":[]', '"source":"a","source":"b"', '"report\\u005fid":"q"']
)
def test_a_field_of_the_report_that_is_given_twice_is_refused(extra: str):
    good = json.dumps({"report_id": "r", "events": [GOOD]})
    for body in (good[:-1] + "," + extra + "}", "{" + extra + "," + good[1:]):
        with pytest.raises(InvalidInput) as refused:
            read(body.encode())
        assert refused.value.code in ("duplicate_field", "invalid_events")


ENVELOPES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "invalid_json"),
    "white space": (b" \n", "invalid_json"),
    "a list": (b"[]", "invalid_report"),
    "null": (b"null", "invalid_report"),
    "truncated": (json.dumps({"report_id": "r", "events": [GOOD]}).encode()[:-7], "invalid_json"),
    "trailing": (json.dumps({"report_id": "r", "events": [GOOD]}).encode() + b"x", "invalid_json"),
    "two documents": (json.dumps({"report_id": "r", "events": [GOOD]}).encode() * 2, "invalid_json"),
    "not UTF-8": (
        json.dumps({"report_id": "r", "events": [GOOD]}).encode().replace(b"sd-1", b"sd\xff"),
        "invalid_json",
    ),
    "UTF-16": (json.dumps({"report_id": "r", "events": [GOOD]}).encode("utf-16"), "invalid_json"),
    "a byte order mark": (b"\xef\xbb\xbf" + json.dumps({"report_id": "r", "events": [GOOD]}).encode(), "invalid_json"),
    "a lone surrogate": (b'{"report_id":"r","events":[{"event_id":"\\ud800"}]}', "invalid_json"),
    "surrogates reversed": (b'{"report_id":"r","events":[{"event_id":"\\udc00\\ud800"}]}', "invalid_json"),
    "a raw control character": (b'{"report_id":"r","events":[{"event_id":"\n"}]}', "invalid_json"),
    "depth in events": (b'{"report_id":"r","events":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "invalid_json"),
    "depth in objects": (b'{"report_id":"r","events":[' + b'{"a":' * 100_000, "invalid_json"),
    "no events": (b'{"report_id":"r","events":[]}', "invalid_events"),
    "1,001 events": (json.dumps({"report_id": "r", "events": [GOOD] * 1001}).encode(), "invalid_events"),
    "events missing": (b'{"report_id":"r"}', "missing_field"),
    "events not a list": (b'{"report_id":"r","events":{}}', "invalid_events"),
    "no report_id": (json.dumps({"events": [GOOD]}).encode(), "missing_field"),
    "an unknown field": (json.dumps({"report_id": "r", "events": [GOOD], "licensee": 2}).encode(), "unknown_field"),
    "an empty report_id": (json.dumps({"report_id": "", "events": [GOOD]}).encode(), "invalid_report_id"),
    "a long report_id": (json.dumps({"report_id": "r" * 256, "events": [GOOD]}).encode(), "invalid_report_id"),
    "a report_id with NUL": (json.dumps({"report_id": "\x00", "events": [GOOD]}).encode(), "invalid_report_id"),
    "a number for report_id": (json.dumps({"report_id": 1, "events": [GOOD]}).encode(), "invalid_report_id"),
    "source null": (json.dumps({"report_id": "r", "source": None, "events": [GOOD]}).encode(), "invalid_source"),
    "source blank": (json.dumps({"report_id": "r", "source": " ", "events": [GOOD]}).encode(), "invalid_source"),
    "sequence below 0": (json.dumps({"report_id": "r", "sequence": -1, "events": [GOOD]}).encode(), "invalid_sequence"),
    "sequence 2^63": (json.dumps({"report_id": "r", "sequence": 2**63, "events": [GOOD]}).encode(), "invalid_sequence"),
    "sequence 1.0": (json.dumps({"report_id": "r", "sequence": 1.0, "events": [GOOD]}).encode(), "invalid_sequence"),
}


@pytest.mark.parametrize(("body", "code"), ENVELOPES.values(), ids=ENVELOPES.keys())
def test_a_broken_envelope_fails_the_whole_report(body: bytes, code: str):
    with pytest.raises(InvalidInput) as refused:
        read(body)
    assert refused.value.code == code
    assert 10 < len(refused.value.sentence) < 300


def test_too_many_adapters_are_refused():
    assert read({"report_id": "r", "events": [{**GOOD, "adapters": [str(n) for n in range(32)]}]}).refusals == {}
    found = read({"report_id": "r", "events": [{**GOOD, "adapters": [str(n) for n in range(33)]}]})
    assert found.refusals[0].code == "invalid_adapters"


def test_the_bounds_of_the_decoder_are_those_of_the_table():
    assert reading.MAX_IMAGE_COUNT == tables.MAX_IMAGE_COUNT


# Text with everything that matters to JSON and to us, in the three ways a string can be written down.
texts = st.text(st.sampled_from('ab\\"/ \u00e9\u4e2d\U0001f600\n\x00\x7f\u202e{}[]:,'), max_size=6)
keys = st.sampled_from(["event_id", "model", "image_count", "occurred_at", "adapters", "plan", "output", "sourc\u00e9"])
values = st.one_of(
    texts,
    st.sampled_from([GOOD["occurred_at"], "image", "video_frame"]),
    st.integers(-1, 3),
    st.lists(texts, max_size=2),
    st.sampled_from([None, True, 1.0]),
)


@st.composite
def written_events(draw: st.DrawFn) -> tuple[str, bool]:
    """An event as text, perhaps with fields twice, and whether it has any twice."""
    pairs = [(k, v) for k, v in {**GOOD, "event_id": draw(texts)}.items() if draw(st.integers(0, 9)) > 0]
    pairs += draw(st.lists(st.tuples(keys, values), max_size=2))
    pairs = draw(st.permutations(pairs))
    ascii_only = draw(st.booleans())

    def dump(value: Any) -> str:
        return json.dumps(value, ensure_ascii=ascii_only)

    fields = [f"{dump(k)}{draw(st.sampled_from([':', ' : ']))}{dump(v)}" for k, v in pairs]
    return "{" + ",".join(fields) + "}", len({k for k, _ in pairs}) < len(pairs)


@given(st.lists(written_events(), min_size=1, max_size=3), st.booleans())
def test_both_ways_of_reading_agree_and_no_field_given_twice_is_ever_taken(events: list[tuple[str, bool]], dense: bool):
    body = f'{{"report_id": "r", "events": [{(", " if not dense else ",").join(text for text, _ in events)}]}}'.encode()
    piecemeal = reading._read_piecemeal(body, WINDOW)
    whole = reading._read_whole(body, WINDOW)
    assert whole is None or (piecemeal.refusals == {} and whole.events == piecemeal.events)
    assert whole is not None or piecemeal.refusals
    for place, (text, twice) in enumerate(events):
        plain = json.loads(text)
        if twice:
            assert place in piecemeal.refusals
        elif place not in piecemeal.refusals:
            event = piecemeal.events[list(piecemeal.places).index(place)]
            assert json.loads(msgspec.json.encode(event)) | {"occurred_at": 0} == plain | {"occurred_at": 0}
