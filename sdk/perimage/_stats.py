"""What a meter can tell of itself."""

from typing import NamedTuple


class Stats(NamedTuple):
    """A meter since it was made, and what its spool holds now. Events are what records were added up to."""

    recorded: int = 0  # calls of record() that were taken
    refused: int = 0  # calls that were not: BadUsage, a full spool, a closed meter
    unsaved: int = 0  # calls taken whose images are in memory only (fast mode)
    gathering: int = 0  # events being added up
    pending: int = 0  # reports that wait for an answer
    pending_events: int = 0
    pending_images: int = 0
    oldest_pending_age: float = 0.0  # seconds since the oldest waiting report was made; 0 when none waits
    spool_bytes: int = 0
    sent: int = 0  # events answered: accepted, duplicates, held and parked
    accepted: int = 0
    duplicates: int = 0  # the service had them already, which is what a repeat is for
    held: int = 0  # kept by the service until a model is registered or an agreement signed
    parked: int = 0  # not counted by the service, kept in parked.jsonl
    damaged: int = 0  # lines or files that the disk did not keep; they are set aside
    last_error: str = ""  # why sending does not succeed now, or nothing
