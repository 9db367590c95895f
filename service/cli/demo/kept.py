"""What a demo keeps in its folder, readable by its user alone: when its world is, who signs in, with what it reports.

The password and the meter keys are made anew for every installation; a second run of the demo shows the same ones.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

from service.cli.demo.plan import Plan
from stack.process import StackError

FILE = "world.json"


@dataclass
class Kept:
    """`state` is "new", then "writing" the past, "reporting" the last month, "writing" the present, and "made"."""

    today: date
    months: int
    password: str
    keys: dict[str, str] = field(default_factory=dict)
    receiver_port: int = 0
    state: str = "new"

    @property
    def plan(self) -> Plan:
        return Plan.on(self.today, self.months)

    @property
    def is_new(self) -> bool:
        return self.state == "new"

    def write(self, home: Path) -> None:
        """Keeps it, whole or not at all."""
        unfinished = home / f"{FILE}.new"
        unfinished.unlink(missing_ok=True)
        number = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "w") as writing:
            json.dump({**asdict(self), "today": self.today.isoformat()}, writing, indent=2)
        unfinished.rename(home / FILE)

    @classmethod
    def read(cls, home: Path) -> "Kept | None":
        """What an earlier run has kept; None where there was none. Raises `StackError` for one that was cut short."""
        try:
            found = json.loads((home / FILE).read_text())
        except FileNotFoundError:
            return None
        kept = cls(**{**found, "today": date.fromisoformat(found["today"])})
        if kept.state == "writing":
            raise StackError(
                f"the demo on {home.parent} was stopped while it wrote its months: remove that folder, or choose "
                "another one with --data, and start again"
            )
        return kept
