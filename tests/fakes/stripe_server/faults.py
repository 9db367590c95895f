"""Failing on request.

| fault | what the caller sees | was the work done? |
|---|---|---|
| `429` | too many requests, with Retry-After | no, and no key is spent |
| `500` | an error of Stripe's, replayed under the same key | no |
| `500_after` | the same | yes |
| `dropped` | the connection breaks | no |
| `reply_lost` | the connection breaks | yes |
| `slow` | the answer takes `slow_seconds` | yes |
"""

import fnmatch
import threading
from collections.abc import Iterator
from dataclasses import dataclass

FAULTS = ("429", "500", "500_after", "dropped", "reply_lost", "slow")


@dataclass
class _Rule:
    pattern: str
    fault: str
    times: int


class Faults:
    """What goes wrong with the requests to come: by rule (`next`), or one fate after another (`script`)."""

    def __init__(self) -> None:
        self.slow_seconds = 0.2
        self.retry_after = 1
        self._rules: list[_Rule] = []
        self._script: Iterator[str | None] | None = None
        self._lock = threading.Lock()

    def next(self, pattern: str, fault: str, times: int = 1) -> None:
        """The next requests like "POST /v1/invoices/*/finalize" fail so; a `*` stands for anything."""
        assert fault in FAULTS, fault
        self._rules.append(_Rule(pattern, fault, times))

    def script(self, fates: Iterator[str | None] | None) -> None:
        """Each request that no rule speaks of takes the next fate; None, or the end of them, is no fault."""
        self._script = fates

    def of(self, method: str, path: str) -> str | None:
        """The fate of one request."""
        with self._lock:
            for rule in self._rules:
                if rule.times > 0 and fnmatch.fnmatchcase(f"{method} {path}", rule.pattern):
                    rule.times -= 1
                    return rule.fault
            return next(self._script, None) if self._script is not None else None

    def clear(self) -> None:
        """Nothing fails any more."""
        with self._lock:
            self._rules.clear()
            self._script = None
