"""Rows of files: what a row may say, what a file may call its columns, and that reports are the same every time."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from core.errors import InvalidInput
from core.usage.intake.report import MAX_EVENTS, Refusal, Report, Window
from core.usage.intake.rows import (
    FIELDS,
    MAX_BYTES,
    REQUIRED,
    Cells,
    Gathering,
    Naming,
    Rows,
    check_import_id,
    event_of_line,
    read_naming,
    report_id,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
WINDOW = Window.at(NOW, 35, 5)
GOOD = {"event_id": "e1", "model": "sd-1", "image_count": "12", "occurred_at": "2026-11-22T11:59:59Z"}
NOT_COUNTS = ["0", "-1", "+1", "1.0", "1.5", "1e3", "1E3", "1e400", "NaN", "nan", "inf", "true", "null", "", " 12",
              "12 ", "12\n", "1_000", "1,000", "1.000", "１２", "١٢", "²", "012", "00", "0x10", "0b1", "1000000001",
              str(2**31), str(2**53 + 1), str(2**63), str(10**23), "9" * 5000, "=1+1", "'12", '"12"', "[]"]  # fmt: skip
NOT_NAMES = ["", "x" * 256, "x" * 100_000, "\x00", "a\x00b", "a\u202eb", "a ", " a", "a\u00a0", "a\n", "a\nb", "a\rb",
             "\x1b[2J", "a\tb", "\ufeffa", "\u2028"]  # fmt: skip
NOT_TIMES = ["", "now", "2026-11-22", "2026-11-22T11:00:00", "2026-11-22 11:00:00", "2026-11-22T24:00:00Z",
             "2026-06-30T23:59:60Z", "2025-02-29T00:00:00Z", "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z",
             "2026-11-22T11:00:00 Europe/Berlin", "1795345200", "1795345200000", "22/11/2026 11:00", "1.7e9",
             "2026-11-22T11:00:00+25:00", "２026-11-22T11:00:00Z"]  # fmt: skip
OLD_OR_AHEAD = {
    "1970-01-01T00:00:00Z": "timestamp_too_far_in_past",
    "0001-01-01T00:00:00+14:00": "timestamp_too_far_in_past",
    "2026-11-22T12:06:00Z": "timestamp_in_future",
    "9999-12-31T23:59:59-14:00": "timestamp_in_future",
}
STRANGE = ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "<script>alert(1)</script>", "' OR 1=1 --", "../../etc/passwd",
           "é", "e\u0301", "\\N", "NULL", '"', '""', "a,b;c", "%s{}", "名前", "\U0001f600", "x" * 255,
           "1.0", "a\\"]  # fmt: skip


def read_cells(values: dict[str, str], naming: Naming | None = None) -> Report:
    return read_event(Cells(list(values), naming or Naming()).event(list(values.values())))


def read_line(line: str | bytes, naming: Naming | None = None) -> Report:
    return read_event(event_of_line(line if isinstance(line, bytes) else line.encode(), naming or Naming()))


def read_event(event: bytes | Refusal) -> Report:
    gathering = Gathering("i")
    gathering.add(event, b"the row")
    rows = gathering.rest()
    assert rows is not None
    report = rows.report(WINDOW)
    assert len(report.ids) == 1
    return report


def refusal_of(report: Report) -> Refusal:
    assert report.events == []
    refusal = report.refusals[0]
    assert len(refusal.message) > 10
    return refusal


def test_a_good_row_is_the_event_it_would_be_in_a_report():
    report = read_cells({**GOOD, "adapters": "b|a", "plan": "free", "output": "preview"})
    (event,) = report.events
    assert msgspec.to_builtins(event, builtin_types=(datetime,)) == {
        "event_id": "e1",
        "model": "sd-1",
        "image_count": 12,
        "occurred_at": datetime(2026, 11, 22, 11, 59, 59, tzinfo=UTC),
        "adapters": ("b", "a"),
        "plan": "free",
        "output": "preview",
    }
    assert (report.report_id, report.source, report.sequence) == ("import:i:0000000001", None, None)


def test_an_empty_cell_of_an_optional_column_is_no_value():
    (event,) = read_cells({**GOOD, "adapters": "", "plan": "", "output": ""}).events
    assert event == read_cells(GOOD).events[0]


@pytest.mark.parametrize("count", ["1", "12", "999", "1000000000"])
def test_a_count_is_a_whole_number_in_ascii_digits(count: str):
    assert read_cells({**GOOD, "image_count": count}).events[0].image_count == int(count)


@pytest.mark.parametrize("count", NOT_COUNTS, ids=lambda text: text[:20])
def test_anything_else_is_no_count(count: str):
    assert refusal_of(read_cells({**GOOD, "image_count": count})).code == "invalid_image_count"


@pytest.mark.parametrize("field", ["event_id", "model", "plan"])
@pytest.mark.parametrize("text", NOT_NAMES, ids=lambda text: ascii(text[:20]))
def test_what_is_no_name_in_a_report_is_none_in_a_file(field: str, text: str):
    report = read_cells({**GOOD, "plan": "free", field: text})
    if field == "plan" and not text:
        assert len(report.events) == 1
    else:
        assert refusal_of(report).code == f"invalid_{field}"


@pytest.mark.parametrize("text", ["a||b", "|", "a|", "|a", "a| b", "|".join("a" * 33), "a\x00", "x" * 256])
def test_adapters_are_names_between_bars(text: str):
    assert refusal_of(read_cells({**GOOD, "adapters": text})).code == "invalid_adapters"


@pytest.mark.parametrize("text", NOT_TIMES, ids=lambda text: ascii(text[:30]))
def test_a_time_without_a_zone_or_that_no_calendar_has_is_refused(text: str):
    assert refusal_of(read_cells({**GOOD, "occurred_at": text})).code == "invalid_occurred_at"


@pytest.mark.parametrize(("text", "code"), OLD_OR_AHEAD.items())
def test_a_file_may_speak_of_the_same_times_as_a_report(text: str, code: str):
    assert refusal_of(read_cells({**GOOD, "occurred_at": text})).code == code


def test_an_unknown_output_is_refused():
    assert refusal_of(read_cells({**GOOD, "output": "Image"})).code == "invalid_output"


@pytest.mark.parametrize("text", STRANGE, ids=ascii)
def test_text_that_is_only_strange_is_kept_letter_for_letter(text: str):
    (event,) = read_cells({**GOOD, "event_id": text, "model": text, "plan": text, "adapters": text}).events
    assert (event.event_id, event.model, event.plan, event.adapters) == (text, text, text, (text,))


def test_bytes_that_are_not_utf8_are_refused_in_a_column_that_is_read_only():
    broken = b"a\xffb".decode(errors="surrogateescape")
    for field in ("event_id", "model", "image_count", "occurred_at", "plan"):
        assert refusal_of(read_cells({**GOOD, "plan": "x", field: broken})).code == "invalid_utf8"
    assert read_cells({**GOOD, "note": broken}, Naming(ignore_extra=True)).events


def test_a_row_with_more_or_fewer_cells_than_the_header_is_refused():
    cells = Cells(list(GOOD), Naming())
    for row in (list(GOOD.values())[:3], [*GOOD.values(), ""], ["x"]):
        refusal = refusal_of(read_event(cells.event(row)))
        assert refusal.code == "wrong_cells" and str(len(row)) in refusal.message


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('{"event_id":"e1"', "invalid_json"),
        ('{"event_id":"e1"},{"event_id":"e2"}', "invalid_json"),
        ("event_id=e1", "invalid_json"),
        ("NaN", "invalid_json"),
        ("1", "invalid_event"),
        ("null", "invalid_event"),
        ("[]", "invalid_event"),
        ("{}", "missing_field"),
        (json.dumps({**GOOD, "image_count": 1, "licensee_id": 2}), "unknown_field"),
        (json.dumps(GOOD), "invalid_image_count"),
        (json.dumps({**GOOD, "image_count": 1.0}), "invalid_image_count"),
        (json.dumps({**GOOD, "image_count": True}), "invalid_image_count"),
        (json.dumps({**GOOD, "image_count": 1, "plan": None}), "invalid_plan"),
        (json.dumps({**GOOD, "image_count": 1, "adapters": "a|b"}), "invalid_adapters"),
        (json.dumps({**GOOD, "image_count": 1})[:-1] + ',"event_id":"e1"}', "duplicate_field"),
        (b'{"event_id":"\xff"}', "invalid_utf8"),
        ("[" * 100_000, "invalid_json"),
        ("[" * 990 + "]" * 990, None),
        ('{"adapters":' * 300 + "1" + "}" * 300, None),
    ],
    ids=lambda value: ascii(value)[:40],
)
@pytest.mark.parametrize("naming", [Naming(), Naming({"plan": "tier"}), Naming(ignore_extra=True)], ids=repr)
def test_a_line_that_is_no_good_event_is_refused_alone(line: str | bytes, code: str | None, naming: Naming):
    refusal = refusal_of(read_line(line, naming)) if code != "unknown_field" or not naming.ignore_extra else None
    if naming.columns and refusal and code == "invalid_plan":
        assert refusal.code == "unknown_field"  # plan is called tier
    elif refusal and code:
        assert refusal.code == code


def test_one_line_too_deep_to_be_read_does_not_fail_the_others():
    good = json.dumps({**GOOD, "image_count": 1}).encode()
    for depth in range(100, 1100, 7):
        gathering = Gathering("i")
        for event in (good, event_of_line(b"[" * depth + b"]" * depth, Naming()), good.replace(b"e1", b"e2")):
            gathering.add(event, b"deep")
        rows = gathering.rest()
        assert rows is not None
        report = rows.report(WINDOW)
        assert [event.event_id for event in report.events] == ["e1", "e2"] and list(report.refusals) == [1]


def test_a_file_may_have_names_of_its_own():
    naming = read_naming(["event_id=ID", "image_count=n", "plan=tier"])
    row = {"n": "3", "ID": "x=1", "model": "sd-1", "tier": "free", "occurred_at": GOOD["occurred_at"]}
    (event,) = read_cells(row, naming).events
    assert (event.event_id, event.image_count, event.plan) == ("x=1", 3, "free")
    assert read_line(json.dumps({**row, "n": 3}), naming).events == [event]


def test_a_line_keeps_every_value_as_it_was_written_when_fields_are_renamed():
    naming = read_naming(["image_count=n"])
    for literal in ("1.0", "1e3", "1e400", "12345678901234567890123", '"12"', "true", "-1", "9" * 5000):
        line = f'{{"event_id":"e","model":"m","occurred_at":"2026-11-22T11:00:00Z","n":{literal}}}'
        assert refusal_of(read_line(line, naming)).code == "invalid_image_count"


@pytest.mark.parametrize(
    ("said", "word"),
    [("event_id", "FIELD=COLUMN"), ("id=x", "FIELD=COLUMN"), ("event_id=", "FIELD=COLUMN"), ("=x", "FIELD=COLUMN")],
)
def test_a_mapping_that_is_none_is_refused(said: str, word: str):
    with pytest.raises(InvalidInput, match=word):
        read_naming([said])


def test_a_field_and_a_column_are_mapped_once():
    for pairs in (["event_id=a", "event_id=b"], ["event_id=a", "model=a"]):
        with pytest.raises(InvalidInput, match="only once"):
            read_naming(pairs)


@pytest.mark.parametrize("lacking", REQUIRED)
def test_a_header_without_a_column_says_which_and_how_to_map_it(lacking: str):
    header = ["ID" if name == lacking else name for name in FIELDS]
    with pytest.raises(InvalidInput) as refused:
        Cells(header, Naming(ignore_extra=True))
    assert refused.value.code == "missing_column"
    assert f"{lacking}=NAME" in refused.value.sentence and '"ID"' in refused.value.sentence


def test_columns_that_mean_nothing_are_named_unless_they_are_ignored():
    header = [*REQUIRED, "prompt", " model", "x" * 100]
    with pytest.raises(InvalidInput) as refused:
        Cells(header, Naming())
    assert refused.value.code == "unknown_column"
    assert '"prompt", " model", "xxxx' in refused.value.sentence and len(refused.value.sentence) < 400
    assert Cells(header, Naming(ignore_extra=True)).width == 7


def test_a_column_that_is_read_stands_once_and_one_that_is_mapped_must_be_there():
    with pytest.raises(InvalidInput, match="more than once"):
        Cells([*REQUIRED, "model"], Naming(ignore_extra=True))
    with pytest.raises(InvalidInput, match="plan=NAME"):
        Cells(REQUIRED, read_naming(["plan=tier"]))
    with pytest.raises(InvalidInput, match='mean nothing here: "model"'):
        Cells([*REQUIRED, "checkpoint"], read_naming(["model=checkpoint"]))


def gathered(events: list[bytes | Refusal], import_id: str = "i") -> list[Rows]:
    gathering = Gathering(import_id)
    full = [gathering.add(event, b"row") for event in events]
    return [rows for rows in [*full, gathering.rest()] if rows]


def event(number: int, **fields: Any) -> bytes:
    return json.dumps({**GOOD, "event_id": f"e{number}", "image_count": 1, **fields}).encode()


def test_rows_become_reports_of_a_thousand_that_go_by_their_first_row():
    reports = gathered([event(n) for n in range(2 * MAX_EVENTS + 1)])
    assert [(rows.first, rows.last) for rows in reports] == [(1, 1000), (1001, 2000), (2001, 2001)]
    assert [rows.report(WINDOW).report_id for rows in reports] == [report_id("i", n) for n in (1, 1001, 2001)]
    assert sorted(report_id("i", n) for n in (1, 2, 10, 1001, 20_001)) == [
        report_id("i", n) for n in (1, 2, 10, 1001, 20_001)
    ]


def test_rows_that_are_very_long_make_shorter_reports():
    long = [event(n, adapters=["名" * 255] * 32) for n in range(100)]
    reports = gathered(long)
    assert len(reports) > 1 and [rows.first for rows in reports[1:]] == [rows.last + 1 for rows in reports[:-1]]
    assert all(sum(map(len, rows.events)) < 2 * MAX_BYTES for rows in reports)


def test_the_digest_tells_rows_apart_also_those_that_say_no_event():
    bad = Refusal("invalid_json", "the line is not JSON")
    one, two = Gathering("i"), Gathering("i")
    one.add(bad, b"{x")
    two.add(bad, b"{y")
    first, second = one.rest(), two.rest()
    assert first and second and first.digest != second.digest
    assert gathered([event(1)])[0].digest == gathered([event(1)])[0].digest != gathered([event(2)])[0].digest
    assert gathered([event(1)])[0].digest != gathered([event(1)], "j")[0].digest


@pytest.mark.parametrize("import_id", ["", "a b", "a:b", "a/b", "é", "x" * 129, "a\n", "../x?"])
def test_an_import_id_is_short_and_plain(import_id: str):
    with pytest.raises(InvalidInput):
        check_import_id(import_id)
    assert check_import_id("october-2026.v2_a") == "october-2026.v2_a"
