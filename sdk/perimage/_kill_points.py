"""Named places at which the meter can be told to die, so that tests prove what survives.

PERIMAGE_METER_KILL_POINT names at most one: before_append, after_append_before_fsync, after_fsync,
after_send_before_reply, after_reply_before_delete. `after_fsync:7` means the seventh time it is passed.
"""

import os
import signal

NAMES = (
    "before_append",
    "after_append_before_fsync",
    "after_fsync",
    "after_send_before_reply",
    "after_reply_before_delete",
)
armed, _, _times = os.environ.get("PERIMAGE_METER_KILL_POINT", "").partition(":")
_left = int(_times or 1)


def kill_point(name: str) -> None:
    """Dies here if this point is armed: no clean-up, no flush. Unarmed, it costs one comparison."""
    global _left  # noqa: PLW0603 - one process, one armed point
    if armed == name:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
