"""`perimage import`: a file reported from the command line, over whatever connection there is."""

import csv
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from service.cli import import_file
from tests.door import Door, event, open_trade, serving, settings_for
from tests.service.cli.conftest import Perimage
from tests.service.test_imports import Row, csv_of, good, stored


@pytest.fixture
def door(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """A service that the command finds by its settings."""
    monkeypatch.setattr(import_file, "LONGEST_PAUSE", 0.01)
    with serving(settings_for(database_url), open_trade(database_url)) as running:
        monkeypatch.setenv("PERIMAGE_SERVICE_URL", running.address)
        monkeypatch.setenv("PERIMAGE_METER_KEY", running.keys["north"])
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "october.csv"
    path.write_bytes(csv_of(good(2500)))
    return path


def results(path: Path) -> list[Row]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_file_is_reported_and_every_row_has_its_answer(perimage: Perimage, door: Door, file: Path, database_url: str):
    done = perimage("import", file)
    assert done.exit_code == 0, done.output
    answers = file.with_name("october.csv.results.csv")
    assert "accepted" in done.stdout and "2,500" in done.stdout and str(answers) in done.stdout.replace("\n", "")
    assert [row["status"] for row in results(answers)] == ["accepted"] * 2500
    assert len(stored(database_url)) == 2500


def test_the_same_command_again_changes_nothing(perimage: Perimage, door: Door, file: Path, database_url: str):
    first, second = (json.loads(perimage("import", file, "--json").stdout) for _ in range(2))
    assert first == second and first["counts"]["accepted"] == 2500 and first["file_name"] == "october.csv"
    with file.open("ab") as more:
        more.write(csv_of(good(1, "new")).splitlines()[1])
    third = json.loads(perimage("import", file, "--json").stdout)
    assert third["import_id"] != first["import_id"]
    assert (third["counts"]["accepted"], third["counts"]["duplicate"]) == (1, 2500)


def test_rows_that_were_refused_make_another_exit_code(perimage: Perimage, door: Door, tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_bytes(csv_of([*good(3), event("=bad", image_count="1.0"), event("held", model="new")]))
    done = perimage("import", path, "--only-problems", "--results", tmp_path / "answers.csv")
    assert done.exit_code == import_file.SOME_REFUSED, done.output
    assert [(row["row"], row["event_id"], row["status"]) for row in results(tmp_path / "answers.csv")] == [
        ("4", "'=bad", "rejected"),
        ("5", "", "held"),
    ]


def test_names_of_the_files_own_are_mapped(perimage: Perimage, door: Door, tmp_path: Path, database_url: str):
    rows = [{"ID": "e1", "count": 5, "model": "sd-1", "occurred_at": event()["occurred_at"], "note": ""}]
    path = tmp_path / "x.txt"
    path.write_bytes(csv_of(rows, list(rows[0])).replace(b",", b";"))
    mapped = ["--map", "event_id=ID", "--map", "image_count=count"]
    refused = perimage("import", path, *mapped)
    assert refused.exit_code == 2 and '"note"' in refused.stderr
    assert perimage("import", path, *mapped, "--ignore-extra", "--delimiter", "semicolon").exit_code == 0
    assert stored(database_url) == {"e1": 5}


def test_a_dry_run_says_the_same_of_the_rows_and_sends_nothing(
    perimage: Perimage, door: Door, tmp_path: Path, database_url: str
):
    path = tmp_path / "x.jsonl"
    lines = [*good(1200), event("bad", image_count=1.0), {"event_id": "e"}]
    path.write_text("\n".join(map(json.dumps, lines)))
    answers = tmp_path / "answers.csv"
    checked = perimage("import", path, "--dry-run", "--results", answers)
    assert checked.exit_code == 1 and "Nothing was sent" in checked.stdout and stored(database_url) == {}
    said = results(answers)
    assert perimage("import", path, "--results", answers).exit_code == 1
    assert results(answers) == said and len(said) == 1202


IMPOSSIBLE = [
    (["nowhere.csv"], "no file"),
    (["x.xlsx"], "--format"),
    (["x.csv", "--format", "xml"], "--format"),
    (["x.csv", "--map", "id=ID"], "FIELD=COLUMN"),
    (["x.csv", "--delimiter", "|"], "--delimiter"),
    (["x.csv", "--import-id", "a b"], "letters"),
    (["x.csv", "--results", "x.csv"], "overwrite"),
    (["x.csv", "--key", "pmk_wrong_wrong"], "meter key"),
    (["x.csv", "--url", "nonsense"], "connection"),
    (["x.csv", "--results", "nowhere/y.csv"], "nowhere"),
]


def test_what_cannot_be_is_refused_with_a_sentence(
    perimage: Perimage, file: Path, door: Door, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(file.parent)
    monkeypatch.setattr(import_file, "ATTEMPTS", 2)
    for name in ("x.csv", "x.xlsx"):
        (file.parent / name).write_bytes(csv_of(good(1)))
    for arguments, words in IMPOSSIBLE:
        refused = perimage("import", *arguments)
        assert refused.exit_code == 2 and words in refused.stderr, (arguments, refused.output)
        assert "Traceback" not in refused.output


@contextmanager
def cutting(door: Door, cut: Callable[[int], int | None]) -> Iterator[str]:
    """A wire to the service that is cut after so many bytes; `cut` says after how many, by the connection's number."""
    port = int(door.address.rsplit(":", 1)[1])
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    ended = threading.Event()

    def carry(source: socket.socket, target: socket.socket, most: int | None) -> None:
        carried = 0
        try:
            while piece := source.recv(16384):
                target.sendall(piece)
                carried += len(piece)
                if most is not None and carried >= most:
                    break
        except OSError:
            pass
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        number = 0
        while not ended.is_set():
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            server = socket.create_connection(("127.0.0.1", port))
            for source, target, most in ((client, server, cut(number)), (server, client, None)):
                source.settimeout(None)
                threading.Thread(target=carry, args=(source, target, most), daemon=True).start()
            number += 1

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ended.set()
        thread.join()
        listener.close()


def test_a_connection_that_breaks_again_and_again_is_taken_up_again(
    perimage: Perimage, door: Door, tmp_path: Path, database_url: str
):
    path = tmp_path / "long.csv"
    rows = good(9000)
    path.write_bytes(csv_of(rows))
    with cutting(door, lambda number: (number + 1) * 60_000 if number < 5 else None) as address:
        done = perimage("import", path, "--url", address)
    assert done.exit_code == 0, done.output
    assert stored(database_url) == {row["event_id"]: row["image_count"] for row in rows}
    assert [row["status"] for row in results(path.with_name("long.csv.results.csv"))] == ["accepted"] * 9000
