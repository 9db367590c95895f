"""The clause about days of which nothing is reported: by which rule their images are estimated until a report comes."""

from typing import Any

from core.agreements.clauses import Estimate
from core.agreements.reading import Section, one_of, refuse

MOST_MONTHS = 24
USUAL_MONTHS = 3


def estimate_in(value: object, path: str) -> Estimate:
    """The rule and how many months it looks back, read strictly."""
    part = Section(value, path)
    found = Estimate(
        rule=part.required("rule", one_of("trailing_average")),
        months=part.optional("months", _months, USUAL_MONTHS),
    )
    part.done()
    return found


def estimate_document(estimate: Estimate | None) -> dict[str, Any] | None:
    """The clause as the canonical document keeps it; None where nothing was agreed."""
    return None if estimate is None else {"rule": estimate.rule, "months": estimate.months}


def _months(value: object, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_MONTHS:
        refuse(path, f"write a whole number of months from 1 to {MOST_MONTHS}")
    return value
