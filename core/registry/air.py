"""AI Resource Names: how platforms name models that nobody has told us of yet.

`urn:air:{ecosystem}:{type}:{source}:{id}@{version}`, such as `urn:air:sd3:lora:civitai:123@456`. The ecosystem names
the base family, so even an unregistered AIR says whose licence an image falls under.

Names are compared exactly, AIRs like all others: `urn`, `air`, ecosystem, type and source are lower case, the version
is there, and nothing comes before or after. What only looks like an AIR is a name that nobody knows.
"""

import re
from dataclasses import dataclass

_WORD = r"[a-z0-9][a-z0-9._-]*"
_AIR = re.compile(rf"urn:air:({_WORD}):({_WORD}):({_WORD}):([A-Za-z0-9._/-]+)@([A-Za-z0-9._-]+)", re.ASCII)
FORM = "urn:air:{ecosystem}:{type}:{source}:{id}@{version}"
CHECKPOINT = "checkpoint"


@dataclass(frozen=True, slots=True)
class Air:
    """The parts of a well-formed AIR, as they were written."""

    ecosystem: str
    type: str
    source: str
    id: str
    version: str


def parse_air(name: str) -> Air | None:
    """The AIR that `name` is, or None when it is any other name."""
    found = _AIR.fullmatch(name)
    return Air(*found.groups()) if found else None


def looks_like_air(name: str) -> bool:
    """Whether somebody probably meant an AIR, well-formed or not."""
    return name.strip().casefold().startswith("urn:air")
