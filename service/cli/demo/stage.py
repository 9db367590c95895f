"""The demo from curtain to curtain: stack, past, reports over HTTP, roll-up, month's end, present, summary."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from config.settings import choose, settings
from core.period import Period
from core.signatures import Signer
from service.cli.close import run_and_watch
from service.cli.database import open_session
from service.cli.demo.hooks import receiver
from service.cli.demo.house import refuse_other_peoples_database, stack_on
from service.cli.demo.kept import Kept
from service.cli.demo.people import new_password
from service.cli.demo.plan import MONTHS
from service.cli.demo.platforms import report_everything
from service.cli.demo.scene import Scene
from service.cli.demo.summary import build_summary, print_summary, print_who_signs_in
from service.cli.demo.traffic import SHARES, figures
from service.cli.demo.world import Step, scene_in, write_last_month, write_past, write_present
from stack.process import StackError
from stack.supervisor import Stack

ROLLUP_PATIENCE = 120.0  # seconds until we say that the workers do not count


def run_demo(data: Path | None, port: int | None, *, serve: bool, months: int = MONTHS) -> bool:
    """Runs the demo; True when every total agrees with the recount."""
    console = _console()
    choose(**({"data": data} if data else {}))
    folder = settings().data.absolute()
    home = folder / "demo"
    home.mkdir(parents=True, exist_ok=True)
    kept = Kept.read(home) or Kept(datetime.now(UTC).date(), months, new_password())
    with stack_on(folder, port, console) as stack, receiver(kept.receiver_port) as hooks:
        choose(data=folder)
        url = settings().service_url
        if kept.is_new:
            _write_past(kept, home, hooks, console)
        platforms = {platform: kept.keys[platform] for platform in SHARES}
        month = kept.plan.last
        sent = report_everything(url, platforms, month, console)
        _wait_for_rollup(url, platforms, month, console)
        if kept.state == "reporting":
            run_and_watch(month, issues=True)
            _write_present(kept, home, console)
        summary = build_summary(url, platforms, month, sent, home)
        (home / "summary.json").write_text(json.dumps(summary["file"], indent=2) + "\n")
        print_summary(console, summary, home)
        print_who_signs_in(console, url, kept.password, home)
        if serve:
            _keep_serving(console, url, platforms, stack)
    return bool(summary["agrees"])


def _console() -> Console:
    """The terminal; wide enough for the summary where there is none to measure, such as in a log."""
    console = Console()
    return console if console.is_terminal else Console(width=110)


def _write_past(kept: Kept, home: Path, hooks: str, console: Console) -> None:
    """The months before the last one, and the last one of everybody who does not report it over HTTP."""
    with open_session() as session:
        refuse_other_peoples_database(session)
    kept.receiver_port, kept.state = httpx.URL(hooks).port or 0, "writing"
    kept.write(home)
    with _bar(console, "Setting up") as step, _scene(kept) as scene:
        write_past(scene, hooks, step)
        write_last_month(scene, platforms={})
        kept.keys, kept.state = scene.keys, "reporting"
    kept.write(home)


def _write_present(kept: Kept, home: Path, console: Console) -> None:
    """The running month, once the last one is billed."""
    kept.state = "writing"
    kept.write(home)
    with console.status(f"Writing {kept.plan.this.name} up to yesterday ..."), _scene(kept) as scene:
        write_present(scene)
    kept.state = "made"
    kept.write(home)
    console.print(f"Written: {kept.plan.this.name} up to yesterday, with what waits for somebody in it.")


@contextmanager
def _scene(kept: Kept) -> Iterator[Scene]:
    """The demo's world in the database of the stack."""
    ours = settings()
    file = ours.signing_key_file
    text = ours.signing_key or (file.read_text() if file else "")
    signer = Signer.from_text(text) if text else None
    with scene_in(ours.database_url, ours.database_owner_url, kept.plan, kept.password, signer) as scene:
        scene.keys = dict(kept.keys)
        yield scene


@contextmanager
def _bar(console: Console, first: str) -> Iterator[Step]:
    """A progress bar, and what moves it on."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(first, total=None)
        yield lambda said, done, total: bar.update(
            task, description=said[:1].upper() + said[1:], completed=done, total=total
        )


def _wait_for_rollup(url: str, keys: dict[str, str], month: Period, console: Console) -> None:
    """Until the counts stop short of nothing that was reported; the worker counts by itself, asked by beat."""
    expected = sum(figure.image_count for figure in figures())
    began = time.monotonic()
    with console.status("The workers roll the events up ..."):
        while True:
            counted = sum(counted_images(url, key, month) for key in keys.values())
            if counted >= expected:
                break
            if time.monotonic() - began > ROLLUP_PATIENCE:
                raise StackError(
                    f"the workers have counted {counted:,} of {expected:,} images in {ROLLUP_PATIENCE:.0f} seconds: "
                    "see worker.log and beat.log in the stack's logs folder"
                )
            time.sleep(0.2)
    console.print(f"Rolled up {counted:,} images {time.monotonic() - began:.1f} s after the last report.")


def counted_images(url: str, key: str, month: Period) -> int:
    """Images counted in the demo's month for the owner of a key."""
    asked = {"from": month.start.isoformat(), "to": month.end.isoformat(), "group_by": "none"}
    answer = httpx.get(f"{url}/v1/usage", params=asked, headers={"Authorization": f"Bearer {key}"}, timeout=30)
    answer.raise_for_status()
    return sum(row["image_count"] for row in answer.json()["usage"])


def _keep_serving(console: Console, url: str, keys: dict[str, str], stack: Stack | None) -> None:
    console.print(f"The API is described at {url}/openapi.json. With a meter key of a licensee's:", soft_wrap=True)
    first = next(iter(keys.values()))
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
