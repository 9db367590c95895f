"""Offers: agreements to be tried out, read from a scenario or taken from a signed one, and changed on paper.

A change names a place in the terms document, such as `commitments[0].quantity`, and is read as strictly as the terms
themselves: whatever could not be signed cannot be tried out either.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

from core.agreements.reading import Section, count, day, flag, many, refuse, slug, text, unit_code
from core.agreements.terms import Fee, Terms, Tier, parse_terms, terms_document
from core.errors import InvalidInput
from core.money import exponent, plain
from core.period import Period
from core.rating.contract import Contract

_CHANGE = re.compile(r"(?:([a-z0-9][a-z0-9._-]*):)?([a-z_]+(?:\[\d{1,4}\])*(?:\.[a-z_]+(?:\[\d{1,4}\])*)*)", re.ASCII)
_STEP = re.compile(r"[a-z_]+|\[\d+\]", re.ASCII)
_CURRENCY_LENGTH = 3
_LONGEST_PATH = 200


@dataclass(frozen=True, slots=True)
class Offer:
    """An agreement to be tried out: who would be paid, and the contract as it would be signed.

    `decimals` are those in which the platform prices its credit, the unit of the terms; a currency has its own.
    """

    name: str
    recipient: str
    term: Period
    versions: tuple[tuple[date, Terms], ...]
    ended_on: date | None = None
    decimals: int = 0

    @property
    def contract(self) -> Contract:
        """The contract, if it is complete; raises `InvalidInput` for a price that is not settled."""
        return Contract(self.term, self.versions, self.ended_on)

    @property
    def terms(self) -> Terms:
        """The terms of the first day."""
        return self.versions[0][1]


@dataclass(frozen=True, slots=True)
class Change:
    """Another value at one place of the terms; `agreement` says whose where there are several. None takes it out."""

    agreement: str | None
    path: str
    value: Any


def offers_of(document: Mapping[str, Any]) -> tuple[Offer, ...]:
    """The agreements of a scenario file, as offers. Other sections are left to `perimage apply`.

    Raises `InvalidInput` naming the place, such as `agreements[0].terms.fees[1].schedule.rate`.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("agreements"), list):
        refuse("agreements", "this is missing: a scenario needs a list of agreements")
    credits_ = dict(many(_unit)(document.get("units") or (), "units"))

    def offer(value: object, path: str) -> Offer:
        part = Section(value, path)
        name = part.required("slug", slug)
        part.optional("name", text, "")
        part.optional("draft", flag, False)
        account = Section(part.required("account", lambda found, _: found), part.at("account"))
        recipient = account.required("licensor", slug)
        start, end = part.required("starts_on", day), part.required("ends_on", day)
        if start >= end:
            refuse(f"{path}.ends_on", "this must come after starts_on; it is the first day no longer covered")
        versions = (
            (start, part.required("terms", read_terms)),
            *part.optional("amendments", many(_amendment), ()),
        )
        part.done()
        for _, terms in versions:
            if len(terms.unit) != _CURRENCY_LENGTH and terms.unit not in credits_:
                refuse(f"{path}.terms.unit", f"{terms.unit} is not a currency: declare it under `units`")
        return Offer(name, recipient, Period(start, end), versions, decimals=decimals_of(versions[0][1], credits_))

    found = many(offer)(document["agreements"], "agreements")
    if not found:
        refuse("agreements", "a scenario needs at least one agreement")
    return found


def decimals_of(terms: Terms, credits_: Mapping[str, int]) -> int:
    """The decimals in which the unit of the terms is priced: a currency's own, a credit's as declared, or none."""
    return exponent(terms.unit) if len(terms.unit) == _CURRENCY_LENGTH else credits_.get(terms.unit, 0)


def read_terms(value: object, path: str) -> Terms:
    """Terms inside a larger document: a refusal names the whole path."""
    if not isinstance(value, Mapping):
        refuse(path, "write the terms as a mapping")
    try:
        return parse_terms(value)
    except InvalidInput as error:
        where = f"{path}.{error.detail.get('path', '')}"
        raise InvalidInput(error.code, f"{path}.{error.sentence}", path=where) from None


def _amendment(value: object, path: str) -> tuple[date, Terms]:
    part = Section(value, path)
    found = part.required("effective_on", day), part.required("terms", read_terms)
    part.done()
    return found


def _unit(value: object, path: str) -> tuple[str, int]:
    part = Section(value, path)
    code = part.required("code", unit_code)
    shown = part.left.get("decimals")
    return code, 0 if shown in (None, 0) else count(shown, part.at("decimals"))


# Changes


def parse_change(written: str) -> Change:
    """A change as it is typed: `commitments[0].quantity=30000000`, `slug:fees[0].schedule.rate=14.5`.

    The value is JSON where it is JSON, decimals kept exactly as typed, and plain text otherwise; `null` takes the key
    out. Raises `InvalidInput` with code `invalid_change`.
    """
    place, equals, value = written.partition("=")
    if not equals:
        raise _bad_change(written, "write PATH=VALUE, such as commitments[0].quantity=30000000")
    return change_at(place.strip(), _value(value.strip()))


def change_at(place: str, value: Any) -> Change:
    """A change of the place `path` or `slug:path`."""
    found = _CHANGE.fullmatch(place) if len(place) <= _LONGEST_PATH else None
    if not found:
        raise _bad_change(place, "a path names keys of the terms, such as fees[0].schedule.rate")
    return Change(found[1], found[2], value)


def changed(
    offers: Sequence[Offer], changes: Sequence[Change], *, effective_on: date | None = None
) -> tuple[Offer, ...]:
    """The offers with the changes made in every version of their terms; with a day, as one more amendment from then on.

    Raises `InvalidInput`: a path that leads nowhere, an agreement that is not here, terms that would not be valid.
    """
    if not changes:
        if effective_on is not None:
            raise InvalidInput("invalid_change", "a day from which changes apply needs changes")
        return tuple(offers)
    names = [offer.name for offer in offers]
    mine: dict[str, list[Change]] = {}
    for change in changes:
        if change.agreement is None and len(offers) > 1:
            said = f"there are several agreements ({', '.join(names)}): say whose, as in {names[0]}:{change.path}"
            raise _bad_change(change.path, said)
        whose = change.agreement or names[0]
        if whose not in names:
            raise _bad_change(change.path, f"there is no agreement {whose} here, only {', '.join(names)}")
        mine.setdefault(whose, []).append(change)
    return tuple(_changed(offer, mine[offer.name], effective_on) if offer.name in mine else offer for offer in offers)


def _changed(offer: Offer, changes: Sequence[Change], effective_on: date | None) -> Offer:
    if effective_on is None:
        return replace(offer, versions=tuple((start, _terms_with(terms, changes)) for start, terms in offer.versions))
    if effective_on not in offer.term:
        where = f"{effective_on} is outside the term of {offer.name}, {offer.term.start} to {offer.term.end}"
        raise InvalidInput("invalid_change", f"{where} (exclusive): choose a day in it")
    last = [terms for start, terms in offer.versions if start <= effective_on][-1]
    return replace(offer, versions=(*offer.versions, (effective_on, _terms_with(last, changes))))


def _terms_with(terms: Terms, changes: Sequence[Change]) -> Terms:
    document = json.loads(json.dumps(terms_document(terms)))
    for change in changes:
        _put(document, change)
    return parse_terms(document)


def _put(document: Any, change: Change) -> None:
    """Puts the value where the path leads; every step but the last must be there already."""
    steps = _STEP.findall(change.path)
    at, walked = document, ""
    for step in steps[:-1]:
        at = _entered(at, step, walked, change.path)
        walked += step if step.startswith("[") or not walked else f".{step}"
    last = steps[-1]
    if last.startswith("["):
        index = int(last[1:-1])
        if not isinstance(at, list) or index > len(at):
            _entered(at, last, walked, change.path)
        if change.value is None:
            _entered(at, last, walked, change.path)
            del at[index]
        elif index == len(at):
            at.append(change.value)
        else:
            at[index] = change.value
    elif not isinstance(at, dict):
        raise _bad_change(change.path, f"{walked or 'this'} has no keys; it is {_shown(at)}")
    elif change.value is None:
        _entered(at, last, walked, change.path)
        del at[last]
    else:
        at[last] = change.value


def _entered(at: Any, step: str, walked: str, path: str) -> Any:
    """What lies one step further; raises for a step that leads nowhere, saying where one could go."""
    where = walked or "the terms"
    if step.startswith("["):
        index = int(step[1:-1])
        if not isinstance(at, list):
            raise _bad_change(path, f"{where} is not a list; it is {_shown(at)}")
        if index >= len(at):
            here = f"it has {len(at)}, counted from [0]" if at else "it is empty; [0] adds the first"
            raise _bad_change(path, f"there is no {walked}{step}: {here}")
        return at[index]
    if not isinstance(at, dict):
        raise _bad_change(path, f"{where} has no keys; it is {_shown(at)}")
    if step not in at:
        raise _bad_change(path, f"there is no {step} in {where}; there are {', '.join(at)}")
    return at[step]


def _value(written: str) -> Any:
    try:
        return json.loads(written, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        return written


def _bad_change(path: str, sentence: str) -> InvalidInput:
    shown = path if len(path) <= 80 else f"{path[:77]}..."
    return InvalidInput("invalid_change", f"{shown}: {sentence}", path=path[:_LONGEST_PATH])


def _shown(value: Any) -> str:
    said = json.dumps(value)
    return said if len(said) <= 40 else f"{said[:37]}..."


# Another price


def at_rate(offers: Sequence[Offer], rate: Decimal) -> tuple[tuple[Offer, ...], str | None]:
    """The offers with their one flat price replaced, and a sentence on where it lies in its band, if there is one.

    Raises `InvalidInput` where a rate could mean several fees, or none.
    """
    flat = {(offer.name, fee.name) for offer in offers for _, terms in offer.versions for fee in flat_fees(terms)}
    if len(flat) != 1:
        names = ", ".join(sorted(fee for _, fee in flat)) or "none"
        raise InvalidInput("rate_ambiguous", f"a rate can replace the price of one flat fee, but here are {names}")
    note, found = None, band_of(offers)
    if found:
        unit, (low, high) = found
        where = "lies in" if low <= rate <= high else "lies outside"
        note = f"The price of {plain(rate)} {unit} {where} the band of {plain(low)} to {plain(high)} {unit}."

    def priced(fee: Fee) -> Fee:
        if fee.schedule.kind != "flat":
            return fee
        return replace(fee, schedule=replace(fee.schedule, tiers=(Tier(None, rate),), band=None))

    def version(terms: Terms) -> Terms:
        return replace(terms, fees=tuple(priced(fee) for fee in terms.fees))

    return tuple(
        replace(offer, versions=tuple((start, version(terms)) for start, terms in offer.versions)) for offer in offers
    ), note


def band_of(offers: Sequence[Offer]) -> tuple[str, tuple[Decimal, Decimal]] | None:
    """The unit and the price band of the offers' first flat fee that has one."""
    return next(
        (
            (terms.unit, fee.schedule.band)
            for offer in offers
            for _, terms in offer.versions
            for fee in flat_fees(terms)
            if fee.schedule.band
        ),
        None,
    )


def flat_fees(terms: Terms) -> list[Fee]:
    """The fees with one price per image, settled or not."""
    return [fee for fee in terms.fees if fee.schedule.kind == "flat"]
