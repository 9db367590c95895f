"""One meter for the whole process, told by the environment: for hooks that have nowhere to be given one.

PERIMAGE_URL         address of the service
PERIMAGE_KEY         the platform's meter key
PERIMAGE_SPOOL_DIR   folder for the spool; by default ~/.perimage/spool
"""

import os
import threading
from pathlib import Path

from perimage.integrations._images import Recorder

SPOOL_DIR = Path.home() / ".perimage" / "spool"
_lock = threading.Lock()
_meters: list[Recorder] = []


def ambient_meter() -> Recorder:
    """The process's meter, made at the first call. Raises BadSettings if the environment lacks address or key."""
    with _lock:
        if not _meters:
            _meters.append(_from_environment())
        return _meters[0]


def use(meter: Recorder | None) -> None:
    """Makes `meter` the process's, instead of one from the environment; None makes it forget."""
    with _lock:
        _meters[:] = [] if meter is None else [meter]


def _from_environment() -> Recorder:
    from perimage import Meter  # noqa: PLC0415 - the meter is heavier than its hooks

    # Shared, since programs that know nothing of each other may be hooked in the same way on one machine.
    return Meter.from_environment(spool_dir=os.environ.get("PERIMAGE_SPOOL_DIR") or SPOOL_DIR, shared=True)
