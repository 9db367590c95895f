"""The body of a request for a quote, read as strictly as the terms of an agreement: what is not known is refused by its
path, and so is what would keep the service busy for long.
"""

import json
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NoReturn, TypeVar

from sqlalchemy.orm import Session

from core.agreements.reading import Section, amount, count, day, many, positive, refuse, slug, text, unit_code
from core.agreements.terms import Terms
from core.errors import InvalidInput
from core.invoicing.what_if.shadow import months_from_to
from core.invoicing.what_if.standing import credit_decimals, standing_offer
from core.period import Period
from core.rating.forecast import MOST_MONTHS, Forecast, listed_months, percentage
from core.rating.offers import Change, Offer, at_rate, change_at, changed, decimals_of, read_terms
from core.registry.tables import Licensee
from service.what_if import MOST_CELLS, MOST_OFFERS, Ask, FloorAsk, Proposal, TableAsk, answer, shadowed

T = TypeVar("T")
MOST_DEPTH = 20
MOST_OF_EACH = 100  # fees, tiers, conversions, commitments, changes: far more than any contract has
MOST_MODELS = 200
_OFFER = ("agreement", "terms", "starts_on", "ends_on", "rate", "set", "effective_on")


def answered(session: Session, licensee_id: int, document: dict[str, Any]) -> dict[str, Any]:
    """The answer to a body, as the licensee may see it: the session looks through its eyes.

    Raises `InvalidInput` with the code `invalid_quote`, `invalid_terms` or that of what makes no sense, and `NotFound`.
    """
    try:
        body = Section(document, "")
        proposals = _proposals(session, body)
        usage = body.optional("usage", _usage, None)
        ask = {
            "images": body.optional("images", _images, None),
            "over": body.optional("over", text, None),
            "forecast": body.optional("forecast", _forecast, None),
            "table": body.optional("table", _table, None),
            "floor": body.optional("floor", _floor, None),
        }
        body.done()
        asked = [name for name in ("images", "forecast") if ask[name] is not None] + (["usage"] if usage else [])
        if len(asked) != 1 and not (not asked and (ask["table"] or len(proposals) > 1) and ask["floor"] is None):
            refuse("images", "write one of images, forecast and usage; a table or a comparison can do without")
        if usage and any(value is not None for value in ask.values()):
            refuse("usage", "recorded usage stands alone: leave over, table and floor out")
    except InvalidInput as error:
        raise _as_body_error(error) from None
    question = Ask(tuple(proposals), **ask, bounded=True)
    if not usage:
        return answer(question)
    days, count_as = usage
    return shadowed(session, session.get_one(Licensee, licensee_id), days, proposals, count_as=count_as)


def _as_body_error(error: InvalidInput) -> InvalidInput:
    """A refusal by the reader of terms keeps its code where it is about terms; elsewhere it is about the body."""
    if error.code != "invalid_terms" or "terms" in str(error.detail.get("path", "")):
        return error
    return InvalidInput("invalid_quote", error.sentence, **error.detail)


# The offers


def _proposals(session: Session, body: Section) -> list[Proposal]:
    several = body.optional("offers", lambda value, path: _several(session, value, path), None)
    if several is None:
        return [_proposal(session, body, "offer")]
    for key in _OFFER:
        if key in body.left:
            refuse(body.at(key), "this belongs into one of the offers")
    return several


def _several(session: Session, value: object, path: str) -> list[Proposal]:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_OFFERS:
        refuse(path, f"write a list of 1 to {MOST_OFFERS} offers")
    found = []
    for n, each in enumerate(value):
        part = Section(each, f"{path}[{n}]")
        found.append(_proposal(session, part, part.required("name", text)))
        part.done()
    return found


def _proposal(session: Session, part: Section, name: str) -> Proposal:
    """One offer: an agreement of the caller, or terms and their days; with the changes made."""
    agreement = part.optional("agreement", slug, None)
    terms = part.optional("terms", _terms, None)
    starts_on, ends_on = part.optional("starts_on", day, None), part.optional("ends_on", day, None)
    if (agreement is None) == (terms is None):
        refuse(part.at("terms"), "write either the slug of an agreement or terms")
    if agreement is not None:
        if starts_on or ends_on:
            refuse(part.at("starts_on"), "an agreement has days of its own: leave them out")
        offer = standing_offer(session, agreement)
        name = agreement if name == "offer" else name
    else:
        assert terms is not None  # noqa: S101 - one of the two was written
        if starts_on is None or ends_on is None or starts_on >= ends_on:
            refuse(part.at("ends_on"), "terms need starts_on and, after it, ends_on, the first day no longer covered")
        decimals = decimals_of(terms, credit_decimals(session))
        offer = Offer(_slug_of(name), "licensor", Period(starts_on, ends_on), ((starts_on, terms),), decimals=decimals)
    if offer.term.days > MOST_MONTHS * 31:
        raise InvalidInput("quote_too_large", f"a term of at most {MOST_MONTHS} months can be tried out here")
    changes = part.optional("set", _changes, [])
    rate = part.optional("rate", positive, None)
    since = part.optional("effective_on", day, None)
    (offer,) = changed([offer], changes, effective_on=since)
    _demand_bounds(offer)
    note = None
    if rate is not None:
        (offer,), note = at_rate([offer], rate)
    return Proposal(name, (offer,), agreement, note)


def _slug_of(name: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in name.lower()) or "offer"


def _terms(value: object, path: str) -> Terms:
    return read_terms(value, path)


def _changes(value: object, path: str) -> list[Change]:
    if not isinstance(value, dict) or len(value) > MOST_OF_EACH:
        refuse(path, f"write at most {MOST_OF_EACH} paths and their values")
    return [change_at(place, new) for place, new in value.items()]


def _demand_bounds(offer: Offer) -> None:
    """Refuses terms that no contract looks like: they would take long to rate, and nobody would learn from it."""
    for _, terms in offer.versions:
        sizes = [len(terms.fees), len(terms.conversions), len(terms.commitments)]
        sizes += [len(fee.schedule.tiers) for fee in terms.fees]
        if max(sizes) > MOST_OF_EACH or len(terms.models) > MOST_MODELS:
            said = f"at most {MOST_OF_EACH} fees, tiers, conversions and commitments, and {MOST_MODELS} models"
            raise InvalidInput("quote_too_large", f"these terms are too large to be tried out here: {said}")


# The question


def _images(value: object, path: str) -> int:
    return 0 if value == 0 and not isinstance(value, bool) and isinstance(value, int) else count(value, path)


def _forecast(value: object, path: str) -> Forecast:
    part = Section(value, path)
    listed = part.optional("listed", _listed, None)
    monthly = part.optional("monthly", _images, None)
    total = part.optional("images", _images, None)
    growth = part.optional("growth", percentage, Fraction(0))
    season = part.optional("season", many(amount), ())
    months = part.optional("months", count, None)
    part.done()
    if listed is not None:
        if part.known and any(key != "listed" for key in value):  # type: ignore[union-attr]
            refuse(path, "a list of months says everything: leave the other keys out")
        return listed
    return Forecast(
        monthly=None if monthly is None else Fraction(monthly),
        total=total,
        growth=growth,
        weights=tuple(Fraction(weight) for weight in season),
        months=months,
    )


def _listed(value: object, path: str) -> Forecast:
    if not isinstance(value, dict):
        refuse(path, 'write images by month, such as {"2026-01": 1000000}')
    return listed_months([(month, _images(images, f"{path}.{month[:10]}")) for month, images in value.items()], path)


def _usage(value: object, path: str) -> tuple[Period, dict[str, str]]:
    part = Section(value, path)
    days = months_from_to(part.required("from", text), part.required("to", text))
    renamed = part.optional("count_as", _renamed, {})
    part.done()
    return days, renamed


def _renamed(value: object, path: str) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > MOST_MODELS:
        refuse(path, "write recorded models and the offered ones that they count as")
    return {slug(recorded, path): slug(offered, f"{path}.{recorded[:40]}") for recorded, offered in value.items()}


def _table(value: object, path: str) -> TableAsk:
    part = Section(value, path)
    rates = part.optional("rates", _short(positive), ())
    volumes = part.optional("volumes", _short(_images), ())
    part.done()
    return TableAsk(rates, tuple(sorted(set(volumes))))


def _short(read: Callable[[object, str], T]) -> Callable[[object, str], tuple[T, ...]]:
    def read_list(value: object, path: str) -> tuple[T, ...]:
        if isinstance(value, list) and len(value) > MOST_CELLS:
            refuse(path, f"write at most {MOST_CELLS} of them")
        return many(read)(value, path)

    return read_list


def _floor(value: object, path: str) -> FloorAsk:
    part = Section(value, path)
    floor = FloorAsk(
        free_share=part.optional("free_share", percentage, Fraction(0)),
        margin=part.optional("margin", percentage, Fraction(0)),
        credit=part.optional("credit", unit_code, None),
        worth=part.optional("worth", positive, None),
        decimals=part.optional("decimals", _images, None),
    )
    part.done()
    if (floor.credit is None) != (floor.worth is None):
        refuse(part.at("worth"), "another credit needs its code and what one is worth: write both or neither")
    return floor


# The body


def strict_json(body: bytes) -> dict[str, Any]:
    """JSON with nothing doubtful in it: no key twice, no NaN, not nested without end."""
    try:
        found = json.loads(body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_not_json)
    except RecursionError:
        _not_json("it is nested too deeply")
    except (UnicodeDecodeError, ValueError) as error:
        _not_json(str(error).split(":")[0])
    if not isinstance(found, dict):
        raise InvalidInput("invalid_quote", "the body must be a JSON object", path="")
    if _depth(found) > MOST_DEPTH:
        _not_json("it is nested too deeply")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        _not_json("a key is written twice in one object")
    return found


def _depth(value: Any, so_far: int = 0) -> int:
    """How deep it goes, no further than is allowed."""
    if so_far > MOST_DEPTH or not isinstance(value, dict | list):
        return so_far
    inner = value.values() if isinstance(value, dict) else value
    return max((_depth(each, so_far + 1) for each in inner), default=so_far)


def _not_json(reason: str) -> NoReturn:
    raise InvalidInput("invalid_json", f"the body is not JSON that can be read: {reason}")
