"""How fast files of usage come in, against what a platform would write itself.

    python -m bench.imports [--rows N] [--rounds N] [--json]

One machine, one embedded PostgreSQL with fsync on, one service process; every figure durable and answered row by row:

    csv, jsonl      POST /v1/imports with the whole file as the body, to the last receipt
    parquet         the same, when its reader is installed
    again           the CSV file a second time under the same import id
    plain loop      the baseline: csv.DictReader, reports of 1,000, json, one keep-alive connection, one after another
    csv.reader      reading the CSV alone, without looking at a value: what no Python program can be quicker than

While a CSV file comes in, /healthz is asked twenty times a second, so that one can see how others fare.
"""

import argparse
import csv
import http.client
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from rich.console import Console
from rich.table import Table

from bench.intake import BATCH, MODELS, QUICK, Bench, free_ports, served
from bench.measure import cpu_seconds, peak_mebibytes
from stack.postgres import Postgres

MOST_SECONDS = 60.0  # for a million rows
MOST_MEBIBYTES = 200.0
COLUMNS = ("event_id", "model", "image_count", "occurred_at", "plan")
KINDS = {"csv": "text/csv", "jsonl": "application/jsonl", "parquet": "application/vnd.apache.parquet"}
PIECE = 1 << 18


def make_files(folder: Path, rows: int) -> dict[str, Path]:
    """The same new rows in every format."""
    now = datetime.now(UTC)
    paths = {kind: folder / f"rows.{kind}" for kind in KINDS}
    with paths["csv"].open("w", newline="") as separated, paths["jsonl"].open("w") as lines:
        writer = csv.writer(separated)
        writer.writerow(COLUMNS)
        for n in range(rows):
            at = (now - timedelta(milliseconds=n % 600_000)).isoformat()
            row = (str(uuid4()), f"tuned-model-{n * 7919 % MODELS + 1}", n % 500 + 1, at, ("free", "paid")[n % 2])
            writer.writerow(row)
            lines.write(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n")
    if importlib.util.find_spec("duckdb"):
        import duckdb

        with duckdb.connect(config={"autoinstall_known_extensions": False}) as database:
            rows_of_csv = f"FROM read_csv('{paths['csv']}', all_varchar=true)"
            database.execute(
                f"COPY ({rows_of_csv} SELECT * REPLACE (image_count::int AS image_count)) "
                f"TO '{paths['parquet']}' (FORMAT parquet)"
            )
    else:
        del paths["parquet"]
    return paths


def upload(port: int, key: str, path: Path, kind: str, import_id: str) -> dict[str, Any]:
    """A file in one request; gives the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600, blocksize=PIECE)
    headers = {
        "Authorization": f"Bearer {key}",
        "Content-Type": KINDS[kind],
        "Content-Length": str(path.stat().st_size),
    }
    with path.open("rb") as file:
        connection.request("POST", f"/v1/imports?import_id={import_id}", file, headers)
    response = connection.getresponse()
    answer: dict[str, Any] = json.load(response)
    assert response.status == 200, answer
    connection.close()
    return answer


def plain_loop(port: int, key: str, path: Path) -> None:
    """What a platform would write in ten minutes: read rows, post a thousand at a time."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def post(events: list[dict[str, Any]]) -> None:
        body = json.dumps({"report_id": str(uuid4()), "events": events})
        connection.request("POST", "/v1/usage-reports", body, headers)
        answer = json.load(connection.getresponse())
        assert answer["counts"]["accepted"] == len(events), answer

    events: list[dict[str, Any]] = []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            events.append({**row, "image_count": int(row["image_count"])})
            if len(events) == BATCH:
                post(events)
                events = []
    if events:
        post(events)
    connection.close()


def read_only(path: Path) -> None:
    with path.open(newline="") as file:
        for _row in csv.reader(file):
            pass


@contextmanager
def asking(port: int, latencies: list[float]) -> Iterator[None]:
    """Asks /healthz twenty times a second meanwhile."""
    ended = threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while not ended.wait(0.05):
            began = time.perf_counter()
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            latencies.append(time.perf_counter() - began)
        connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def run(rows: int, rounds: int, console: Console) -> dict[str, Any]:
    """All rounds, and what came of them."""
    seconds: dict[str, list[float]] = defaultdict(list)
    cpu: dict[str, list[float]] = defaultdict(list)
    latencies: dict[str, list[float]] = {"idle": [], "importing": []}
    with tempfile.TemporaryDirectory(prefix="perimage-bench-") as folder, Postgres(Path(folder) / "pg") as postgres:
        bench = Bench(postgres, QUICK)
        (port,) = free_ports(1)
        key = bench.keys[0]
        with served(["--factory", "service.app:create_app"], bench.url, port) as service:
            with asking(port, latencies["idle"]):
                time.sleep(5)

            def measure(name: str, work: Callable[[], Any], stored: int | None = rows) -> None:
                console.print(f"{name} ...")
                before, began = cpu_seconds(service.pid), time.perf_counter()
                work()
                seconds[name].append(time.perf_counter() - began)
                cpu[name].append(cpu_seconds(service.pid) - before)
                with psycopg.connect(bench.url) as connection:
                    counted = connection.execute("SELECT count(*) FROM usage_events").fetchone()
                assert stored is None or counted == (stored,), f"{counted} events are stored, of {stored}"

            for number in range(rounds):
                paths = make_files(Path(folder), rows)
                measure("csv.reader", lambda: read_only(paths["csv"]), None)  # noqa: B023 - called at once
                for kind, path in paths.items():
                    bench.settle()
                    import_id = f"{kind}-{number}"
                    if kind == "csv":
                        with asking(port, latencies["importing"]):
                            measure(kind, lambda: upload(port, key, path, kind, import_id))  # noqa: B023
                        measure("again", lambda: upload(port, key, path, kind, import_id))  # noqa: B023
                    else:
                        measure(kind, lambda: upload(port, key, path, kind, import_id))  # noqa: B023
                bench.settle()
                measure("plain loop", lambda: plain_loop(port, key, paths["csv"]))  # noqa: B023
            return _figures(rows, seconds, cpu, latencies, peak_mebibytes(service.pid))


def _figures(
    rows: int,
    seconds: dict[str, list[float]],
    cpu: dict[str, list[float]],
    latencies: dict[str, list[float]],
    peak: float,
) -> dict[str, Any]:
    middle = {name: statistics.median(each) for name, each in seconds.items()}
    for_a_million = {name: round(each * 1e6 / rows, 1) for name, each in middle.items()}
    p99 = {name: round(sorted(each)[len(each) * 99 // 100] * 1000, 1) for name, each in latencies.items()}
    return {
        "measured_on": date.today().isoformat(),  # noqa: DTZ011 - for people
        "cpus": os.cpu_count(),
        "rows": rows,
        "seconds": {name: [round(each, 2) for each in rounds] for name, rounds in seconds.items()},
        "seconds_for_a_million": for_a_million,
        "service_cpu_seconds": {name: round(statistics.median(each), 1) for name, each in cpu.items()},
        "csv / plain loop": round(middle["plain loop"] / middle["csv"], 2),
        "healthz_p99_ms": p99,
        "service_peak_mebibytes": round(peak, 1),
        "targets_reached": max(for_a_million["csv"], for_a_million["jsonl"]) < MOST_SECONDS and peak < MOST_MEBIBYTES,
    }


def show(figures: dict[str, Any], console: Console) -> None:
    """The figures for people."""
    table = Table("way", "seconds for 1,000,000 rows", "rows/s", "service CPU s", "rounds")
    for name, each in figures["seconds_for_a_million"].items():
        spent, rounds = figures["service_cpu_seconds"][name], " ".join(map(str, figures["seconds"][name]))
        table.add_row(name, f"{each:,}", f"{1e6 / each:,.0f}", str(spent), rounds)
    console.print(table)
    console.print(f"csv is {figures['csv / plain loop']} times as fast as the plain loop")
    console.print(f"p99 of /healthz in ms: {figures['healthz_p99_ms']}")
    console.print(
        f"peak memory of the service: {figures['service_peak_mebibytes']} MiB (to stay under: {MOST_MEBIBYTES:g})"
    )
    console.print("all targets reached" if figures["targets_reached"] else "[bold]a target was missed[/bold]")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="figures for machines on standard output")
    chosen = parser.parse_args()
    figures = run(chosen.rows, chosen.rounds, Console(stderr=True))
    if chosen.json:
        print(json.dumps(figures, indent=2))
    else:
        show(figures, Console(width=max(120, Console().width)))
    return 0 if figures["targets_reached"] else 1


if __name__ == "__main__":
    sys.exit(main())
