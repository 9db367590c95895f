"""The corrections behind a line: who changed what its days had counted, when, why and by how much."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from core.period import Period
from core.registry.lineage import is_owed
from core.usage.corrections.queries import CountedCorrection, counted_corrections
from core.usage.counts.counting import Timetable, weight

MOST = 100  # told of one line; all are in the list of corrections
LOADED = 20_000  # looked through for one invoice


class LineCorrections:
    """The corrections of what the lines of an invoice are about, loaded once."""

    def __init__(
        self,
        session: Session,
        licensee_id: int,
        lines: Sequence[tuple[Collection[str], Period]],
        *,
        terms_on: Timetable,
        issued_at: datetime | None,
    ) -> None:
        """`lines` are the models and days of each."""
        self.issued_at = issued_at
        self.found: list[CountedCorrection] = []
        self.complete = True
        models = {model for each, _ in lines for model in each}
        if models:
            days = [days for each, days in lines if each]
            span = Period(min(each.start for each in days), max(each.end for each in days))
            found = counted_corrections(session, licensee_id, models, span, LOADED + 1)
            self.found = [each for each in found[:LOADED] if _is_billed(each, terms_on)]
            self.complete = len(found) <= LOADED

    def of(self, models: Collection[str], days: Period) -> dict[str, Any]:
        """The corrections of usage that a line bills, in the order they were made.

        Each says whether it was made after the invoice was issued; what such a one changes is on a later invoice.
        """
        mine = [each for each in self.found if each.model in models and each.day in days]
        return {
            "corrections": [_said(each, self.issued_at) for each in mine[:MOST]],
            "corrections_complete": self.complete and len(mine) <= MOST,
        }


def _is_billed(each: CountedCorrection, terms_on: Timetable) -> bool:
    terms = terms_on.on(each.day)
    return is_owed(each.role, terms.adapters) and bool(weight(terms, each.output))


def _said(each: CountedCorrection, issued_at: datetime | None) -> dict[str, Any]:
    made = each.correction
    return {
        "correction_id": made.correction_id,
        "event_id": made.event_id,
        "kind": made.kind,
        "model": each.model,
        "day": each.day.isoformat(),
        "output": each.output,
        "image_delta": made.image_delta,
        "image_count_before": made.image_count_before,
        "image_count_after": made.image_count_after,
        "reason": made.reason,
        "reference": made.reference,
        "actor": made.actor,
        "made_at": made.made_at.isoformat(),
        "made_after_issue": issued_at is not None and made.made_at > issued_at,
    }
