"""Parquet to lines of JSON, one event each, in a process of its own.

A Parquet file is read from its end, so it cannot be taken in while it arrives; and its reader is a large program that
is fed by strangers. So the file waits on disk until it is whole, and a child process with bounded memory and without
our environment turns it into lines, in the order of its rows. Whatever a file does to its reader, the service lives on.

Run by `python -m service.imports.parquet FILE`, with the naming as JSON on standard input.
"""

import contextlib
import glob
import importlib.util
import json
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from core.errors import InvalidInput
from core.usage.intake.rows import MAX_ROWS, Naming

INSTALL = "reading Parquet takes an extra: pip install 'perimage-server[parquet]', or send CSV or JSON Lines"
REFUSED = 2
READER_MEMORY = "256MB"  # of the reader itself
PROCESS_MEMORY = 4 << 30  # of addresses, which it takes more of than of memory
ROWS_AT_ONCE = 1_000
LONGEST = 256  # one more than a name may have, so that a longer one is still seen to be too long
MOST_ADAPTERS = 33
_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_HOUSE = Path(__file__).resolve().parents[2]

_TEXT = f"left(CAST({{0}} AS VARCHAR), {LONGEST})"
_WHOLE_NUMBERS = (
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
)
# By type, how a column is asked for; everything else is refused before a row is read.
_WAYS: Mapping[str, Mapping[str, str]] = {
    **{name: {"VARCHAR": _TEXT, "UUID": _TEXT} for name in ("event_id", "model", "plan", "output")},
    "image_count": dict.fromkeys(_WHOLE_NUMBERS, "{0}"),
    "occurred_at": {"VARCHAR": _TEXT, "TIMESTAMP WITH TIME ZONE": "epoch_us({0})"},
    "adapters": {"VARCHAR[]": f"list_transform({{0}}[1:{MOST_ADAPTERS}], lambda each: left(each, {LONGEST}))"},
}  # fmt: skip
_MEANT = {
    "image_count": "whole numbers",
    "occurred_at": "instants (timestamps adjusted to UTC) or RFC 3339 text",
    "adapters": "lists of text",
}


def is_readable() -> bool:
    """Whether what reads Parquet is installed."""
    return importlib.util.find_spec("duckdb") is not None


def lines_of(path: Path, naming: Naming) -> Iterator[bytes]:
    """The events of a Parquet file as lines of JSON. Raises InvalidInput for a file that cannot be read."""
    if not is_readable():
        raise InvalidInput("unsupported_content_type", INSTALL)
    asked = json.dumps({"columns": dict(naming.columns), "ignore_extra": naming.ignore_extra})
    command = [sys.executable, "-m", __name__, glob.escape(str(path.resolve()))]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=_HOUSE,
        env={"PYTHONPATH": str(_HOUSE), "PYTHONUTF8": "1"},
    ) as child:
        assert child.stdin and child.stdout and child.stderr  # noqa: S101 - all three are pipes
        try:
            with contextlib.suppress(BrokenPipeError):  # its end says why
                child.stdin.write(asked.encode())
                child.stdin.close()
            yield from child.stdout
            said = child.stderr.read()
        finally:
            child.kill()
    if child.returncode == REFUSED:
        refusal = json.loads(said)
        raise InvalidInput(refusal["code"], refusal["sentence"])
    if child.returncode:
        raise InvalidInput("invalid_parquet", "the file cannot be read as Parquet: it is broken or unpacks too large")


def _print_lines(path: str, naming: Naming) -> None:
    import duckdb  # noqa: PLC0415 - an extra, and only the child needs it

    database = duckdb.connect(
        config={
            "threads": 1,  # rows come in the order of the file, and memory stays small
            "memory_limit": READER_MEMORY,
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )
    try:
        columns = database.execute("DESCRIBE SELECT * FROM read_parquet(?)", [path]).fetchall()
        names, asked = _asked([name for name, *_ in columns], [kind for _, kind, *_ in columns], naming)
        count = database.execute("SELECT count(*) FROM read_parquet(?)", [path]).fetchone()
        if count and count[0] > MAX_ROWS:
            raise InvalidInput("too_many_rows", f"a file may have at most {MAX_ROWS:,} rows: send several")
        database.execute(f"SELECT {asked} FROM read_parquet(?)", [path])  # noqa: S608 - our words, and names in quotes
        encode, write = msgspec.json.Encoder().encode_lines, sys.stdout.buffer.write
        while rows := database.fetchmany(ROWS_AT_ONCE):
            write(encode([_event(names, row) for row in rows]))
    except (duckdb.Error, UnicodeDecodeError) as error:
        first = (str(error).strip() or "no reason given").splitlines()[0].replace(path, "the file")
        raise InvalidInput("invalid_parquet", f"the file cannot be read as Parquet: {first[:300]}") from None


def _asked(header: list[str], kinds: list[str], naming: Naming) -> tuple[list[str], str]:
    """Our fields that the file has, and how they are asked for."""
    places = naming.places(header)
    asked = []
    for name in places:
        kind = kinds[places[name]]
        if kind not in _WAYS[name]:
            raise InvalidInput(
                "wrong_column_type",
                f"the column {json.dumps(naming.column_of(name))} holds {kind}, and {name} must be "
                f"{_MEANT.get(name, 'text')}",
            )
        asked.append(_WAYS[name][kind].format('"' + header[places[name]].replace('"', '""') + '"'))
    return list(places), ", ".join(asked)


def _event(names: list[str], row: tuple[Any, ...]) -> dict[str, Any]:
    event = {name: value for name, value in zip(names, row, strict=True) if value is not None}
    if isinstance(instant := event.get("occurred_at"), int):
        try:
            event["occurred_at"] = (_1970 + timedelta(microseconds=instant)).isoformat()
        except OverflowError:
            event["occurred_at"] = str(instant)  # refused, as any other time that no calendar has
    return event


def main() -> int:
    """The child's life. It says no on standard error, as JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (PROCESS_MEMORY, PROCESS_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    said = json.load(sys.stdin)
    try:
        _print_lines(sys.argv[1], Naming(said["columns"], said["ignore_extra"]))
    except InvalidInput as refusal:
        sys.stderr.write(json.dumps({"code": refusal.code, "sentence": refusal.sentence}))
        return REFUSED
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
