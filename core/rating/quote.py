"""What-if: what a number of images would cost under some offers, by the same rating that makes invoices.

A quote on a volume spreads the images over the days of a horizon and rates them; a forecast says how many each month
brings; a quote on recorded usage rates that, so with the agreement's own terms it says exactly what was billed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from core.errors import InvalidInput
from core.money import Money
from core.period import Period
from core.rating.contract import Contract, Counts
from core.rating.forecast import Forecast
from core.rating.line import COUNTED, LineKey, days_said
from core.rating.offers import Offer, at_rate, offers_of
from core.rating.rate import RatedLine, caps, owed
from core.rating.spread import Spread, spread

__all__ = [
    "HORIZONS",
    "Offer",
    "Quote",
    "QuoteLine",
    "QuoteMonth",
    "falls_in",
    "horizon_name",
    "offers_of",
    "quote",
    "quote_forecast",
    "quote_usage",
    "spread",
]
HORIZONS = ("month", "term")
Rated = list[tuple[Offer, RatedLine]]


@dataclass(frozen=True, slots=True)
class QuoteLine:
    """Rated lines of one kind, subject and price, added up over the horizon. `model` is the only model, or None."""

    offer: str
    recipient: str
    kind: str
    subject: str
    model: str | None
    image_count: int
    unit: str
    unit_price: Decimal | None
    unit_amount: Fraction
    amount: Money


@dataclass(frozen=True, slots=True)
class QuoteMonth:
    """A month of the horizon: the images put into it, and the lines of every service period that ends in it."""

    month: str
    images: int
    amount: Money
    shortfall: Money


@dataclass(frozen=True, slots=True)
class Quote:
    """The answer. `effective_rate` is currency per image; `effective_unit_rate` is in `unit` where there is just one.

    `shortfall` is the part of the total that is owed for missing images or money. `notes` are sentences: what was
    assumed, and what the reader should know before relying on the figure.
    """

    currency: str
    images: int
    total: Money
    effective_rate: Fraction | None
    unit: str | None
    effective_unit_rate: Fraction | None
    lines: tuple[QuoteLine, ...]
    notes: tuple[str, ...]
    shortfall: Money
    months: tuple[QuoteMonth, ...] = ()


def quote(offers: Sequence[Offer], images: int, *, rate: Decimal | None = None, over: str | None = None) -> Quote:
    """What `images` images would cost over a month or over the whole term.

    Each offer is asked for the same images, since one image may owe several parties. Without `over` the horizon is the
    term when a commitment runs longer than a month, else a month. `rate` replaces the one flat rate of the offers.
    Raises `InvalidInput`: several currencies, an unsettled price, a rate that could mean several fees.
    """
    offers, notes = _prepared(offers, rate)
    name = horizon_name(offers, over)
    if len(offers) > 1:
        notes.append(f"Each of the {len(offers)} agreements is asked for the same {images:,} images.")
    rated: Rated = []
    for offer in offers:
        contract = offer.contract
        horizon = horizon_of(contract, name)
        counts = Spread(contract, horizon).by_day(images)
        rated += [(offer, line) for line in lines_in(contract, counts, horizon)]
        models = len({model for model, _ in counts})
        over_models = f" and {models} models" if models > 1 else ""
        said = f"{images:,} images spread evenly over the {horizon.days} days {days_said(horizon)}{over_models}."
        notes += _whose(offers, offer, [said, *_notes(contract, counts, horizon)])
    return summed(rated, images, offers[0].terms.currency, notes)


def quote_forecast(offers: Sequence[Offer], forecast: Forecast, *, rate: Decimal | None = None) -> Quote:
    """What a forecast would cost from the first day of the term to the end of the forecast's last month.

    Each month's images are spread evenly over its days. Raises `InvalidInput` as `quote` does, and where the forecast
    goes on after the term.
    """
    offers, notes = _prepared(offers, rate)
    if len(offers) > 1:
        notes.append(f"Each of the {len(offers)} agreements is asked for the same images.")
    rated: Rated = []
    images_by_month: dict[str, int] = {}
    for offer in offers:
        contract = offer.contract
        services = [service for service, _ in contract.months]
        months = forecast.images_of(services)
        counts: dict[tuple[str, date], int] = {}
        for service, images in zip(services, months, strict=False):
            counts |= Spread(contract, service).by_day(images)
            images_by_month.setdefault(Period.month_of(service.start).name, images)
        horizon = Period(services[0].start, services[len(months) - 1].end)
        rated += [(offer, line) for line in lines_in(contract, counts, horizon)]
        said = f"{sum(months):,} images in {len(months)} months, {days_said(horizon)}; each month's evenly by its days."
        notes += _whose(offers, offer, [said, *_notes(contract, counts, horizon)])
    return summed(rated, sum(images_by_month.values()), offers[0].terms.currency, notes, images_by_month)


def quote_usage(
    offers: Sequence[Offer], usage: Mapping[str, Counts], until: date, *, since: date | None = None
) -> Quote:
    """What recorded usage costs under the offers: `usage` by offer name, everything that is due by `until`.

    With `since`, only what falls in the days between; what was counted before still moves tiers and commitments.
    """
    demand_one_currency(offers)
    rated = [
        (offer, line)
        for offer in offers
        for line in owed(offer.contract, usage.get(offer.name, {}), until)
        if since is None or falls_in(line.key, Period(since, until))
    ]
    images = sum(line.image_count for _, line in rated if line.key.kind in COUNTED)
    return summed(rated, images, offers[0].terms.currency, [])


def horizon_name(offers: Sequence[Offer], over: str | None) -> str:
    """The horizon asked for; else the term when a commitment runs longer than a month, or a month."""
    demand_one_currency(offers)
    long = any(c.period != "month" for offer in offers for _, terms in offer.versions for c in terms.commitments)
    name = over or ("term" if long else "month")
    if name not in HORIZONS:
        raise InvalidInput("unknown_horizon", f"a quote is over a month or over the term, not {over!r}")
    return name


def horizon_of(contract: Contract, name: str) -> Period:
    """The days in force, or the first whole calendar month (the first service period when there is none)."""
    if name == "term":
        return contract.in_force
    services = [service for service, _ in contract.months]
    return next((service for service in services if service == Period.month_of(service.start)), services[0])


def lines_in(contract: Contract, counts: Counts, horizon: Period) -> list[RatedLine]:
    """What is owed for service periods inside the horizon."""
    return [
        line
        for line in owed(contract, counts, horizon.end)
        if horizon.start <= line.key.service.start and falls_in(line.key, horizon)
    ]


def falls_in(key: LineKey, days: Period) -> bool:
    """Whether a line is about these days: its service period ends in them, or, paid in advance, begins in them."""
    if key.kind == "prepayment":
        return key.service.start in days
    return days.start < key.service.end <= days.end


def month_of(key: LineKey) -> str:
    """The name of the calendar month in which a line falls."""
    at = key.service.start if key.kind == "prepayment" else key.service.end - timedelta(days=1)
    return Period.month_of(at).name


def demand_one_currency(offers: Sequence[Offer]) -> None:
    """Refuses offers that could not be added up."""
    if len({terms.currency for offer in offers for _, terms in offer.versions}) > 1:
        raise InvalidInput(
            "several_currencies", "these agreements are invoiced in different currencies: quote one each"
        )


def worth_of(rated: Sequence[RatedLine], currency: str) -> tuple[str | None, Decimal]:
    """The unit of the lines and what one of it is worth in the currency; (None, 1) when there is no single answer."""
    rates = {(line.unit, line.conversion_rate) for line in rated if line.unit != currency}
    if not rates:
        return currency, Decimal(1)
    return next(iter(rates)) if len(rates) == 1 else (None, Decimal(1))


def summed(
    rated: Rated,
    images: int,
    currency: str,
    notes: Sequence[str],
    images_by_month: Mapping[str, int] | None = None,
) -> Quote:
    """Lines of the same kind, subject and price added up, with their total and what an image costs in the end."""
    sums: dict[tuple[object, ...], QuoteLine] = {}
    for offer, line in rated:
        key = (offer.name, line.key.kind, line.key.subject, line.unit, line.unit_price)
        before = sums.get(key)
        sums[key] = QuoteLine(
            offer=offer.name,
            recipient=offer.recipient,
            kind=line.key.kind,
            subject=line.key.subject,
            model=line.models[0] if len(line.models) == 1 else None,
            image_count=line.image_count + (before.image_count if before else 0),
            unit=line.unit,
            unit_price=line.unit_price,
            unit_amount=line.unit_amount + (before.unit_amount if before else 0),
            amount=line.money + before.amount if before else line.money,
        )
    total = sum((line.amount for line in sums.values()), start=Money(currency, 0))
    shortfalls = [line.amount for line in sums.values() if line.kind == "shortfall"]
    exact = sum((line.unit_amount * Fraction(line.conversion_rate) for _, line in rated), start=Fraction(0))
    drift = total - Money.rounded(exact, currency)
    if drift.minor:
        notes = [
            *notes,
            f"Lines are rounded invoice by invoice, as they would be billed: {drift} against rounding once.",
        ]
    per_image = Fraction(total.amount) / images if images else None
    unit, worth = worth_of([line for _, line in rated], currency)
    return Quote(
        currency=currency,
        images=images,
        total=total,
        effective_rate=per_image,
        unit=unit,
        effective_unit_rate=per_image / Fraction(worth) if unit and per_image is not None else None,
        lines=tuple(sums.values()),
        notes=tuple(notes),
        shortfall=sum(shortfalls, start=Money(currency, 0)),
        months=_months(rated, currency, images_by_month or {}),
    )


def _months(rated: Rated, currency: str, images_by_month: Mapping[str, int]) -> tuple[QuoteMonth, ...]:
    """The lines by the month in which their service period ends; months without a line are there with their images."""
    amounts: dict[str, tuple[Money, Money]] = {name: (Money(currency, 0),) * 2 for name in images_by_month}
    for _, line in rated:
        name = month_of(line.key)
        if name in amounts:
            total, short = amounts[name]
            amounts[name] = total + line.money, short + line.money if line.key.kind == "shortfall" else short
    return tuple(
        QuoteMonth(name, images_by_month[name], total, short) for name, (total, short) in sorted(amounts.items())
    )


def _prepared(offers: Sequence[Offer], rate: Decimal | None) -> tuple[Sequence[Offer], list[str]]:
    """The offers at the rate asked for, all in one currency, and what is to be said of it."""
    note = None
    if rate is not None:
        offers, note = at_rate(offers, rate)
    demand_one_currency(offers)
    return offers, [note] if note else []


def _whose(offers: Sequence[Offer], offer: Offer, notes: Sequence[str]) -> list[str]:
    return [f"{offer.name}: {note}" for note in notes] if len(offers) > 1 else list(notes)


def _notes(contract: Contract, counts: Counts, horizon: Period) -> list[str]:
    """What the terms of one offer say beyond the price, and what the horizon leaves out."""
    terms = contract.versions[0][1]
    notes = []
    if horizon != contract.in_force:
        notes += [
            f"The commitment {promise.commitment.name!r} is judged over {days_said(promise.days)}, so a shortfall does "
            "not show here: quote over the term."
            for promise in contract.promises
            if promise.days.start <= horizon.start and promise.days.end > horizon.end
        ]
    for use in caps(contract, counts, horizon.end):
        if use.above:
            fate = "flagged, still counted" if use.kind == "soft" else "to be refused at intake, though rated here"
            notes.append(f"{use.above:,} images above the cap of {use.images:,} in {use.service.name}: {fate}.")
    if terms.eligibility and terms.eligibility.revenue_below:
        amount, currency = terms.eligibility.revenue_below
        notes.append(f"Only for licensees with a yearly revenue below {amount:,f} {currency}.")
    return notes
