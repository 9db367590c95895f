"""Named places at which a process can be told to die, so that tests prove what survives.

A door arms at most one at start-up (PERIMAGE_KILL_POINT); unarmed, a point costs one comparison.
"""

import os
import signal

_armed: str | None = None


def arm(name: str | None) -> None:
    """From now on the process kills itself with SIGKILL when it reaches the point called `name`."""
    global _armed  # noqa: PLW0603 - one process, one armed point
    _armed = name or None


def kill_point(name: str) -> None:
    """Dies here if this point is armed: no clean-up, no flush, as a power cut would."""
    if _armed == name:
        os.kill(os.getpid(), signal.SIGKILL)
