"""What is signed: the canonical document of each act, its hash, and the signatures beneath it.

A document says everything that the act decides and nothing that may change later, so that both sides can compute its
hash from their own papers: SHA-256 of canonical JSON (keys sorted, no spaces, UTF-8).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from core.agreements.terms import Terms, terms_document
from core.canonical import hash_of
from core.errors import InvalidInput
from core.period import Period

Party = Literal["licensor", "licensee"]
BOTH: tuple[Party, Party] = ("licensor", "licensee")
IN_CATALOGUE = "declared in the catalogue"
_LONGEST = 255
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Signature:
    """Somebody who signed for one side, and the day they wrote beside their name."""

    party: Party
    name: str
    signed_on: date

    def __post_init__(self) -> None:
        if self.party not in BOTH:
            raise InvalidInput("invalid_signature", f"a side is licensor or licensee, not {self.party!r}")
        if not self.name.strip() or len(self.name) > _LONGEST or _UNPRINTABLE.search(self.name):
            raise InvalidInput(
                "invalid_signature",
                f"write the name of the person who signs for the {self.party}, one line of at most {_LONGEST} "
                "characters",
            )


@dataclass(frozen=True, slots=True)
class Consent:
    """What stands behind an act: signatures, why it was done, and the hash of the paper that people signed, if any."""

    signatures: tuple[Signature, ...]
    reason: str = ""
    paper_hash: str | None = None

    def __post_init__(self) -> None:
        if len(self.reason) > 1000 or _UNPRINTABLE.search(self.reason):
            raise InvalidInput("invalid_reason", "write the reason in one line of at most 1,000 characters")

    @property
    def parties(self) -> frozenset[str]:
        return frozenset(signature.party for signature in self.signatures)

    def demand(self, *parties: Party, act: str) -> None:
        """Refuses an act without the signatures it needs."""
        missing = [party for party in parties if party not in self.parties]
        if missing:
            raise InvalidInput("signature_missing", f"{act} needs the signature of the {' and the '.join(missing)}")


def declared_in_catalogue(on: date, reason: str = "", *, parties: Sequence[Party] = BOTH) -> Consent:
    """The consent of parties whose catalogue says that they signed."""
    return Consent(tuple(Signature(party, IN_CATALOGUE, on) for party in parties), reason)


def document_hash(document: dict[str, Any]) -> str:
    """SHA-256 of canonical JSON: keys sorted, no spaces, UTF-8; both sides can compute it."""
    return hash_of(document)


def agreement_document(
    slug: str, parties: tuple[str, str], zone: str, term: Period, versions: Sequence[tuple[date, Terms]]
) -> dict[str, Any]:
    """The contract as first signed: licensor and licensee by their slugs, the zone of its days, term, all terms."""
    licensor, licensee = parties
    return {
        "agreement": slug,
        "licensor": licensor,
        "licensee": licensee,
        "zone": zone,
        "starts_on": term.start.isoformat(),
        "ends_on": term.end.isoformat(),
        "versions": [
            {"effective_on": effective_on.isoformat(), "terms": terms_document(terms)}
            for effective_on, terms in versions
        ],
    }


def amendment_document(slug: str, number: int, effective_on: date, terms: Terms) -> dict[str, Any]:
    """An amendment: the whole terms from a day on."""
    return {
        "agreement": slug,
        "amendment": number,
        "effective_on": effective_on.isoformat(),
        "terms": terms_document(terms),
    }


def extension_document(slug: str, stood: date, ends_on: date) -> dict[str, Any]:
    """A later end of the term than the one that stood."""
    return {"agreement": slug, "extended": {"from": stood.isoformat(), "to": ends_on.isoformat()}}


def ending_document(slug: str, kind: str, ended_on: date, reason: str) -> dict[str, Any]:
    """A termination or revocation: from `ended_on` on nothing is licensed."""
    return {"agreement": slug, kind: {"on": ended_on.isoformat(), "reason": reason}}
