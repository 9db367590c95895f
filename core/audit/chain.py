"""The hash chain of an audit log: each entry's hash is over its content and the hash of the entry before it.

So whoever holds the last hash holds the whole log: an entry that was removed, changed, added or moved breaks the chain
at its place. What a chain cannot show by itself is that its end was cut off; that takes a last hash kept elsewhere.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from core.canonical import hash_of

GENESIS = hashlib.sha256(b"perimage audit log 1").hexdigest()  # what the first entry follows


@dataclass(frozen=True, slots=True)
class Entry:
    """One act as it is hashed: who, in which role, did what with what, when, and whatever else is worth knowing."""

    sequence: int
    actor: str
    role: str
    action: str
    subject: str
    detail: Mapping[str, Any]
    recorded_at: datetime
    previous_hash: str
    hash: str

    def content(self, licensor: int) -> dict[str, Any]:
        """What is hashed, as one JSON object with JSON's own types; `licensor` is the id of whose log it is."""
        return {
            "licensor": licensor,
            "sequence": self.sequence,
            "actor": self.actor,
            "role": self.role,
            "action": self.action,
            "subject": self.subject,
            "detail": dict(self.detail),
            "recorded_at": self.recorded_at.astimezone(UTC).isoformat(timespec="microseconds"),
            "previous_hash": self.previous_hash,
        }


def broken_links(licensor: int, entries: Iterable[Entry], head: tuple[int, str] | None) -> list[str]:
    """A sentence for each place at which the chain is not whole. `entries` in the order of their sequence; `head` is
    the sequence and hash at which it is said to end, None for a log that never began.
    """
    wrong: list[str] = []
    expected, previous = 1, GENESIS
    for entry in entries:
        if entry.sequence != expected:
            wrong.append(f"entry {expected} is missing: {entry.sequence} comes next")
        if entry.previous_hash != previous:
            wrong.append(f"entry {entry.sequence} does not follow the one before it")
        if hash_of(entry.content(licensor)) != entry.hash:
            wrong.append(f"entry {entry.sequence} ({entry.action} of {entry.subject}) is not what was recorded")
        expected, previous = entry.sequence + 1, entry.hash
    end = (expected - 1, previous)
    if end != (head or (0, GENESIS)):
        wrong.append(f"the log ends at entry {end[0]}, and is said to end at {head[0] if head else 0}")
    return wrong
