"""Files as a stream: the same reports in whatever pieces they come, and in whatever format the same rows are."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.usage.intake.report import Window, content, micros
from core.usage.intake.rows import REQUIRED, Naming
from service.imports import parquet
from service.imports.lines import MAX_LINE
from service.imports.reading import Reading, reports

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
WINDOW = Window.at(NOW, 35, 5)
HEADER = ",".join(REQUIRED)
AT = "2026-11-22T11:00:00Z"
TYPES = (
    "event_id VARCHAR, model VARCHAR, image_count BIGINT, occurred_at TIMESTAMPTZ, adapters VARCHAR[], "
    "plan VARCHAR, output VARCHAR"
)
OFFLINE = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
Judged = list[tuple[Any, ...]]


def judged(pieces: Sequence[bytes] | Iterator[bytes], reading: Reading) -> Judged:
    """What each row of a file says, or why it says nothing."""
    said: Judged = []
    for rows in reports(iter(pieces), reading, "i"):
        report = rows.report(WINDOW)
        found: dict[int, tuple[Any, ...]] = {place: (each.code,) for place, each in report.refusals.items()}
        for place, event, instant in zip(report.places, report.events, report.instants, strict=True):
            found[place] = (event.event_id, *content(event, instant))
        said += [found[place] for place in range(len(rows.events))]
    return said


def of_csv(text: str | bytes, **reading: Any) -> Judged:
    return judged([text if isinstance(text, bytes) else text.encode()], Reading("csv", **reading))


def refused(text: str | bytes, format_: Any = "csv", **reading: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as raised:
        judged([text if isinstance(text, bytes) else text.encode()], Reading(format_, **reading))
    assert len(raised.value.sentence) > 10
    return raised.value


ONE = [("e1", "m", 3, micros(NOW - timedelta(hours=1)), (), "", "image")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_csv_file_is_read_with_its_delimiter_endings_and_byte_order_mark(delimiter: str, ending: str, mark: str):
    text = f"{mark}{HEADER}\ne1,m,3,{AT}{ending}".replace(",", delimiter)
    assert of_csv(text) == ONE
    assert of_csv(text, delimiter=delimiter) == ONE


def test_quotes_blank_lines_and_the_order_of_columns_do_not_matter():
    text = f'"image_count","occurred_at",model,event_id\n\n"3","{AT}","m","e1"\r\n\n\n'
    assert of_csv(text) == ONE


def test_cells_may_hold_delimiters_quotes_and_line_feeds():
    naming = Naming(ignore_extra=True)
    text = f'{HEADER},prompt\n"a,""b""",m,3,{AT},"a cat,\n\n""sitting"""\ne1,m,3,{AT},\n'
    assert [row[0] for row in of_csv(text, naming=naming)] == ['a,"b"', "e1"]


def test_a_line_that_is_no_csv_is_refused_alone():
    text = f'{HEADER}\ne1,m,3,{AT}\n"e2"x,m,3,{AT}\ne3\rm,m,3,{AT}\ne4,m,3,{AT}\n"e5,m,3,{AT}'
    rows = of_csv(text)
    assert [row[0] for row in rows] == ["e1", "invalid_csv", "invalid_csv", "e4", "invalid_csv"]
    long = of_csv(f"{HEADER}\n{'x' * 150_000},m,3,{AT}\ne1,m,3,{AT}\n")
    assert long == [("invalid_csv",), *ONE]


def test_a_quotation_mark_that_swallows_other_rows_ends_the_file():
    swallowed = f'{HEADER}\ne1,m,3,{AT}\n"e2,m,3,{AT}\n' + f"e3,m,3,{AT}\n" * 10
    refusal = refused(swallowed)
    assert refusal.code == "invalid_csv" and "row 2" in refusal.sentence and "line 3" in refusal.sentence
    assert refused(f'{HEADER}\n"e2,m,3,{AT}\n' + "\n" * 2_000_000).code == "invalid_csv"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "no_header"),
        ("\n" + HEADER, "no_header"),
        (HEADER, "no_rows"),
        (HEADER + "\n\n\n", "no_rows"),
        (f"e1,m,3,{AT}\n", "missing_column"),
        (f'{HEADER},"x\ny"\n', "no_header"),
        (HEADER.replace(",", "|") + "\n", "missing_column"),
        (HEADER.replace(",", "\r") + "\n", "no_header"),
        (f"{HEADER},\n", "unknown_column"),
        (f"{HEADER},x\ud800".encode(errors="surrogatepass"), "unknown_column"),
        (b"PK\x03\x04....", "wrong_format"),
        (b"\x1f\x8b\x08....", "wrong_format"),
        (b"PAR1....", "wrong_format"),
        ("\ufeff".encode("utf-16-le") + HEADER.encode("utf-16-le"), "wrong_format"),
        (bytes(range(256)), "missing_column"),
        (f"{HEADER}\n{'x' * (MAX_LINE + 1)}", "line_too_long"),
        (f"{HEADER}\n{'x' * (5 * MAX_LINE)}", "line_too_long"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_file_whose_rows_nobody_can_tell_is_refused(text: str | bytes, code: str):
    assert refused(text).code == code


def test_a_file_of_lines_may_have_blank_ones_and_none_that_is_too_long():
    line = json.dumps({"event_id": "e1", "model": "m", "image_count": 3, "occurred_at": AT})
    assert judged([f"\ufeff{line}\r\n\n  \n".encode()], Reading("jsonl")) == ONE
    assert refused("\n \n", "jsonl").code == refused("", "jsonl").code == "no_rows"
    assert refused(f'"{"x" * MAX_LINE}"', "jsonl").code == "line_too_long"


def test_the_delimiter_given_is_the_one_used():
    assert refused(f"{HEADER}\ne1,m,3,{AT}\n", delimiter=";").code == "missing_column"


def random_file(rows: int = 2300) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*REQUIRED, "plan"])
    for n in range(rows):
        writer.writerow([f"é{n}" if n % 3 else f'"{n},\n', "m", n % 7, AT if n % 5 else "x", "free" if n % 2 else ""])
    return out.getvalue().encode().replace("é99".encode(), b"\xff99")


@given(cuts=st.lists(st.integers(0, 200_000), max_size=40), lines=st.booleans())
@settings(max_examples=25, deadline=None)
def test_reports_are_the_same_in_whatever_pieces_a_file_comes(cuts: list[int], lines: bool):
    whole = random_file()
    if lines:
        whole = b"\n".join(json.dumps({"event_id": f"é{n}"}, ensure_ascii=False).encode() for n in range(2300))
    reading = Reading("jsonl" if lines else "csv")
    ends = sorted({min(cut, len(whole)) for cut in cuts} | {0, len(whole)})
    pieces = [whole[start:end] for start, end in pairwise(ends)]
    one = [(rows.first, rows.digest) for rows in reports(iter([whole]), reading, "i")]
    many = [(rows.first, rows.digest) for rows in reports(iter(pieces), reading, "i")]
    assert one == many and len(one) == 3


def test_single_bytes_are_pieces_as_well():
    whole = random_file(40)
    assert judged((whole[n : n + 1] for n in range(len(whole))), Reading("csv")) == judged([whole], Reading("csv"))


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="|"), min_size=1, max_size=6) | st.just("x" * 256)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "event_id": TEXT,
            "model": TEXT,
            "image_count": st.integers(-3, 2**40),
            "occurred_at": st.datetimes(datetime(2026, 10, 1), datetime(2026, 12, 1)),
        },
        optional={
            "adapters": st.lists(TEXT, min_size=1, max_size=3),
            "plan": TEXT,
            "output": st.sampled_from(["image", "preview", "Image"]),
        },
    ),
    min_size=1,
    max_size=60,
)


@pytest.mark.slow
@given(rows=ROWS)
@settings(max_examples=20, deadline=None)
def test_the_same_rows_say_the_same_in_every_format(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
):
    named = [*REQUIRED, "adapters", "plan", "output"]
    rows = [{name: row[name] for name in named if name in row} for row in rows]  # in which order faults are found
    events = [{**row, "occurred_at": row["occurred_at"].isoformat() + "Z"} for row in rows]
    out = io.StringIO()
    writer = csv.DictWriter(out, named)
    writer.writeheader()
    writer.writerows({**row, "adapters": "|".join(row.get("adapters", ()))} for row in events)
    separated = of_csv(out.getvalue())
    lines = judged(["\n".join(map(json.dumps, events)).encode()], Reading("jsonl"))
    path = tmp_path_factory.mktemp("rows") / "rows[1]*.parquet"
    write_parquet(path, rows)
    columns = judged(parquet.lines_of(path, Naming()), Reading("jsonl"))
    assert separated == lines == columns and len(lines) == len(rows)


def write_parquet(path: Path, rows: list[dict[str, Any]], types: str = TYPES) -> None:
    """Rows with naive times in UTC, as a Parquet file."""
    with duckdb.connect(config=OFFLINE) as database:
        database.execute(f"CREATE TABLE rows ({types})")
        names = [column.split()[0] for column in types.split(", ")]
        places = ", ".join("?" * len(names))
        for row in rows:
            values = [row.get(name) for name in names]
            said = [f"{value.isoformat()}+00:00" if isinstance(value, datetime) else value for value in values]
            database.execute(f"INSERT INTO rows VALUES ({places})", said)
        target = str(path).replace("'", "''")
        database.execute(f"COPY rows TO '{target}' (FORMAT parquet)")


def test_a_parquet_file_keeps_its_order_and_may_have_names_of_its_own(tmp_path: Path):
    path = tmp_path / "rows.parquet"
    with duckdb.connect(config=OFFLINE) as database:
        database.execute(
            f"""COPY (SELECT 'e' || i AS "I""D", 'm' AS model, (i % 9 + 1)::utinyint AS image_count,
            '{AT}' AS occurred_at, 'x' AS prompt FROM range(50_000) t(i))
            TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 5000)"""
        )
    naming = Naming({"event_id": 'I"D'}, ignore_extra=True)
    said = judged(parquet.lines_of(path, naming), Reading("jsonl"))
    assert [row[0] for row in said] == [f"e{n}" for n in range(50_000)]
    with pytest.raises(InvalidInput, match="mean nothing here"):
        list(parquet.lines_of(path, Naming({"event_id": 'I"D'})))


@pytest.mark.parametrize(
    ("column", "kind", "words"),
    [
        ("image_count", "DOUBLE", "whole numbers"),
        ("image_count", "DECIMAL(9,0)", "whole numbers"),
        ("occurred_at", "TIMESTAMP", "adjusted to UTC"),
        ("occurred_at", "BIGINT", "adjusted to UTC"),
        ("event_id", "BIGINT", "text"),
        ("adapters", "VARCHAR", "lists of text"),
    ],
)
def test_a_parquet_column_of_another_type_is_refused_by_name(tmp_path: Path, column: str, kind: str, words: str):
    types = {"event_id": "VARCHAR", "model": "VARCHAR", "image_count": "INT", "occurred_at": "TIMESTAMPTZ"}
    types[column] = kind
    write_parquet(tmp_path / "x.parquet", [{}], ", ".join(f"{name} {type_}" for name, type_ in types.items()))
    with pytest.raises(InvalidInput, match=words) as raised:
        list(parquet.lines_of(tmp_path / "x.parquet", Naming()))
    assert raised.value.code == "wrong_column_type" and f'"{column}"' in raised.value.sentence


def test_missing_values_of_a_parquet_file_are_missing_fields(tmp_path: Path):
    good = {"event_id": "e1", "model": "m", "image_count": 3, "occurred_at": datetime(2026, 11, 22, 11)}
    rows = [good, *({**good, name: None} for name in good), {**good, "adapters": [None]}, {**good, "plan": ""}]
    rows += [{**good, "event_id": "x" * 5_000_000}, {**good, "adapters": ["a"] * 40}]
    write_parquet(tmp_path / "x.parquet", rows)
    said = judged(parquet.lines_of(tmp_path / "x.parquet", Naming()), Reading("jsonl"))
    wrong = [("missing_field",)] * 4
    assert said == [
        *ONE,
        *wrong,
        ("invalid_adapters",),
        ("invalid_plan",),
        ("invalid_event_id",),
        ("invalid_adapters",),
    ]


def test_what_is_no_parquet_is_refused(tmp_path: Path):
    write_parquet(tmp_path / "good.parquet", [{"event_id": f"e{n}" * 20} for n in range(200)])
    good = (tmp_path / "good.parquet").read_bytes()
    for n, content_ in enumerate([b"", good[:-20], good[:100] + b"\xff" * 500 + good[600:], random_file()]):
        path = tmp_path / f"{n}.parquet"
        path.write_bytes(content_)
        with pytest.raises(InvalidInput) as raised:
            list(parquet.lines_of(path, Naming()))
        assert raised.value.code == "invalid_parquet" and str(tmp_path) not in raised.value.sentence


def test_without_its_reader_parquet_is_refused_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parquet, "is_readable", lambda: False)
    with pytest.raises(InvalidInput, match=r"pip install 'perimage-server\[parquet\]'"):
        list(parquet.lines_of(tmp_path / "x.parquet", Naming()))
