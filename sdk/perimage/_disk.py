"""The disk, as far as the meter writes to it. Nothing else in the meter writes, renames or deletes a file.

So this is the place where a test can take the power away, fill the disk, or count what was flushed. A file's content is
durable after `sync`, its name after `sync_folder`.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path

from perimage._errors import SpoolError, SpoolFailed, SpoolFull

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment,unused-ignore]

# On macOS fsync does not reach the platter; this does.
FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)

BINARY = getattr(os, "O_BINARY", 0)  # Windows would make two bytes of a line feed
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Disk:
    """The machine's disk."""

    def open_new(self, path: Path) -> int:
        """A new file, to append to."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | BINARY, 0o600)

    def open_old(self, path: Path) -> int:
        """A file that is there, to append to."""
        return os.open(path, os.O_WRONLY | os.O_APPEND | BINARY)

    def write(self, fd: int, data: bytes) -> None:
        """Appends all of it."""
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]

    def sync(self, fd: int) -> None:
        """Returns when what was written is on the disk."""
        if FULL_SYNC is not None:
            fcntl.fcntl(fd, FULL_SYNC)
        elif hasattr(os, "fdatasync"):
            os.fdatasync(fd)  # with the size, without the time of the last change
        else:
            os.fsync(fd)

    def truncate(self, fd: int, size: int) -> None:
        """Cuts off what was written beyond this size."""
        os.ftruncate(fd, size)

    def close(self, fd: int) -> None:
        os.close(fd)

    def rename(self, old: Path, new: Path) -> None:
        """In place of whatever had the new name."""
        old.replace(new)

    def remove(self, path: Path) -> None:
        with suppress(FileNotFoundError):
            path.unlink()

    def sync_folder(self, path: Path) -> None:
        """Returns when the names in this folder are on the disk."""
        if os.name == "nt":
            return
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def make_folder(self, path: Path) -> None:
        """A folder for nobody else's eyes, and those above it."""
        missing = [each for each in (path, *path.parents) if not each.exists()]
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for each in missing:
            self.sync_folder(each.parent)

    def free(self, path: Path) -> int:
        """Bytes that are left for us."""
        if not hasattr(os, "statvfs"):
            return 1 << 62
        left = os.statvfs(path)
        return left.f_bavail * left.f_frsize

    def write_whole(self, path: Path, data: bytes) -> None:
        """A file that is there whole, or as it was before, whatever happens. Durable on return, its name too."""
        draft = path.with_name(f".{path.name}.draft")
        self.remove(draft)
        try:
            fd = self.open_new(draft)
            try:
                self.write(fd, data)
                self.sync(fd)
            finally:
                self.close(fd)
            self.rename(draft, path)
        except OSError:
            with suppress(OSError):
                self.remove(draft)
            raise
        self.sync_folder(path.parent)


def refused(error: OSError, what: str) -> SpoolError:
    """An error of the disk in our words."""
    if error.errno in NO_ROOM:
        return SpoolFull(f"{what}: the disk is full; make room, or give the meter a spool_dir on another disk")
    return SpoolFailed(f"{what}: the disk refused ({error.strerror or error})")
