"""The demo from curtain to curtain: stack, catalogue, reports, roll-up, close, issue, summary."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import yaml
from rich.console import Console

from config.settings import STACK_FILE, choose, settings
from core.catalogue import apply as catalogue
from core.catalogue.declare import parse_catalogue
from core.registry.keys import parse_key
from core.registry.queries import meter_key
from core.registry.register import issue_key
from service.cli.close import run_and_watch
from service.cli.database import open_session
from service.cli.demo.platforms import report_everything
from service.cli.demo.summary import build_summary, print_summary
from service.cli.demo.traffic import DEMO_FILES, MONTH, SHARES, figures
from stack.process import StackError
from stack.supervisor import Stack

ROLLUP_PATIENCE = 120.0  # seconds until we say that the workers do not count


def run_demo(data: Path | None, port: int | None, *, serve: bool) -> bool:
    """Runs the demo; True when every total agrees with the recount."""
    console = _console()
    choose(**({"data": data} if data else {}))
    folder = settings().data.absolute()
    with _stack(folder, port, console) as stack:
        choose(data=folder)
        home = folder / "demo"
        home.mkdir(parents=True, exist_ok=True)
        url = settings().service_url
        _apply_catalogue(console)
        keys = _keys(home / "keys.json")
        sent = report_everything(url, keys, console)
        _wait_for_rollup(url, keys, console)
        run_and_watch(MONTH, issues=True)
        summary = build_summary(url, keys, sent, home)
        (home / "summary.json").write_text(json.dumps(summary["file"], indent=2) + "\n")
        print_summary(console, summary, home)
        if serve:
            _keep_serving(console, url, keys, stack)
    return bool(summary["agrees"])


def _console() -> Console:
    """The terminal; wide enough for the summary where there is none to measure, such as in a log."""
    console = Console()
    return console if console.is_terminal else Console(width=110)


@contextmanager
def _stack(folder: Path, port: int | None, console: Console) -> Iterator[Stack | None]:
    """The stack that runs on the folder already, or a new one for as long as the demo lasts."""
    if _runs(folder):
        console.print(f"Using the stack that runs on {folder}.")
        yield None
        return
    console.print(f"Starting PostgreSQL, Valkey, service, worker and beat on {folder} ...")
    with _started(folder, port) as stack:
        yield stack


def _started(folder: Path, port: int | None) -> Stack:
    """A stack on the wanted port; without a wish, on the usual one or any other that is free."""
    from service.cli.demo import DEMO_PORT

    if port is not None or _port_is_free(DEMO_PORT):
        return Stack(folder, port=DEMO_PORT if port is None else port)
    return Stack(folder, port=0)


def _port_is_free(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _runs(folder: Path) -> bool:
    try:
        stack = json.loads((folder / STACK_FILE).read_text())
        os.kill(stack["pid"], 0)
        return httpx.get(f"{stack['service_url']}/healthz", timeout=5).status_code == httpx.codes.OK
    except (OSError, ValueError, KeyError, httpx.HTTPError):
        return False


def _apply_catalogue(console: Console) -> None:
    """The scenario, with every fine-tuned model of the file as a derivative of its base family."""
    document: dict[str, Any] = yaml.safe_load((DEMO_FILES / "catalogue.yaml").read_text())
    for model in document["models"]:
        model["derivatives"] = [
            {"slug": figure.slug, "name": figure.name, "kind": "fine-tune", "owes": "base"}
            for figure in figures()
            if figure.family == model["slug"]
        ]
    with open_session() as session:
        changes = catalogue.apply(session, parse_catalogue(document), datetime.now(UTC).date())
        session.commit()
    said = f"{len(changes.created)} things created" if changes.steps else "everything stands already"
    console.print(f"Catalogue applied: {said}.")


def _keys(file: Path) -> dict[str, str]:
    """A meter key for each platform, kept for the next run; with permission to report the demo's month."""
    kept: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    with open_session() as session:
        for platform in SHARES:
            parsed = parse_key(kept.get(platform, ""))
            known = meter_key(session, parsed[0]) if parsed else None
            if known is None or known.revoked_at is not None:
                kept[platform] = issue_key(session, platform, "demo", MONTH.start, "the demo's month")
        session.commit()
    file.touch(mode=0o600)
    file.write_text(json.dumps(kept, indent=2) + "\n")
    return kept


def _wait_for_rollup(url: str, keys: dict[str, str], console: Console) -> None:
    """Until the counts stop short of nothing that was reported; the worker counts by itself, asked by beat."""
    expected = sum(figure.image_count for figure in figures())
    began = time.monotonic()
    with console.status("The workers roll the events up ..."):
        while True:
            counted = sum(counted_images(url, key) for key in keys.values())
            if counted >= expected:
                break
            if time.monotonic() - began > ROLLUP_PATIENCE:
                raise StackError(
                    f"the workers have counted {counted:,} of {expected:,} images in {ROLLUP_PATIENCE:.0f} seconds: "
                    "see worker.log and beat.log in the stack's logs folder"
                )
            time.sleep(0.2)
    console.print(f"Rolled up {counted:,} images {time.monotonic() - began:.1f} s after the last report.")


def counted_images(url: str, key: str) -> int:
    """Images counted in the demo's month for the owner of a key."""
    asked = {"from": MONTH.start.isoformat(), "to": MONTH.end.isoformat(), "group_by": "none"}
    answer = httpx.get(f"{url}/v1/usage", params=asked, headers={"Authorization": f"Bearer {key}"}, timeout=30)
    answer.raise_for_status()
    return sum(row["image_count"] for row in answer.json()["usage"])


def _keep_serving(console: Console, url: str, keys: dict[str, str], stack: Stack | None) -> None:
    console.rule()
    console.print(f"Serving at [bold]{url}[/bold]  (API description: {url}/openapi.json)")
    for platform, key in keys.items():
        console.print(f"  meter key of {platform:<14} {key}", soft_wrap=True)
    first = next(iter(keys.values()))
    console.print("Try it:")
    console.print(f'  curl -H "Authorization: Bearer {first}" {url}/v1/invoices', soft_wrap=True, highlight=False)
    if stack is None:
        console.print("The stack was running before and runs on.")
        return
    console.print("Ctrl-C stops everything.")
    try:
        while not stack.wait(1.0):
            pass
    except KeyboardInterrupt:
        console.print("Stopping ...")
