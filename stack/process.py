"""Start a program so that nothing of it is ever left behind, and stop it.

Three things make that true. The kernel ends a program when we die (`PR_SET_PDEATHSIG`, set by `stack.child`). Every
program holds a file of its own open and so does everything it forks, which is how a pool process whose parent was
killed is found. And one thread does all the forking, because the kernel's promise is bound to the thread that forked:
a program started from a short-lived thread would be ended with it.
"""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

PROJECT = Path(__file__).resolve().parents[1]  # its rooms are importable from here, and nothing else shadows them
CHILD = Path(__file__).with_name("child.py")
PAUSE = 0.05


class StackError(Exception):
    """Something of the stack cannot run; the message is a sentence for the person at the terminal."""


class Nursery:
    """The one thread that forks. It lives as long as this process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.asked: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="stack-nursery", daemon=True).start()

    def _work(self) -> None:
        while True:
            start, promise = self.asked.get()
            try:
                promise.set_result(start())
            except BaseException as error:
                promise.set_exception(error)

    def run(self, start: Callable[[], T]) -> T:
        """Do it in the nursery's thread and answer what it answers."""
        promise: Future[T] = Future()
        self.asked.put((start, promise))
        return promise.result()


_nursery: Nursery | None = None
_nursery_lock = threading.Lock()


def nursery() -> Nursery:
    """The nursery of this process; a forked copy of a process needs one of its own."""
    global _nursery  # noqa: PLW0603  there is one, and it belongs to the process
    with _nursery_lock:
        if _nursery is None or _nursery.pid != os.getpid():
            _nursery = Nursery()
        return _nursery


def surroundings(extra: Mapping[str, str], without: str = "") -> dict[str, str]:
    """The environment a program gets: ours, less the names that begin with `without`, and `extra`."""
    kept = {name: value for name, value in os.environ.items() if not (without and name.startswith(without))}
    return {**kept, **extra}


def child_command(argv: Sequence[str], hold: Path, whom: str, death_signal: int = signal.SIGTERM) -> list[str]:
    """The command that starts `argv` by way of `stack.child`; for this process alone to run."""
    return [sys.executable, "-I", "-S", str(CHILD), str(os.getpid()), str(int(death_signal)), str(hold), whom, *argv]


class Warden:
    """A process that outlives us just long enough to end what we leave, should we be killed (`stack.warden`)."""

    def __init__(self, data: Path, lock: int) -> None:
        ours, self.lifeline = os.pipe()
        command = [sys.executable, "-m", "stack.warden", str(ours), str(data)]
        self.inner: subprocess.Popen[bytes] = nursery().run(
            lambda: subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=(ours, lock), cwd=PROJECT, start_new_session=True
            )
        )
        os.close(ours)

    def dismiss(self) -> None:
        """Let it go, when everything has been stopped; it sees for itself that this is so."""
        os.close(self.lifeline)
        self.inner.wait()


class Process:
    """One running program, with its log and everything that it forks."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        hold: Path,
        whom: str = "self",
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        files: Sequence[int] = (),
        death_signal: int = signal.SIGTERM,
    ) -> None:
        self.hold = hold
        hold.parent.mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        command = child_command(argv, hold, whom, death_signal)
        with log.open("ab") as output:
            self.inner: subprocess.Popen[bytes] = nursery().run(
                lambda: subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=None if environment is None else dict(environment),
                    cwd=folder,
                    pass_fds=tuple(files),
                    start_new_session=True,  # Ctrl-C at the terminal is for the supervisor alone
                )
            )

    @property
    def pid(self) -> int:
        return self.inner.pid

    def exit_code(self) -> int | None:
        """None while it runs; negative is the signal that ended it."""
        return self.inner.poll()

    def signal(self, number: int) -> None:
        """Send a signal; to one that has ended already it means nothing."""
        if self.exit_code() is None:
            self.inner.send_signal(number)

    def wait(self, seconds: float, hurry: threading.Event | None = None) -> bool:
        """Wait for its end, at most `seconds` or until `hurry`; True when it ended."""
        end = time.monotonic() + seconds
        while self.exit_code() is None:
            if time.monotonic() > end or (hurry is not None and hurry.is_set()):
                return False
            time.sleep(PAUSE)
        return True

    def stop(self, numbers: Sequence[tuple[int, float]], hurry: threading.Event | None = None) -> None:
        """Send each signal and wait its seconds until the program is gone; then end whatever it left."""
        for number, seconds in numbers:
            self.signal(number)
            if self.wait(seconds, hurry):
                break
        self.signal(signal.SIGKILL)
        self.inner.wait()
        end_holders(self.hold)


def holders(hold: Path) -> list[int]:
    """Every process that keeps `hold` open: the program, what it forked, and orphans of both. Needs /proc."""
    try:
        wanted = hold.stat()
    except FileNotFoundError:
        return []
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        if _has_open(entry / "fd", (wanted.st_dev, wanted.st_ino)):
            found.append(int(entry.name))
    return found


def _has_open(descriptors: Path, file: tuple[int, int]) -> bool:
    try:
        names = os.listdir(descriptors)  # noqa: PTH208  a process may end between two steps of a Path iterator
    except OSError:
        return False
    for name in names:
        try:
            seen = os.stat(descriptors / name)  # noqa: PTH116
        except OSError:
            continue
        if (seen.st_dev, seen.st_ino) == file:
            return True
    return False


def end_holders(hold: Path, patience: float = 0.0, number: int = signal.SIGKILL, seconds: float = 10.0) -> None:
    """See that nothing holds the file: wait `patience`, send the signal, wait again, and kill what is left."""
    for step, wait in ((0, patience), (number, seconds), (signal.SIGKILL, seconds)):
        end = time.monotonic() + wait
        while left := holders(hold):
            if step:
                for pid in left:
                    _send(pid, step)
            time.sleep(PAUSE)
            if time.monotonic() > end:
                break
        else:
            return
    if left:
        raise StackError(f"Process {left[0]} of an earlier run does not end; end it by hand and start again.")


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def last_lines(log: Path, count: int = 12) -> str:
    """The end of a log, indented, for an error message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return "\n".join(f"    {line}" for line in lines[-count:] if line.strip())
