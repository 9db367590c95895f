"""A statement: what was counted of one account in one period, as a document that both sides can keep and check.

It is canonical JSON (keys sorted, no spaces, UTF-8, no fractions), so its bytes follow from its content. It names the
hash of the account's statement before it, so none can be taken out or slipped in; it is signed, so it is ours; and it
holds the Merkle root over the events it counts, so each event's part in it can be shown.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from core.canonical import canonical
from core.period import Period

FORMAT = "perimage-statement-1"
TREE = "rfc6962-sha256"


@dataclass(frozen=True, slots=True)
class Counted:
    """Images counted for a model on a day of the account's zone, in one role, for one plan and kind of output.

    `image_count` is net of corrections, which were `corrected` in all. `late` of it was received after the period.
    """

    model: str
    day: date
    plan: str
    output: str
    role: str
    image_count: int
    event_count: int
    late: int
    corrected: int


@dataclass(frozen=True, slots=True)
class Tree:
    """The events of a statement: how many, the root over them, and their images, each once whatever it counts for."""

    event_count: int
    image_count: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a statement stands: its number in the account's chain, the hash before it, and what it replaces."""

    number: int
    previous_hash: str | None
    revision: int
    replaces: int | None


def leaf(event: Mapping[str, Any]) -> bytes:
    """An event as a leaf of the tree."""
    return canonical(event)


def event_document(
    *,
    event_id: str,
    model: str,
    image_count: int,
    occurred_at: datetime,
    adapters: Sequence[str],
    plan: str,
    output: str,
) -> dict[str, Any]:
    """An event as a statement counts it: `image_count` net of corrections, the time in UTC to the microsecond."""
    return {
        "event_id": event_id,
        "model": model,
        "image_count": image_count,
        "occurred_at": occurred_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "adapters": list(adapters),
        "plan": plan,
        "output": output,
    }


def statement_document(
    *,
    licensor: str,
    licensee: str,
    zone: str,
    period: Period,
    place: Place,
    made_at: datetime,
    counts: Iterable[Counted],
    tree: Tree,
    calendars: Mapping[str, Iterable[tuple[date, str]]],
    estimated: Collection[tuple[str, date]] = (),
) -> dict[str, Any]:
    """The statement as it is signed. `calendars` are the states of each agreement's days; those `estimated` are billed
    by an estimate for want of a report. They say so, and nothing is attested for them: an estimate is no count.
    """
    rows = sorted(counts, key=lambda row: (row.model, row.day, row.plan, row.output, row.role))
    starts_at, ends_at = period.bounds(zone)
    return {
        "format": FORMAT,
        "licensor": licensor,
        "licensee": licensee,
        "number": place.number,
        "previous_hash": place.previous_hash,
        "revision": place.revision,
        "replaces": place.replaces,
        "made_at": made_at.astimezone(UTC).isoformat(),
        "period": {
            "name": period.name,
            "start": period.start.isoformat(),
            "end": period.end.isoformat(),
            "zone": zone,
            "starts_at": starts_at.isoformat(),
            "ends_at": ends_at.isoformat(),
        },
        "counts": [_row(row) for row in rows],
        "models": _by_model(rows),
        "events": {
            "event_count": tree.event_count,
            "image_count": tree.image_count,
            "tree": TREE,
            "root": tree.root.hex(),
        },
        "calendars": [
            {
                "agreement": slug,
                "days": [
                    {
                        "day": day.isoformat(),
                        "state": state,
                        **({"estimated": True} if (slug, day) in estimated else {}),
                    }
                    for day, state in days
                ],
            }
            for slug, days in sorted(calendars.items())
        ],
    }


def says_the_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two statements of a period attest the same, whenever they were made."""
    return all(one[part] == other[part] for part in ("counts", "events", "calendars"))


def _row(row: Counted) -> dict[str, Any]:
    return {
        "model": row.model,
        "day": row.day.isoformat(),
        "plan": row.plan,
        "output": row.output,
        "role": row.role,
        "image_count": row.image_count,
        "event_count": row.event_count,
        "late": row.late,
        "corrected": row.corrected,
    }


def _by_model(rows: Sequence[Counted]) -> list[dict[str, Any]]:
    """The sums of each model, over all that was counted for it."""
    names = ("image_count", "late", "corrected")
    return [
        {"model": model, **{name: sum(getattr(row, name) for row in rows if row.model == model) for name in names}}
        for model in sorted({row.model for row in rows})
    ]


def standing(*, replaced: bool, certified: bool, open_disputes: int, settled_disputes: int) -> str:
    """Where a statement stands, as people say it: open, disputed, settled, certified or replaced."""
    if open_disputes:
        return "disputed"
    if replaced:
        return "replaced"
    if certified:
        return "certified"
    return "settled" if settled_disputes else "open"
