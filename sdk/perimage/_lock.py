"""One process, one spool: the lock of a folder.

The operating system gives the lock back when its holder dies, however it dies. It belongs to the open file, which a
fork would share: so a child closes every lock it inherits, which leaves them to the parent.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from perimage._errors import SpoolFailed, SpoolLocked

try:
    import fcntl
except ImportError:  # Windows has no flock, and no fork either
    fcntl = None  # type: ignore[assignment,unused-ignore]

# Held by whatever a fork must not cut in half: taking a lock, importing a module in a thread of ours. A fork holds it.
quiet = threading.RLock()
_held: set[int] = set()


class FolderLock:
    """The lock of a folder, held by this process, by all of its threads."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path, self._fd = path, fd

    @classmethod
    def take(cls, folder: Path, *, shared: bool = False) -> "FolderLock":
        """Takes it at once or raises SpoolLocked. A shared lock shuts out only those who want the folder alone."""
        path = folder / "lock"
        with quiet:
            try:
                fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            except OSError as error:
                raise SpoolFailed(f"{path} cannot be opened ({error.strerror})") from None
            try:
                _lock(fd, shared)
                if os.fstat(fd).st_ino != path.stat().st_ino:  # somebody removed the folder meanwhile
                    raise FileNotFoundError
            except OSError:
                os.close(fd)
                raise _refusal(path, shared) from None
            _held.add(fd)
        if not shared:
            with suppress(OSError):  # the number is only there to be told
                os.ftruncate(fd, 0)
                os.lseek(fd, 0, os.SEEK_SET)
                os.write(fd, b"%d\n" % os.getpid())
        return cls(path, fd)

    def give_back(self) -> None:
        with quiet:
            if self._fd in _held:
                _held.discard(self._fd)
                os.close(self._fd)


def leave_locks() -> None:
    """In a child after a fork: the locks are the parent's."""
    for fd in _held:
        with suppress(OSError):
            os.close(fd)
    _held.clear()


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Waits until no other process has this lock, and holds it for a moment."""
    with quiet:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if fcntl is not None:
                fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def holder(folder: Path) -> int | None:
    """The process that has this folder, as far as can be told without touching the lock."""
    with suppress(OSError, ValueError):
        pid = int((folder / "lock").read_text())
        os.kill(pid, 0)
        return pid
    return None


def _lock(fd: int, shared: bool) -> None:
    if fcntl is not None:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    else:
        import msvcrt  # noqa: PLC0415

        os.lseek(fd, 1 << 20, os.SEEK_SET)  # beyond the number, which others must be able to read
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]


def _refusal(path: Path, shared: bool) -> SpoolLocked:
    pid: int | None = None
    with suppress(OSError, ValueError):
        pid = int(path.read_text())
    who = f"process {pid}" if pid else "another process"
    instead = (
        "give this one a spool_dir of its own"
        if shared
        else (
            "give this one a spool_dir of its own, or make the meter with shared=True in every process that is to "
            "use this folder"
        )
    )
    return SpoolLocked(f"{path.parent} is in use by {who}; {instead}", pid)
