"""What-if for both doors of the service: one question, answered in plain JSON types.

The command line prints the same answer as tables, CSV or JSON, and the API sends it, so a number is the same wherever
it is read. Amounts are decimal strings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from sqlalchemy.orm import Session

from core.errors import InvalidInput
from core.invoicing.what_if.shadow import shadow
from core.money import plain
from core.period import Period
from core.rating.curve import (
    BreakEven,
    Curve,
    band_rates,
    break_even,
    cheapest,
    crossovers,
    price_table,
    telling_volumes,
)
from core.rating.floor import Floor, pass_through_floor
from core.rating.forecast import MOST_MONTHS, Forecast
from core.rating.line import days_said
from core.rating.offers import Offer, at_rate, band_of
from core.rating.quote import Quote, demand_one_currency, horizon_name, quote, quote_forecast
from core.registry.tables import Licensee
from service.quote_documents import (
    break_even_document,
    cell_document,
    crossover_document,
    floor_document,
    quote_document,
    shadow_document,
)

MOST_OFFERS = 50
MOST_CELLS = 200
MOST_WORK = 100_000  # cells that a question may have rated, of some 60 microseconds each
_SEARCHED, _COMPARED = 110, 40  # points that a break-even and a comparison need


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is offered under one name: agreements that are owed together."""

    name: str
    offers: tuple[Offer, ...]
    instead_of: str | None = None  # the agreement that it would replace
    note: str | None = None  # what is to be said of its price


@dataclass(frozen=True, slots=True)
class FloorAsk:
    """The price to end users is asked for; in the unit of the terms, unless another credit and its worth are named."""

    free_share: Fraction = Fraction(0)
    margin: Fraction = Fraction(0)
    credit: str | None = None
    worth: Decimal | None = None
    decimals: int | None = None


@dataclass(frozen=True, slots=True)
class TableAsk:
    """Prices by volumes. No prices: those of the band, or the one that is written. No volumes: telling ones."""

    rates: tuple[Decimal, ...] = ()
    volumes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """The question. One of images and forecast, or neither where only a table or a curve is wanted."""

    proposals: tuple[Proposal, ...]
    images: int | None = None
    forecast: Forecast | None = None
    rate: Decimal | None = None
    over: str | None = None
    table: TableAsk | None = None
    floor: FloorAsk | None = None
    bounded: bool = False  # asked from outside: refuse what would keep a processor busy

    def __post_init__(self) -> None:
        if not self.proposals:
            raise InvalidInput("no_offer", "name a scenario, an agreement, or terms to be tried out")
        if len(self.proposals) > MOST_OFFERS:
            said = f"at most {MOST_OFFERS} offers can be compared, not {len(self.proposals)}"
            raise InvalidInput("quote_too_large", said)
        names = [proposal.name for proposal in self.proposals]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InvalidInput("offer_twice", f"{twice} is there twice: give each offer its own name")
        if self.table and len(self.table.rates or range(5)) * len(self.table.volumes or range(8)) > MOST_CELLS:
            said = f"a table has at most {MOST_CELLS} cells: ask for fewer prices or volumes"
            raise InvalidInput("quote_too_large", said)


def answer(ask: Ask) -> dict[str, Any]:
    """The whole answer: of one proposal its quote, of several a comparison that holds a quote of each."""
    demand_one_currency([offer for proposal in ask.proposals for offer in proposal.offers])
    curves = curves_of(ask)
    if ask.bounded:
        _demand_bounds(ask, [curve for _, curve in curves])
    return _one(ask, ask.proposals[0], curves[0][1]) if len(curves) == 1 else _several(ask, curves)


def curves_of(ask: Ask) -> list[tuple[str, Curve]]:
    """A curve of every proposal, all over the same kind of horizon: the longer one shows everything."""
    settled = [_settled(proposal, ask) for proposal in ask.proposals]
    overs = {horizon_name(proposal.offers, ask.over) for proposal in settled}
    over = "term" if "term" in overs else "month"
    return [(proposal.name, Curve(proposal.offers, over)) for proposal in settled]


def _settled(proposal: Proposal, ask: Ask) -> Proposal:
    """The proposal at the price asked for; at the low end of an unsettled band where only a table is asked for."""
    if ask.rate is not None:
        return replace(proposal, offers=at_rate(proposal.offers, ask.rate)[0])
    band = band_of(proposal.offers)
    unsettled = any(not fee.schedule.settled for offer in proposal.offers for _, t in offer.versions for fee in t.fees)
    if band and unsettled and ask.images is None and ask.forecast is None:
        return replace(proposal, offers=at_rate(proposal.offers, band[1][0])[0])
    return proposal


def _demand_bounds(ask: Ask, curves: Sequence[Curve]) -> None:
    """Refuses terms that would keep a processor busy: what is to be rated, times how often."""
    cells = 1
    if ask.table and len(curves) == 1:
        cells += len(ask.table.rates or range(5)) * len(ask.table.volumes or range(8))
    if len(curves) > 1:
        cells += _COMPARED + len(ask.table.volumes if ask.table else ())
    work = sum(curve.cells * (cells + (_SEARCHED if curve.promised else 1)) for curve in curves)
    months = max(sum(1 for _ in days.months()) for curve in curves for days in curve.horizons)
    if months > MOST_MONTHS or work > MOST_WORK:
        raise InvalidInput(
            "quote_too_large",
            "these terms take too long to try out here: ask for a shorter term, fewer models, offers or dated changes",
        )


def _one(ask: Ask, proposal: Proposal, curve: Curve) -> dict[str, Any]:
    even = break_even(curve)
    document = {"scenario": proposal.name, **_quoted(ask, proposal, curve), "break_even": break_even_document(even)}
    if ask.table:
        document["table"] = _table(ask, proposal, curve, even)
    return document


def _quoted(ask: Ask, proposal: Proposal, curve: Curve) -> dict[str, Any]:
    """The quote on the volume or the forecast that is asked about, if there is one, and the floor that goes with it."""
    if ask.forecast is not None:
        found = quote_forecast(proposal.offers, ask.forecast, rate=ask.rate)
    elif ask.images is not None:
        found = quote(proposal.offers, ask.images, rate=ask.rate, over=curve.over)
    else:
        return {"currency": curve.currency, "over": curve.over}
    if proposal.note:
        found = replace(found, notes=(proposal.note, *found.notes))
    document = quote_document(found) | {"over": "term" if ask.forecast else curve.over}
    if ask.floor:
        document["pass_through_floor"] = floor_document(floor_of(ask.floor, found, proposal.offers))
    return document


def _several(ask: Ask, curves: Sequence[tuple[str, Curve]]) -> dict[str, Any]:
    """Quotes of every proposal, and which is cheapest at which volume."""
    evens = {name: break_even(curve) for name, curve in curves}
    volumes = list(ask.table.volumes) if ask.table else []
    volumes = volumes or _common_volumes(ask, curves, [even.images or 0 for even in evens.values()])
    notes = []
    if len({curve.horizons[0].days for _, curve in curves}) > 1:
        said = "; ".join(f"{name}: {days_said(curve.horizons[0])}" for name, curve in curves)
        notes.append(f"The offers do not run equally long: {said}.")
    met = crossovers(curves, [*volumes, 4 * max(volumes)]) if max(volumes) else []
    return {
        "currency": curves[0][1].currency,
        "offers": [
            {
                "scenario": name,
                **_quoted(ask, proposal, curve),
                "break_even": break_even_document(evens[name]),
            }
            for proposal, (name, curve) in zip(ask.proposals, curves, strict=True)
        ],
        "comparison": {
            "over": curves[0][1].over,
            "volumes": [
                {
                    "images": images,
                    "cheapest": cheapest(curves, images),
                    "offers": [{"offer": name, **cell_document(curve.at(images))} for name, curve in curves],
                }
                for images in volumes
            ],
            "crossovers": [crossover_document(found) for found in met],
            "notes": notes,
        },
    }


def _common_volumes(ask: Ask, curves: Sequence[tuple[str, Curve]], evens: Sequence[int]) -> list[int]:
    """Volumes around what was asked about, or around the largest break-even."""
    images = ask.images
    if ask.forecast is not None:
        images = sum(ask.forecast.images_of([service for service, _ in curves[0][1].contracts[0].months]))
    if images is None:
        return telling_volumes(max(evens, default=0) or None, None)
    return telling_volumes(images, None) if images else [0]


def _table(ask: Ask, proposal: Proposal, curve: Curve, even: BreakEven) -> dict[str, Any]:
    """Prices by volumes; one row at the price as written where there is no other."""
    asked = ask.table or TableAsk()
    volumes = list(asked.volumes) or telling_volumes(ask.images, even)
    rates = list(asked.rates)
    if not rates and ask.rate is None and band_of(proposal.offers):
        rates = band_rates(proposal.offers)
    if rates:
        rows = [(plain(rate), points) for rate, points in price_table(proposal.offers, rates, volumes, curve.over)]
    else:
        rows = [(None if ask.rate is None else plain(ask.rate), [curve.at(images) for images in volumes])]
    return {
        "unit": proposal.offers[0].terms.unit,
        "currency": curve.currency,
        "over": curve.over,
        "volumes": volumes,
        "rows": [{"rate": rate, "cells": [cell_document(point) for point in points]} for rate, points in rows],
    }


def floor_of(ask: FloorAsk, found: Quote, offers: Sequence[Offer]) -> Floor:
    """The pass-through floor of a quote, in the unit of its terms unless another credit is named."""
    credit, worth, decimals = ask.credit, ask.worth, ask.decimals
    if credit is None:
        credit = found.unit
        if credit is None:
            raise InvalidInput("no_floor", "these offers are in several units: say which credit end users pay in")
        versions = [terms for offer in offers for _, terms in offer.versions if terms.unit == credit]
        worths = {conversion.rate for terms in versions for conversion in terms.conversions} or {Decimal(1)}
        if len(worths) > 1:
            raise InvalidInput("no_floor", f"what one {credit} is worth changes: say which credit end users pay in")
        worth = worths.pop()
        if decimals is None:
            decimals = max(offer.decimals for offer in offers if offer.terms.unit == credit)
    return pass_through_floor(
        found.total,
        found.images,
        credit=credit,
        worth=Decimal(1) if worth is None else worth,
        decimals=decimals or 0,
        free_share=ask.free_share,
        margin=ask.margin,
    )


def shadowed(
    session: Session,
    licensee: Licensee,
    days: Period,
    proposals: Sequence[Proposal],
    *,
    count_as: Mapping[str, str],
    rate: Decimal | None = None,
) -> dict[str, Any]:
    """Recorded usage under the proposals, each against what was or would be billed."""
    if not proposals:
        raise InvalidInput("no_offer", "name a scenario, an agreement, or terms to be tried out")
    documents = []
    for proposal in proposals:
        offers = proposal.offers if rate is None else at_rate(proposal.offers, rate)[0]
        found = shadow(session, licensee, days, offers, count_as=count_as, instead_of=proposal.instead_of)
        documents.append(shadow_document(proposal.name, found))
    return documents[0] if len(documents) == 1 else {"currency": documents[0]["currency"], "offers": documents}
