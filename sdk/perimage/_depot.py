"""The depot: the folder that a platform gives its meter, and who has which part of it.

    lock              taken alone by a meter, or together by meters made with shared=True
    main/             the spool of the process that has the depot alone
    forks/<pid>-<x>/  the spools of its children, of processes that share it, and of those that have died
    parked.jsonl      events that the service would not count
    receipts/         what was answered, where the meter keeps receipts

A spool belongs to one process. When that dies its lock is free, and whoever lives adopts the spool, sends what is in it
under the spool's own source, and removes it.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from perimage._disk import Disk, refused
from perimage._errors import SpoolError
from perimage._lock import FolderLock
from perimage._parked import Parked
from perimage._spool import SourceChanged, Spool


class Depot:
    """An opened depot. `settings` are handed on to every spool."""

    def __init__(self, folder: Path, disk: Disk, lock: FolderLock | None, **settings: Any) -> None:
        self.folder, self.forks = folder, folder / "forks"
        self.parked = Parked(folder, disk)
        self.receipts = folder / "receipts"
        self._disk, self._lock, self._settings = disk, lock, settings

    @classmethod
    def open(
        cls, folder: str | os.PathLike[str], *, shared: bool, disk: Disk | None = None, **settings: Any
    ) -> "Depot":
        """Opens it for this process, alone or together with others. Raises SpoolError."""
        folder, disk = Path(folder), disk or Disk()
        try:
            disk.make_folder(folder / "forks")
        except OSError as error:
            raise refused(error, f"the spool {folder} could not be made") from None
        return cls(folder, disk, FolderLock.take(folder, shared=shared), **settings)

    @classmethod
    def beside(cls, folder: str | os.PathLike[str], **settings: Any) -> "Depot":
        """Without its lock, to put something into a spool beside whoever has it."""
        disk = Disk()
        disk.make_folder(Path(folder) / "forks")
        return cls(Path(folder), disk, None, **settings)

    def main(self, source: str | None) -> Spool:
        """The spool of the process that has the depot alone."""
        try:
            return self._open(self.folder / "main", source)
        except SourceChanged:
            # The old one keeps its name and its numbers, and is sent as if its process had died.
            try:
                self._disk.rename(self.folder / "main", self.forks / f"old-{os.urandom(4).hex()}")
            except OSError as error:
                raise refused(error, "the spool of the former source could not be moved") from None
            return self._open(self.folder / "main", source)

    def branch(self, source: str | None) -> Spool:
        """A new spool for this process beside others."""
        return self._open(self.forks / f"{os.getpid()}-{os.urandom(4).hex()}", source)

    def orphans(self) -> list[Spool]:
        """Adopts the spools whose processes have died.

        `main` only by who holds the depot: a child that outlived its parent must not keep the next one from starting.
        """
        adopted = []
        for folder in [*([self.folder / "main"] if self._lock else []), *sorted(self.forks.glob("*-*"))]:
            if not (folder / "spool.json").exists():
                continue
            with suppress(SpoolError):  # SpoolLocked: its process lives, or somebody else was faster
                adopted.append(self._open(folder, None))
        return adopted

    def close(self) -> None:
        lock, self._lock = self._lock, None
        if lock:
            lock.give_back()

    def leave(self) -> None:
        """In a child after a fork: the lock is the parent's; the spools of the child have locks of their own."""
        self._lock = None

    def _open(self, folder: Path, source: str | None) -> Spool:
        return Spool.open(folder, source=source, disk=self._disk, **self._settings)


def spools_in(folder: Path) -> list[Path]:
    """The folders of the spools in a depot, for those who only look."""
    return [each for each in (folder / "main", *sorted((folder / "forks").glob("*-*"))) if each.is_dir()]
