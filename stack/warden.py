"""Sees to it that a supervisor which was killed leaves nothing behind.

    python -m stack.warden PIPE DATA

Only the supervisor holds the other end of PIPE, so its end is our start. The kernel has told every program by then.
What still runs after a while, such as a pool process in the middle of a task or a worker that waits for a broker which
is gone, is killed. We hold the lock of the data folder meanwhile, so a new stack begins when this one is truly over.
"""

import os
import sys
from pathlib import Path

from stack.process import end_holders

PATIENCE_SECONDS = 5.0


def main() -> None:
    """Wait for the supervisor's end, then for everybody else's."""
    pipe, data = int(sys.argv[1]), Path(sys.argv[2])
    os.read(pipe, 1)  # nobody writes: this returns when the other end is closed
    for hold in sorted(data.glob("*/*.hold")):
        end_holders(hold, patience=PATIENCE_SECONDS)


if __name__ == "__main__":
    main()
