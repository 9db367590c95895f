"""Reading commitments, writing them canonically, and refusing those that could not be kept or judged.

A commitment is read on its own first, then held against the fees that could fill it.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from core.agreements.clauses import Commitment, Fee, Rollover, Terms
from core.agreements.reading import (
    Section,
    amount,
    count,
    day,
    many,
    one_of,
    positive,
    positive_in,
    refuse,
    slug,
    text,
)
from core.money import exponent, plain

_MONTHS = {"month": 1, "quarter": 3, "year": 12}


def commitment_in(unit: str) -> Callable[[object, str], Commitment]:
    """A reader of one commitment whose prices are in `unit`."""

    def read(value: object, path: str) -> Commitment:
        part = Section(value, path)
        kind = part.required("kind", one_of("images", "money"))
        commitment = Commitment(
            name=part.required("name", text),
            kind=kind,
            quantity=part.required("quantity", _whole if kind == "images" else positive),
            period=part.required("period", one_of("month", "quarter", "year", "term")),
            models=part.optional("models", many(slug), None),
            shortfall_rate=part.optional("shortfall_rate", positive_in(unit), None),
            starts_on=part.optional("starts_on", day, None),
            ends_on=part.optional("ends_on", day, None),
            billing=part.optional("billing", one_of("shortfall", "advance", "instalments"), "shortfall"),
            instalments=part.optional("instalments", one_of("month", "quarter"), None),
            prepaid_rate=part.optional("prepaid_rate", positive_in(unit), None),
            rollover=part.optional("rollover", _rollover, None),
            unused_at_termination=part.optional("unused_at_termination", one_of("forfeited", "refunded"), "forfeited"),
            order=part.optional("order", count, None),
        )
        part.done()
        _check_clauses(commitment, path, told="unused_at_termination" in value)  # type: ignore[operator]
        return commitment

    return read


def commitment_document(commitment: Commitment) -> dict[str, Any]:
    """The canonical document of a commitment; what only a prepaid one can say is left out of the others."""
    rollover = commitment.rollover
    document: dict[str, Any] = {
        "name": commitment.name,
        "kind": commitment.kind,
        "quantity": int(commitment.quantity) if commitment.kind == "images" else plain(commitment.quantity),
        "period": commitment.period,
        "models": None if commitment.models is None else list(commitment.models),
        "shortfall_rate": None if commitment.shortfall_rate is None else plain(commitment.shortfall_rate),
        "starts_on": commitment.starts_on and commitment.starts_on.isoformat(),
        "ends_on": commitment.ends_on and commitment.ends_on.isoformat(),
        "billing": commitment.billing if commitment.prepaid else None,
        "instalments": commitment.instalments,
        "prepaid_rate": None if commitment.prepaid_rate is None else plain(commitment.prepaid_rate),
        "rollover": rollover
        and {
            "unused": plain(rollover.unused),
            "excess": plain(rollover.excess),
            "expires_after": rollover.expires_after,
        },
        "unused_at_termination": commitment.unused_at_termination if commitment.prepaid else None,
        "order": commitment.order,
    }
    return {key: value for key, value in document.items() if value is not None}


def check_commitments(terms: Terms) -> None:
    """Refuses commitments that the fees of the same terms could not fill, or that could not be told apart."""
    for n, commitment in enumerate(terms.commitments):
        path = f"commitments[{n}]"
        _check_name_and_order(terms, commitment, path)
        scope = _check_scope(terms, commitment, path)
        if commitment.kind == "money":
            _check_money(terms, commitment, path)
        elif commitment.shortfall_rate is None and commitment.prepaid_rate is None:
            rates = {fee.schedule.flat_rate for fee in scope if fee.schedule.kind == "flat"}
            if len(rates) != 1 or any(fee.schedule.kind != "flat" for fee in scope):
                key, what = ("prepaid_rate", "prepaid") if commitment.prepaid else ("shortfall_rate", "missing")
                refuse(f"{path}.{key}", f"the models have no single flat price: say what a {what} image costs")
        if commitment.counts_lines and commitment.models is not None:
            for fee in scope:
                if fee.per == "group" and not set(fee.models) <= set(commitment.models):
                    refuse(f"{path}.models", f"the group {fee.name!r} is billed as one: name all of its models or none")


def _whole(value: object, path: str) -> Decimal:
    return Decimal(count(value, path))


def _rollover(value: object, path: str) -> Rollover:
    part = Section(value, path)
    found = Rollover(
        unused=part.optional("unused", _fraction, Decimal(0)),
        excess=part.optional("excess", _fraction, Decimal(0)),
        expires_after=part.optional("expires_after", count, 1),
    )
    part.done()
    if not found.unused and not found.excess:
        refuse(path, 'nothing would roll over: write `unused` or `excess`, such as "0.5", or leave rollover out')
    return found


def _fraction(value: object, path: str) -> Decimal:
    found = amount(value, path)
    if found > 1:
        refuse(path, f'write a fraction from 0 to 1 in quotes, such as "0.5" for one half: not {found}')
    return found


def _check_clauses(commitment: Commitment, path: str, *, told: bool) -> None:
    """What a commitment says about itself must go together, whatever the fees are."""
    if commitment.starts_on and commitment.ends_on and commitment.starts_on >= commitment.ends_on:
        refuse(f"{path}.ends_on", "this must come after starts_on; it is the first day no longer committed")
    if commitment.prepaid and commitment.shortfall_rate is not None:
        refuse(f"{path}.shortfall_rate", "nothing can be missing from what is paid in advance: write prepaid_rate")
    if not commitment.prepaid and commitment.prepaid_rate is not None:
        refuse(f"{path}.prepaid_rate", "this is charged when it is over: write shortfall_rate, or `billing: advance`")
    if not commitment.prepaid and told:
        refuse(f"{path}.unused_at_termination", "only what was paid in advance can be left unused: leave this out")
    if (commitment.billing == "instalments") != (commitment.instalments is not None):
        refuse(f"{path}.instalments", "write `billing: instalments` together with `instalments: month` or `quarter`")
    if commitment.instalments and _MONTHS.get(commitment.period, 12) <= _MONTHS[commitment.instalments]:
        refuse(f"{path}.instalments", f"a {commitment.period} has no {commitment.instalments}s to pay it in")
    if commitment.rollover and commitment.period == "term":
        refuse(f"{path}.rollover", "a commitment over the term has no next period to which anything could roll over")
    if commitment.rollover and commitment.order is not None and not commitment.prepaid:
        refuse(f"{path}.rollover", "a shortfall that counts what others leave over cannot roll over too: drop one")


def _check_name_and_order(terms: Terms, commitment: Commitment, path: str) -> None:
    if [other.name for other in terms.commitments].count(commitment.name) > 1:
        refuse(f"{path}.name", f"{commitment.name!r} is used twice: give each commitment its own name")
    if commitment.order is None:
        return
    if [other.order for other in terms.commitments].count(commitment.order) > 1:
        refuse(f"{path}.order", f"two commitments are number {commitment.order}: give each its own place")
    beside = [other for other in terms.commitments if other.order is not None and other.prepaid == commitment.prepaid]
    if not commitment.prepaid and any(other.kind != commitment.kind for other in beside):
        refuse(f"{path}.order", "shortfalls in images and in money cannot take from each other: order one kind only")


def _check_scope(terms: Terms, commitment: Commitment, path: str) -> tuple[Fee, ...]:
    zero = {model for fee in terms.fees if fee.schedule.kind == "zero" for model in fee.models}
    if commitment.models is not None and len(set(commitment.models)) < len(commitment.models):
        refuse(f"{path}.models", "a model is named twice: name each once")
    for n, model in enumerate(commitment.models or ()):
        if model not in terms.models:
            refuse(f"{path}.models[{n}]", f"{model} has no fee in these terms: add one or leave it out here")
        if model in zero:
            refuse(f"{path}.models[{n}]", f"{model} is rated at zero and cannot fill a commitment: leave it out")
    scope = terms.scope(commitment)
    if not scope:
        refuse(f"{path}.models", "no model in these terms could fill this commitment: name one that owes a fee")
    return scope


def _check_money(terms: Terms, commitment: Commitment, path: str) -> None:
    for key, rate in (("shortfall_rate", commitment.shortfall_rate), ("prepaid_rate", commitment.prepaid_rate)):
        if rate is not None:
            refuse(f"{path}.{key}", "what is missing from a commitment in money is money: leave this out")
    if commitment.quantity.normalize().as_tuple().exponent < -exponent(terms.currency):  # type: ignore[operator]
        refuse(f"{path}.quantity", f"{terms.currency} has {exponent(terms.currency)} decimals: write no more")
