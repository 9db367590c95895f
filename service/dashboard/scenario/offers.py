"""Offers to hold against the terms: the same models, the same days, the same currency, and another kind of price."""

from typing import Any

from core.agreements.terms import parse_terms, terms_document
from core.money import plain
from core.rating.offers import Offer
from service.dashboard import written
from service.dashboard.scenario.asked import Other
from service.dashboard.scenario.bases import Base

_KEPT = ("currency", "unit", "conversions", "definitions", "adapters")


def other_offer(base: Base, other: Other) -> Offer:
    """The terms of another offer, read as strictly as any terms. Raises `InvalidInput`."""
    written_terms = terms_document(base.offer.terms)
    document: dict[str, Any] = {key: written_terms[key] for key in _KEPT if written_terms.get(key) is not None}
    price, beyond = plain(other.price), plain(other.beyond)
    schedule: dict[str, Any] = {"kind": "flat", "rate": price}
    if other.kind == "tiered":
        schedule = {"kind": "graduated", "tiers": [{"up_to": other.images, "rate": price}, {"rate": beyond}]}
    elif other.kind == "prepaid":
        schedule = {"kind": "flat", "rate": beyond}
    models = [model for fee in written_terms["fees"] for model in fee.get("models", ())]
    document["fees"] = [{"name": "images", "models": models, "per": "group", "schedule": schedule}]
    if other.kind in ("committed", "prepaid"):
        promise: dict[str, Any] = {"name": "volume", "kind": "images", "quantity": other.images, "period": "term"}
        if other.kind == "prepaid":
            promise |= {"billing": "advance", "prepaid_rate": price}
        document["commitments"] = [promise]
    days = base.offer.term
    return Offer(other.kind, base.offer.recipient, days, ((days.start, parse_terms(document)),),
                 decimals=base.offer.decimals)  # fmt: skip


def said(other: Other, unit: str) -> str:
    """An offer in a sentence."""
    price, images, beyond = written.decimal(other.price), written.count(other.images), written.decimal(other.beyond)
    return {
        "flat": f"{price} {unit} for every image, nothing promised.",
        "tiered": f"{price} {unit} for the first {images} images of a month, {beyond} {unit} for those beyond.",
        "committed": f"{price} {unit} an image, and at least {images} images over the term.",
        "prepaid": f"{images} images paid in advance at {price} {unit}, those beyond at {beyond} {unit}.",
    }[other.kind]
