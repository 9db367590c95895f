"""The kinds of notices, who may see each, and who gets it by e-mail."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from core.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Kind:
    """`for_licensee`: the licensee may see it, too. `mail`: the sides that are written to."""

    name: str
    said: str
    for_licensee: bool
    mail: tuple[str, ...]


ISSUED = Kind("invoice.issued", "an invoice or credit note was issued", True, ("licensee",))
DUE_SOON = Kind("invoice.due_soon", "an open invoice is due within seven days", True, ("licensee",))
OVERDUE = Kind("invoice.overdue", "an open invoice is past its day", True, ("licensee", "licensor"))
HELD = Kind("invoice.held", "a draft waits for a person", False, ("licensor",))
COMMITMENT = Kind("commitment.reached", "50, 80 or 100 % of a commitment are reached", True, ("licensee", "licensor"))
CAP = Kind("cap.near", "80 or 100 % of a monthly cap are used", True, ("licensee", "licensor"))
SILENT = Kind("usage.missing", "a day is over and nothing was reported for it", True, ("licensee", "licensor"))
SWITCHED_OFF = Kind("webhook.switched_off", "an endpoint did not answer and is no longer told", False, ("licensor",))
TEST = Kind("notice.test", "somebody tried an endpoint", False, ())

KINDS = {
    kind.name: kind for kind in (ISSUED, DUE_SOON, OVERDUE, HELD, COMMITMENT, CAP, SILENT, SWITCHED_OFF, TEST)
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is so, and that people must be told once. `key` names it for ever, its period included."""

    kind: Kind
    licensor_id: int
    licensee_id: int | None
    key: str
    data: dict[str, Any]


def check_kinds(names: Collection[str]) -> list[str]:
    """These names, each once and in order. Raises `InvalidInput` for one that is no kind of notice."""
    for name in names:
        if name not in KINDS:
            raise InvalidInput("unknown_kind", f"notices are {', '.join(KINDS)}, not {name!r}")
    return sorted(set(names))
