"""A disk whose power can be cut: what was not flushed is gone afterwards, as on a real one.

It writes to real files, and remembers beside them what of each file was flushed, and which names of each folder were.
At the chosen operation it raises PowerCut and does nothing ever after; `survive` then makes the folder what a machine
would find when it comes up again.
"""

from pathlib import Path

from perimage._disk import Disk

LEAST, TORN, MOST = "least", "torn", "most"


class PowerCut(BaseException):
    """The machine is off."""


class PowerDisk(Disk):
    """Counts its operations from 1; `cut_at` names the one that is not carried out."""

    def __init__(self, cut_at: int = 0) -> None:
        self.operations = 0
        self.cut_at = cut_at
        self.syncs = 0
        self._written: dict[int, bytearray] = {}  # file number -> what was written
        self._synced: dict[int, bytes] = {}  # file number -> what of it is flushed
        self._of_fd: dict[int, int] = {}
        self._names: dict[Path, int] = {}  # as programs see them
        self._safe_names: dict[Path, dict[Path, int]] = {}  # folder -> the names that are flushed
        self._files = 0

    def _operate(self) -> None:
        if self.cut_at and self.operations >= self.cut_at:
            raise PowerCut
        self.operations += 1
        if self.operations == self.cut_at:
            raise PowerCut

    def open_new(self, path: Path) -> int:
        self._operate()
        fd = super().open_new(path)
        self._files += 1
        self._of_fd[fd] = self._names[path] = self._files
        self._written[self._files], self._synced[self._files] = bytearray(), b""
        return fd

    def open_old(self, path: Path) -> int:
        self._operate()
        fd = super().open_old(path)
        if path not in self._names:  # of a life before
            self._files += 1
            self._names[path] = self._files
            self._written[self._files], self._synced[self._files] = bytearray(path.read_bytes()), path.read_bytes()
        self._of_fd[fd] = self._names[path]
        return fd

    def write(self, fd: int, data: bytes) -> None:
        self._operate()
        super().write(fd, data)
        self._written[self._of_fd[fd]] += data

    def sync(self, fd: int) -> None:
        self._operate()
        self.syncs += 1
        file = self._of_fd[fd]
        self._synced[file] = bytes(self._written[file])

    def truncate(self, fd: int, size: int) -> None:
        self._operate()
        super().truncate(fd, size)
        del self._written[self._of_fd[fd]][size:]

    def close(self, fd: int) -> None:
        super().close(fd)

    def rename(self, old: Path, new: Path) -> None:
        self._operate()
        super().rename(old, new)
        if old in self._names:
            self._names[new] = self._names.pop(old)

    def remove(self, path: Path) -> None:
        self._operate()
        super().remove(path)
        self._names.pop(path, None)

    def sync_folder(self, path: Path) -> None:
        self._operate()
        self._safe_names[path] = {name: file for name, file in self._names.items() if name.parent == path}

    def survive(self, how: str) -> None:
        """Makes the files what is found after the cut: only what was flushed, or all of it, or half of the rest."""
        for fd in self._of_fd:
            try:
                self.close(fd)
            except OSError:
                continue
        safe = {name: file for names in self._safe_names.values() for name, file in names.items()}
        names = safe if how == LEAST else self._names
        for path in {*self._names, *safe}:
            path.unlink(missing_ok=True)
        for path, file in names.items():
            synced, written = self._synced[file], bytes(self._written[file])
            rest = written[len(synced) :]
            kept = {LEAST: synced, TORN: synced + rest[: len(rest) // 2], MOST: written}[how]
            path.write_bytes(kept if len(written) >= len(synced) else written)
