"""The demo's three platforms: each reports its month over HTTP, in batches, one batch in twenty sent twice."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from core.errors import Conflict
from core.period import Period
from service.cli.demo.traffic import SHARES, reports_of

_ATTEMPTS = 60  # a service that restarts is waited for; a report may be sent again without harm


@dataclass
class Sent:
    """What was sent and what came back. A replayed report's events count as duplicates: they were known already."""

    events: int = 0
    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)

    @property
    def duplicates(self) -> int:
        return self.statuses["duplicate"]


def report_everything(url: str, keys: dict[str, str], month: Period, console: Console) -> Sent:
    """Every platform's reports of a month, three platforms at once, with a progress bar."""
    reports = {platform: list(reports_of(platform, month)) for platform in SHARES}
    total = sum(len(report["events"]) for some in reports.values() for report, _ in some)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    began = time.monotonic()
    with Progress(*columns, console=console) as bar, ThreadPoolExecutor(len(SHARES)) as pool:
        task = bar.add_task(f"Reporting {month.name} over HTTP, in events", total=total)
        results = list(
            pool.map(lambda name: _report(url, keys[name], reports[name], lambda n: bar.advance(task, n)), SHARES)
        )
    sent = Sent(seconds=time.monotonic() - began)
    for result in results:
        sent.events += result.events
        sent.statuses += result.statuses
    refused = {status: sent.statuses[status] for status in ("conflict", "rejected") if sent.statuses[status]}
    if refused:
        raise Conflict("demo_refused", f"the service did not take everything: {refused}")
    return sent


def _report(url: str, key: str, reports: list[tuple[dict[str, Any], bool]], advance: Callable[[int], None]) -> Sent:
    sent = Sent()
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
        for report, twice in reports:
            _send(client, report, sent)
            if twice:  # the answer got lost, say, and the batch was put together again under a new id and no number
                again = {key: value for key, value in report.items() if key != "sequence"}
                _send(client, {**again, "report_id": f"{report['report_id']}-again"}, sent)
            advance(len(report["events"]))
    return sent


def _send(client: httpx.Client, report: dict[str, Any], sent: Sent) -> None:
    body = msgspec.json.encode(report)
    answer = _answered(client, body)
    receipt = answer.json()
    sent.events += len(receipt["results"])
    if answer.headers.get("Perimage-Replayed"):
        sent.statuses["duplicate"] += len(receipt["results"])
    else:
        sent.statuses.update(result["status"] for result in receipt["results"])


def _answered(client: httpx.Client, body: bytes) -> httpx.Response:
    """Sends until there is an answer: the ids are in the body, so sending again never counts twice."""
    for attempt in range(_ATTEMPTS):
        try:
            answer = client.post("/v1/usage-reports", content=body, headers={"Content-Type": "application/json"})
        except httpx.TransportError:
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(0.5)
            continue
        if answer.status_code in (429, 503) and attempt < _ATTEMPTS - 1:
            time.sleep(float(answer.headers.get("Retry-After", "0.5")))
            continue
        answer.raise_for_status()
        return answer
    raise AssertionError("the loop returns or raises")
