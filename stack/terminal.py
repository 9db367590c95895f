"""A stack at a terminal: its logs merged into one coloured view, and the keys and signals that stop it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from rich.console import Console
from rich.text import Text

from stack.process import StackError
from stack.supervisor import Stack

COLOURS = {
    "stack": "bold",
    "postgres": "blue",
    "valkey": "red",
    "migrate": "magenta",
    "service": "green",
    "worker": "yellow",
    "beat": "cyan",
}
WIDTH = max(map(len, COLOURS))
TURN_SECONDS = 0.2


class MergedLogs:
    """Follows every log of a folder and prints each new line behind the name of its part.

    The parts write to their files themselves and we only read along: nothing they say is lost when this process is
    killed, and a slow terminal never holds up a database.
    """

    def __init__(self, logs: Path, console: Console) -> None:
        self.logs = logs
        self.console = console
        self.files: dict[Path, BinaryIO] = {}
        self.rest: dict[Path, bytes] = {}
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._follow, name="stack-logs", daemon=True)

    def start(self) -> None:
        """Begin after what is there already."""
        for log in self.logs.glob("*.log"):
            self._open(log).seek(0, 2)
        self.thread.start()

    def stop(self) -> None:
        """Print what has come meanwhile, and end."""
        self.ended.set()
        self.thread.join()

    def _open(self, log: Path) -> BinaryIO:
        if log not in self.files:
            self.files[log] = log.open("rb")
            self.rest[log] = b""
        return self.files[log]

    def _follow(self) -> None:
        while not self.ended.wait(TURN_SECONDS):
            self._print_new()
        self._print_new()
        for file in self.files.values():
            file.close()

    def _print_new(self) -> None:
        for log in sorted(self.logs.glob("*.log")):
            *lines, self.rest[log] = (self._read(log)).split(b"\n")
            for line in lines:
                self._print(log.stem, line.decode(errors="replace").rstrip())

    def _read(self, log: Path) -> bytes:
        new = self._open(log).read()
        return self.rest[log] + new

    def _print(self, name: str, line: str) -> None:
        prefix = Text(f"{name:>{WIDTH}} │ ", style=COLOURS.get(name, "white"))
        self.console.print(prefix + Text.from_ansi(line), soft_wrap=True, highlight=False)


@contextmanager
def stopping_by_signal(stack: Stack) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal ask for the end; a second one makes it a quick one."""
    asked = threading.Event()

    def heard(_number: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            stack.hurry.set()
        asked.set()
        stack.request_stop()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup says: stay when the terminal goes
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, heard) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def announce(stack: Stack, console: Console) -> None:
    """Say where everything is."""
    console.print()
    console.print("[bold green]Perimage is ready.[/]  Ctrl-C stops it.")
    rows = [
        ("service", stack.service_url),
        ("API reference", f"{stack.service_url}/openapi.json"),
        ("data", str(stack.data)),
        ("logs", str(stack.logs)),
        ("addresses", f"{stack.data / 'stack.json'} (with passwords, for you alone)"),
    ]
    for name, value in rows:
        console.print(f"  {name:<14}[cyan]{value}[/]", soft_wrap=True, highlight=False)
    console.print("  Every other `perimage` command on this machine finds it by itself.", highlight=False)
    console.print()


def run_at_terminal(stack: Stack, console: Console, *, quiet: bool = False) -> int:
    """Run the stack until somebody stops it; answers the exit code, 0 after a clean stop and 1 after a failure."""
    logs = None if quiet else MergedLogs(stack.logs, console)
    with stopping_by_signal(stack):
        if logs:
            logs.start()
        try:
            stack.start()
            announce(stack, console)
            while not stack.wait(3600):
                pass
            code = 0
        except StackError as error:
            asked_to_stop = stack.asked_to_stop and not stack.failure
            code = 0 if asked_to_stop else 1
            if not asked_to_stop:
                console.print(Text(f"\n{error}\n", style="bold red"), soft_wrap=True)
        finally:
            stack.stop()
            if logs:
                logs.stop()
    if code == 0:
        console.print("Stopped; nothing is left running.")
    return code
