"""Quotes, curves and shadow bills in plain JSON types, for both doors of the service. Amounts are decimal strings."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

from core.invoicing.what_if.shadow import Shadow
from core.money import Money, plain
from core.rating.curve import BreakEven, Crossover, Point
from core.rating.floor import Floor
from core.rating.forecast import percent_said
from core.rating.quote import Quote


def quote_document(found: Quote) -> dict[str, Any]:
    """A quote in JSON types."""
    document: dict[str, Any] = {
        "currency": found.currency,
        "images": found.images,
        "total": _amount(found.total),
        "effective_rate": _rate(found.effective_rate),
        "unit": found.unit,
        "effective_unit_rate": _rate(found.effective_unit_rate),
        "shortfall": _amount(found.shortfall),
        "lines": [
            {
                "agreement": line.offer,
                "recipient": line.recipient,
                "kind": line.kind,
                "model": line.model or line.subject,
                "subject": line.subject,
                "image_count": line.image_count,
                "unit": line.unit,
                "unit_price": _rate(line.unit_price),
                "unit_amount": plain(line.unit_amount),
                "amount": _amount(line.amount),
            }
            for line in found.lines
        ],
        "notes": list(found.notes),
    }
    if found.months:
        document["months"] = [
            {
                "month": month.month,
                "images": month.images,
                "amount": _amount(month.amount),
                "shortfall": _amount(month.shortfall),
            }
            for month in found.months
        ]
    return document


def break_even_document(even: BreakEven) -> dict[str, Any]:
    """Where the commitments stop binding, in JSON types."""
    return {
        "images": even.images,
        "over": even.over,
        "from": even.days.start.isoformat(),
        "until": even.days.end.isoformat(),
        "commitments": [
            {"agreement": agreement, "commitment": name, "images": images}
            for agreement, name, images in even.by_commitment
        ],
    }


def floor_document(floor: Floor) -> dict[str, Any]:
    """The pass-through floor in JSON types, and the sentence that says how it was worked out."""
    return {
        "price": plain(floor.price),
        "exact": plain(floor.exact),
        "credit": floor.credit,
        "decimals": floor.decimals,
        "worth": plain(floor.worth),
        "free_share": percent_said(floor.free_share),
        "margin": percent_said(floor.margin),
        "paid_images": plain(floor.paid_images),
        "brought_in": plain(floor.brought_in),
        "kept": plain(floor.kept),
        "sentence": floor.sentence,
    }


def shadow_document(name: str, found: Shadow) -> dict[str, Any]:
    """Shadow billing in JSON types: the offered terms as a quote, and the invoice diff."""

    def sums(month: str | None) -> dict[str, str]:
        billed, due, offered, difference = found.sums(month)
        amounts = {"billed": billed, "due": due, "offered": offered, "difference": difference}
        return {key: _amount(value) for key, value in amounts.items()}

    return {
        "scenario": name,
        **quote_document(found.quote),
        "shadow": {
            "licensee": found.licensee,
            "from": found.days.start.isoformat(),
            "until": found.days.end.isoformat(),
            "agreements": list(found.agreements),
            "total": sums(None),
            "months": [{"month": month, **sums(month)} for month in found.months],
            "lines": [
                {
                    "month": line.month,
                    "service": line.service.name,
                    "kind": line.kind,
                    "subject": line.subject,
                    "images": line.images,
                    "offered_images": line.offered_images,
                    "billed": _amount(line.billed),
                    "due": _amount(line.due),
                    "offered": _amount(line.offered),
                    "difference": _amount(line.difference),
                    "invoices": list(line.invoices),
                }
                for line in found.lines
            ],
        },
    }


def cell_document(point: Point) -> dict[str, Any]:
    """One volume of a curve in JSON types."""
    return {
        "images": point.images,
        "total": _amount(point.total),
        "shortfall": _amount(point.shortfall),
        "effective_rate": _rate(point.effective_rate),
        "unit": point.unit,
        "effective_unit_rate": _rate(point.effective_unit_rate),
        "binding": bool(point.binding),
    }


def crossover_document(found: Crossover) -> dict[str, Any]:
    """Where another offer becomes the cheapest, in JSON types."""
    return {
        "images": found.images,
        "before": found.before,
        "after": found.after,
        "total_before": _amount(found.total_before),
        "total_after": _amount(found.total_after),
    }


def _amount(money: Money) -> str:
    return f"{money.amount:f}"


def _rate(value: Fraction | Decimal | None) -> str | None:
    return None if value is None else plain(value)
