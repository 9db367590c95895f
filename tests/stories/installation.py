"""A whole installation for stories and faults: the real stack, the real command, and platforms that report over HTTP.

    with installation(folder) as here:
        here.apply(trade("tale", "TAL", licensees=["tale-north"]))
        north = here.platform("tale-north")
        north.report([image(...)])
        here.close(LAST)

Beat asks every second and leases are short, so that a story takes seconds. Whoever waits polls, with a deadline, and
tells what the programs logged when it passes.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psycopg
import yaml
from celery import Celery
from sqlalchemy.orm import Session

from core.catalogue.apply import apply
from core.catalogue.declare import parse_catalogue
from core.database import make_engine
from core.invoicing.runs.run import request_run
from core.invoicing.verify import verify_invoices
from core.period import Period
from core.registry.register import issue_key
from core.usage.counts.verify import verify_rollup
from stack.environment import Environment
from stack.process import holders
from stack.programs import Place, Program, perimage
from stack.supervisor import Stack
from tests.oracle_http import Recount

T = TypeVar("T")

PATIENCE = 120.0  # seconds; a laden machine is slow, a lost message is for ever
QUICK = {
    "PERIMAGE_ROLLUP_SECONDS": "1",
    "PERIMAGE_SWEEP_SECONDS": "1",
    "PERIMAGE_LEASE_SECONDS": "3",
    "PERIMAGE_KILL_POINT": "",
}
NOWHERE_ELSE = Environment(database_url="", redis_url="", service_url="")
WHY_SO_OLD = "a story of two months"
COMMAND = Path(sys.executable).with_name("perimage")

_THIS = Period.month(datetime.now(UTC).strftime("%Y-%m"))
LAST = Period.month((_THIS.start - timedelta(days=1)).strftime("%Y-%m"))  # months that are over, wherever the test runs
BEFORE = Period.month((LAST.start - timedelta(days=1)).strftime("%Y-%m"))
_numbers = count(1)


def at(period: Period, day: int, hour: float = 12) -> str:
    """A moment of a month, as platforms write it: the n-th day at an hour, UTC."""
    moment = datetime.combine(period.start, datetime.min.time(), UTC) + timedelta(days=day - 1, hours=hour)
    return moment.isoformat().replace("+00:00", "Z")


def image(model: str, image_count: int, occurred_at: str, event_id: str | None = None, **more: Any) -> dict[str, Any]:
    """One usage event."""
    made = {"event_id": event_id or f"image-{next(_numbers)}", "model": model, "image_count": image_count}
    return {**made, "occurred_at": occurred_at, **more}


def trade(
    story: str,
    prefix: str,
    *,
    licensees: Sequence[str],
    agreed: Sequence[str] | None = None,
    rate: str = "0.0125",
    starts_on: date = BEFORE.start,
    **more: Any,
) -> dict[str, Any]:
    """A small catalogue of a story's own: one licensor, one model `STORY-sd`, a flat fee for each who has agreed."""
    licensor, model = f"{story}-guild", f"{story}-sd"
    terms = {"currency": "USD", "fees": [{"name": "images", "models": [model], "schedule": flat(rate)}], **more}
    return {
        "licensors": [{"slug": licensor, "name": licensor, "invoice_prefix": prefix}],
        "models": [{"slug": model, "name": model, "licensor": licensor, "kind": "checkpoint"}],
        "licensees": [{"slug": licensee, "name": licensee} for licensee in licensees],
        "accounts": [{"licensor": licensor, "licensee": licensee, "currency": "USD"} for licensee in licensees],
        "agreements": [
            {
                "slug": f"{licensee}-deal",
                "account": {"licensor": licensor, "licensee": licensee},
                "starts_on": starts_on,
                "ends_on": starts_on.replace(year=starts_on.year + 1),
                "terms": terms,
            }
            for licensee in (licensees if agreed is None else agreed)
        ],
    }


def flat(rate: str) -> dict[str, str]:
    """The schedule of a flat fee."""
    return {"kind": "flat", "rate": rate}


class Platform:
    """A licensee's own program: reports until it is answered, and tells the recount what the answer was."""

    def __init__(self, licensee: str, url: str, key: str, recount: Recount) -> None:
        self.licensee, self.recount = licensee, recount
        self.client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30)

    def report(self, events: Sequence[Any], report_id: str | None = None, **more: Any) -> dict[str, Any]:
        """Sends a batch until there is an answer: the ids are in the body, so sending again never counts twice."""
        body = json.dumps({"report_id": report_id or f"report-{next(_numbers)}", "events": events, **more}).encode()
        answer = self._answered(body)
        assert answer.status_code == httpx.codes.OK, answer.text
        receipt: dict[str, Any] = answer.json()
        replayed = bool(answer.headers.get("Perimage-Replayed"))
        self.recount.answered(self.licensee, events, receipt["results"], replayed=replayed)
        return receipt

    def _answered(self, body: bytes) -> httpx.Response:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                answer = self.client.post(
                    "/v1/usage-reports", content=body, headers={"Content-Type": "application/json"}
                )
                if answer.status_code not in (429, 500, 502, 503, 504):
                    return answer
                said = f"{answer.status_code} {answer.text}"
            except httpx.TransportError as error:
                said = repr(error)
            assert time.monotonic() < end, f"{self.licensee} gets no answer to its report: {said}"
            time.sleep(0.1)

    def get(self, path: str, **params: str) -> Any:
        """What the service tells this licensee; only an answer of 200 will do."""
        answer = self.client.get(path, params=params)
        assert answer.status_code == httpx.codes.OK, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def counted(self) -> dict[tuple[str, date], int]:
        """Images by model and day, as the service tells them; {} while it cannot."""
        found: dict[tuple[str, date], int] = {}
        mark: dict[str, str] = {}
        while True:
            try:
                answer = self.client.get("/v1/usage", params=mark)
            except httpx.TransportError:
                return {}
            if answer.status_code != httpx.codes.OK:
                return {}
            page = answer.json()
            found |= {(row["model"], date.fromisoformat(row["day"])): row["image_count"] for row in page["usage"]}
            if not page.get("next"):
                return found
            mark = {"after": page["next"]}

    def invoices(self, **params: str) -> list[dict[str, Any]]:
        """The licensee's invoices in full, by number."""
        numbers = [row["number"] for row in self.get("/v1/invoices", **params)["invoices"]]
        return [self.get(f"/v1/invoices/{number}") for number in numbers]


class Installation:
    """A running stack with its commands and platforms."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.recount = Recount()
        self._queue = Celery(broker=stack.redis_url)
        self._engine = make_engine(stack.database_url)
        self._log_sizes: dict[Path, int] = {}

    def leave(self) -> None:
        """Closes our own connections; the stack belongs to whoever started it."""
        self._queue.close()
        self._engine.dispose()

    # Commands

    def command(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """`perimage WORDS` as a process of its own, which finds this stack by its data folder."""
        ours = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
        return subprocess.Popen(
            [COMMAND, *words],
            env={**ours, "PERIMAGE_DATA": str(self.stack.data), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def perimage(self, *words: str) -> Any:
        """Runs a command with --json to its end, which must be a good one, and answers what it printed."""
        return self.outcome(self.command(*words, "--json"))

    def outcome(self, running: subprocess.Popen[str], exit_code: int = 0) -> Any:
        """What a command with --json printed."""
        try:
            output, complaint = running.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            running.kill()
            output, complaint = running.communicate()
            raise AssertionError(f"{running.args} did not end: {complaint}\n{self.tail()}") from None
        assert running.returncode == exit_code, f"{running.args}: {running.returncode}\n{complaint}\n{self.tail()}"
        return json.loads(output)

    def file(self, catalogue: Mapping[str, Any]) -> str:
        """The path of a YAML file with this catalogue."""
        file = self.stack.data / f"catalogue-{next(_numbers)}.yaml"
        file.write_text(yaml.safe_dump(dict(catalogue), sort_keys=False))
        return str(file)

    def apply(self, catalogue: Mapping[str, Any]) -> list[str]:
        """What `perimage apply` does, without waiting for another process; the names of what it created."""
        with self.session() as session:
            changes = apply(session, parse_catalogue(dict(catalogue)), datetime.now(UTC).date())
            session.commit()
        self.recount.applied(catalogue)
        return [step.key if isinstance(step.key, str) else "-".join(step.key) for step in changes.created]

    def platform(self, licensee: str, key: str | None = None) -> Platform:
        """A licensee with a meter key, which may report as far back as the stories reach."""
        if key is None:
            with self.session() as session:
                key = issue_key(session, licensee, "story", BEFORE.start, WHY_SO_OLD)
                session.commit()
        return Platform(licensee, self.stack.service_url, key, self.recount)

    def close(self, period: Period, *, issues: bool = True) -> dict[str, tuple[str, str | None]]:
        """What `perimage close` does, likewise: the state and the invoice's number of each agreement."""
        run_id = self.request(period, issues=issues)
        items = "SELECT agreement_id FROM billing_run_items WHERE run_id = %s"
        for (agreement_id,) in self.ask(items, run_id):
            self.send("work_item", run_id, agreement_id)
        self.wait(lambda: not self.ask(f"{items} AND finished_at IS NULL", run_id), f"{period.name} is closed")
        ends = """SELECT slug, state, number FROM billing_run_items JOIN agreements a ON a.id = agreement_id
                  LEFT JOIN invoices i ON i.id = invoice_id WHERE run_id = %s"""
        return {slug: (state, number) for slug, state, number in self.ask(ends, run_id)}

    def request(self, period: Period, *, issues: bool = True) -> int:
        """A billing run that nobody has been told of."""
        with self.session() as session:
            run_id = request_run(session, period, issues=issues).id
            session.commit()
        return int(run_id)

    def closed_by_command(self, period: Period, *words: str) -> dict[str, dict[str, Any]]:
        """`perimage close`: what it prints about each agreement."""
        return {row["agreement"]: row for row in self.perimage("close", period.name, *words)["agreements"]}

    def verify(self) -> None:
        """What `perimage verify` checks, without waiting for another process."""
        with self.session() as session:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            assert verify_rollup(session)[1] == []
            assert [problem for check in verify_invoices(session) for problem in check.problems] == []

    # Looking inside, for what no door tells

    def session(self) -> Session:
        """A session on the stack's database, as the programs have it."""
        return Session(self._engine)

    def send(self, task: str, *ids: int) -> str:
        """Puts a message on the workers' queue; its id, which the worker's log names when it is done."""
        return str(self._queue.send_task(f"worker.tasks.{task}", args=ids, ignore_result=True).id)

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of the database, as its owner sees them."""
        with psycopg.connect(self.stack.database_url) as connection:
            return connection.execute(query, values).fetchall()  # type: ignore[call-overload, no-any-return]

    def part(self, name: str) -> int:
        """The process id of a running part."""
        [part] = [kept.part for kept in self.stack._kept if kept.name == name]
        return until(lambda: part.pid, f"{name} runs", self.tail)

    def kill(self, name: str) -> None:
        """kill -9 of a part's own process; what it forked is the supervisor's business. Waits for its successor."""
        before = self.part(name)
        os.kill(before, signal.SIGKILL)
        until(lambda: self.part(name) != before, f"another {name} runs", self.tail)

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """Every process of a program stands still, and goes on afterwards."""
        stopped = holders(self.stack.data / "run" / f"{name}.hold")
        assert stopped
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)

    # Waiting

    def wait(self, true: Callable[[], T], saying: str) -> T:
        """Polls until it is true, and shows the logs when it never is."""
        return until(true, saying, self.tail)

    def wait_for_counts(self, *platforms: Platform) -> None:
        """Until the workers have counted exactly what was acknowledged; more would fail at once."""

        def agree(platform: Platform) -> bool:
            counted, expected = platform.counted(), self.recount.images(platform.licensee)
            for key, images in counted.items():
                assert images <= expected.get(key, 0), f"{platform.licensee}: {key} counts {images}\n{self.tail()}"
            return counted == expected

        for platform in platforms:
            self.wait(lambda: agree(platform), f"all of {platform.licensee}'s images are counted")  # noqa: B023

    def mark_logs(self) -> None:
        """From here on `tail` shows what comes next."""
        self._log_sizes = {log: log.stat().st_size for log in self.stack.logs.glob("*.log")}

    def tail(self, lines: int = 25) -> str:
        """The end of every log since it was marked."""
        said = []
        for log in sorted(self.stack.logs.glob("*.log")):
            with log.open("rb") as file:
                file.seek(self._log_sizes.get(log, 0))
                text = file.read().decode(errors="replace").splitlines()
            said += [f"--- {log.name}", *text[-lines:]] if text else []
        return "\n".join(said)


def until(true: Callable[[], T], saying: str, logs: Callable[[], str] = str, patience: float = PATIENCE) -> T:
    """Polls until something is true and answers it."""
    end = time.monotonic() + patience
    while not (found := true()):
        assert time.monotonic() < end, f"waited {patience:.0f} s in vain until {saying}\n{logs()}"
        time.sleep(0.1)
    return found


@contextmanager
def installation(folder: Path) -> Iterator[Installation]:
    """The whole stack on a folder, on ports of its own."""

    def quick(place: Place) -> list[Program]:
        return [replace(program, environment={**program.environment, **QUICK}) for program in perimage(place)]

    with Stack(folder, programs=quick, outside=NOWHERE_ELSE) as stack:
        here = Installation(stack)
        try:
            yield here
        finally:
            here.leave()
