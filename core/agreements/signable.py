"""Whether terms may be signed for an account: everything that would make a contract impossible to rate."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from core.agreements.clauses import Terms
from core.agreements.coverage import covered_days
from core.period import Period
from core.registry.lineage import Owes

LAST_YEAR = 2999
_CURRENCY_LENGTH = 3
Versions = Sequence[tuple[date, Terms]]


@dataclass(frozen=True, slots=True)
class Licensable:
    """What signing must know of a model: whose it is, and which fees an image made with it owes."""

    licensor: str
    owes: Owes


@dataclass(frozen=True, slots=True)
class Parties:
    """What signing must know of the account: its two slugs, its currency, and the platform credits that exist."""

    licensor: str
    licensee: str
    currency: str
    units: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Objection:
    """Why terms cannot be signed: the place within the agreement, and what to write instead."""

    path: str
    sentence: str


def is_currency(unit: str) -> bool:
    """Units of three letters are currencies; platform credits have two or at least four characters."""
    return len(unit) == _CURRENCY_LENGTH


def objections(
    term: Period,
    versions: Versions,
    parties: Parties,
    models: Mapping[str, Licensable],
    *,
    signing: bool,
    ended_on: date | None = None,
) -> list[Objection]:
    """Everything wrong with a contract, first terms and amendments in order. A draft may leave prices unsettled.

    Of a contract that ended early the last version is the one in question: it must begin while the contract ran.
    """
    found = []
    ran = term if ended_on is None else Period(term.start, ended_on)
    if term.end.year > LAST_YEAR:
        found.append(Objection("ends_on", f"write a day before the year {LAST_YEAR + 1}; nothing is agreed for ever"))
    for number, (effective_on, terms) in enumerate(versions):
        path = f"amendments[{number - 1}]" if number else ""
        asked = ran if number == len(versions) - 1 else term
        if number and effective_on not in asked:
            found.append(
                Objection(
                    f"{path}.effective_on",
                    f"{effective_on} is outside the term: write a day from {asked.start} to {asked.end - timedelta(1)}",
                )
            )
        inside = f"{path}.terms" if path else "terms"
        found += (Objection(f"{inside}.{place}", sentence) for place, sentence in _of_money(terms, parties))
        found += (Objection(f"{inside}.{place}", sentence) for place, sentence in _of_models(terms, parties, models))
        found += (Objection(f"{inside}.{place}", sentence) for place, sentence in _of_days(terms, effective_on, term))
        if signing:
            found += (Objection(f"{inside}.{place}", sentence) for place, sentence in _unsettled(terms))
    return found


def cover_change(
    term: Period, before: Versions, after: Versions
) -> tuple[dict[str, list[Period]], dict[str, list[Period]]]:
    """By model slug: the days that `after` covers and `before` did not, and those that it covers no longer."""
    old = covered_days(term, before) if before else {}
    new = covered_days(term, after)
    added = {model: gone for model, runs in new.items() if (gone := _without(runs, old.get(model, ())))}
    lost = {model: gone for model, runs in old.items() if (gone := _without(runs, new.get(model, ())))}
    return added, lost


def overlap_sentence(agreement: str, other: str, model: str, days: Period) -> str:
    """Which agreement is in the way, and what to do instead."""
    return (
        f"agreement {agreement} would cover {model} from {days.start} to {days.end} (exclusive), which agreement "
        f"{other} does already: choose other days, leave {model} out, or write an amendment to {other}"
    )


def _without(runs: Sequence[Period], others: Sequence[Period]) -> list[Period]:
    """The days of `runs` that are in none of `others`."""
    left = list(runs)
    for other in others:
        pieces = []
        for run in left:
            if run.overlap(other) is None:
                pieces.append(run)
                continue
            if run.start < other.start:
                pieces.append(Period(run.start, other.start))
            if other.end < run.end:
                pieces.append(Period(other.end, run.end))
        left = pieces
    return left


def _of_money(terms: Terms, parties: Parties) -> Iterator[tuple[str, str]]:
    if terms.currency != parties.currency:
        yield (
            "currency",
            f"the account of {parties.licensor} and {parties.licensee} is kept in {parties.currency} for good: "
            f"write {parties.currency}, and fees in another currency as `unit` with a conversion",
        )
    if not is_currency(terms.unit) and terms.unit not in parties.units:
        yield "unit", f"there is no unit {terms.unit}: declare it under `units` as {{code: {terms.unit}, ...}}"


def _of_models(terms: Terms, parties: Parties, models: Mapping[str, Licensable]) -> Iterator[tuple[str, str]]:
    for n, fee in enumerate(terms.fees):
        for m, slug in enumerate(fee.models):
            path, model = f"fees[{n}].models[{m}]", models.get(slug)
            if model is None:
                yield path, f"there is no model called {slug}: declare it under `models`"
            elif model.licensor != parties.licensor:
                yield (
                    path,
                    f"{slug} belongs to {model.licensor}, not to {parties.licensor}: its fee needs an agreement with "
                    f"{model.licensor}",
                )
            elif model.owes == "base" and terms.adapters not in ("own", "both"):
                yield (
                    path,
                    f"{slug} owes only the fee of its base, so no image is counted for it: list the base instead, or "
                    "write `adapters: own` or `both` for terms under which adapters owe fees of their own",
                )


def _of_days(terms: Terms, effective_on: date, term: Period) -> Iterator[tuple[str, str]]:
    first_rate = terms.conversions[0].effective_on if terms.conversions else None
    if first_rate is not None and first_rate > effective_on:
        yield (
            "conversions",
            f"what one {terms.unit} is worth is not said before {first_rate}: leave `effective_on` out of the first",
        )
    for n, commitment in enumerate(terms.commitments):
        for key, day in (("starts_on", commitment.starts_on), ("ends_on", commitment.ends_on)):
            if day is not None and not term.start <= day <= term.end:
                yield (
                    f"commitments[{n}].{key}",
                    f"{day} is outside the term, which runs from {term.start} to {term.end}",
                )


def _unsettled(terms: Terms) -> Iterator[tuple[str, str]]:
    for n, fee in enumerate(terms.fees):
        if not fee.schedule.settled:
            yield (
                f"fees[{n}].schedule.rate",
                f"{fee.name!r} has a band, not a price yet: write the agreed rate, or mark the agreement `draft: true`",
            )
