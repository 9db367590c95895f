"""When a delivery is tried again: ten attempts over about three days, as Standard Webhooks advises.

The waits are from one attempt to the next. Each is lengthened by up to a tenth by chance, so that a receiver that was
away does not get everything at the same moment.
"""

from datetime import timedelta

WAITS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
MOST_ATTEMPTS = len(WAITS) + 1
JITTER_STEPS = 1000
_SHARE = 10  # a tenth


def wait_after(attempt: int, chance: int) -> timedelta | None:
    """How long to wait after attempt number `attempt` (from 1); None when it was the last.

    `chance` is drawn from 0 to `JITTER_STEPS` by the caller.
    """
    if attempt >= MOST_ATTEMPTS:
        return None
    wait = WAITS[attempt - 1]
    return wait + wait * chance // (JITTER_STEPS * _SHARE)
