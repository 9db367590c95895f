"""How fast usage comes in, against the limit of the database and against what most people would write first.

    python -m bench.intake [--quick] [--json]

One run, one machine, one embedded PostgreSQL with fsync on, its data in a folder of its own:

    raw COPY     one COPY of rows packed beforehand into usage_events itself, keys, checks and defaults and all
    batches      reports of 1,000 events over HTTP: keys, strict decoding, resolution, an answer for each event
    single       reports of one event over 64 keep-alive connections
    baseline     FastAPI and the ORM, one INSERT and COMMIT a request, over 64 connections
    batch SQL    SQLAlchemy, INSERT .. ON CONFLICT of 1,000 rows and COMMIT, without any HTTP

Rounds of all five are interleaved and the medians compared, because machines are noisy.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import psycopg
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from bench.measure import Load, cpu_seconds, peak_mebibytes, request, send_batches, send_singles
from core.database import make_engine
from core.registry.register import issue_key
from core.usage.intake.packing import COLUMNS, copy_body, pack_report
from core.usage.intake.report import Window, read_report
from migrations.upgrade import upgrade
from stack.postgres import Postgres

ROOT = Path(__file__).resolve().parents[1]
BATCH = 1_000
BATCH_CONNECTIONS = 8
SINGLE_CONNECTIONS = 64
LICENSEES = 3
MODELS = 200
TARGETS = {"batches / raw COPY": 0.35, "batches / baseline": 80.0, "single / baseline": 4.0}
MOST_MEBIBYTES = 200.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of each a round does."""

    rounds: int
    batch_events: int
    singles: int
    baseline: int
    batch_sql: int


FULL = Sizes(rounds=5, batch_events=300_000, singles=12_000, baseline=2_500, batch_sql=20_000)
QUICK = Sizes(rounds=2, batch_events=100_000, singles=4_000, baseline=1_000, batch_sql=10_000)

CATALOGUE = """
INSERT INTO licensors (slug, name, invoice_prefix) VALUES ('guild', 'Guild', 'GLD');
INSERT INTO licensees (slug, name) SELECT 'platform-' || n, 'Platform ' || n FROM generate_series(1, :licensees) n;
INSERT INTO accounts (licensor_id, licensee_id, zone, currency) SELECT 1, id, 'Europe/Berlin', 'USD' FROM licensees;
INSERT INTO models (licensor_id, slug, name, kind, owes) VALUES (1, 'base', 'Base', 'checkpoint', 'own');
INSERT INTO models (licensor_id, slug, name, kind, owes)
    SELECT 1, 'tuned-model-' || n, 'Tuned ' || n, 'fine-tune', 'base' FROM generate_series(1, :models) n;
INSERT INTO model_bases (model_id, base_id) SELECT id, 1 FROM models WHERE id > 1;
INSERT INTO model_names (name, model_id) SELECT slug, id FROM models;
INSERT INTO agreements (account_id, slug, name, starts_on, ends_on, starts_at, ends_at, status, signed_at)
    SELECT id, 'deal-' || id, 'Deal', :first, :last, :first, :last, 'signed', now() FROM accounts;
INSERT INTO agreement_events
    (agreement_id, kind, party, signer, signed_on, effective_on, amendment_number, document_hash)
    SELECT id, 'signed', party, 'nobody', starts_on, starts_on, 0, ''
    FROM agreements, (VALUES ('licensor'), ('licensee')) AS parties (party);
INSERT INTO agreement_models (agreement_id, account_id, model_id, days)
    SELECT id, account_id, 1, daterange(:first, :last) FROM agreements;
"""
BASELINE_TABLE = """
CREATE TABLE baseline_events (
    licensee_id bigint, event_id text, model text NOT NULL, image_count int NOT NULL, occurred_at timestamptz NOT NULL,
    PRIMARY KEY (licensee_id, event_id))
"""


class Bench:
    """The stack, and one method for each thing that is measured."""

    def __init__(self, postgres: Postgres, sizes: Sizes) -> None:
        self.postgres = postgres
        self.sizes = sizes
        self.url = postgres.url()
        upgrade(self.url)
        self.keys = self._open_trade()
        self.loads: dict[str, list[Load]] = defaultdict(list)
        self.cpu: dict[str, list[tuple[float, float]]] = defaultdict(list)  # service, PostgreSQL; a million events

    def _open_trade(self) -> list[str]:
        engine = make_engine(self.url, role=None)
        today = datetime.now(UTC).date()
        first, last = today - timedelta(days=400), today + timedelta(days=400)
        with Session(engine) as session:
            for statement in CATALOGUE.split(";\n"):
                if statement.strip():
                    names = {"licensees": LICENSEES, "models": MODELS, "first": first, "last": last}
                    used = {name: value for name, value in names.items() if f":{name}" in statement}
                    session.execute(text(_typed(statement)), used)
            keys = [issue_key(session, f"platform-{n}", "bench") for n in range(1, LICENSEES + 1)]
            session.execute(text(BASELINE_TABLE))
            session.commit()
        engine.dispose()
        return keys

    def settle(self) -> None:
        """Empty tables and a fresh checkpoint, so that no round pays for another."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute("TRUNCATE usage_events, usage_reports, baseline_events")
            connection.execute("CHECKPOINT")

    def bodies(self, events: int, batch: int) -> list[bytes]:
        """So many events in reports of `batch`, every id new."""
        now = datetime.now(UTC)
        made = [
            {
                "event_id": str(uuid4()),
                "model": f"tuned-model-{n * 7919 % MODELS + 1}",
                "image_count": n % 500 + 1,
                "occurred_at": (now - timedelta(milliseconds=n % 600_000)).isoformat(),
                "plan": ("free", "paid")[n % 2],
            }
            for n in range(events)
        ]
        return [
            msgspec.json.encode({"report_id": str(uuid4()), "events": made[start : start + batch]})
            for start in range(0, events, batch)
        ]

    def raw_copy(self) -> None:
        window = Window.at(datetime.now(UTC), 35, 5)
        bodies = self.bodies(self.sizes.batch_events, BATCH)
        rows = copy_body(pack_report(read_report(body, window), 1, no) for no, body in enumerate(bodies, 1))
        self.settle()
        with psycopg.connect(self.url) as connection, connection.cursor() as cursor:
            before, began = cpu_seconds(self.postgres.pid or 0), time.perf_counter()
            with cursor.copy(f"COPY usage_events ({COLUMNS}) FROM STDIN (FORMAT BINARY)".encode()) as copy:
                copy.write(rows)
            connection.commit()
            seconds = time.perf_counter() - began
            spent = cpu_seconds(self.postgres.pid or 0) - before
        self._keep("raw COPY", Load(self.sizes.batch_events, seconds, []), 0, spent)

    def batches(self, service: subprocess.Popen[bytes], port: int) -> None:
        bodies = self.bodies(self.sizes.batch_events, BATCH)
        requests = [request("/v1/usage-reports", self.keys[n % LICENSEES], body) for n, body in enumerate(bodies)]
        wanted = b'"accepted":%d,' % BATCH
        self.settle()
        self._measure(
            "batches",
            service,
            lambda: send_batches(port, requests, wanted, BATCH_CONNECTIONS, BATCH),
            len(bodies) * BATCH,
        )

    def singles(self, service: subprocess.Popen[bytes], port: int) -> None:
        bodies = self.bodies(self.sizes.singles, 1)
        requests = [request("/v1/usage-reports", self.keys[n % LICENSEES], body) for n, body in enumerate(bodies)]
        self.settle()
        self._measure(
            "single", service, lambda: send_singles(port, requests, b'"accepted":1,', SINGLE_CONNECTIONS), len(bodies)
        )

    def baseline(self, service: subprocess.Popen[bytes], port: int) -> None:
        bodies = [
            msgspec.json.encode({name: value for name, value in event.items() if name != "plan"})
            for body in self.bodies(self.sizes.baseline, 1)
            for event in msgspec.json.decode(body)["events"]
        ]
        requests = [request("/events", "none", body) for body in bodies]
        self.settle()
        self._measure("baseline", service, lambda: send_singles(port, requests, b"accepted", SINGLE_CONNECTIONS), 0)

    def batch_sql(self) -> None:
        os.environ["DATABASE_URL"] = self.url  # bench.baseline is a program of its own and reads it
        from bench.baseline import add_batch

        batches = [
            [
                {**event, "licensee_id": 1, "occurred_at": datetime.fromisoformat(event["occurred_at"])}
                for event in msgspec.json.decode(body)["events"]
            ]
            for body in self.bodies(self.sizes.batch_sql, BATCH)
        ]
        for batch in batches:
            for row in batch:
                del row["plan"]
        self.settle()
        engine = create_engine(self.url.replace("postgresql://", "postgresql+psycopg://", 1))
        with Session(engine) as session:
            session.execute(text("SELECT 1"))
            began = time.perf_counter()
            for batch in batches:
                add_batch(session, batch)
            seconds = time.perf_counter() - began
        engine.dispose()
        self.loads["batch SQL"].append(Load(self.sizes.batch_sql, seconds, []))

    def _measure(self, name: str, service: subprocess.Popen[bytes], send: Callable[[], Load], stored: int) -> None:
        postgres = self.postgres.pid or 0
        before = cpu_seconds(service.pid), cpu_seconds(postgres)
        load = send()
        spent = cpu_seconds(service.pid) - before[0], cpu_seconds(postgres) - before[1]
        if stored:
            with psycopg.connect(self.url) as connection:
                counted = connection.execute("SELECT count(*) FROM usage_events").fetchone()
            assert counted == (stored,), f"{counted} events are stored, {stored} were acknowledged"
        self._keep(name, load, *spent)

    def _keep(self, name: str, load: Load, service: float, postgres: float) -> None:
        self.loads[name].append(load)
        self.cpu[name].append((service * 1e6 / load.events, postgres * 1e6 / load.events))


def _typed(statement: str) -> str:
    return statement.replace(":first", "CAST(:first AS date)").replace(":last", "CAST(:last AS date)")


@contextmanager
def served(application: list[str], url: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A web application as a process of its own."""
    command = [sys.executable, "-m", "uvicorn", *application, "--port", str(port), "--no-access-log"]
    process = subprocess.Popen([*command, "--log-level", "warning"], cwd=ROOT, env={**os.environ, "DATABASE_URL": url})
    try:
        _wait_for(port, process)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    import socket

    for _ in range(600):
        assert process.poll() is None, "the service ended at its start"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError


def free_ports(count: int) -> list[int]:
    import socket

    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def run(sizes: Sizes, progress: Progress) -> dict[str, Any]:
    """All rounds, and what came of them."""
    with tempfile.TemporaryDirectory(prefix="perimage-bench-") as folder, Postgres(Path(folder)) as postgres:
        bench = Bench(postgres, sizes)
        ours, theirs = free_ports(2)
        with (
            served(["--factory", "service.app:create_app"], bench.url, ours) as service,
            served(["bench.baseline:app"], bench.url, theirs) as baseline,
        ):
            steps: list[Callable[[], None]] = [
                bench.raw_copy,
                lambda: bench.batches(service, ours),
                lambda: bench.singles(service, ours),
                lambda: bench.baseline(baseline, theirs),
                bench.batch_sql,
            ]
            task = progress.add_task("measuring", total=sizes.rounds * len(steps))
            for _ in range(sizes.rounds):
                for step in steps:
                    step()
                    progress.advance(task)
            return _figures(bench, peak_mebibytes(service.pid))


def _figures(bench: Bench, peak: float) -> dict[str, Any]:
    ways: dict[str, dict[str, Any]] = {}
    for name, loads in bench.loads.items():
        latencies = sorted(latency for load in loads for latency in load.latencies)
        ways[name] = {
            "events_per_second": round(statistics.median(load.rate for load in loads)),
            "rounds": [round(load.rate) for load in loads],
            "p50_ms": round(latencies[len(latencies) // 2] * 1000, 2) if latencies else None,
            "p99_ms": round(latencies[len(latencies) * 99 // 100] * 1000, 2) if latencies else None,
        }
        if name in bench.cpu:
            service, postgres = (statistics.median(each) for each in zip(*bench.cpu[name], strict=True))
            ways[name] |= {
                "service_cpu_seconds_per_million": round(service, 2),
                "postgres_cpu_seconds_per_million": round(postgres, 2),
            }
    rate = {name: way["events_per_second"] for name, way in ways.items()}
    ratios = {
        "batches / raw COPY": round(rate["batches"] / rate["raw COPY"], 3),
        "batches / baseline": round(rate["batches"] / rate["baseline"], 1),
        "batches / batch SQL": round(rate["batches"] / rate["batch SQL"], 2),
        "single / baseline": round(rate["single"] / rate["baseline"], 2),
    }
    reached = all(ratios[name] >= target for name, target in TARGETS.items()) and peak < MOST_MEBIBYTES
    return {
        "measured_on": date.today().isoformat(),  # noqa: DTZ011 - for people
        "cpus": os.cpu_count(),
        "ways": ways,
        "ratios": ratios,
        "service_peak_mebibytes": round(peak, 1),
        "targets_reached": reached,
    }


def show(figures: dict[str, Any], console: Console) -> None:
    """The figures for people."""
    table = Table("way", "events/s", "p50 ms", "p99 ms", "service CPU s/M", "PostgreSQL CPU s/M", "rounds")
    for column in table.columns[1:-1]:
        column.justify = "right"
    for name, way in figures["ways"].items():
        cells = [
            way["p50_ms"],
            way["p99_ms"],
            way.get("service_cpu_seconds_per_million"),
            way.get("postgres_cpu_seconds_per_million"),
        ]
        shown = ["" if cell is None else f"{cell:,.2f}" for cell in cells]
        table.add_row(name, f"{way['events_per_second']:,}", *shown, " ".join(f"{rate:,}" for rate in way["rounds"]))
    console.print(table)
    for name, ratio in figures["ratios"].items():
        console.print(f"{name}: {ratio}" + (f"   (to reach: {TARGETS[name]})" if name in TARGETS else ""))
    console.print(
        f"peak memory of the service: {figures['service_peak_mebibytes']} MiB   (to stay under: {MOST_MEBIBYTES:g})"
    )
    console.print("all targets reached" if figures["targets_reached"] else "[bold]a target was missed[/bold]")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two short rounds, for a first impression")
    parser.add_argument("--json", action="store_true", help="figures for machines on standard output")
    chosen = parser.parse_args()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        figures = run(QUICK if chosen.quick else FULL, progress)
    if chosen.json:
        print(json.dumps(figures, indent=2))
    else:
        show(figures, Console(width=max(120, Console().width)))
    return 0 if figures["targets_reached"] else 1


if __name__ == "__main__":
    sys.exit(main())
