"""Edits of an agreement that would rewrite history, each with what to write instead."""

from collections.abc import Iterator
from datetime import date
from typing import Any

from core.agreements.terms import Terms, terms_document
from core.catalogue.declare import AgreementEntry, EndsEarly
from core.period import Period

Instead = dict[str, Any]
Refused = tuple[str, str, Instead | None]
_MOST_SHOWN = 3


def refused_edits(after: AgreementEntry, before: AgreementEntry | None, today: date) -> Iterator[Refused]:
    """(place in the agreement, sentence, document to write instead) for each edit of what stands that must not happen.

    A draft may change in everything but its account; of a signed agreement only the name may, amendments may follow
    the ones that stand, and it may end early, once.
    """
    if before is None:
        return
    if (after.licensor, after.licensee) != (before.licensor, before.licensee):
        yield (
            "account",
            f"agreement {after.slug} belongs to the account of {before.licensor} with {before.licensee} for good: put "
            "it back, and declare an agreement under another slug for the other account",
            None,
        )
        return
    if before.draft:
        return
    if after.draft:
        yield "draft", f"agreement {after.slug} is signed already: leave `draft: true` out", None
    if after.term != before.term:
        yield _term_edit(after, before)
        return  # its first terms begin on another day, so comparing versions would only repeat this
    if before.ends_early and after.ends_early and (edit := _end_edit(after.slug, before.ends_early, after.ends_early)):
        yield edit
    for n, (stood, said) in enumerate(zip(before.versions, after.versions, strict=False)):
        if stood != said:
            yield _terms_edit(after, before, n, today)
            return


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    """(path, old, new) for every leaf in which two documents differ; what one of them lacks is shown as nothing."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif isinstance(old, list) and isinstance(new, list) and _nested(old, new):
        for n in range(max(len(old), len(new))):
            inner = [documents[n] if n < len(documents) else None for documents in (old, new)]
            yield from differences(inner[0], inner[1], f"{path}[{n}]")
    elif old != new:
        yield path, _shown(old), _shown(new)


def _nested(old: list[Any], new: list[Any]) -> bool:
    return any(isinstance(element, dict) for element in (*old, *new))


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(element) for element in value) or "nothing"
    return "nothing" if value is None else str(value)


def _term_edit(after: AgreementEntry, before: AgreementEntry) -> Refused:
    stood = f"agreement {after.slug} is signed from {before.term.start} to {before.term.end} (exclusive)"
    if after.term.end > before.term.end and after.term.start == before.term.start:
        further = _further_agreement(after, Period(before.term.end, after.term.end))
        return (
            "ends_on",
            f"{stood}, and an extension is not an edit: put ends_on back and run `perimage agreements extend "
            f"{after.slug} --to {after.term.end} --preview`, or let an agreement of its own follow it",
            further,
        )
    if after.term.start < before.term.start and after.term.end == before.term.end:
        earlier = _further_agreement(after, Period(after.term.start, before.term.start))
        return (
            "starts_on",
            f"{stood} for good: put starts_on back, and let an agreement of its own cover the days before",
            earlier,
        )
    if after.term.start != before.term.start:
        return "starts_on", f"{stood} for good: put the dates back", None
    return (
        "ends_on",
        f"{stood}, and ending early is not an edit: put ends_on back and say why it ends, here or by `perimage "
        f"agreements terminate {after.slug} --on {after.term.end} --preview`",
        {"ends_early": {"on": after.term.end, "kind": "terminated", "reason": "why it ends"}},
    )


def _end_edit(slug: str, stood: EndsEarly, said: EndsEarly) -> Refused | None:
    """An end that was recorded stays, but that a revocation may overtake a termination."""
    if (stood.kind, said.kind) == ("terminated", "revoked") and said.on < stood.on:
        return None
    if (stood.on, stood.kind, stood.reason) == (said.on, said.kind, said.reason) and said.by in (None, stood.by):
        return None
    return (
        "ends_early",
        f"agreement {slug} was {stood.kind} on {stood.on} for good: put that back; only a revocation on an earlier day "
        "could follow a termination, and days after the end take an agreement of their own",
        {"ends_early": {"on": stood.on, "kind": stood.kind, "reason": stood.reason}},
    )


def _further_agreement(after: AgreementEntry, term: Period) -> Instead:
    return {
        "agreements": [
            {
                "slug": f"{after.slug}-from-{term.start}",
                "account": {"licensor": after.licensor, "licensee": after.licensee},
                "starts_on": term.start,
                "ends_on": term.end,
                "terms": _written(after.versions[-1][1]),
            }
        ]
    }


def _terms_edit(after: AgreementEntry, before: AgreementEntry, n: int, today: date) -> Refused:
    """The refusal of an edit of version `n`, with the amendment that says the same from a day on."""
    (stood_on, stood), (said_on, said) = before.versions[n], after.versions[n]
    changed = [f"{path} from {old} to {new}" for path, old, new in _version_differences(stood_on, stood, said_on, said)]
    more = f" and {len(changed) - _MOST_SHOWN} more" if len(changed) > _MOST_SHOWN else ""
    what = f"amendment {n} of agreement {after.slug}" if n else f"agreement {after.slug}"
    # As whole terms from a day on: whatever was agreed for later days would otherwise fall under the table.
    effective_on = said_on if n else max(_proposed_day(before.term, today), before.versions[-1][0])
    amendments = [*before.versions[1:], (effective_on, said)]
    place = f"amendments[{n - 1}]" if n else "terms"
    command = f"perimage agreements amend {after.slug} TERMS.yaml --effective-on {effective_on} --preview"
    return (
        place,
        f"{what} is signed and never edited (this changes {', '.join(changed[:_MOST_SHOWN])}{more}): put it back as it "
        f"was signed, and write an amendment that holds from its day on (`{command}` shows the difference it makes)",
        {"amendments": [{"effective_on": day, "terms": _written(terms)} for day, terms in amendments]},
    )


def _written(terms: Terms) -> Instead:
    """Terms as a person would write them: what is empty is left out."""
    return {key: value for key, value in terms_document(terms).items() if value != []}


def _version_differences(stood_on: date, stood: Terms, said_on: date, said: Terms) -> Iterator[tuple[str, str, str]]:
    if stood_on != said_on:
        yield "effective_on", str(stood_on), str(said_on)
    yield from differences(terms_document(stood), terms_document(said))


def _proposed_day(term: Period, today: date) -> date:
    """The first day of next month, when prices usually change; the term's first day if that is not in the term."""
    next_month = Period.month_of(today).end
    return next_month if next_month in term else term.start
