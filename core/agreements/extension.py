"""What an extension does to promises made before it: nothing.

A commitment over "the term" was made for the term that the parties had before them. If an extension stretched it, the
same promise would be spread over more days, a shortfall that was due would be due no longer, and the licensor would
have lost by being generous. So it stays with the days it was made for; an extension that is to carry a promise of its
own says so in an amendment from the old end on. Monthly, quarterly and yearly commitments go on by themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from core.agreements.clauses import Commitment, Terms


@dataclass(frozen=True, slots=True)
class Extension:
    """A term that would have ended on `stood` goes on. `last_version` is the last one signed before it."""

    stood: date
    last_version: int


def as_promised(
    versions: Sequence[tuple[date, Terms]], extensions: Sequence[Extension]
) -> tuple[tuple[date, Terms], ...]:
    """The versions with every commitment over the term tied to the term for which it was signed."""
    return tuple(
        (effective_on, _tied(terms, _signed_for(number, extensions)))
        for number, (effective_on, terms) in enumerate(versions)
    )


def _signed_for(number: int, extensions: Sequence[Extension]) -> date | None:
    """The end of the term that a version was signed for; None for the term as it stands."""
    return min((extension.stood for extension in extensions if number <= extension.last_version), default=None)


def _tied(terms: Terms, end: date | None) -> Terms:
    if end is None or not any(commitment.period == "term" for commitment in terms.commitments):
        return terms
    return replace(terms, commitments=tuple(_until(commitment, end) for commitment in terms.commitments))


def _until(commitment: Commitment, end: date) -> Commitment:
    if commitment.period != "term":
        return commitment
    return replace(commitment, ends_on=min(commitment.ends_on or end, end))
