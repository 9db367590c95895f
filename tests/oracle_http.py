"""The oracle of whoever reports over HTTP: what was acknowledged, counted and rated from what was sent alone.

It never looks into the database. A platform hands it every answer; it keeps the events that were taken, checks that
the answers do not contradict each other, and says with `tests/oracle.py` what must be counted and owed.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from tests.oracle import count_events, owed

Line = tuple[str, str, date, int, int]  # kind, subject, first day of its month, images, minor units


class Recount:
    """Everything that was acknowledged to anybody, under the catalogues that were applied."""

    def __init__(self) -> None:
        self.taken: dict[tuple[str, str], dict[str, Any]] = {}  # (licensee, event id) to the event that counts
        self.refused: list[tuple[str, dict[str, Any]]] = []  # conflicts: another body must have been taken
        self.statuses: Counter[str] = Counter()
        self.owes: dict[str, list[str]] = {}
        self.zones: dict[tuple[str, str], str] = {}  # of (licensee, licensor)
        self.licensors: dict[str, str] = {}  # of each model
        self.agreements: dict[str, dict[str, Any]] = {}

    def applied(self, catalogue: Mapping[str, Any]) -> None:
        """Learns who owes what to whom."""
        for model in catalogue.get("models", []):
            self.owes[model["slug"]] = [model["slug"]]
            self.licensors[model["slug"]] = model["licensor"]
            for derivative in model.get("derivatives", []):
                assert derivative.get("owes", "base") == "base", "the stories need no other kind"
                self.owes[derivative["slug"]] = [model["slug"]]
        for account in catalogue.get("accounts", []):
            self.zones[account["licensee"], account["licensor"]] = account.get("zone", "UTC")
        for agreement in catalogue.get("agreements", []):
            self.agreements[agreement["slug"]] = agreement

    def answered(
        self, licensee: str, events: Sequence[Any], results: Sequence[Mapping[str, Any]], *, replayed: bool = False
    ) -> None:
        """Takes an answer. Answers may come in any order; of one event id only one body may ever have been taken."""
        assert len(events) == len(results)
        for event, result in zip(events, results, strict=True):
            status = result["status"]
            self.statuses["replayed" if replayed else status] += 1
            if status in {"accepted", "held", "duplicate"}:
                kept = self.taken.setdefault((licensee, event["event_id"]), event)
                assert _content(kept) == _content(event), f"two bodies of one event were taken: {kept} and {event}"
            elif status == "conflict":
                self.refused.append((licensee, event))

    def check_conflicts(self) -> None:
        """Whatever was called a conflict must contradict something that was taken."""
        for licensee, event in self.refused:
            assert _content(self.taken[licensee, event["event_id"]]) != _content(event)

    def images(self, licensee: str) -> dict[tuple[str, date], int]:
        """What must have been counted for a licensee, by fee-bearing model and day of the account's zone."""
        zones = {
            (licensee, model): self.zones[licensee, licensor]
            for model, licensor in self.licensors.items()
            if (licensee, licensor) in self.zones
        }
        owes = {name: models for name, models in self.owes.items() if all((licensee, m) in zones for m in models)}
        known = [
            {
                "licensee": licensee,
                **event,
                "adapters": [adapter for adapter in event.get("adapters", ()) if adapter in owes],
            }
            for (whose, _), event in self.taken.items()
            if whose == licensee and event["model"] in owes
        ]
        counts = count_events(known, zones, owes)
        return {(model, day): count for (_, model, day), count in counts.items()}

    def owed(self, agreement: str, until: date) -> list[Line]:
        """The lines that are owed under an agreement for all that was over by a day."""
        found = self.agreements[agreement]
        versions = [(found["starts_on"], found["terms"])]
        versions += [(each["effective_on"], each["terms"]) for each in found.get("amendments", [])]
        contract = {"term": (found["starts_on"], found["ends_on"]), "versions": versions}
        lines = owed(contract, self.images(found["account"]["licensee"]), until)
        return sorted(
            (kind, subject, start, images, minor)
            for (kind, subject, start, _end, _part), (images, minor) in lines.items()
        )

    def owed_minor(self, agreement: str, until: date) -> int:
        """The sum of those lines in minor units."""
        return sum(minor for *_, minor in self.owed(agreement, until))


def _content(event: Mapping[str, Any]) -> tuple[Any, ...]:
    adapters = tuple(sorted(set(event.get("adapters", ()))))
    return event["model"], event["image_count"], event["occurred_at"], adapters, event.get("plan", "")
