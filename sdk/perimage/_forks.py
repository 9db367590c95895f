"""What happens to meters when the process forks, as gunicorn, Celery and multiprocessing do.

The spool, its lock and its threads stay the parent's. A child that records gets a spool of its own beside it, when it
first does. A fork waits until no thread of ours is amid something that must not be cut in half.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol
from weakref import WeakSet

from perimage._lock import leave_locks, quiet


class Forkable(Protocol):
    """Whoever must know."""

    def leave(self) -> None:
        """In the child: forget what is the parent's."""


_known: "WeakSet[Forkable]" = WeakSet()


def register(meter: Forkable) -> None:
    """From now on it is told of forks."""
    with quiet:
        _known.add(meter)


def at_exit_of_child(close: Callable[[], object]) -> None:
    """Children of multiprocessing and billiard end without atexit; they have a way of their own to be told."""
    for name in ("multiprocessing.util", "billiard.util"):
        module = sys.modules.get(name)
        if module is not None:
            with suppress(Exception):
                module.Finalize(None, close, exitpriority=10)


def _in_child() -> None:
    leave_locks()
    for meter in list(_known):
        meter.leave()
    quiet.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=quiet.acquire, after_in_parent=quiet.release, after_in_child=_in_child)
