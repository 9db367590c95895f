"""One manager for a folder: a lock that the kernel gives back when its holder dies, however it dies."""

import fcntl
import os
import time
from pathlib import Path

from stack.process import PAUSE, StackError

LEFTOVER_SECONDS = 30.0


class Lock:
    """An exclusive lock on a file that names its holder's process id."""

    def __init__(self, path: Path, refusal: str) -> None:
        self.path = path
        self.refusal = refusal
        self.file: int | None = None

    def take(self) -> None:
        """Hold the lock, or raise a StackError: `refusal` with `{pid}` filled in, or why the folder is of no use."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            why = error.strerror or "it cannot be written"
            raise StackError(f"Cannot use the folder {self.path.parent}: {why}. Choose another data folder.") from None
        end = time.monotonic() + LEFTOVER_SECONDS
        while not _locked(file):
            holder = os.pread(file, 32, 0).decode(errors="replace").strip()
            if _lives(holder) or time.monotonic() > end:
                os.close(file)
                raise StackError(self.refusal.format(pid=holder or "unknown"))
            time.sleep(PAUSE)  # its warden is still ending what a killed stack left
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
        self.file = file

    @property
    def number(self) -> int:
        """The number of the open file that is the lock; whoever inherits it holds it too."""
        assert self.file is not None  # noqa: S101  for the type checker
        return self.file

    def release(self) -> None:
        """Give it back. The file stays: removing it would let two holders lock two different files of one name."""
        if self.file is not None:
            os.close(self.file)
            self.file = None


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
